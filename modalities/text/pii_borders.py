"""Byte classes and borders that all kinds of personal data share.

Everything but e-mail addresses is ASCII, so bytes are looked at, not characters: a Chinese character beside a number never
hides it. A mask counts as a word, or what one masking leaves would be found by the next.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes

Rows = npt.NDArray[np.uint8]
Int: TypeAlias = int | np.int64  # for Numba one type
Flag: TypeAlias = bool | np.bool_

TAGS = ("<SECRET>", "<IBAN>", "<CARD>", "<IP>", "<EMAIL>", "<PHONE>")

DIGIT, UPPER, LOWER, HEX, UNDERSCORE, DASH, DOT, LOCAL = (1 << k for k in range(8))
ALNUM = DIGIT | UPPER | LOWER
WORD = ALNUM | UNDERSCORE
_MEMBERS = {
    DIGIT: "0123456789",
    UPPER: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    LOWER: "abcdefghijklmnopqrstuvwxyz",
    HEX: "0123456789abcdefABCDEF",
    UNDERSCORE: "_",
    DASH: "-",
    DOT: ".",
    LOCAL: "%+",  # beside letters, digits, _, - and . what the part of an address before the @ may hold
}


def _member(members: bytes) -> npt.NDArray[np.bool_]:
    found = np.zeros(256, np.bool_)
    found[list(members)] = True
    return found


def _classes() -> Bytes:
    found = np.zeros(256, np.uint8)
    for kind, members in _MEMBERS.items():
        for char in members:
            found[ord(char)] |= kind
    return found


CLASS = _classes()
_TAG_WIDTH = max(map(len, TAGS))
_TAGS = np.array([list(tag.ljust(_TAG_WIDTH, "\0").encode()) for tag in TAGS], np.uint8)
_TAG_SIZES = np.array([len(tag) for tag in TAGS], np.int64)
_LESS, _GREATER, _PIPE, _DOT, _COLON, _DASH = (ord(c) for c in "<>|.:-")


@lean
def is_digit(data: Bytes, i: Int, end: Int) -> Flag:
    """Whether data[i] is an ASCII digit before `end`."""
    return i < end and CLASS[data[i]] & DIGIT != 0


@lean
def digits_from(data: Bytes, i: Int, end: Int) -> Int:
    """The place behind the digits that begin at i."""
    while i < end and CLASS[data[i]] & DIGIT:
        i += 1
    return i


@lean
def same(data: Bytes, i: Int, end: Int, rows: Rows, k: Int, size: Int) -> Flag:
    """Whether the first `size` bytes of rows[k] stand at i."""
    if i + size > end:
        return False
    for n in range(size):  # noqa: SIM110 a generator does not compile
        if data[i + n] != rows[k, n]:
            return False
    return True


@lean
def _word_before(data: Bytes, i: Int, first: Int) -> Flag:
    """Whether a letter, a digit, _ or a mask ends at i."""
    if i <= first:
        return False
    c = data[i - 1]
    if c == _PIPE:
        return i - 3 >= first and data[i - 2] == _PIPE and data[i - 3] == _PIPE
    if c == _GREATER:
        for k in range(_TAG_SIZES.size):
            if i - _TAG_SIZES[k] >= first and same(data, i - _TAG_SIZES[k], i, _TAGS, k, _TAG_SIZES[k]):
                return True
    return bool(CLASS[c] & WORD)


@lean
def _word_after(data: Bytes, i: Int, end: Int) -> Flag:
    """Whether a letter, a digit, _ or a mask begins at i."""
    if i >= end:
        return False
    c = data[i]
    if c == _PIPE:
        return i + 3 <= end and data[i + 1] == _PIPE and data[i + 2] == _PIPE
    if c == _LESS:
        for k in range(_TAG_SIZES.size):
            if same(data, i, end, _TAGS, k, _TAG_SIZES[k]):
                return True
    return bool(CLASS[c] & WORD)


# what may stand beside a find, as bits
IN_WORD = 1  # a letter, a digit, _ or a mask
BY_DOT = 2  # before: a dot; behind: a dot and a digit
BY_DASH_LETTER, BY_DASH_DIGIT = 4, 8  # a dash, and beyond it a letter, _ or a mask; or a digit
BY_COLON = 16  # before: a colon
BY_SIGN = 32  # before: ASCII that does not lead to a telephone number; behind: a joining sign and a word
_LEADS = _member(bytes(range(128, 256)) + b"\t\n\r ([{<>\"',;:|")
_JOINS = _member(b"-./:,_@=+%")


@lean
def before(data: Bytes, i: Int, first: Int) -> int:
    """What stands before i."""
    if i <= first:
        return 0
    c = data[i - 1]
    found = IN_WORD if _word_before(data, i, first) else 0
    if not _LEADS[c]:
        found |= BY_SIGN
    if c == _DOT:
        found |= BY_DOT
    elif c == _COLON:
        found |= BY_COLON
    elif c == _DASH and _word_before(data, i - 1, first):
        found |= BY_DASH_DIGIT if CLASS[data[i - 2]] & DIGIT else BY_DASH_LETTER
    return found


@lean
def after(data: Bytes, i: Int, end: Int) -> int:
    """What stands at i."""
    if i >= end:
        return 0
    c = data[i]
    found = IN_WORD if _word_after(data, i, end) else 0
    if _JOINS[c] and _word_after(data, i + 1, end):
        digit = CLASS[data[i + 1]] & DIGIT != 0
        found |= BY_SIGN
        if c == _DOT and digit:
            found |= BY_DOT
        elif c == _DASH:
            found |= BY_DASH_DIGIT if digit else BY_DASH_LETTER
    return found
