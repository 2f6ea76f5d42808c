"""fastText's model files: written here in every layout, answered as the fasttext package does, refused when damaged."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.errors import UsageError
from d4a.curator.stage import Machine
from d4a.modalities.text.language import Language, LanguageOptions

WORDS = ["</s>", "the", "of", "die", "und", "в", "и", "的", "<", "__label", "fjord", "naïve"]
PIECES = [
    *WORDS,
    *"abcdefгджçñ漢字かな가나😀\u0301.,-",
    "__label__eng_Latn",
    "__label__xyz",
    "ferry",
    "überall",
    "Паром",
    "渡轮七点开船",
    "e" * 200,
]
SPACES = " \n\t\v\f\r\0\xa0\u3000"
TREE, NEGATIVE, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4


@dataclass
class Layout:
    """What a model file is like; `pruned` implies quantised, as in files that fastText writes."""

    loss: int
    shortest: int = 2
    longest: int = 4
    word_ngrams: int = 1
    dim: int = 10
    labels: int = 7
    quantised: bool = False
    norms: bool = False
    pruned: bool = False
    quantised_output: bool = False
    end_of_line: bool = True


def write(layout: Layout, path: Path, supervised: bool = True) -> Path:
    """A model of random weights, byte by byte as fastText's saveModel lays it out."""
    rng = np.random.default_rng(7)
    words = WORDS if layout.end_of_line else WORDS[1:]
    labels = [f"__label__{'eng_Latn' if k == 0 else f'l{k}'}" for k in range(layout.labels)]
    buckets = 997 if layout.longest or layout.word_ngrams > 1 else 0
    kept = rng.permutation(buckets)[: buckets // 2]
    out = io.BytesIO()
    numbers(out, "i4", 793712314, 12)
    args = [layout.dim, 5, 5, 1, 5, layout.word_ngrams, layout.loss, 3 if supervised else 2, buckets, layout.shortest, layout.longest, 100]
    numbers(out, "i4", *args)
    numbers(out, "f8", 1e-4)
    numbers(out, "i4", len(words) + len(labels), len(words), len(labels))
    numbers(out, "i8", 1000, len(kept) if layout.pruned else -1)
    for k, name in enumerate([*words, *labels]):
        out.write(name.encode() + b"\0")
        numbers(out, "i8", 5000 // (k + 1))
        numbers(out, "i1", int(k >= len(words)))
    if layout.pruned:
        numbers(out, "i4", *np.stack([kept, rng.permutation(len(kept))], axis=1).ravel())
    rows = len(words) + (len(kept) if layout.pruned else buckets)
    numbers(out, "i1", int(layout.quantised or layout.pruned))
    matrix(out, rows, layout.dim, layout.quantised or layout.pruned, layout.norms, rng)
    numbers(out, "i1", int(layout.quantised_output))
    matrix(out, layout.labels, layout.dim, layout.quantised_output, layout.norms, rng)
    path.write_bytes(out.getvalue())
    return path


def numbers(out: io.BytesIO, kind: str, *values: float) -> None:
    out.write(np.array(values, f"<{kind}").tobytes())


def matrix(out: io.BytesIO, rows: int, dim: int, quantised: bool, norms: bool, rng: np.random.Generator) -> None:
    if not quantised:
        numbers(out, "i8", rows, dim)
        out.write(rng.normal(0, 2, (rows, dim)).astype("<f4").tobytes())
        return
    width = 4
    parts = -(-dim // width)
    numbers(out, "i1", int(norms))
    numbers(out, "i8", rows, dim)
    numbers(out, "i4", rows * parts)
    out.write(rng.integers(0, 256, rows * parts, dtype=np.uint8).tobytes())
    numbers(out, "i4", dim, parts, width, dim - (parts - 1) * width)
    out.write(rng.normal(0, 2, dim * 256).astype("<f4").tobytes())
    if norms:
        out.write(rng.integers(0, 256, rows, dtype=np.uint8).tobytes())
        numbers(out, "i4", 1, 1, 1, 1)
        out.write(rng.uniform(0.5, 2, 256).astype("<f4").tobytes())


def texts(n: int) -> list[str]:
    """Words of the dictionary, unknown ones, labels, ends of lines, every kind of white space, and long words."""
    draw = random.Random(5)
    pieces = [*PIECES, *SPACES] * 3 + [" "] * 120 + [chr(draw.randrange(0x20, 0xD7FF)) for _ in range(60)]
    found = ["".join(draw.choice(pieces) for _ in range(draw.choice([0, 1, 3, 10, 60]))) for _ in range(n)]
    return [*found, "漢" * 5000, " ".join(PIECES * 300)]


def identified(path: Path, batch: list[str]) -> list[tuple[str, float]]:
    stage = Language(LanguageOptions(model=str(path)))
    stage.open(stage.prepare(Machine()))
    found = stage.measure(pa.RecordBatch.from_arrays([pa.array(batch, pa.large_string())], ["text"]))
    return list(zip(found["language"].to_pylist(), found["score"].to_pylist(), strict=True))


LAYOUTS = {
    "lid.176.bin": Layout(TREE),
    "lid.176.ftz": Layout(TREE, quantised=True, norms=True, pruned=True, dim=16),
    "softmax, word n-grams": Layout(SOFTMAX, word_ngrams=3, dim=5),
    "softmax, all quantised": Layout(SOFTMAX, quantised=True, quantised_output=True, norms=True, dim=18, shortest=1, longest=3),
    "one-vs-all, words only": Layout(ONE_VS_ALL, shortest=0, longest=0, dim=33),
    "one-vs-all, pruned word n-grams": Layout(ONE_VS_ALL, shortest=0, longest=0, word_ngrams=2, pruned=True),
    "negative sampling, many labels": Layout(NEGATIVE, labels=300, shortest=3, longest=6),
    "tree of quantised nodes": Layout(TREE, labels=300, quantised=True, quantised_output=True, dim=12),
    "one label, no end of line": Layout(TREE, labels=1, end_of_line=False),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_answers_are_those_of_the_fasttext_package(layout: Layout, tmp_path: Path) -> None:
    path = write(layout, tmp_path / "model.bin")
    theirs = fasttext.load_model(str(path))
    nothing = theirs.predict("")
    known = 0
    for text, (language, score) in zip(texts(400), identified(path, texts(400)), strict=True):
        labels, probabilities = theirs.predict(text.replace("\n", " "))
        if language == "und":
            assert score == 0 and labels == nothing[0], text
        else:
            known += 1
            assert f"__label__{language}" == labels[0] and abs(score - min(probabilities[0], 1)) <= 1e-4, text
    assert known > 50


def test_a_dictionary_word_is_known_by_its_bytes_not_by_its_hash(tmp_path: Path) -> None:
    found = identified(
        write(Layout(SOFTMAX, longest=0), tmp_path / "words.bin"), ["the", "thf", "The", "the thf", "__label__eng_Latn", "</s> the"]
    )
    assert found[0] == found[3] and found[0][1] > 0
    assert [found[k] for k in (1, 2, 4, 5)] == [("und", 0.0)] * 4


def test_a_damaged_or_foreign_file_is_refused_when_planning(tmp_path: Path) -> None:
    whole = write(LAYOUTS["lid.176.ftz"], tmp_path / "whole.ftz").read_bytes()
    path = tmp_path / "model.ftz"
    for size in [0, 3, 4, 8, 60, *range(100, len(whole), 1999), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(UsageError, match=r"model\.ftz .*(is empty|no fastText model|cut off|damaged).*\n.*lid\.176"):
            Language(LanguageOptions(model=str(path))).prepare(Machine())
    for content, what in (
        (b"\x7fELF" + whole[4:], "no fastText model file"),
        (whole[:4] + b"\x0b" + whole[5:], "version 11"),
        (write(Layout(TREE), path, supervised=False).read_bytes(), "word vectors"),
        (whole[:-4] + np.array(np.nan, "<f4").tobytes(), "no numbers"),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=what):
            Language(LanguageOptions(model=str(path))).prepare(Machine())


def test_whatever_a_file_says_no_text_makes_it_crash(tmp_path: Path) -> None:
    whole = write(Layout(TREE, word_ngrams=2, pruned=True, dim=16), tmp_path / "whole.ftz").read_bytes()
    draw, accepted = random.Random(1), 0
    for k in range(150):
        broken = bytearray(whole)
        for _ in range(draw.choice([1, 3])):
            broken[draw.choice([draw.randrange(400), draw.randrange(len(broken))])] = draw.choice([0, 1, 0x7F, 0x80, 0xFF])
        path = tmp_path / f"{k}.ftz"
        path.write_bytes(broken)
        try:
            assert all(0 <= score <= 1 for _, score in identified(path, texts(5)))
            accepted += 1
        except UsageError:
            pass
    assert 20 < accepted < 140
