"""Passages go out of texts, and what is left is joined: the rules of the seams, in one kernel.

Marks that stand directly before or behind a passage, up to white space, go with it: a bracket, a quote, a full stop; where a word follows
at once (Chinese), only full stops go. Of the white space on both sides the run with more line feeds stays, else the shorter one that is not
empty; at the begin and end of a text none. Where two words would become one, a space is put between them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import lean, lean_kernel, read_only
from ...curator.columns import Bytes, Offsets, buffers
from ...curator.stage import Ints
from .edited import strings
from .unicode import RUN, SOLO, SPACE, TERMINAL, Entries, Index, character, table

_0, _1 = np.uint64(0), np.uint64(1)
_TOKEN = RUN | SOLO


def token_places(texts: pa.Array) -> tuple[Ints, Ints, Offsets]:
    """Where tokens stand: first byte, byte behind the last (of the text), and (n + 1,) where each text's tokens begin in both.

    The tokens of tokens.py, as many and in the same order.
    """
    offsets, data = buffers(texts)
    most = (int(offsets[-1] - offsets[0]) + len(offsets)) // 2 + 1
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    bounds = np.zeros(len(offsets), np.int64)
    _places(read_only(data), offsets, *table(), starts, ends, bounds)
    return starts[: bounds[-1]], ends[: bounds[-1]], bounds


class Rest(NamedTuple):
    """What is left of n texts.

    text      (n,) large_string  empty where no token is left
    cut       (n,) int64         characters of the passages proper
    before    (n,) int64         characters of the text as it was
    """

    text: pa.Array
    cut: Ints
    before: Ints


def without(texts: pa.Array, bounds: Offsets, starts: Ints, ends: Ints) -> Rest:
    """The texts without passages.

    bounds        (n + 1,) int64  text i loses the passages bounds[i] to bounds[i + 1]
    starts, ends  (p,) int64      bytes of its text, at borders of tokens; ascending and apart
    """
    offsets, data = buffers(texts)
    n = len(texts)
    out = np.empty(int(offsets[-1] - offsets[0]) + len(starts) + 1, np.uint8)
    ends_at, cut, before = np.zeros(n + 1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    _without(read_only(data), offsets, bounds, starts, ends, *table(), out, ends_at, cut, before)
    return Rest(strings(ends_at, out), cut, before)


@lean_kernel
def _places(data: Bytes, offsets: Offsets, index: Index, entries: Entries, starts: Ints, ends: Ints, bounds: Offsets) -> None:
    count = _0
    for d in range(_0, np.uint64(offsets.size) - _1):
        begin, end = np.uint64(offsets[d]), np.uint64(offsets[d + _1])
        i, inside = begin, False
        while i < end:
            _, properties, length = character(data, i, end, index, entries)
            if inside and not properties & RUN:
                ends[count] = i - begin
                count += _1
                inside = False
            if properties & RUN and not inside:
                starts[count] = i - begin
                inside = True
            elif properties & SOLO:
                starts[count] = i - begin
                ends[count] = i + length - begin
                count += _1
            i += length
        if inside:
            ends[count] = end - begin
            count += _1
        bounds[d + _1] = count


@lean_kernel
def _without(
    data: Bytes,
    offsets: Offsets,
    bounds: Offsets,
    starts: Ints,
    ends: Ints,
    index: Index,
    entries: Entries,
    out: Bytes,
    ends_at: Offsets,
    cut: Ints,
    before: Ints,
) -> None:
    o = _0
    for d in range(_0, np.uint64(offsets.size) - _1):
        begin, end = np.uint64(offsets[d]), np.uint64(offsets[d + _1])
        first, left = o, begin  # what is kept of the text so far, and where the next kept piece begins
        before[d] = _characters(data, begin, end)
        for k in range(np.uint64(bounds[d]), np.uint64(bounds[d + _1])):
            start, stop = begin + np.uint64(starts[k]), begin + np.uint64(ends[k])
            cut[d] += _characters(data, start, stop)
            start = _marks_before(data, left, start, left == begin, index, entries)
            stop = _marks_behind(data, stop, end, index, entries)
            white = _white_before(data, left, start, index, entries)
            behind = _white_behind(data, stop, end, index, entries)
            o = _copy(data, left, white, out, o)
            if o > first and behind < end:
                if white == start and stop == behind:
                    o = _apart(data, white, behind, left, end, index, entries, out, o)
                elif _prefers(data, white, start, stop, behind):
                    o = _copy(data, white, start, out, o)
                else:
                    o = _copy(data, stop, behind, out, o)
            left = behind
        o = _copy(data, left, end, out, o)
        if not _has_token(out, first, o, index, entries):
            o = first
        ends_at[d + _1] = o


@lean
def _characters(data: Bytes, i: np.uint64, end: np.uint64) -> np.int64:
    count = np.int64(0)
    for k in range(i, end):
        count += (data[k] & 0xC0) != 0x80
    return count


@lean
def _before(data: Bytes, i: np.uint64) -> np.uint64:
    """Where the character before data[i] begins."""
    i -= _1
    while data[i] & 0xC0 == 0x80:
        i -= _1
    return i


@lean
def _marks_before(data: Bytes, first: np.uint64, start: np.uint64, begins: bool, index: Index, entries: Entries) -> np.uint64:
    """`start` moved before the marks there, if white space or the text's begin (first, where it `begins`) stands before them."""
    i = start
    while i > first:
        previous = _before(data, i)
        _, properties, _ = character(data, previous, i, index, entries)
        if properties & SPACE:
            return i
        if properties & _TOKEN:
            return start
        i = previous
    return i if begins else start


@lean
def _marks_behind(data: Bytes, stop: np.uint64, end: np.uint64, index: Index, entries: Entries) -> np.uint64:
    """`stop` moved behind the marks there: all up to white space or the end, full stops where a token comes first."""
    i, full = stop, stop
    while i < end:
        _, properties, length = character(data, i, end, index, entries)
        if properties & SPACE:
            return i
        if properties & _TOKEN:
            return full
        if full == i and properties & TERMINAL:
            full += length
        i += length
    return i


@lean
def _white_before(data: Bytes, first: np.uint64, start: np.uint64, index: Index, entries: Entries) -> np.uint64:
    """Where the white space that ends at `start` begins."""
    i = start
    while i > first:
        previous = _before(data, i)
        _, properties, _ = character(data, previous, i, index, entries)
        if not properties & SPACE:
            break
        i = previous
    return i


@lean
def _white_behind(data: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries) -> np.uint64:
    """Where the white space that begins at data[i] ends."""
    while i < end:
        _, properties, length = character(data, i, end, index, entries)
        if not properties & SPACE:
            break
        i += length
    return i


@lean
def _prefers(data: Bytes, a: np.uint64, b: np.uint64, c: np.uint64, d: np.uint64) -> np.bool_:
    """Whether of two runs of white space, data[a:b] and data[c:d], the first one stays; one may be empty."""
    feeds, others = _0, _0
    for k in range(a, b):
        feeds += _1 if data[k] == 0x0A else _0
    for k in range(c, d):
        others += _1 if data[k] == 0x0A else _0
    if feeds != others:
        return feeds > others
    return a < b and (c == d or b - a <= d - c)


@lean
def _apart(
    data: Bytes, i: np.uint64, j: np.uint64, first: np.uint64, end: np.uint64, index: Index, entries: Entries, out: Bytes, o: np.uint64
) -> np.uint64:
    """Write a space if the characters before data[i] and at data[j] would make one word."""
    if i > first:
        _, left, _ = character(data, _before(data, i), i, index, entries)
        _, right, _ = character(data, j, end, index, entries)
        if left & RUN and right & RUN:
            out[o] = 0x20
            o += _1
    return o


@lean
def _copy(data: Bytes, i: np.uint64, end: np.uint64, out: Bytes, o: np.uint64) -> np.uint64:
    for k in range(i, end):
        out[o + k - i] = data[k]
    return o + end - i


@lean
def _has_token(out: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries) -> bool:
    while i < end:
        _, properties, length = character(out, i, end, index, entries)
        if properties & _TOKEN:
            return True
        i += length
    return False
