from __future__ import annotations

import argparse
import re
import statistics
import string
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.stage import Judgement
from d4a.modalities.text.gopher import GopherOptions, GopherQuality
from d4a.modalities.text.unicode import LETTER
from hypothesis import given, settings
from hypothesis import strategies as st
from words_by_hand import is_word, properties, tokens

A = "The cat sat on the mat. The cat sat on the mat!"
B = "# NASA and ESA say 42...\nplain line…\nlast one {x}\n"
C = "• one item\n– two items\n- three 123\nEnable JavaScript now! javascript\n"
L = "dup line\ndup line\nunique\n\n- b1\n* b2\nends…\nends..."
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}


def words_and_symbols(text: str) -> tuple[list[str], int]:
    """The words of a text and the number of its symbols, by the definition."""
    found = tokens(text)
    words = [token for token in found if is_word(token)]
    return words, len(found) - len(words)


def ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def by_hand(text: str) -> dict[str, float | None]:
    """The values of a text in datatrove's reading, by the definition in the stage's documentation."""
    words, symbols = words_and_symbols(text)
    lines = text.splitlines()
    return {
        "words": len(words),
        "mean_word_length": ratio(sum(map(len, words)), len(words)),
        "hashes_per_word": ratio(text.count("#"), len(words) + symbols),
        "ellipses_per_word": ratio(text.count("...") + text.count("…"), len(words) + symbols),
        "symbols_per_word": None,
        "bullet_lines": ratio(sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines)),
        "ellipsis_lines": ratio(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "alpha_words": ratio(sum(any(properties(c) & LETTER for c in word) for word in words), len(words) + symbols),
        "stop_words": len(STOP_WORDS & set(words)),
    }


MARKS = {
    "dclm": ("●•*-", ("...", ". . .", "…")),
    "dolma": ("*-", ("…",)),
    "nemo": ("•‣⁃⁌⁍∙○●◘◦⦾⦿", ("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more")),
    "rpv2": ("•‣▶◀◦■□▪▫–", ("...", "…")),
}


def lines_by_hand(variant: str, text: str) -> list[str]:
    if variant == "dolma":
        return re.split("\n+", text)
    if variant == "rpv2":
        return [line.strip() for line in re.findall("[^\n]*\n|[^\n]+$", text)]
    return [line.strip() for line in text.split("\n") if line.strip()]


def symbols_by_hand(variant: str, text: str, words: list[str]) -> int:
    if variant == "dolma":
        return sum("#" in word or "…" in word for word in words)
    if variant == "nemo":
        return sum(word in MARKS["nemo"][1] or word.count("#") / len(word) > 0.5 for word in words)
    return sum(map(text.count, ("#", "...", "…"))) + (text.count(". . .") if variant == "dclm" else 0)


def variant_by_hand(variant: str, text: str) -> dict[str, float | None]:
    """The values of a text in another reading; `words` of dclm is left out: known answers show it."""
    bullets, ends = MARKS[variant]
    split = text.split()
    words = re.findall(r"\w+|[^\w\s]+", text) if variant == "rpv2" else split
    lines = lines_by_hand(variant, text)
    normal = unicodedata.normalize("NFD", "".join(c for c in text if c not in string.punctuation).lower()).split()
    sizes = [len(word) for word in (normal if variant == "rpv2" else split)]
    stops = [word for word in split if (word.lower() if variant == "dclm" else word) in STOP_WORDS]
    return {
        "words": None if variant == "dclm" else len(sizes),
        "mean_word_length": (statistics.median if variant == "dolma" else statistics.mean)(sizes) if sizes else None,
        "hashes_per_word": None,
        "ellipses_per_word": None,
        "symbols_per_word": ratio(symbols_by_hand(variant, text, words), len(words)),
        "bullet_lines": ratio(sum(line[:1] in bullets for line in lines if line), len(lines)),
        "ellipsis_lines": ratio(sum((line.lower() if variant == "nemo" else line).endswith(ends) for line in lines), len(lines)),
        "alpha_words": ratio(sum(any(c.isalpha() and (variant != "rpv2" or c.isascii()) for c in word) for word in words), len(words)),
        "stop_words": None if variant == "rpv2" else len(stops),
    }


def measure(*texts: str, variant: str = "datatrove") -> pa.Table:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return pa.table(GopherQuality(GopherOptions(variant=variant)).measure(batch))


def judge(text: str, **options: float | None) -> str:
    """The reason for which a text is dropped, or "kept"."""
    verdict: Judgement = GopherQuality(GopherOptions(**options)).judge(measure(text))
    return "kept" if verdict.keep[0] else verdict.reasons[verdict.reason[0]]


SPACES = ["\n", "\r\n", "\r", " ", "\t", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\u2028", "\u2029", "\u3000", "\u200b"]
SYMBOLS = ["...", "…", ".", "#", "- ", "• ", "_", "😀"]
WORDS = ["the ", "that", " with ", "be", "and\n", "Have", "12", "汉字", "ไทย", "é", "Ж", "don't"]
DIVIDED = ["a-b", "x/y", "1-2", "a.B", "p=q", "c,d", "--"]
PIECES = st.one_of(
    *(st.sampled_from(pieces) for pieces in (SPACES, SYMBOLS, WORDS, DIVIDED)),
    st.text(st.characters(codec="utf-8"), max_size=3),
    st.text("abcdefghij", min_size=5, max_size=20),
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=30).map("".join), min_size=1, max_size=3))
def test_values_are_those_of_the_definition(texts: list[str]) -> None:
    assert measure(*texts).to_pylist() == [by_hand(text) for text in texts]


OTHERS = st.one_of(
    st.sampled_from(["\n", "\n\n", " ", "\t", "#", "##", "# ", "...", "…", ". . .", "[…] ", "-» ", "Read more", "(...)", ".", ". "]),
    st.sampled_from(["the ", "The ", "THAT ", "be\n", "12 ", "汉字 ", "Ж ", "don't ", "● ", "• ", "* ", "- ", "– ", "É ", "a_b "]),
    st.text("abcXYZ.,_-9# \n", max_size=20),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(OTHERS, max_size=30).map("".join), min_size=1, max_size=3), st.sampled_from(sorted(MARKS)))
def test_values_of_the_other_variants_are_those_of_the_definition(texts: list[str], variant: str) -> None:
    for text, found in zip(texts, measure(*texts, variant=variant).to_pylist(), strict=True):
        expected = variant_by_hand(variant, text)
        assert found | ({"words": None} if variant == "dclm" else {}) == {k: v and pytest.approx(v) for k, v in expected.items()}, text


@pytest.mark.parametrize(
    ("variant", "text", "expected"),
    [
        ("rpv2", A, {"words": 12, "mean_word_length": 2.83333333, "alpha_words": 1 - 0.14285714}),
        ("rpv2", B, {"words": 10, "symbols_per_word": 0.2, "ellipsis_lines": 0.66666667, "alpha_words": 0.6}),
        ("rpv2", C, {"bullet_lines": 0.5, "words": 12}),
        ("rpv2", "", {"words": 0, "mean_word_length": None, "bullet_lines": None}),
        ("dolma", B, {"words": 11, "mean_word_length": 3.0, "symbols_per_word": 0.18181818, "alpha_words": 0.81818182, "stop_words": 1}),
        ("dolma", "the cat sat on the mat the cat sat on the mat", {"mean_word_length": 3.0, "stop_words": 4}),
        ("dolma", "a b a b cc dd cc dd", {"mean_word_length": 1.5}),
        ("dolma", L, {"bullet_lines": 2 / 7, "ellipsis_lines": 1 / 7}),
        ("dclm", "Don't stop: 3.14 e-mails, foo_bar (_x) 汉字", {"words": 8}),
    ],
)
def test_known_answers_of_the_other_variants(variant: str, text: str, expected: dict[str, float | None]) -> None:
    found = measure(text, variant=variant).to_pylist()[0]
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=1e-8)), name


def test_values_of_real_lines() -> None:
    lines = Path(argparse.__file__).read_text(encoding="utf-8").splitlines(keepends=True)
    texts = ["".join(lines[k : k + 40]) for k in range(0, len(lines), 40)]
    assert measure(*texts).to_pylist() == [by_hand(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "The cat sat on the mat. The cat sat on the mat!",
            {"words": 12, "mean_word_length": 2.83333333, "alpha_words": 12 / 14, "stop_words": 1},
        ),
        (
            "# NASA and ESA say 42...\nplain line…\nlast one {x}\n",
            {"words": 10, "hashes_per_word": 1 / 15, "ellipses_per_word": 2 / 15, "ellipsis_lines": 0.66666667, "alpha_words": 0.6},
        ),
        ("• one item\n– two items\n- three 123\nEnable JavaScript now! javascript\n", {"bullet_lines": 0.5, "words": 10}),
        ("dup line\ndup line\nunique\n\n- b1\n* b2\nends…\nends...", {"bullet_lines": 1 / 8, "ellipsis_lines": 2 / 8}),
        ("the be to of and that have with The HAVE", {"stop_words": 8}),
        ("今天天气很好,我们去公园。", {"words": 11, "mean_word_length": 1.0, "alpha_words": 11 / 13}),
        ("......", {"words": 0, "mean_word_length": None, "ellipses_per_word": 2.0, "ellipsis_lines": 1.0, "alpha_words": 0.0}),
        ("", {"words": 0, "mean_word_length": None, "hashes_per_word": None, "bullet_lines": None, "alpha_words": None, "stop_words": 0}),
    ],
)
def test_known_answers(text: str, expected: dict[str, float | None]) -> None:
    found = measure(text).to_pylist()[0]
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=1e-8)), name


GOOD = "It is the custom of people to have a look at what they buy. " * 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, "kept"),
        ("the ending of " * 16 + "it", "too_few_words"),
        ("the ending of " * 16 + "it is", "kept"),
        ("it is of an ox and we go to it " * 6, "words_too_short"),
        ("the internationalisation of institutionalisation " * 20, "words_too_long"),
        (GOOD + "# " * 9, "too_many_hashes"),
        (GOOD + "… " * 9, "too_many_ellipses"),
        ("- " + GOOD.replace(". ", ".\n- "), "too_many_bullet_lines"),
        (GOOD.replace(". ", "...\n"), "too_many_ellipsis_lines"),
        (GOOD + "1234 " * 13, "too_few_alpha_words"),
        (GOOD + "1234 " * 12, "kept"),
        (GOOD.replace("the ", "a ").replace("of ", "from ").replace("to ", "into "), "too_few_stop_words"),
    ],
)
def test_every_rule_gives_its_reason(text: str, reason: str) -> None:
    assert judge(text) == reason


def test_a_word_limit_is_inclusive_and_can_be_moved() -> None:
    text = "the ending of " * 20
    assert judge(text, max_words=60) == "kept"
    assert judge(text, max_words=59) == "too_many_words"


def test_chinese_passes_once_the_rules_for_spaced_english_are_off() -> None:
    text = "今天天气很好,我们去公园散步,看见很多花和树。" * 6
    assert judge(text) == "words_too_short"
    assert judge(text, min_mean_word_length=None, min_stop_words=None) == "kept"


def test_every_rule_can_be_switched_off() -> None:
    off = dict.fromkeys(set(GopherOptions.model_fields) - {"variant"})
    assert judge("# ... - 1", **off) == "kept"


def test_a_variant_has_no_limits_on_what_only_others_measure() -> None:
    for variant in ("datatrove", *MARKS):
        stage = GopherQuality(GopherOptions(variant=variant))
        found = measure("Some words: # and … and the end.", variant=variant)
        assert {rule.option for rule in stage.rules() if found[rule.value].null_count} == {
            rule.option for rule in stage.rules() if getattr(stage.options, rule.option) is None
        }
        assert GopherOptions.model_validate(stage.options.model_dump(mode="json")) == stage.options


def test_null_text_is_measured_as_empty_and_slices_are_read_where_they_are() -> None:
    texts = pa.array(["x" * 50, None, "the first line\n- and a second", "z"], pa.large_string()).slice(1, 2)
    found = pa.table(GopherQuality(GopherOptions()).measure(pa.record_batch({"text": texts})))
    assert found.to_pylist() == [by_hand(""), by_hand("the first line\n- and a second")]
    assert found.schema.types == [value.type for value in GopherQuality.values]
    assert found.schema.names == [value.name for value in GopherQuality.values]


def test_long_words_and_numbers_add_up_at_every_alignment() -> None:
    texts = [" " * k + "abcdefgh1" * n + "'" * (k % 3) + "9.b" for k in range(9) for n in range(5)]
    assert measure(*texts).to_pylist() == [by_hand(text) for text in texts]
    assert np.all(np.array(measure(*texts)["words"]) == 1)
