"""Texts for the tests of text rules: all scripts, all line ends, odd bytes; and the Unicode table read without kernels."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
from d4a.modalities.text.unicode import CASE_SHIFT, SOLO, table, version
from hypothesis import strategies as st

BREAKS = ["\n", "\n\n", "\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\n\r"]
SPACES = [" ", "  ", "\t", "\x1f", "\xa0", "\u2003", "\u3000", "\u200b", "\x00"]
MARKS = [
    ".",
    "...",
    "?",
    "!",
    '"',
    "'",
    "”",
    "」",
    "。",
    "！",
    "؟",
    "।",
    "።",
    "។",
    "…",
    ")",
    "]",
    "{",
    "}",
    "[",
    "-",
    "—",
    "#",
    "😀",
    "_",
    ",",
]
WORDS = [
    "a",
    "to",
    "The",
    "WORD",
    "été",
    "Straße",
    "Ж",
    "汉字",
    "ไทย",
    "မြန်",
    "한글",
    "İ",
    "ı",
    "ſ",
    "\u212a",
    "Σς",
    "ǅ",
    "12",
    "٣",
    "²",
    "Ⅷ",
    "一",
    "𝟙",
]
# Characters of which `str`, `re` and `unicodedata` say the same as the table: those that this Python knows; of a Python that is newer
# than the table those of Unicode 3.2, the only other version that it carries.
CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cn"])
if tuple(map(int, unicodedata.unidata_version.split("."))) > tuple(map(int, version().split("."))):
    CHARACTERS = CHARACTERS.filter(lambda char: unicodedata.ucd_3_2_0.category(char) != "Cn")
WORDS += ["e\u0301", "x" * 63, "word " * 9, "日本語のテキスト", "don’t", "a-b", "\U00010400"]


def properties(char: str) -> int:
    """The flags of a character; << CASE_SHIFT: the distance to its small letter."""
    index, entries = table()
    code = ord(char)
    return int(entries[int(index[code >> 7]) * 128 + (code & 127)])


def lowered(text: str) -> str:
    """Small letters by the table: one code point for each."""
    return "".join(chr(ord(c) + (properties(c) >> CASE_SHIFT)) for c in text)


def spaced(text: str) -> str:
    """The text with each character of a script without spaces between spaces."""
    return "".join(f" {c} " if properties(c) & SOLO else c for c in text)


def texts(*phrases: str, breaks: list[str] = BREAKS) -> st.SearchStrategy[str]:
    """Random texts of words, marks, line ends and these phrases."""
    short = [st.sampled_from(pieces) for pieces in (breaks, SPACES, MARKS, WORDS, ["".join(p) for p in phrases])]
    piece = st.one_of(*short, st.just(" "), st.just("\n"), st.text(CHARACTERS, max_size=3))
    return st.lists(piece, max_size=60).map("".join)


def batch(*given: str | None) -> pa.RecordBatch:
    """Records of these texts, as the reader gives them."""
    refused = pa.array([None if text is not None else "broken_json" for text in given], pa.string())
    other = pa.array(['{"n":1}'] * len(given), pa.large_string())
    return pa.record_batch({"text": pa.array(given, pa.large_string()), "record": other, "reason": refused})
