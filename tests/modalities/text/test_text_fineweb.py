"""text.quality.fineweb: values by datatrove's definition, and the published thresholds."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pyarrow as pa
import pytest
from d4a.modalities.text.fineweb import TOKENS, FineWeb, FineWebOptions, count_lines
from d4a.modalities.text.unicode import RUN, SOLO, SPACE, TERMINAL
from hypothesis import given, settings
from hypothesis import strategies as st
from line_texts import batch, properties, texts

KHMER = "\u17d4\u17d5\u17d6\u17d9\u17da"


def measure(*given: str | None, **options: float) -> pa.Table:
    return pa.table(FineWeb(FineWebOptions(**options)).measure(batch(*given)))


def tokens(text: str) -> int:
    """Words and symbols, by the definition in the stage's documentation."""
    flags = ((RUN, "w"), (SOLO, "s"), (SPACE, " "))
    kinds = "".join(next((kind for flag, kind in flags if properties(c) & flag), "." if c == "." else "#") for c in text)
    return len(re.findall(r"w+(?:[.#]+w+)*|s|\.+|#", kinds))


def by_hand(text: str, short: int = 30) -> dict[str, float | None]:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return {"lines": 0, "line_punctuation": None, "short_lines": None, "duplicate_line_chars": None, "newlines_per_word": None}
    again = sum(len(line) for k, line in enumerate(lines) if line in lines[:k])
    return {
        "lines": len(lines),
        "line_punctuation": sum(bool(properties(line[-1]) & TERMINAL) or line[-1] in KHMER for line in lines) / len(lines),
        "short_lines": sum(len(line) <= short for line in lines) / len(lines),
        "duplicate_line_chars": again / len(text.replace("\n", "")),
        "newlines_per_word": text.count("\n") / tokens(text),
    }


@settings(max_examples=500, deadline=None)
@given(st.lists(texts("word.\n", "word.\n", "the same line\n"), min_size=1, max_size=3), st.sampled_from([0, 3, 30]))
def test_values_are_those_of_the_definition(given: list[str], short: int) -> None:
    assert measure(*given, short_line_chars=short).to_pylist() == [by_hand(text, short) for text in given]


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from([".", "..", "'", "a", "9", " ", "\n", "—", "é", "字", "#", "\u0301", "😀", "." * 70, "-" * 64, "b" * 61]),
        max_size=200,
    )
)
def test_words_and_symbols_add_up_at_every_alignment(pieces: list[str]) -> None:
    given = ["".join(pieces), "x" + "".join(pieces[::-1])]
    column = pa.array(given, pa.large_string())
    assert count_lines(column, 30)[:, TOKENS].tolist() == [tokens(text) for text in given]


def test_values_of_real_lines() -> None:
    lines = Path(argparse.__file__).read_text(encoding="utf-8").splitlines(keepends=True)
    cut = ["".join(lines[k : k + 60]) for k in range(0, len(lines), 60)]
    assert measure(*cut).to_pylist() == [by_hand(text) for text in cut]


REPEATING = "dup line\ndup line\nunique\n\n- b1\n* b2\nends…\nends..."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (REPEATING, {"lines": 7, "duplicate_line_chars": 8 / 42, "short_lines": 1.0, "line_punctuation": 1 / 7}),
        ("好。\n好！\n好", {"lines": 3, "line_punctuation": 2 / 3, "duplicate_line_chars": 0.0, "newlines_per_word": 2 / 5}),
        ("ends. \nends.\r\nends.", {"line_punctuation": 1 / 3, "lines": 3}),
        ("a\rb\x85c\u2028d", {"lines": 1}),
        ("x\x00\nx\x00\nx", {"duplicate_line_chars": 2 / 5}),
        ("aaaaaaaa\naaaaaaaab\naaaaaaaa\x00\n", {"duplicate_line_chars": 0.0}),
        ("", {"lines": 0, "short_lines": None}),
        (" \n\u3000\n\t\n", {"lines": 0, "newlines_per_word": None}),
    ],
)
def test_known_answers(text: str, expected: dict[str, float | None]) -> None:
    found = measure(text).to_pylist()[0]
    assert {name: found[name] for name in expected} == expected


GOOD = "".join(f"This is line {k} of a text that is long enough to be no short line.\n" for k in range(20))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, "kept"),
        ("", "empty"),
        (" \n ", "empty"),
        (GOOD.replace(".", ","), "too_little_line_punctuation"),
        (GOOD + "Short.\nOnes.\n" * 21, "too_many_short_lines"),
        (GOOD + GOOD[:69], "too_many_duplicate_line_chars"),
        (GOOD + "\n" * 85, "too_many_newlines"),
        (GOOD + "\n" * 50, "kept"),
    ],
)
def test_every_rule_gives_its_reason(text: str, reason: str) -> None:
    stage = FineWeb(FineWebOptions())
    verdict = stage.judge(measure(text))
    assert ("kept" if verdict.keep[0] else verdict.reasons[verdict.reason[0]]) == reason


def test_the_paper_and_the_dataset_differ_in_one_threshold() -> None:
    values = measure(GOOD + GOOD[:69])
    assert not FineWeb(FineWebOptions()).judge(values).keep[0]
    assert FineWeb(FineWebOptions(max_duplicate_line_chars=0.1)).judge(values).keep[0]
    off = {name: None for name in FineWebOptions.model_fields if name != "short_line_chars"}
    assert FineWeb(FineWebOptions(**off)).judge(measure(REPEATING, "")).keep.all()


def test_columns_are_those_announced_and_slices_are_read_where_they_are() -> None:
    column = pa.array(["x" * 50, None, REPEATING, "z"], pa.large_string()).slice(1, 2)
    found = pa.table(FineWeb(FineWebOptions()).measure(pa.record_batch({"text": column})))
    assert found.to_pylist() == [by_hand(""), by_hand(REPEATING)]
    assert [(f.name, f.type) for f in found.schema] == [(value.name, value.type) for value in FineWeb.values]
    assert measure().num_rows == 0


def test_many_equal_and_many_different_lines() -> None:
    different = "".join(f"{k}\n" for k in range(30_000))
    found = measure("ab\n" * 50_000, different, different + different).to_pylist()
    assert [row["duplicate_line_chars"] for row in found] == [49_999 / 50_000, 0.0, 0.5]
