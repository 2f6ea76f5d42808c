"""A column of texts laid out for kernels that read 64 bytes at a time: blanks behind every text, so that no read needs a check.

Several stages measure one column after the other, so the last column laid out, with its bitmaps and words, is kept until
another one comes, in memory that is used again and again.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import lean_kernel, read_only, scratch
from ...curator.columns import Bytes, Offsets, buffers, same_rows
from ...curator.stage import Ints
from .bitmaps import KINDS, SLACK, Page, mark
from .unicode import table
from .word_list import Words
from .words import find_all_words

_LINE_FEED, _BLANK = 0x0A, 0x20
_BLOCK = 64


class Padded(NamedTuple):
    """n texts, each from a multiple of 64 on, with a line feed and blanks up to the next text, 64 bytes at least.

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
    """One column, laid out; bitmaps and words are found when they are first asked for."""

    def __init__(self, column: pa.Array) -> None:
        self.column = column  # held, so that no other column can come to lie at its address
        offsets, data = buffers(column)
        n = len(offsets) - 1
        room = (int(offsets[-1] - offsets[0]) + 2 * _BLOCK * n + 2 * _BLOCK) & -_BLOCK
        longest = int(np.diff(offsets).max(initial=0))
        size = room + longest + SLACK
        self.padded = Padded(scratch("padded", size, np.uint8), *(np.zeros(n, np.int64) for _ in range(4)))
        _pad(read_only(data), offsets, self.padded)
        self._margin = np.uint64(room)
        self._page: Page | None = None
        self._words: dict[int, Words] = {}

    @property
    def page(self) -> Page:
        """The texts with their bitmaps; text i lies at `padded.start[i]`."""
        if self._page is None:
            data = self.padded.data
            bits = scratch("bits", (data.size // _BLOCK + 1) * int(KINDS), np.uint64)
            self._page = Page(data, bits, self._margin, *table())
            _mark(self.padded, self._page)
        return self._page

    def words(self, mode: int) -> Words:
        """The words of all texts, by one of the ways of words.py."""
        if mode not in self._words:
            self._words[mode] = find_all_words(self.page, self.padded.start, self.padded.size, mode)
        return self._words[mode]


class _Last(threading.local):
    layout: Layout | None = None


_last = _Last()


def lay_out(column: pa.Array) -> Layout:
    """The layout of a string column; null counts as empty. Asked again for the same column by the same thread, it is the same object."""
    if _last.layout is None or not same_rows(_last.layout.column, column):
        _last.layout = Layout(column)
    return _last.layout


@lean_kernel
def _pad(data: Bytes, offsets: Offsets, padded: Padded) -> None:
    at = 0
    for d in range(offsets.size - 1):
        text = data[offsets[d] : offsets[d + 1]]
        size = text.size
        room = padded.data[at : at + (size + 2 * _BLOCK & -_BLOCK)]
        tails, feeds = np.uint32(0), np.uint32(0)
        for k in range(size):  # loops that the compiler makes wide; a slice would be copied twice, in case that it overlaps
            room[k] = text[k]
        for k in range(size):
            tails += np.uint32(text[k] & 0xC0 == 0x80)
            feeds += np.uint32(text[k] == _LINE_FEED)
        for k in range(size, room.size):
            room[k] = _BLANK
        room[size] = _LINE_FEED
        padded.start[d], padded.size[d], padded.chars[d], padded.feeds[d] = at, size, size - tails, feeds
        at += room.size
    for k in range(at, at + 2 * _BLOCK):
        padded.data[k] = _BLANK


@lean_kernel
def _mark(padded: Padded, page: Page) -> None:
    for d in range(padded.start.size):
        mark(page, np.uint64(padded.start[d]), np.uint64(padded.start[d] + padded.size[d]))
