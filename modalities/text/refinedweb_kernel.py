"""RefinedWeb's line corrections as one kernel: a text in, its corrected lines and what went out.

The reference changes the whole text rule by rule and takes off its outer white space each time; so the first and the last line that are
left before a rule have none. Here each line meets all rules at once, and which lines are first and last before a rule is found beforehand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import inlined, lean, lean_kernel
from ...curator.columns import Bytes, Offsets
from ...curator.stage import Ints
from .bitmaps import (
    ALONE,
    CAPITAL,
    DIGIT,
    FEED,
    KINDS,
    NAMED,
    TAIL,
    VISIBLE,
    Page,
    behind_last,
    characters,
    count,
    count_words,
    inside,
    is_decimal,
    is_set,
    mark_line,
    next_of,
)
from .edited import rewritten
from .padded import Padded
from .phrases import LOOSE, STRICT, match, phrases
from .unicode import decode
from .vectors import equal, letter, ones, paste, within

CAPITALS, DIGITS, COUNTER, FEW_WORDS, PATTERN, BEFORE, REMOVED, CHARS = (np.int64(k) for k in range(8))
STAYS, BLANK = np.int64(8), np.int64(9)
COUNTS = 8


class Corrections(NamedTuple):
    """What the kernel does with a line.

    max_capitals   greatest share of capitals
    max_digits     greatest share of digits
    counters       lines such as `3 likes` go
    min_words      fewest words of a line
    patterns       the three phrases are taken out
    pattern_words  of lines that have at most so many words
    """

    max_capitals: float
    max_digits: float
    counters: bool
    min_words: int
    patterns: bool
    pattern_words: int


def correct_lines(texts: pa.Array, rules: Corrections) -> tuple[pa.Array, Ints]:
    """The texts with corrected lines, and (n, COUNTS) int64: lines gone or changed by reason, words BEFORE and REMOVED, CHARS before.

    texts    (n,) large_string; null counts as empty
    returns  (n,) large_string without nulls; white space around a text is left
    """
    return rewritten(_correct, texts, rules, COUNTS, int(CHARS))


_PHRASES = phrases("items in cart", "read more", "sign-in")
_CART, _READ_MORE, _SIGN_IN = (np.int64(k) for k in range(3))
_COUNTED = phrases(
    "likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes", "downvotes", "downloads", "views", "followers"
)
_0, _1, _2, _3, _6, _9, _63, _64 = (np.uint64(k) for k in (0, 1, 2, 3, 6, 9, 63, 64))


class _Ends(NamedTuple):
    """Lines, by their first byte, that have no outer white space on a side, because they are the outermost ones left.

    first, last  before the rule on digits
    last_later   before the pattern at line ends
    """

    first: np.uint64
    last: np.uint64
    last_later: np.uint64


class _State(NamedTuple):
    """How far the kernel is in a text.

    i        where the next line begins
    o        the place in `out`
    behind   0, or the place behind that line as it was written anew
    begun    whether a line came as far as the pattern at line starts
    written  whether a line with something in it was written
    """

    i: np.uint64
    o: np.uint64
    behind: np.uint64
    begun: bool
    written: bool


@lean_kernel
def _correct(padded: Padded, page: Page, rules: Corrections, out: Bytes, bounds: Offsets, counts: Ints) -> None:
    o = _0
    for d in range(padded.start.size):
        start, stop = np.uint64(padded.start[d]), np.uint64(padded.start[d] + padded.size[d])
        counts[d, BEFORE] = _words(page, start, stop)
        ends = _outermost(page, start, stop, rules)
        state = _State(start, o, _0, False, False)
        while state.i < stop:
            state = _lines(page, stop, state, rules, ends, out, counts, d)
            if state.behind:
                mark_line(page, state.behind)
        o = state.o
        bounds[d + 1] = o


@inlined
def _lines(page: Page, stop: np.uint64, state: _State, rules: Corrections, ends: _Ends, out: Bytes, counts: Ints, d: int) -> _State:
    """Write the corrected lines, each with U+000A, up to the end or to a line that was written anew and lacks its bitmaps."""
    i, o, behind, begun, written = state
    while i < stop:
        end = next_of(page.bits, i, stop, FEED)
        why, a, z = (STAYS, page.margin, behind) if behind else _judge(page, i, end, rules, ends)
        changed = behind > _0
        if why == STAYS:
            if rules.patterns and count_words(page.bits, a, z) <= rules.pattern_words:
                if not behind:
                    behind = _without_cart(page, a, z)
                    if behind:
                        return _State(i, o, behind, begun, written)
                why, begun, a, z, cut = _patterns(page, a, z, i == ends.last_later, begun)
                changed |= cut
            else:
                begun = True
        if why == STAYS:
            a = a if written else next_of(page.bits, a, z, VISIBLE)
            counts[d, PATTERN] += changed
            if a > i or z < end or changed:
                counts[d, REMOVED] += _words(page, i, end) - _words(page, a, z)
            written = True
        elif why != BLANK:
            counts[d, why] += 1
            counts[d, REMOVED] += _words(page, i, end)
        if why == STAYS or (why == BLANK and written and (i == end or not (rules.min_words > 0 or rules.patterns))):
            paste(page.text, a, z - a, out, o)
            o += z - a
            out[o] = np.uint8(10)
            o += _1
        i, behind = end + _1, _0
    return _State(i, o, _0, begun, written)


@lean
def _judge(page: Page, i: np.uint64, end: np.uint64, rules: Corrections, ends: _Ends) -> tuple[np.int64, np.uint64, np.uint64]:
    """(whether the line text[i:end] STAYS, is BLANK or why it goes, begin and end of it): all rules before the patterns."""
    first = next_of(page.bits, i, end, VISIBLE)
    if first >= end:
        return BLANK, i, end
    if _mostly_capitals(page, i, end, rules.max_capitals):
        return CAPITALS, i, end
    a = first if i == ends.first else i
    z = behind_last(page.bits, first, end, VISIBLE) if i == ends.last else end
    digits = count(page.bits, a, z, DIGIT)
    if digits and float(digits) / float(characters(page.bits, a, z)) > rules.max_digits:
        return DIGITS, a, z
    if rules.counters and _is_counter(page, first, z):
        return COUNTER, a, z
    if rules.min_words > 0 and count_words(page.bits, a, z) < rules.min_words:
        return FEW_WORDS, a, z
    return STAYS, a, z


@lean
def _mostly_capitals(page: Page, i: np.uint64, end: np.uint64, most: float) -> bool:
    capitals = count(page.bits, i, end, CAPITAL)
    return bool(capitals > 0 and float(capitals) / float(characters(page.bits, i, end)) > most)


@inlined
def _outermost(page: Page, start: np.uint64, stop: np.uint64, rules: Corrections) -> _Ends:
    """The lines that are first and last before the rule on digits, and last before the pattern at line ends."""
    first, i = stop, start
    while i < stop and first == stop:
        end = next_of(page.bits, i, stop, FEED)
        if next_of(page.bits, i, end, VISIBLE) < end and not _mostly_capitals(page, i, end, rules.max_capitals):
            first = i
        i = end + _1
    last = last_later = stop
    end = stop
    while last_later == stop and first < stop:
        i = behind_last(page.bits, start, end, FEED)
        if next_of(page.bits, i, end, VISIBLE) < end and not _mostly_capitals(page, i, end, rules.max_capitals):
            last = i if last == stop else last
            why, a, z = _judge(page, i, end, rules, _Ends(first, last, stop))
            if why == STAYS and not (rules.patterns and count_words(page.bits, a, z) <= rules.pattern_words and _only_cart(page, a, z)):
                last_later = i
        if i == start:
            break
        end = i - _1
    return _Ends(first, last, last_later)


# ----------------------------------------------------------------------------------------------- counters


@lean
def _is_counter(page: Page, i: np.uint64, end: np.uint64) -> bool:
    """Whether the line is a number and what it counts, with nothing but marks around."""
    i = _behind_marks(page, i, end)
    if i >= end or not _decimal(page, i, end):
        return False
    while i < end and (page.text[i] == 44 or page.text[i] == 46 or _decimal(page, i, end)):
        i += _size(page, i)
    if i < end and (page.text[i] | 0x20) in (98, 107, 109):  # billion, thousand, million
        i += _1
    elif i + _3 <= end and page.text[i] == 0xE2 and page.text[i + _1] == 0x84 and page.text[i + _2] == 0xAA:  # a k too, in small letters
        i += _3
    white = i
    while i < end and not is_set(page.bits, i, VISIBLE):
        i += _1
    if i == white:
        return False
    for which in range(_COUNTED.shape[0]):
        behind = match(page.text, i, end, _COUNTED, np.int64(which), STRICT)
        if behind > i:
            return bool(_behind_marks(page, behind, end) >= end)
    return False


@lean
def _behind_marks(page: Page, i: np.uint64, end: np.uint64) -> np.uint64:
    """The place behind what `\\W*` matches."""
    while i < end and not is_set(page.bits, i, NAMED) and page.text[i] != 95:
        i += _size(page, i)
    return i


@lean
def _size(page: Page, i: np.uint64) -> np.uint64:
    """Bytes of the character at text[i]."""
    byte = page.text[i]
    return _1 if byte < 0x80 else _2 if byte < 0xE0 else _3 if byte < 0xF0 else np.uint64(4)


@lean
def _decimal(page: Page, i: np.uint64, end: np.uint64) -> bool:
    if page.text[i] < 0x80:
        return bool(np.uint8(page.text[i] - 48) < 10)
    return is_decimal(decode(page.text, i, end)[0])


# ----------------------------------------------------------------------------------------------- patterns


@lean
def _patterns(page: Page, a: np.uint64, z: np.uint64, last: bool, begun: bool) -> tuple[np.int64, bool, np.uint64, np.uint64, bool]:
    """(STAYS or PATTERN, begun, begin and end of what stays, whether that is less): `read more...` at the end, `sign-in` at the start."""
    if next_of(page.bits, a, z, VISIBLE) >= z:
        return PATTERN, begun, a, z, True
    if last:
        z = behind_last(page.bits, next_of(page.bits, a, z, VISIBLE), z, VISIBLE)
    stop = _before_read_more(page, a, z)
    if next_of(page.bits, a, stop, VISIBLE) >= stop:
        return PATTERN, begun, a, stop, True
    if not begun:
        a = next_of(page.bits, a, stop, VISIBLE)
    start = match(page.text, a, stop, _PHRASES, _SIGN_IN, LOOSE)
    if start > a and start < stop and not is_set(page.bits, start, VISIBLE):
        start += _size(page, start)
    if next_of(page.bits, start, stop, VISIBLE) >= stop:
        return PATTERN, True, start, stop, True
    return STAYS, True, start, stop, bool(start > a or stop < z)


@lean
def _before_read_more(page: Page, a: np.uint64, z: np.uint64) -> np.uint64:
    """Where `read more` and three characters, whichever, end the line: the place before that and one white space; else z."""
    k = z
    for _ in range(3):
        if k <= a:
            return z
        k = _back(page, k)
    if k < a + _9 or match(page.text, k - _9, k, _PHRASES, _READ_MORE, LOOSE) != k:
        return z
    k -= _9
    return _back(page, k) if k > a and not is_set(page.bits, k - _1, VISIBLE) else k


@lean
def _back(page: Page, i: np.uint64) -> np.uint64:
    """The first byte of the character before i."""
    i -= _1
    while is_set(page.bits, i, TAIL):
        i -= _1
    return i


@lean
def _without_cart(page: Page, a: np.uint64, z: np.uint64) -> np.uint64:
    """Write the line anew without `items in cart` and a white space before it; returns the place behind it, 0 where it has none."""
    if not _cart(page, a, z):
        return _0
    o, found = page.margin, False
    while a < z:
        after = a + _size(page, a) if not is_set(page.bits, a, VISIBLE) else a
        behind = match(page.text, after, z, _PHRASES, _CART, LOOSE)
        if behind > after:
            a, found = behind, True
            continue
        for k in range(_0, _size(page, a)):
            page.text[o + k] = page.text[a + k]
        o += _size(page, a)
        a += _size(page, a)
    return o if found else _0


@lean
def _cart(page: Page, a: np.uint64, z: np.uint64) -> bool:
    """Whether the line may have `items in cart`: some of its letters, in their places."""
    i = a
    while i < z:
        if letter(page.text, i, 110) & equal(page.text, i + _1, 32) & letter(page.text, i + _2, 99) & letter(page.text, i + _3, 97):
            return True
        i += _64
    return False


@lean
def _only_cart(page: Page, a: np.uint64, z: np.uint64) -> bool:
    """Whether the line is nothing but `items in cart` and white space."""
    a = next_of(page.bits, a, z, VISIBLE)
    while a < z:
        behind = match(page.text, a, z, _PHRASES, _CART, LOOSE)
        if behind == a:
            return False
        a = next_of(page.bits, behind, z, VISIBLE)
    return True


# -------------------------------------------------------------------------------------------------- words


@lean
def _words(page: Page, i: np.uint64, end: np.uint64) -> np.int64:
    """Words whose first character is a letter or a number.

    Words are what ASCII white space and U+0000 separate, as for fastText, and each character of a script without spaces between words.
    """
    total, before = _0, _0
    for w in range(i >> _6, (end + _63) >> _6):
        row, mask = w * KINDS, inside(i, end, np.uint64(w))
        alone, named = page.bits[row + ALONE], page.bits[row + NAMED] & mask
        gap = equal(page.text, w << _6, 32) | within(page.text, w << _6, 9, 5) | equal(page.text, w << _6, 0)
        joined = ~(gap | alone) & mask
        total += ones(joined & ~((joined << _1) | before) & named) + ones(alone & ~page.bits[row + TAIL] & named)
        before = joined >> _63
    return np.int64(total)
