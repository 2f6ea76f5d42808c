from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from d4a.modalities.text.unicode import CASE_SHIFT, LETTER, NUMERIC, RUN, SOLO, SPACE, TERMINAL, UPPER, table, version


def properties(code: int) -> int:
    index, entries = table()
    return int(entries[int(index[code >> 7]) * 128 + (code & 127)])


def test_table_agrees_with_the_interpreter_on_letters_spaces_and_case() -> None:
    # characters that this Python knows; a Python with newer data may know more, and have corrected a few
    different = []
    for code in range(0x110000):
        char = chr(code)
        category = unicodedata.category(char)
        flags = properties(code)
        if category in ("Cn", "Cs") or (not flags and category[0] in "LMN" and unicodedata.unidata_version > version()):
            continue
        lower = char.lower()
        expected = (
            *(category[0] in "LMN", char.isalpha(), char.isspace(), char.isupper(), char.isnumeric()),
            lower if len(lower) == 1 else "i",
        )
        found = (
            *(bool(flags & wanted) for wanted in (RUN | SOLO, LETTER, SPACE, UPPER, NUMERIC)),
            chr(code + (flags >> CASE_SHIFT)),
        )
        if found != expected and char != "ς":
            different.append(char)
    assert len(different) <= (0 if unicodedata.unidata_version <= version() else 10), different


@pytest.mark.parametrize("char", "汉々〇あアーｶไเลກខ្ကာ々゙㈠")
def test_scripts_without_spaces_are_solo(char: str) -> None:
    assert properties(ord(char)) & SOLO and not properties(ord(char)) & RUN


@pytest.mark.parametrize("char", "aÅжλשعक한ᄀა1٣²\u0301")
def test_other_letters_marks_and_numbers_run_on(char: str) -> None:
    assert properties(ord(char)) & RUN and not properties(ord(char)) & SOLO


@pytest.mark.parametrize(("upper", "lower"), [("İ", "i"), ("ẞ", "ß"), ("Σ", "σ"), ("ς", "σ"), ("K", "k"), ("Ⱥ", "ⱥ"), ("𐐀", "𐐨")])
def test_case_is_mapped_one_to_one(upper: str, lower: str) -> None:
    assert chr(ord(upper) + (properties(ord(upper)) >> CASE_SHIFT)) == lower


@pytest.mark.parametrize(
    ("char", "ends"), [(".", True), ("!", True), ("。", True), ("؟", True), ("।", True), (",", False), (";", False), ("…", False)]
)
def test_marks_that_end_sentences(char: str, ends: bool) -> None:
    assert bool(properties(ord(char)) & TERMINAL) == ends


def test_table_is_small_and_read_only() -> None:
    index, entries = table()
    assert entries.nbytes + index.nbytes < 200_000
    with pytest.raises(ValueError, match="read-only"):
        entries[0] = np.int32(1)
