"""Telephone numbers: international ones, and national forms that are hardly anything else.

Without a country nothing tells a telephone number from a number: a form that dates, editions, serial numbers or tables also
have is left out. Not looked for by default.
"""

from __future__ import annotations

import numpy as np

from ...curator.backends.cpu import lean, lean_kernel, read_only
from ...curator.columns import Bytes, Offsets
from ...curator.stage import Ints
from .pii_borders import BY_SIGN, CLASS, DIGIT, IN_WORD, WORD, Flag, Int, after, before, digits_from, is_digit

_0, _1, _9, _SPACE, _DASH, _DOT, _SLASH, _PLUS, _OPEN, _CLOSE, _COLON = (ord(c) for c in "019 -./+():")
_ROOM = 1024
_MOST_DIGITS, _LEAST_DIGITS = 15, 8  # E.164


def find_phones(data: Bytes, offsets: Offsets) -> Ints:
    """(m, 2) int64: start and end of telephone numbers, which may overlap, in data[offsets[i]:offsets[i + 1]] for every i."""
    found, needed = np.empty((0, 2), np.int64), int(_ROOM)
    while needed > len(found):
        found = np.empty((needed, 2), np.int64)
        needed = int(_find(read_only(data), offsets, found))
    return found[:needed]


@lean_kernel
def _find(data: Bytes, offsets: Offsets, found: Ints) -> Int:
    """Fill `found`; returns how many there are, which may be more than there is room for."""
    count: Int = 0
    for d in range(offsets.size - 1):
        first, end = offsets[d], offsets[d + 1]
        i = first
        while i < end:
            if not CLASS[data[i]] & DIGIT:
                i += 1
                continue
            start, behind = _phone(data, i, first, end)
            if behind and not (before(data, start, first) | after(data, behind, end)) & (IN_WORD | BY_SIGN):
                if count < found.shape[0]:
                    found[count, 0], found[count, 1] = start, behind
                count += 1
            i = digits_from(data, i, end)
    return count


@lean
def _phone(data: Bytes, i: Int, first: Int, end: Int) -> tuple[Int, Int]:
    """(start, behind) of the telephone number whose first digits begin at i; (0, 0) where there is none."""
    start = i
    if i > first and data[i - 1] == _PLUS:
        start, behind = i - 1, _international(data, i, end)
    elif data[i] == _0:
        behind = _trunk(data, i, first, end)
    else:
        bracket = i > first and data[i - 1] == _OPEN
        start, behind = i - bracket, _american(data, i, end, bracket)
        if bracket and not behind:
            start, behind = i, _american(data, i, end, not bracket)
        if not behind:
            start, behind = i, _chinese(data, i, first, end)
    return (start, behind) if behind else (behind, behind)


@lean
def _is_separator(c: np.uint8) -> Flag:
    return c in (_SPACE, _DASH, _DOT, _SLASH)


@lean
def _international(data: Bytes, i: Int, end: Int) -> Int:
    """Behind the longest run of groups of 8 to 15 digits; i stands behind the +."""
    zone = data[i] * 256 + data[i + 1] if i + 1 < end else 0
    if data[i] == _0 or zone == 0x3238 or zone == 0x3833 or zone == 0x3839:  # 28, 83, 89: no country
        return 0
    best: Int = 0
    j = digits_from(data, i, end)
    count = j - i
    while count <= _MOST_DIGITS:
        if j < end and CLASS[data[j]] & WORD:
            break  # no group: a word begins with these digits
        if count >= _LEAST_DIGITS:
            best = j
        if j >= end:
            break
        k = j + 1 if _is_separator(data[j]) else j
        if k < end and data[k] == _OPEN:
            inner = digits_from(data, k + 1, end)
            if inner == k + 1 or inner > k + 6 or inner >= end or data[inner] != _CLOSE:
                break
            count += inner - k - 1
            k = inner + 1
            if k < end and _is_separator(data[k]):
                k += 1
        elif k == j:
            break
        j = digits_from(data, k, end)
        if j == k:
            break
        count += j - k
    return best


@lean
def _american(data: Bytes, i: Int, end: Int, bracket: Flag) -> Int:
    """NXX-NXX-XXXX or NXX.NXX.XXXX, either with 1 before it; (NXX) NXX-XXXX; i stands at the first digit."""
    if not bracket and data[i] == _1 and i + 1 < end and (data[i + 1] == _DASH or data[i + 1] == _DOT):
        i += 2
    j = digits_from(data, i, min(end, i + 4))
    if j != i + 3 or j >= end or data[i] < _1 + 1 or data[i + 1] == _9 or (data[i + 1] == _1 and data[i + 2] == _1):
        return 0
    separator = data[j]
    if bracket:
        if separator != _CLOSE:
            return 0
        separator = np.uint8(_DASH)
        j += j + 1 < end and data[j + 1] == _SPACE
    elif separator != _DASH and separator != _DOT:
        return 0
    k = digits_from(data, j + 1, min(end, j + 5))
    if k != j + 4 or k >= end or data[j + 1] < _1 + 1 or (data[j + 2] == _1 and data[j + 3] == _1) or data[k] != separator:
        return 0
    behind = digits_from(data, k + 1, min(end, k + 6))
    return behind if behind == k + 5 else 0


@lean
def _trunk(data: Bytes, i: Int, start: Int, end: Int) -> Int:
    """Numbers dialled with a 0: 0A-B-CCCC, 0AAA-BBBBBBB, 0AAA/BBBBBBB, 0A BB BB BB BB."""
    a = digits_from(data, i, min(end, i + 6))
    if a - i < 2 or a - i > 5 or a >= end or data[i + 1] == _0 or not is_digit(data, a + 1, end):
        return 0
    b = digits_from(data, a + 1, min(end, a + 10))
    first, second = a - i, b - a - 1
    if data[a] == _DASH and 2 <= second <= 4 and b < end and data[b] == _DASH:
        c = digits_from(data, b + 1, min(end, b + 6))
        return c if c == b + 5 and 9 <= first + second + 4 <= 11 else 0
    if (data[a] == _DASH or data[a] == _SLASH) and first >= 3 and 6 <= second <= 8 and 10 <= first + second <= 12:
        return b
    if (data[a] == _SPACE or data[a] == _DOT) and first == 2:
        j = a
        if i - 1 > start and data[i - 1] == data[a] and is_digit(data, i - 2, end):
            return 0  # one row of a table
        for _ in range(4):
            if j >= end or data[j] != data[a] or digits_from(data, j + 1, min(end, j + 4)) != j + 3:
                return 0
            j += 3
        return 0 if j < end and data[j] == data[a] and is_digit(data, j + 1, end) else j
    return 0


@lean
def _chinese(data: Bytes, i: Int, start: Int, end: Int) -> Int:
    """A mobile number of China: 1, 3 to 9, nine digits; 3-4-4 with spaces or dashes, or solid beside a character that is not ASCII."""
    if data[i] != _1 or i + 11 > end or data[i + 1] < _1 + 2 or not CLASS[data[i + 1]] & DIGIT:
        return 0
    j = digits_from(data, i, min(end, i + 12))
    if j == i + 11:
        k = i - 1 if i > start and data[i - 1] == _SPACE else i
        k = k - 1 if k > start and data[k - 1] == _COLON else k
        return j if (k > start and data[k - 1] >= 0x80) or (j < end and data[j] >= 0x80) else 0
    if j != i + 3 or (data[j] != _SPACE and data[j] != _DASH) or digits_from(data, j + 1, min(end, j + 6)) != j + 5:
        return 0
    k = j + 5
    return k + 5 if k < end and data[k] == data[j] and digits_from(data, k + 1, min(end, k + 6)) == k + 5 else 0
