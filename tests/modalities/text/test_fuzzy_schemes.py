"""Schemes, shingles and presets of text.dedup.fuzzy."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.columns import fixed_rows
from d4a.curator.dedup.bands import band_keys, probability
from d4a.curator.errors import RecipeError
from d4a.curator.load.files import load
from d4a.modalities.text.fss import signatures
from d4a.modalities.text.fuzzy import FuzzyOptions, FuzzyText
from d4a.modalities.text.fuzzy_options import PRESETS
from d4a.modalities.text.minhash import minhash, nemo_permutations, own_permutations
from d4a.modalities.text.tokens import Tokens
from entered_texts import find
from planted_texts import planted, similarity
from pydantic import ValidationError

SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
PUBLISHED = {  # P(found) at SIMILARITIES, of each preset's bands and rows
    "fineweb": (0.0533, 0.2111, 0.5645, 0.7716, 0.9235, 0.9884, 0.9996),
    "refinedweb": (0.0004, 0.0163, 0.3018, 0.7605, 0.9946, 1.0, 1.0),
    "slimpajama": (0.0011, 0.0117, 0.0839, 0.1946, 0.3988, 0.6864, 0.9286),
    "redpajama-v2": (0.0011, 0.0117, 0.0839, 0.1946, 0.3988, 0.6864, 0.9286),
    "zyda": (0.8732, 0.9882, 0.9998, 1.0, 1.0, 1.0, 1.0),
    "zyda-2": (0.0001, 0.0023, 0.0263, 0.0774, 0.2042, 0.4606, 0.8059),
    "nemo": (0.0024, 0.0258, 0.1769, 0.3818, 0.6773, 0.9240, 0.9972),
}


def column(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


def written(count: int, seed: int) -> str:
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghij", k=draw.randrange(2, 9))) for _ in range(count))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_find_pairs_as_often_as_published(preset: str) -> None:
    stage = FuzzyText(FuzzyOptions(preset=preset))
    assert [stage.found(s) for s in SIMILARITIES] == pytest.approx(PUBLISHED[preset], abs=6e-5)


BARE = "ça va lété its 10 oclock"


@pytest.mark.parametrize(
    ("preset", "compared", "units", "ngram", "hashes"),
    [
        ("slimpajama", BARE, "characters", 13, 128),
        ("refinedweb", "ca va lete its 10 oclock", "spaced", 5, 9000),
        ("redpajama-v2", unicodedata.normalize("NFD", BARE), "spaced", 13, 128),
        ("fineweb", "  Ca va,\tl'ete?  It's 0 o'clock; ", "words", 5, 112),
        ("zyda", BARE, "spaced", 13, 128),
        ("zyda-2", "  Ça va,\tl'été?  It's 10 o'clock; ", "characters", 25, 128),
        ("nemo", "  Ça va,\tl'été?  It's 10 o'clock; ", "characters", 24, 260),
    ],
)
def test_presets_compare_the_published_shingles(preset: str, compared: str, units: str, ngram: int, hashes: int) -> None:
    stage = FuzzyText(FuzzyOptions(preset=preset))
    assert stage.shingling.prepare(column("  Ça va,\tl'été?  It's 10 o'clock; ")).to_pylist() == [compared]
    assert (stage.shingling.units, stage.shingling.ngram, stage.options.hashes) == (units, ngram, hashes)


def test_misread_bands_would_find_nothing() -> None:
    misread = FuzzyText(FuzzyOptions(preset="refinedweb", bands=20, rows=450))
    assert misread.found(0.9) < 1e-10


@pytest.mark.parametrize(
    ("options", "name", "bands", "rows"),
    [
        ({"scheme": "minhash"}, "own permutations over words", 32, 8),
        ({"scheme": "minhash", "bits": 64, "hashes": 128}, "64 bits, fewer values", 21, 6),
        ({"scheme": "minhash", "permutations": "nemo", "shingle": "characters", "ngram": 9}, "characters", 32, 8),
        ({"shingle": "characters", "ngram": 9}, "fss over characters", 32, 8),
        ({"shingle": "spaced", "normalise": {"lower": True, "punctuation": "delete"}}, "words between spaces", 32, 8),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_scheme_finds_planted_copies(options: dict[str, object], name: str, bands: int, rows: int) -> None:
    texts = planted(originals=240, seed=3)
    spaced = options.get("shingle") == "spaced"  # which no Chinese has
    texts = [text for text in texts if text.script in ("latin", "cyrillic")] if spaced else texts
    pairs, kept, _ = find([text.text for text in texts], **options)
    assert FuzzyText(FuzzyOptions(**options)).banding() == (bands, rows)
    bases = {text.base: k for k, text in enumerate(texts) if text.kind == "base"}
    light = [
        k
        for k, text in enumerate(texts)
        if text.kind == "exact" or (text.kind == "edit1" and similarity(text, texts[bases[text.base]]) > 0.9)
    ]
    assert len(light) > 10
    assert all(kept.twin[k] >= 0 or kept.twin[bases[texts[k].base]] >= 0 for k in light)
    assert {texts[a].base for a in pairs.a} == {texts[b].base for b in pairs.b}
    assert all(texts[a].base == texts[b].base for a, b in zip(pairs.a, pairs.b, strict=True))


def test_similarity_is_that_of_the_chosen_shingles() -> None:
    one, other = "ab" * 30 + "cdefgh", "ab" * 30 + "cdxfgh"
    pairs, _, _ = find([one, other], shingle="characters", ngram=2, scheme="minhash", pairs_from=0.1, threshold=0.4, bands=64, rows=1)
    # ab ba bc cd, then de ef fg gh and dx xf fg gh
    assert pairs.similarity.tolist() == [6 / 10]


def test_texts_of_which_the_normal_form_leaves_nothing_are_no_twins() -> None:
    texts = ["...", "!!!", "?", "", "...", "-- --", "ok"]
    _, kept, _ = find(texts, preset="slimpajama")
    assert [texts[k] for k in np.flatnonzero(kept.twin >= 0)] == ["..."]


def test_the_signature_of_the_preset_nemo_is_that_of_nemo_curator() -> None:
    text = "naïve café — résumé 東京タワー 🗼 über-long multibyte text 中文字符"
    sketch = FuzzyText(FuzzyOptions(preset="nemo")).sketch(pa.record_batch({"text": column(text, "short")}))
    expected = minhash(column(text, "short"), "characters", 24, nemo_permutations(260, 32))
    assert sketch["signature"].type == pa.binary(1040)
    assert (fixed_rows(sketch["signature"], np.dtype("<u4"), (260,)) == expected).all()
    assert sketch["tokens"].to_pylist() == [len(text), 5]


def test_the_column_is_as_wide_as_the_values() -> None:
    widths = {name: FuzzyText(FuzzyOptions(preset=name)).values[0].type.byte_width for name in ("slimpajama", "refinedweb", "fineweb")}
    assert widths == {"slimpajama": 512, "refinedweb": 36_000, "fineweb": 448}
    assert FuzzyText(FuzzyOptions(scheme="minhash", hashes=100, bits=64)).values[0].type.byte_width == 800


def test_options_beside_a_preset_override_it() -> None:
    options = FuzzyOptions(preset="nemo", ngram=7, threshold=0.7, bands=None, rows=None)
    assert (options.ngram, options.hashes, options.permutations) == (7, 260, "nemo")
    assert options.banding() == (43, 6)
    assert FuzzyOptions(preset="fineweb", scheme="fss").hashes == 256
    assert (FuzzyOptions(preset="nemo", seed=None).seed, FuzzyOptions(preset="zyda-2").seed) == (42, 10)


def test_a_preset_of_a_recipe_is_what_it_stands_for(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    head = "name: x\noutput: {path: out}\ntext:\n  sources: [{path: a}]\n  stages:\n  - {use: text.dedup.fuzzy, "
    recipe.write_text(head + "preset: redpajama-v2, rows: 12}\n", encoding="utf-8")
    text = load(str(recipe)).text
    assert text is not None
    options = FuzzyOptions.model_validate(text.stages[0].options)
    assert (options.scheme, options.shingle, options.ngram, options.bands, options.rows) == ("minhash", "spaced", 13, 9, 12)
    assert options.normalise is not None and options.normalise.accents == "decompose"
    spelt = FuzzyOptions(**{name: value for name, value in options.model_dump().items() if name != "preset"})
    assert spelt.of_kind("measure") == options.of_kind("measure")
    assert FuzzyText(spelt).search_key() == FuzzyText(options).search_key()
    recipe.write_text(head + "bits: 64}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="fss has no choice of `bits`"):
        load(str(recipe))


@pytest.mark.parametrize(
    "wrong",
    [{"hashes": 128}, {"permutations": "nemo"}, {"preset": "nemo", "bands": 40}, {"preset": "llama"}, {"preset": "nemo", "scheme": "fss"}],
    ids=json.dumps,
)
def test_what_does_not_fit_together_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FuzzyOptions(**wrong)


# ------------------------------------------------------------------------------------------- 20,000 pairs


def fss_signatures(lists: list[np.ndarray]) -> np.ndarray:
    tokens = Tokens(np.concatenate(lists), np.cumsum([0, *map(len, lists)]), np.zeros(len(lists), np.uint64))
    return signatures(tokens, 1)


def minhash_signatures(lists: list[np.ndarray]) -> np.ndarray:
    """Of texts whose terms are the items: 12 letters each, and a space."""
    items = np.concatenate(lists)
    letters = (items[:, None] >> np.arange(0, 60, 5, dtype=np.uint64) & np.uint64(31)).astype(np.uint8) + ord("a")
    rows = np.concatenate([letters, np.full((len(items), 1), ord(" "), np.uint8)], axis=1)
    offsets = np.cumsum([0, *(13 * len(one) for one in lists)])
    texts = pa.LargeStringArray.from_buffers(len(lists), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(rows)))
    return minhash(texts, "spaced", 1, own_permutations(112, 32))


@pytest.mark.parametrize(("sketch", "union"), [(fss_signatures, 2000), (minhash_signatures, 200)], ids=["fss", "minhash"])
@pytest.mark.parametrize("share", [0.6, 0.8])
def test_of_20000_pairs_as_many_are_found_as_the_formula_says(sketch: object, union: int, share: float) -> None:
    draw = np.random.default_rng(8)
    common, pairs, at_once, found = round(union * share), 20_000, 500, 0
    half = (union - common) // 2
    only = np.arange(common, common + half)
    for _ in range(pairs // at_once):
        items = draw.integers(0, 2**60, (at_once, union), dtype=np.uint64)
        lists = [draw.permutation(side) for row in items for side in (row[: common + half], np.delete(row, only))]
        keys = band_keys(sketch(lists), np.arange(2 * at_once), 14, 8)  # type: ignore[operator]
        found += int((keys[::2] == keys[1::2]).any(axis=1).sum())
    expected = probability(share, 14, 8)
    assert abs(found / pairs - expected) < 3 * (expected * (1 - expected) / pairs) ** 0.5
