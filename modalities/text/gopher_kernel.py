"""The kernel behind text.quality.gopher: words, marks and lines of every text, counted as one of five implementations does.

One row of integers a text; ratios are made of them outside.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import lean, lean_kernel, scratch
from ...curator.columns import Bytes
from ...curator.stage import Ints
from .bitmaps import BREAK, FEED, Page, break_size, next_of, stripped
from .hashing import hash_number
from .padded import Padded, lay_out
from .unicode import decode
from .vectors import equal, ones
from .windows import number_at
from .word_list import WORD, Hashes, Places, Words
from .words import SEGMENTS, SPLIT, TOKENS, WORDPUNCT

Borders = npt.NDArray[np.bool_]

DATATROVE, DCLM, DOLMA, NEMO, RPV2 = range(5)
COUNTED = {DATATROVE: TOKENS, DCLM: SPLIT, DOLMA: SPLIT, NEMO: SPLIT, RPV2: WORDPUNCT}  # what ratios to words refer to
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

ALL, WORDS, WORD_CHARS, MEDIAN_TWICE, LETTERED, STOPS, STOPS_FOUND = range(7)
HASHES, ELLIPSES, SPACED_ELLIPSES, SYMBOL_WORDS, LINES, BULLETS, TRAILING = range(7, 14)
COLUMNS = 14

_STOPS = np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.uint64)
_STOP_SIZES = np.array([len(word) for word in STOP_WORDS], np.uint64)
_STOP_SLOTS, _STOP_SHIFT = np.uint64(256), np.uint64(56)
_BULLETS = {
    DATATROVE: "•-",
    DCLM: "●•*-",
    DOLMA: "*-",
    NEMO: "•‣⁃⁌⁍∙○●◘◦⦾⦿",
    RPV2: "•‣▶◀◦■□▪▫–",
}
# ends of lines, and for NeMo whole words: lower-cased and without the dots behind
_NEMO_ENDS = ("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more")
_ENDS = {DATATROVE: ("...", "…"), DCLM: ("...", ". . .", "…"), DOLMA: ("…",), NEMO: _NEMO_ENDS, RPV2: ("...", "…")}
_LONGEST_WORD = 1 << 16

_0, _1, _2, _3, _4, _7, _8, _63, _64 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 7, 8, 63, 64))
_FIVE_BYTES, _SPACED = np.uint64((1 << 40) - 1), np.uint64(int.from_bytes(b". . .", "little"))
_DOT, _HASH, _LINE_FEED = (ord(c) for c in ".#\n")


class Scratch(NamedTuple):
    """Memory of the kernel.

    lengths  (65536,) uint32  how many words have a length
    stops    (512,) uint64    the table of `_fill_stops`
    """

    lengths: Places
    stops: Hashes


def gopher_counts(texts: pa.Array, variant: int) -> Ints:
    """(n, COLUMNS) int64: the counts of each text of a string column; null counts as empty.

    For RPV2 and DCLM, whose rules count words in two ways, WORDS and WORD_CHARS come from elsewhere.
    """
    layout = lay_out(texts)
    rows = np.zeros((len(texts), COLUMNS), np.int64)
    bullets = np.array([ord(c) for c in _BULLETS[variant]], np.uint32)
    ends = np.frombuffer("\n".join(_ENDS[variant]).encode() + b"\n", np.uint8)
    borders = np.zeros((2, 256), np.bool_)  # bytes that a bullet begins with, that an ellipsis ends with
    borders[0, [c.encode()[0] for c in _BULLETS[variant]]] = True
    borders[1, [case.encode()[-1] for end in _ENDS[variant] for case in (end, end.upper())]] = True
    room = Scratch(scratch("gopher.lengths", _LONGEST_WORD, np.uint32), scratch("gopher.stops", 2 * int(_STOP_SLOTS), np.uint64))
    words = layout.words(COUNTED[variant])
    _count(layout.padded, layout.page, words, variant, bullets, ends, borders, room, rows)
    if variant == DCLM:
        rows[:, WORDS] = np.diff(layout.words(SEGMENTS).offsets)
    return rows


@lean_kernel
def _count(
    padded: Padded,
    page: Page,
    words: Words,
    variant: int,
    bullets: Places,
    ends: Bytes,
    borders: Borders,
    room: Scratch,
    rows: Ints,
) -> None:
    room.lengths[:] = 0
    _fill_stops(room.stops)
    for d in range(padded.start.size):
        row = rows[d]
        start, end = np.uint64(padded.start[d]), np.uint64(padded.start[d] + padded.size[d])
        _marks(page.text, start, end, variant == DCLM, row)
        _words(page.text, words, words.offsets[d], words.offsets[d + 1], variant, room, ends, row)
        _lines(page, start, end, variant, bullets, ends, borders, row)


@lean
def _words(data: Bytes, words: Words, first: np.int64, behind: np.int64, variant: int, room: Scratch, ends: Bytes, row: Ints) -> None:
    row[ALL] = behind - first
    _sum_up(words, np.uint64(first), np.uint64(behind), variant, row)
    if variant == DCLM:
        _stop_words_in_any_case(data, words, first, behind, row)
    else:
        _stop_words(words, np.uint64(first), np.uint64(behind), room.stops, row)
    if variant == DOLMA:
        row[MEDIAN_TWICE] = _median_twice(words, first, behind, room.lengths)
    if variant in (DOLMA, NEMO, RPV2):
        _marked_words(data, words, first, behind, variant, ends, row)


@lean
def _sum_up(words: Words, first: np.uint64, behind: np.uint64, variant: int, row: Ints) -> None:
    count = chars = lettered = _0  # not in `row`: memory would be written for every word
    every = np.uint8(variant != DATATROVE)
    for k in range(first, behind):
        kind = words.kinds[k]
        counts = np.uint32(kind & WORD | every)
        count += np.uint64(counts)
        chars += np.uint64((words.chars[k + _1] - words.chars[k]) * counts)
        lettered += np.uint64(kind >> np.uint8(1))
    row[WORDS], row[WORD_CHARS], row[LETTERED] = count, chars, lettered


@lean
def _fill_stops(stops: Hashes) -> None:
    """The hashes of STOP_WORDS, each in the slot that its upper bits say; which one it is lies behind the slots."""
    stops[:] = _0
    for k in range(_STOPS.size):
        found = hash_number(_STOPS[k], _STOP_SIZES[k])
        stops[found >> _STOP_SHIFT] = found
        stops[_STOP_SLOTS + (found >> _STOP_SHIFT)] = _1 << np.uint64(k)


@lean
def _stop_words(words: Words, first: np.uint64, behind: np.uint64, stops: Hashes, row: Ints) -> None:
    count = which = _0
    for k in range(first, behind):
        found = words.hashes[k]
        slot = found >> _STOP_SHIFT
        same = np.uint64(stops[slot] == found)
        count += same
        which |= stops[_STOP_SLOTS + slot] * same
    row[STOPS], row[STOPS_FOUND] = count, which


@lean
def _stop_words_in_any_case(data: Bytes, words: Words, first: np.int64, behind: np.int64, row: Ints) -> None:
    for k in range(first, behind):
        size = np.uint64(words.end[k] - words.place[k])
        inside = (_1 << (_8 * (size & _7))) - _1
        letters = (number_at(data, np.uint64(words.place[k])) | np.uint64(0x2020202020202020)) & inside
        for which in range(_STOPS.size):
            if size == _STOP_SIZES[which] and letters == _STOPS[which]:
                row[STOPS] += 1
                row[STOPS_FOUND] |= 1 << which


@lean
def _marked_words(data: Bytes, words: Words, first: np.int64, behind: np.int64, variant: int, ends: Bytes, row: Ints) -> None:
    """Words that are or have symbols, where there are any; for RPV2 words with a letter from a to z."""
    marked = row[HASHES] + row[ELLIPSES] > 0
    if variant == RPV2:
        row[LETTERED] = 0
    for k in range(first, behind):
        place, size = np.uint64(words.place[k]), np.uint64(words.end[k] - words.place[k])
        if variant == RPV2:
            row[LETTERED] += _has_ascii_letter(data, place, size)
        elif variant == DOLMA:
            row[SYMBOL_WORDS] += marked and _has_symbol(data, place, size)
        elif marked or size <= _4:
            row[SYMBOL_WORDS] += _is_symbol(data, place, size, ends)


@lean
def _has_ascii_letter(data: Bytes, place: np.uint64, size: np.uint64) -> bool:
    for i in range(place, place + size):
        small = data[i] | 0x20
        if small >= 0x61 and small <= 0x7A:
            return True
    return False


@lean
def _has_symbol(data: Bytes, place: np.uint64, size: np.uint64) -> bool:
    """Whether a word has # or …."""
    found = False
    for i in range(place, place + size):
        found = found or data[i] == _HASH or (data[i] == 0xE2 and data[i + _1] == 0x80 and data[i + _2] == 0xA6)
    return found


@lean
def _is_symbol(data: Bytes, place: np.uint64, size: np.uint64, ends: Bytes) -> bool:
    """Whether a word is one of `ends`, or more than half of its characters are #."""
    hashes, chars = 0, 0
    for i in range(place, place + size):
        hashes += data[i] == _HASH
        chars += data[i] & 0xC0 != 0x80
    return bool(2 * hashes > chars or _ends_with(data, place, place + size, ends, True))


@lean
def _median_twice(words: Words, first: np.int64, behind: np.int64, lengths: Places) -> np.int64:
    """Twice the median of the words' lengths, 0 without words; `lengths` is zero before and after."""
    count = behind - first
    if count == 0:
        return np.int64(0)
    last = np.uint32(lengths.size - 1)
    for k in range(first, behind):
        lengths[min(words.chars[k + 1] - words.chars[k], last)] += np.uint32(1)
    low, length, seen = -1, -1, 0
    while 2 * seen <= count:
        length += 1
        seen += lengths[length]
        low = length if low < 0 and 2 * seen >= count else low
    for k in range(first, behind):
        lengths[min(words.chars[k + 1] - words.chars[k], last)] = 0
    return np.int64(low + length)


# ------------------------------------------------------------------------------------------------ marks and lines


@lean
def _marks(data: Bytes, start: np.uint64, end: np.uint64, spaced: bool, row: Ints) -> None:
    """Count #, ..., … and, where asked for, `. . .`, each without overlaps."""
    dots = hashes = ellipses = _0  # dots: in a row, so far
    i = start
    while i < end:  # blanks behind the text
        hashes += ones(equal(data, i, _HASH))
        found = equal(data, i, _DOT)
        if found & (found << _1 | (dots > _0)):
            for k in range(_0, _64):
                if found >> k & _1:
                    dots += _1
                else:
                    ellipses += dots // _3
                    dots = _0
        else:
            ellipses += dots // _3
            dots = found >> _63
        leads = equal(data, i, 0xE2)
        if leads:
            ellipses += ones(leads & equal(data, i + _1, 0x80) & equal(data, i + _2, 0xA6))
        i += _64
    row[HASHES], row[ELLIPSES] = hashes, ellipses + dots // _3
    if spaced:
        while start + np.uint64(5) <= end:
            there = number_at(data, start) & _FIVE_BYTES == _SPACED
            row[SPACED_ELLIPSES] += there
            start += np.uint64(5) if there else _1


@lean
def _lines(page: Page, start: np.uint64, end: np.uint64, variant: int, bullets: Places, ends: Bytes, borders: Borders, row: Ints) -> None:
    data = page.text
    while start < end or (variant == DOLMA and start == end):
        if variant == DATATROVE:
            stop = next_of(page.bits, start, end, BREAK)
            behind = stop + break_size(page, stop, end)
        else:
            stop = next_of(page.bits, start, end, FEED)
            behind = stop + _1
            while variant == DOLMA and behind < end and data[behind] == _LINE_FEED:
                behind += _1
        first, last = start, stop
        if variant != DOLMA:
            first, last = stripped(page.bits, start, stop)
        if first < last or variant not in (DCLM, NEMO):
            row[LINES] += 1
            if first < last:
                row[BULLETS] += borders[0, data[first]] and _is_bullet(data, first, last, bullets)
                row[TRAILING] += borders[1, data[last - _1]] and _ends_with(data, first, last, ends, False)
        start = behind


@lean
def _is_bullet(data: Bytes, i: np.uint64, end: np.uint64, bullets: Places) -> bool:
    code = np.uint32(data[i])
    if data[i] >= 0x80:
        code, _ = decode(data, i, end)
    found = False
    for k in range(bullets.size):
        found = found or code == bullets[k]
    return found


@lean
def _ends_with(data: Bytes, first: np.uint64, end: np.uint64, ends: Bytes, whole: bool) -> bool:
    """Whether data[first:end] ends with (or, whole, is) one of `ends`, which line feeds end; in any case unless whole."""
    begin = 0
    for k in range(ends.size):
        if ends[k] != _LINE_FEED:
            continue
        size = np.uint64(k - begin)
        if size == end - first or (size < end - first and not whole):
            same = True
            for j in range(_0, size):
                byte = data[end - size + j]
                if not whole and byte >= 0x41 and byte <= 0x5A:
                    byte |= np.uint8(0x20)
                same = same and byte == ends[np.uint64(begin) + j]
            if same:
                return True
        begin = k + 1
    return False
