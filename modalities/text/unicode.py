"""What each code point is, and its lower case: one version of Unicode for every Python.

A table in two stages (8,704 blocks of 128 code points, equal blocks stored once) that kernels read directly.
`str.lower` and `unicodedata` would change with the interpreter, and with them every sketch. Case is mapped
code point by code point with UnicodeData's simple mapping, so İ (U+0130) becomes i without the dot that
`str.lower` adds; ς becomes σ, or a text and its upper-cased copy would differ in each Greek word end.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes

TABLE = Path(__file__).with_name("unicode.npz")
BLOCK = 128

RUN = 1  # letter, mark or number: part of a word
SOLO = 2  # the same in a script without spaces between words: a token of its own
LETTER = 4  # str.isalpha
SPACE = 8  # str.isspace
BREAK = 16  # ends a line for str.splitlines
UPPER = 32  # str.isupper
NUMERIC = 64  # str.isnumeric; with LETTER and "_" what `\w` matches in Python
TERMINAL = 128  # ends a sentence in some script (Unicode's Sentence_Terminal)
CASE_SHIFT = 8  # an entry >> CASE_SHIFT is the distance to the lower case

_1, _2, _3, _4 = (np.uint64(k) for k in range(1, 5))
_6, _12, _18 = (np.uint32(k) for k in (6, 12, 18))
_3_BITS, _4_BITS, _5_BITS, _6_BITS = (np.uint32((1 << k) - 1) for k in range(3, 7))
_REPLACEMENT, _LAST = np.uint32(0xFFFD), np.uint32(0x10FFFF)

Index = npt.NDArray[np.uint16]
Entries = npt.NDArray[np.int32]


@cache
def table() -> tuple[Index, Entries]:
    """The two stages, read-only.

    index    (8704,) uint16    block of a code point >> 7
    entries  (128 * blocks,) int32   distance to the lower case << 8 | flags
    """
    with np.load(TABLE) as stored:
        stages = stored["index"], stored["entries"]
    for stage in stages:
        stage.flags.writeable = False
    return stages


def version() -> str:
    """The version of Unicode that the table was made from."""
    with np.load(TABLE) as stored:
        return str(stored["version"])


@lean
def decode(data: Bytes, i: np.uint64, end: np.uint64) -> tuple[np.uint32, np.uint64]:
    """(code point, bytes) of the non-ASCII character at data[i]; what runs over `end` or is no code point counts as U+FFFD."""
    lead = np.uint32(data[i])
    if lead < 0xE0 and i + _2 <= end:
        return (lead & _5_BITS) << _6 | _tail(data, i + _1), _2
    if lead < 0xF0 and i + _3 <= end:
        return (lead & _4_BITS) << _12 | _tail(data, i + _1) << _6 | _tail(data, i + _2), _3
    if lead < 0xF5 and i + _4 <= end:
        code = (lead & _3_BITS) << _18 | _tail(data, i + _1) << _12 | _tail(data, i + _2) << _6 | _tail(data, i + _3)
        return min(code, _LAST), _4
    return _REPLACEMENT, _1


@lean
def _tail(data: Bytes, i: np.uint64) -> np.uint32:
    return np.uint32(data[i]) & _6_BITS


@lean
def entry(code: np.uint32, index: Index, entries: Entries) -> np.int32:
    """The table's entry of a code point."""
    found: np.int32 = entries[np.uint32(index[code >> np.uint32(7)]) * np.uint32(128) + (code & np.uint32(127))]
    return found


@lean
def character(text: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries) -> tuple[np.uint32, np.int32, np.uint64]:
    """(code point, properties, bytes) of the character at text[i]."""
    if text[i] < 0x80:
        code, length = np.uint32(text[i]), _1
    else:
        code, length = decode(text, i, end)
    return code, entry(code, index, entries), length
