from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from d4a.curator.errors import D4AError
from d4a.modalities.text.repetition import Repetition, RepetitionOptions
from d4a.modalities.text.unicode import LETTER, NUMERIC, RUN, SOLO, SPACE
from hypothesis import given, settings
from hypothesis import strategies as st
from line_texts import CHARACTERS
from words_by_hand import properties, tokens

N = "the cat sat on the mat the cat sat on the mat"
T = "a b a b cc dd cc dd"
A = "The cat sat on the mat. The cat sat on the mat!"
L = "dup line\ndup line\nunique\n\n- b1\n* b2\nends…\nends..."
VARIANTS = ("datatrove", "dclm", "dolma", "nemo", "rpv2")


def measure(variant: str, *texts: str | None) -> list[dict[str, Any]]:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return pa.table(Repetition(RepetitionOptions(variant=variant)).measure(batch)).to_pylist()


@pytest.mark.parametrize(
    ("variant", "text", "expected"),
    [
        ("datatrove", N, {"duplicate_5grams": 14 / 45, "top_2gram": 14 / 45, "duplicate_lines": 0.0}),
        ("nemo", N, {"duplicate_5grams": 22 / 45, "top_2gram": 14 / 45}),
        ("dolma", N, {"duplicate_5grams": 0.49557522, "duplicate_6grams": 0.28571429, "duplicate_7grams": 0.0}),
        ("dolma", N, {"top_2gram": 0.35294118, "top_3gram": 0.52941176, "top_4gram": 0.64705882, "duplicate_lines": 0.0}),
        ("dclm", N, {"duplicate_5grams": 1.0, "top_2gram": 0.35294118}),
        ("rpv2", N, {"duplicate_5grams": 1.0, "top_2gram": 0.35294118}),
        ("rpv2", A, {"top_2gram": 0.35294118, "top_3gram": 0.52941176}),
        ("rpv2", A, {"duplicate_5grams": 1.0, "duplicate_6grams": 1.0, "duplicate_10grams": 0.0, "duplicate_lines": None}),
        ("datatrove", T, {"top_2gram": 6 / 19}),
        ("rpv2", T, {"top_2gram": 1 / 3}),
        ("dolma", T, {"top_2gram": 1 / 3, "top_3gram": 0.25, "top_4gram": 1 / 3, "duplicate_5grams": 0.0, "duplicate_9grams": None}),
        ("dclm", T, {"top_2gram": 2 / 3}),
        ("nemo", "aa bb aa bb x cccc dddd cccc dddd y", {"top_2gram": 0.28571429}),
        ("datatrove", L, {"duplicate_lines": 1 / 7, "duplicate_line_chars": 8 / 49}),
        ("dolma", L, {"duplicate_lines": 2 / 7, "duplicate_line_chars": 0.42105263, "duplicate_paragraphs": None}),
        ("dclm", L, {"duplicate_lines": 2 / 7, "duplicate_line_chars": 0.38095238}),
        ("datatrove", "alpha beta gamma", {"top_2gram": 0.625, "top_4gram": None}),
        ("rpv2", "alpha beta gamma", {"top_2gram": 0.0}),
    ],
)
def test_known_answers_of_the_reference_implementations(variant: str, text: str, expected: dict[str, float | None]) -> None:
    found = measure(variant, text)[0]
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=1e-8)), name


# ---------------------------------------------------------------------------------- the definitions, in plain Python


def runs(text: str) -> list[str]:
    return "".join(" " if properties(c) & SPACE else c for c in text).split(" ")


def segments(text: str) -> list[str]:
    found, word = [], ""
    for k, char in enumerate(text + " "):
        kind, behind = properties(char), properties(text[k + 1]) if k + 1 < len(text) else 0
        before = next((properties(c) for c in reversed(word) if properties(c) & (LETTER | NUMERIC)), 0)
        joins = kind & RUN or char == "_"
        if not joins and word and not kind & SPACE and not behind & SOLO:
            joins = (char in "'.’:·" and before & behind & LETTER) or (char in "'.’,;" and before & behind & NUMERIC)
        if joins:
            word += char
            continue
        found.append(word)
        word = ""
        found.append(char if kind & SOLO else "")
    return [w for w in found if w and properties(w[0]) & (LETTER | NUMERIC)]


def split(text: str) -> list[str]:
    return [run for run in runs(text) if run]


def normalise(text: str) -> str:
    lower = "".join(c if properties(c) == 0 and not c.isascii() else c.lower() if len(c.lower()) == 1 else c for c in text)
    return unicodedata.normalize("NFD", "".join(c for c in lower if c not in string.punctuation))


def ratio(part: float, whole: float, fallback: float | None = None) -> float | None:
    return part / whole if whole else fallback


def strip(text: str) -> str:
    while text and properties(text[0]) & SPACE:
        text = text[1:]
    while text and properties(text[-1]) & SPACE:
        text = text[:-1]
    return text


def lines_by_hand(variant: str, text: str, unit: str, word_chars: int) -> tuple[float | None, float | None]:
    feeds = "\n" if unit == "line" else "\n\n"
    if variant == "rpv2" or (variant, unit) == ("dolma", "paragraph"):
        return None, None
    if variant in ("datatrove", "dolma"):
        pieces = re.split(feeds + "+", strip(text) if unit == "paragraph" else text)
    else:
        pieces = text.split(feeds)
        if variant == "dclm":
            pieces = [piece for piece in map(strip, pieces) if piece]
        elif unit == "line":
            pieces = [piece for piece in pieces if strip(piece)]
    counts = Counter(pieces)
    if variant in ("datatrove", "nemo"):
        again, chars = len(pieces) - len(counts), sum(map(len, pieces)) - sum(map(len, counts))
    else:
        again, chars = (sum(k * size(p) for p, k in counts.items() if k > 1) for size in (lambda p: 1, len))
    whole = {"datatrove": len(text), "dolma": max(word_chars, 1)}.get(variant, sum(map(len, pieces)))
    return ratio(again, len(pieces)), ratio(chars, whole)


def top_by_hand(variant: str, text: str, words: list[str], n: int) -> float | None:
    grams = [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
    if not grams:
        return 1.0 if variant == "nemo" else None
    counts = Counter(grams)
    best = max(counts.values())
    gram = next(g for g in counts if counts[g] == best)
    word_chars = sum(map(len, words))
    if variant == "datatrove":
        return len(" ".join(gram)) * best / len(text)
    if variant == "nemo":
        return (len(text) - len(text.replace(" ".join(gram), ""))) / len(text)
    if variant == "dclm":
        gram = max((g for g in counts if counts[g] == best), key=lambda g: sum(map(len, g)))
    return 0.0 if best == 1 and variant != "dolma" else best * sum(map(len, gram)) / word_chars


def duplicates_by_hand(variant: str, text: str, words: list[str], n: int) -> float | None:
    grams = [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
    counts = Counter(grams)
    size = {gram: sum(map(len, gram)) for gram in counts}
    if not grams:
        return 1.0 if variant == "nemo" else None
    if variant == "dolma":
        return sum(size[g] * k for g, k in counts.items() if k > 1) / sum(map(size.__getitem__, grams))
    if variant in ("dclm", "rpv2"):
        marked = {k + j for k, gram in enumerate(grams) if counts[gram] > 1 for j in range(n)}
        return sum(len(words[k]) for k in marked) / sum(map(len, words))
    seen, chars, k = set[tuple[str, ...]](), 0, 0
    if variant == "datatrove":
        while k < len(grams):
            again = grams[k] in seen
            seen.add(grams[k])
            chars += size[grams[k]] if again else 0
            k += n if again else 1
        return chars / len(text)
    behind = 0
    for k, gram in enumerate(grams):
        if gram in seen:
            first = max(k, behind)
            behind = k + n
            chars += sum(map(len, words[first:behind])) + min(behind - first, n - 1)
        seen.add(gram)
    return chars / len(text)


def by_hand(variant: str, text: str) -> dict[str, float | None]:
    normal = normalise(text) if variant == "rpv2" else text
    words = {"datatrove": tokens, "dclm": segments}.get(variant, split)(normal)
    found: dict[str, float | None] = {}
    for unit in ("line", "paragraph"):
        found[f"duplicate_{unit}s"], found[f"duplicate_{unit}_chars"] = lines_by_hand(variant, normal, unit, sum(map(len, words)))
    found |= {f"top_{n}gram": top_by_hand(variant, normal, words, n) for n in (2, 3, 4)}
    return found | {f"duplicate_{n}grams": duplicates_by_hand(variant, normal, words, n) for n in range(5, 11)}


PIECES = st.one_of(
    st.sampled_from(["\n", "\n\n", "\n\n\n", " ", "\t", "\x1c", "\u2028", "\u3000", "a\n", "b b\n", "  x\n", "\x00", "\x0b"]),
    st.sampled_from(
        [
            "a ",
            "b ",
            "a b c d e f ",
            "the cat sat on the mat ",
            "don't ",
            "e.g. ",
            "(x) ",
            "...",
            ". ",
            "1,000 ",
            "_a",
            "a_",
            "`",
            "@",
            "a-b",
            "==",
            "1-2 ",
            "p=q ",
            "aB.Cd ",
            "x..y",
        ]
    ),
    st.sampled_from(["汉字汉字", "ไทย", "ж", "Ёлка ", "É", "e\u0301", "😀", "internationalisation ", "a-b-c-d-e-f-g-h-i-j-k "]),
    st.text(CHARACTERS, max_size=3),
    st.text("ab. ", max_size=30),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=40).map("".join), min_size=1, max_size=3), st.sampled_from(VARIANTS))
def test_values_are_those_of_the_definition(texts: list[str], variant: str) -> None:
    found = measure(variant, *texts)
    for text, values in zip(texts, found, strict=True):
        expected = by_hand(variant, text)
        assert {name: value and pytest.approx(value) for name, value in values.items()} == expected, text


def test_every_rule_drops_until_it_is_switched_off() -> None:
    text = "\n\n".join(["buy now and buy now and save a lot of money on everything you like to have here"] * 20)
    values = pa.table(Repetition(RepetitionOptions()).measure(pa.record_batch({"text": pa.array([text], pa.large_string())})))
    limits = {name: 0.0 for name in RepetitionOptions.model_fields if name != "variant"}
    for rule in Repetition(RepetitionOptions()).rules():
        verdict = Repetition(RepetitionOptions(**limits)).judge(values)
        assert (not verdict.keep[0], verdict.reasons[verdict.reason[0]]) == (True, rule.reason)
        limits[rule.option] = None  # type: ignore[assignment]
    assert Repetition(RepetitionOptions(**limits)).judge(values).keep[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_no_limits_on_what_only_others_measure(variant: str) -> None:
    stage = Repetition(RepetitionOptions(variant=variant))
    (found,) = measure(variant, "One line of some words.\nAnother line of other words.\n\nAnd a second paragraph of some ten more words.")
    unmeasured = {rule.option for rule in stage.rules() if found[rule.value] is None}
    assert unmeasured == {rule.option for rule in stage.rules() if getattr(stage.options, rule.option) is None}
    assert RepetitionOptions.model_validate(stage.options.model_dump(mode="json")) == stage.options
    for option in unmeasured:
        with pytest.raises(ValueError, match=f"the {variant} variant has no such rule"):
            RepetitionOptions(variant=variant, **{option: 0.5})


def test_null_text_counts_as_empty_and_slices_are_read_where_they_are() -> None:
    texts = pa.array(["x" * 50, None, N], pa.large_string()).slice(1, 2)
    found = pa.table(Repetition(RepetitionOptions()).measure(pa.record_batch({"text": texts})))
    assert found.to_pylist()[1] == measure("datatrove", N)[0]
    assert found.schema.types == [value.type for value in Repetition.values]
    assert found.schema.names == [value.name for value in Repetition.values]


def test_short_texts_in_short_columns_do_not_see_what_was_measured_before() -> None:
    for text in ["x y\n" * 40, "", "a", "b\nb", "", "c c c"]:
        assert measure("datatrove", text)[0]["duplicate_lines"] == by_hand("datatrove", text)["duplicate_lines"]


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises((ValueError, D4AError), match="variant"):
        RepetitionOptions(variant="gopher")  # type: ignore[arg-type]
