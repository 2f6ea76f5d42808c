"""Lines and paragraphs of a text that occur again: counted, with their characters, in one pass over the bytes.

Segments are compared by a 64-bit hash; a set of strings would be exact and a hundred times slower.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes
from .ngrams import Classes, find, mix, table_for
from .tokens import bytes_below
from .unicode import SPACE, Entries, Index
from .windows import number_at
from .words import character, tails

RUNS, EACH, NOT_BLANK, STRIPPED = range(4)

_0, _1, _2, _8, _29 = (np.uint64(k) for k in (0, 1, 2, 8, 29))
_MIX, _START = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x243F6A8885A308D3)
_HIGH, _ONES = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
_LINE_FEEDS = np.uint64(0x0A0A0A0A0A0A0A0A)
_LINE_FEED = 0x0A


class Repeated(NamedTuple):
    """What of a text's segments occurs more than once; characters exclude the line feeds that separate.

    all, all_chars        segments
    again, again_chars    those that are equal to an earlier one
    copied, copied_chars  those that are equal to any other one
    """

    all: np.uint64
    all_chars: np.uint64
    again: np.uint64
    again_chars: np.uint64
    copied: np.uint64
    copied_chars: np.uint64


@lean
def hash_and_count(text: Bytes, start: np.uint64, end: np.uint64) -> tuple[np.uint64, np.uint64]:
    """(hash of text[start:end], never 0; its code points). Reads up to seven bytes behind."""
    chars = end - start
    state = chars * _START
    for i in range(start, end, _8):
        word = number_at(text, i)
        if end - i < _8:
            word &= (_1 << (_8 * (end - i))) - _1
        state = (state ^ word) * _MIX
        state ^= state >> _29
        chars -= tails(word)
    return mix(state, _1), chars


@lean
def find_line_feed(text: Bytes, i: np.uint64, end: np.uint64) -> np.uint64:
    """The first line feed in text[i:end], else `end`."""
    while i < end:
        other = number_at(text, i) ^ _LINE_FEEDS
        feeds = (other - _ONES) & ~other & _HIGH  # exact for the first one, all that is asked
        if feeds:
            _, below = bytes_below(feeds)
            return min(i + below, end)
        i += _8
    return end


@lean
def is_space(text: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries) -> tuple[bool, np.uint64]:
    """(whether the character at text[i] is white space, its bytes)."""
    _, found, length = character(text, i, end, index, entries)
    return found & SPACE != 0, length


@lean
def stripped(text: Bytes, start: np.uint64, end: np.uint64, index: Index, entries: Entries) -> tuple[np.uint64, np.uint64]:
    """(start, end) of text[start:end] without white space around it; equal where there is nothing else."""
    while start < end:
        blank, length = is_space(text, start, end, index, entries)
        if not blank:
            break
        start += length
    while end > start:
        last = end - _1
        while last > start and text[last] & 0xC0 == 0x80:
            last -= _1
        blank, _ = is_space(text, last, end, index, entries)
        if not blank:
            break
        end = last
    return start, end


@lean
def repeated_segments(
    text: Bytes,
    start: np.uint64,
    end: np.uint64,
    feeds: np.uint64,
    how: int,
    most: np.uint64,
    index: Index,
    entries: Entries,
    classes: Classes,
) -> Repeated:
    """Split text[start:end] where `feeds` line feeds stand, and count what repeats.

    how  RUNS: as many line feeds or more are one separator; EACH: every so many of them are one, as str.split has it;
         NOT_BLANK: so too, but segments of white space do not count; STRIPPED: so too, and white space around the others is taken off
    most  more segments there are not
    """
    slots, shift = table_for(most, _2)
    classes.keys[:slots] = _0
    all_, all_chars, again, again_chars, copied, copied_chars = _0, _0, _0, _0, _0, _0
    while True:
        stop, behind = _separator(text, start, end, feeds, how == RUNS)
        first, last = start, stop
        if how >= NOT_BLANK:
            first, last = stripped(text, start, stop, index, entries)
        if how < NOT_BLANK or first < last:
            if how == NOT_BLANK:
                first, last = start, stop
            key, chars = hash_and_count(text, first, last)
            root = find(classes.keys, classes.roots, key, all_, slots - _1, shift)
            if root != all_:
                second = classes.size[root] == 1
                classes.size[root] = 2
                again += _1
                again_chars += chars
                copied += _2 if second else _1
                copied_chars += _2 * chars if second else chars
            else:
                classes.size[root] = 1
            all_ += _1
            all_chars += chars
        if stop == end and behind == end:
            return Repeated(all_, all_chars, again, again_chars, copied, copied_chars)
        start = behind


@lean
def _separator(text: Bytes, i: np.uint64, end: np.uint64, feeds: np.uint64, whole_run: bool) -> tuple[np.uint64, np.uint64]:
    """Where the separator at or behind text[i] begins, and the place behind it; (end, end) where there is none."""
    while True:
        stop = find_line_feed(text, i, end)
        behind = stop
        while behind < end and text[behind] == _LINE_FEED and (whole_run or behind - stop < feeds):
            behind += _1
        if stop == end:
            return end, end
        if behind - stop >= feeds:
            return stop, behind
        i = behind
