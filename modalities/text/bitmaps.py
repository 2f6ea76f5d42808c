"""Bitmaps of texts: one bit a byte for line ends, white space, capitals and so on; what words and line rules are computed with.

ASCII is classified 64 bytes at a time by vector compares, everything else one code point at a time by the Unicode table: once
for a batch, not once for each rule. All bitmaps of 64 bytes lie together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean, trailing_zeros
from ...curator.columns import Bytes
from .unicode import BREAK as BREAKS
from .unicode import LETTER, NUMERIC, RUN, SOLO, SPACE, TERMINAL, UPPER, Entries, Index, decode, entry
from .vectors import equal, leading_zeros, ones, within

Bits = npt.NDArray[np.uint64]

# What the bits of a word mean. VISIBLE, ALONE, WORD and LETTERED have all bytes of a character set, the others its first one.
# These are no plain integers, because Numba would compile a part once for each value that it is called with.
FEED = np.uint64(0)  # U+000A
BREAK = np.uint64(1)  # ends a line for str.splitlines
VISIBLE = np.uint64(2)  # no white space (str.isspace)
ALONE = np.uint64(3)  # a word of its own: scripts without spaces between words
TAIL = np.uint64(4)  # a byte of a character that is not its first
WORD = np.uint64(5)  # letter, mark or number of the other scripts
LETTERED = np.uint64(6)  # letter (str.isalpha)
CAPITAL = np.uint64(7)  # str.isupper
DIGIT = np.uint64(8)  # str.isdigit
END = np.uint64(9)  # ends a sentence: Sentence_Terminal, and five Khmer marks that have this property from Unicode 16 on
NAMED = np.uint64(10)  # letter or number (str.isalnum)
KINDS = np.uint64(11)

SLACK = 192  # bytes behind a text that vector reads may touch, with room for its line end

_1, _2, _3, _4, _6, _63, _64 = (np.uint64(k) for k in (1, 2, 3, 4, 6, 63, 64))
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_KHMER, _KHMER_ENDS = np.uint32(0x17D4), (0, 1, 2, 5, 6)
_NONE = np.uint64(0)

# str.isdecimal: ten digits from each of these on; the other digits (str.isdigit) as first and last code point. Unicode 15.0
_ZEROS = """660 6F0 7C0 966 9E6 A66 AE6 B66 BE6 C66 CE6 D66 DE6 E50 ED0 F20 1040 1090 17E0 1810 1946 19D0 1A80 1A90 1B50 1BB0 1C40 1C50
A620 A8D0 A900 A9D0 A9F0 AA50 ABF0 FF10 104A0 10D30 11066 110F0 11136 111D0 112F0 11450 114D0 11650 116C0 11730 118E0 11950 11C50 11D50
11DA0 11F50 16A60 16AC0 16B50 1D7CE 1D7D8 1D7E2 1D7EC 1D7F6 1E140 1E2F0 1E4F0 1E950 1FBF0"""
_OTHERS = """B2-B3 B9-B9 1369-1371 19DA-19DA 2070-2070 2074-2079 2080-2089 2460-2468 2474-247C 2488-2490 24EA-24EA 24F5-24FD 24FF-24FF
2776-277E 2780-2788 278A-2792 10A40-10A43 10E60-10E68 11052-1105A 1F100-1F10A"""
_DECIMALS = np.array([int(zero, 16) for zero in _ZEROS.split()], np.uint32)
_OTHER_DIGITS = np.array([[int(code, 16) for code in span.split("-")] for span in _OTHERS.split()], np.uint32)


class Page(NamedTuple):
    """Texts that are looked at, and what is known of them.

    text     (m,) uint8   their bytes, each text from a multiple of 64 on, a line feed and blanks behind it
    bits     (KINDS * m / 64,) uint64  bitmaps of text[64 * w:64 * w + 64] are bits[KINDS * w:KINDS * w + KINDS]
    margin   where a line may be written anew: a multiple of 64 with room for the longest text behind it
    blocks, entries   the Unicode table
    """

    text: Bytes
    bits: Bits
    margin: np.uint64
    blocks: Index
    entries: Entries


@lean
def is_decimal(code: np.uint32) -> bool:
    """str.isdecimal, and what `\\d` matches, for a code point that is not ASCII."""
    k = 0
    while k < _DECIMALS.size and code - _DECIMALS[k] >= np.uint32(10):  # seldom asked: a search would cost more to compile
        k += 1
    return k < _DECIMALS.size


@lean
def is_digit(code: np.uint32) -> bool:
    """str.isdigit for a code point that is not ASCII."""
    for k in range(_OTHER_DIGITS.shape[0]):
        if _OTHER_DIGITS[k, 0] <= code <= _OTHER_DIGITS[k, 1]:
            return True
    return is_decimal(code)


@lean
def mark_line(page: Page, end: np.uint64) -> None:
    """Write the bitmaps of a line written anew, text[margin:end], and end it."""
    for k in range(end, (end | _63) + _1):
        page.text[k] = np.uint8(10)
    mark(page, page.margin, end)


@lean
def mark(page: Page, i: np.uint64, end: np.uint64) -> None:
    """Write the bitmaps of text[i:end] and of what follows up to the next multiple of 64; i is one."""
    text, bits = page.text, page.bits
    white_before = alone_before = word_before = letter_before = _NONE
    for w in range(i >> _6, (end >> _6) + _1):
        at, row = w << _6, w * KINDS
        capital = within(text, at, 65, 26)
        digit = within(text, at, 48, 10)
        letters = capital | within(text, at, 97, 26)
        separators = within(text, at, 28, 3)
        feed = equal(text, at, 10)
        line = within(text, at, 10, 4) | separators
        white = equal(text, at, 32) | equal(text, at, 9) | equal(text, at, 31) | line
        stop = equal(text, at, 46) | equal(text, at, 33) | equal(text, at, 63)
        word = letters | digit
        named, alone, tail = word, _NONE, _NONE
        high = within(text, at, 128, 128)
        if high:
            tail = within(text, at, 128, 64)
            leads = high & ~tail
            while leads:
                k = trailing_zeros(leads)
                leads &= leads - _1
                code, _ = decode(text, at + k, at + k + _4)
                properties = entry(code, page.blocks, page.entries)
                one = _1 << k
                if properties & 0xFF == RUN | LETTER:
                    word |= one
                    letters |= one
                    named |= one
                    continue
                if properties & 0xFF == SOLO | LETTER:
                    alone |= one
                    letters |= one
                    named |= one
                    continue
                word |= np.uint64(properties & RUN != 0) << k
                alone |= np.uint64(properties & SOLO != 0) << k
                letters |= np.uint64(properties & LETTER != 0) << k
                white |= np.uint64(properties & SPACE != 0) << k
                line |= np.uint64(properties & BREAKS != 0) << k
                capital |= np.uint64(properties & UPPER != 0) << k
                named |= np.uint64(properties & (LETTER | NUMERIC) != 0) << k
                stop |= np.uint64(properties & TERMINAL != 0 or np.uint32(code - _KHMER) in _KHMER_ENDS) << k
                digit |= np.uint64(properties & NUMERIC != 0 and is_digit(code)) << k
            white = _spread(white, white_before, tail)
            alone = _spread(alone, alone_before, tail)
            word = _spread(word, word_before, tail)
            letters = _spread(letters, letter_before, tail)
        bits[row + FEED], bits[row + BREAK], bits[row + VISIBLE] = feed, line, ~white
        bits[row + ALONE], bits[row + TAIL], bits[row + WORD] = alone, tail, word
        bits[row + LETTERED], bits[row + CAPITAL], bits[row + DIGIT] = letters, capital, digit
        bits[row + END], bits[row + NAMED] = stop, named
        white_before, alone_before, word_before, letter_before = white, alone, word, letters


@lean
def _spread(found: np.uint64, before: np.uint64, tail: np.uint64) -> np.uint64:
    """Set the bits of all bytes of the characters whose first byte is set."""
    found |= ((found << _1) | (before >> _63)) & tail
    found |= (found << _1) & tail
    return found | (found << _1) & tail


# ----------------------------------------------------------------------------------------------- questions


@lean
def is_set(bits: Bits, i: np.uint64, kind: np.uint64) -> bool:
    """Whether byte i is of this kind."""
    return bool((bits[(i >> _6) * KINDS + kind] >> (i & _63)) & _1)


@lean
def next_of(bits: Bits, i: np.uint64, end: np.uint64, kind: np.uint64) -> np.uint64:
    """The first byte of this kind in [i, end), or end."""
    if i >= end:
        return end
    word = bits[(i >> _6) * KINDS + kind] >> (i & _63)
    while word == _NONE:
        i = (i | _63) + _1
        if i >= end:
            return end
        word = bits[(i >> _6) * KINDS + kind]
    i += trailing_zeros(word)
    return i if i < end else end


@lean
def behind_last(bits: Bits, i: np.uint64, end: np.uint64, kind: np.uint64) -> np.uint64:
    """The place behind the last byte of this kind in [i, end), or i."""
    while end > i:
        word = bits[((end - _1) >> _6) * KINDS + kind] << (_63 - ((end - _1) & _63))
        if word:
            end -= np.uint64(leading_zeros(word))
            return end if end > i else i
        end = (end - _1) & ~_63
    return i


@lean
def break_size(page: Page, i: np.uint64, stop: np.uint64) -> np.uint64:
    """Bytes of the line end at text[i]; 0 at the end of the text."""
    if i >= stop:
        return _NONE
    if page.text[i] == 13 and i + _1 < stop and page.text[i + _1] == 10:
        return _2
    return _1 if page.text[i] < 0x80 else _2 if page.text[i] < 0xE0 else _3


@lean
def stripped(bits: Bits, i: np.uint64, end: np.uint64) -> tuple[np.uint64, np.uint64]:
    """(start, end) of what [i, end) holds without white space around it; equal where there is nothing else."""
    first = next_of(bits, i, end, VISIBLE)
    return first, behind_last(bits, first, end, VISIBLE)


@lean
def inside(i: np.uint64, end: np.uint64, w: np.uint64) -> np.uint64:
    """The bits of word w that belong to [i, end); the word has some."""
    at = w << _6
    low = _ALL << (i - at) if i > at else _ALL
    high = _ALL >> (at + _64 - end) if end < at + _64 else _ALL
    return low & high


@lean
def count(bits: Bits, i: np.uint64, end: np.uint64, kind: np.uint64) -> np.int64:
    """Bytes of this kind in [i, end)."""
    total = _NONE
    if i < end:
        for w in range(i >> _6, ((end - _1) >> _6) + _1):
            total += ones(bits[w * KINDS + kind] & inside(i, end, np.uint64(w)))
    return np.int64(total)


@lean
def characters(bits: Bits, i: np.uint64, end: np.uint64) -> np.int64:
    """Code points in [i, end)."""
    return np.int64(end - i) - count(bits, i, end, TAIL)


@lean
def count_words(bits: Bits, i: np.uint64, end: np.uint64) -> np.int64:
    """Words of a line [i, end): what white space separates, and each character of a script without spaces between words."""
    total, before = _NONE, _NONE
    if i < end:
        for w in range(i >> _6, ((end - _1) >> _6) + _1):
            row = w * KINDS
            mask = inside(i, end, np.uint64(w))
            alone = bits[row + ALONE]
            joined = bits[row + VISIBLE] & ~alone & mask
            total += ones(joined & ~((joined << _1) | before)) + ones(alone & ~bits[row + TAIL] & mask)
            before = joined >> _63
    return np.int64(total)
