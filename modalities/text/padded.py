"""A column of texts laid out for kernels that read eight bytes at a time: blanks behind every text, so that no read needs a check.

Several stages measure one column after the other, so the last column laid out, and its words, are kept until another
one comes, in memory that is used again and again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import lean_kernel, read_only, scratch
from ...curator.columns import Bytes, Offsets, buffers
from ...curator.stage import Ints
from .unicode import table
from .words import Words, find_all_words

PADDING = 24
_LINE_FEED, _BLANK = 0x0A, 0x20


class Padded(NamedTuple):
    """n texts, each with PADDING blanks behind it.

    data   (m,) uint8    the bytes
    start  (n,) int64    where a text begins in `data`
    size   (n,) int64    its bytes
    chars  (n,) int64    its code points
    feeds  (n,) int64    its line feeds
    """

    data: Bytes
    start: Ints
    size: Ints
    chars: Ints
    feeds: Ints


class Layout:
    """One column, laid out; words are found when they are first asked for."""

    def __init__(self, column: pa.Array) -> None:
        self.column = column  # held, so that no other column can come to lie at its address
        offsets, data = buffers(column)
        n = len(offsets) - 1
        size = int(offsets[-1] - offsets[0]) + PADDING * (n + 1)
        self.padded = Padded(scratch("padded", size, np.uint8), *(np.zeros(n, np.int64) for _ in range(4)))
        _pad(read_only(data), offsets, self.padded)
        self._words: dict[int, Words] = {}

    def words(self, mode: int) -> Words:
        """The words of all texts, by one of the ways of words.py."""
        if mode not in self._words:
            self._words[mode] = find_all_words(self.padded.data, self.padded.start, self.padded.size, mode, *table())
        return self._words[mode]


_last: list[Layout] = []


def lay_out(column: pa.Array) -> Layout:
    """The layout of a string column; null counts as empty. Asked again for the same column, it is the same object."""
    if not (_last and _same(_last[0].column, column)):
        _last[:] = [Layout(column)]
    return _last[0]


def _same(a: pa.Array, b: pa.Array) -> bool:
    """Whether two arrays are the same rows of the same memory."""
    if a is b:
        return True
    places = [[buffer and buffer.address for buffer in array.buffers()] for array in (a, b)]
    return a.type == b.type and (a.offset, len(a)) == (b.offset, len(b)) and places[0] == places[1]


@lean_kernel
def _pad(data: Bytes, offsets: Offsets, padded: Padded) -> None:
    at = 0
    for d in range(offsets.size - 1):
        text = data[offsets[d] : offsets[d + 1]]
        room = padded.data[at : at + text.size + PADDING]
        tails, feeds = np.uint32(0), np.uint32(0)
        for k in range(text.size):  # loops that the compiler makes wide; a slice would be copied twice, in case that it overlaps
            room[k] = text[k]
        for k in range(text.size):
            tails += np.uint32(text[k] & 0xC0 == 0x80)
            feeds += np.uint32(text[k] == _LINE_FEED)
        for k in range(text.size, room.size):
            room[k] = _BLANK
        padded.start[d], padded.size[d], padded.chars[d], padded.feeds[d] = at, text.size, text.size - tails, feeds
        at += room.size
    for k in range(at, padded.data.size):
        padded.data[k] = _BLANK
