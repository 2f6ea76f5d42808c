"""Lines and paragraphs of a text that occur again: counted, with their characters, in one pass over the bytes.

Segments are compared by a 64-bit hash; a set of strings would be exact and a hundred times slower.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...curator.backends.cpu import lean, trailing_zeros
from ...curator.columns import Bytes
from .bitmaps import FEED, KINDS, Bits, Page, characters, next_of, stripped
from .hashing import hash_bytes
from .ngrams import Classes, find, table_for

RUNS, EACH, NOT_BLANK, STRIPPED = range(4)

_0, _1, _2, _6, _63 = (np.uint64(k) for k in (0, 1, 2, 6, 63))
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
def hash_line(text: Bytes, start: np.uint64, end: np.uint64) -> np.uint64:
    """A hash of text[start:end], never 0."""
    return hash_bytes(text, start, end - start) | _1


@lean
def repeated_segments(
    page: Page,
    start: np.uint64,
    end: np.uint64,
    feeds: np.uint64,
    how: int,
    most: np.uint64,
    classes: Classes,
) -> Repeated:
    """Split page.text[start:end] where `feeds` line feeds stand, and count what repeats.

    how  RUNS: as many line feeds or more are one separator; EACH: every so many of them are one, as str.split has it;
         NOT_BLANK: so too, but segments of white space do not count; STRIPPED: so too, and white space around the others is taken off
    most  more segments there are not
    """
    slots, shift = table_for(most, _2)
    classes.keys[:slots] = _0
    all_, all_chars, again, again_chars, copied, copied_chars = _0, _0, _0, _0, _0, _0
    while True:
        stop, behind = _separator(page, start, end, feeds, how == RUNS)
        first, last = start, stop
        if how >= NOT_BLANK:
            first, last = stripped(page.bits, start, stop)
        if how < NOT_BLANK or first < last:
            if how == NOT_BLANK:
                first, last = start, stop
            key = hash_line(page.text, first, last)
            chars = np.uint64(characters(page.bits, first, last))
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
def _separator(page: Page, i: np.uint64, end: np.uint64, feeds: np.uint64, whole_run: bool) -> tuple[np.uint64, np.uint64]:
    """Where the separator at or behind text[i] begins, and the place behind it; (end, end) where there is none."""
    stop = next_of(page.bits, i, end, FEED) if feeds == _1 else _next_pair(page.bits, i, end)
    if stop == end:
        return end, end
    behind = stop + feeds
    while whole_run and behind < end and page.text[behind] == _LINE_FEED:
        behind += _1
    return stop, behind


@lean
def _next_pair(bits: Bits, i: np.uint64, end: np.uint64) -> np.uint64:
    """The first line feed in [i, end) behind which another one stands, or end."""
    while i + _1 < end:
        row = (i >> _6) * KINDS + FEED
        feeds = bits[row] & (bits[row] >> _1 | bits[row + KINDS] << _63)
        found = feeds >> (i & _63)
        if found:
            i += trailing_zeros(found)
            return i if i + _1 < end else end
        i = (i | _63) + _1
    return end
