"""Word lists looked for in texts: how often a text has a word of the list, between flanks.

The list becomes a tree of bytes with one chain of children a node: a hundred thousand words take some megabytes, where a table of 256
places a node takes gigabytes. A regular expression of as many words is compiled for minutes, and differs with the library.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import lean, lean_kernel, read_only
from ...curator.columns import Bytes, Offsets, buffers
from ...curator.stage import Ints
from .unicode import CASE_SHIFT, LETTER, NUMERIC, SPACE, Entries, Index, decode, entry, table

Tree = npt.NDArray[np.int32]
BYTE, CHILD, SIBLING, ENDS = range(4)
INNER, FLANKED, FREE = range(3)  # what may end at a node: nothing, a word between flanks, a word wherever it stands
FLANK_NOT_A_TO_Z, FLANK_NOT_WORD, FLANK_WHITE = range(3)

_1 = np.uint64(1)
_ONE, _SIX = np.uint32(1), np.uint32(6)


def lowered(text: str) -> str:
    """The text in small letters by d4a's table: one code point for each, whatever Python runs."""
    index, entries = table()
    return "".join(chr(ord(c) + (int(entries[int(index[ord(c) >> 7]) * 128 + (ord(c) & 127)]) >> CASE_SHIFT)) for c in text)


def tree(words: Sequence[str], free: Sequence[bool]) -> Tree:
    """A word list as (nodes, 4) int32: BYTE, first CHILD, next SIBLING, ENDS. Node 0 is the root; as a child 0 stands for none.

    free  which words count wherever they stand, not only between flanks
    """
    children: list[dict[int, int]] = [{}]
    ends = [INNER]
    for word, anywhere in zip(words, free, strict=True):
        node = 0
        for byte in lowered(word).encode():
            if byte not in children[node]:
                children[node][byte] = len(children)
                children.append({})
                ends.append(INNER)
            node = children[node][byte]
        ends[node] = max(ends[node], FREE if anywhere else FLANKED)
    rows = np.zeros((len(children), 4), np.int32)
    rows[:, ENDS] = ends
    rows[0, ENDS] = FREE if any(free) else FLANKED
    for node, below in enumerate(children):
        order = sorted(below.items())
        rows[node, CHILD] = order[0][1] if order else 0
        for place, (byte, child) in enumerate(order):
            rows[child, BYTE] = byte
            rows[child, SIBLING] = order[place + 1][1] if place + 1 < len(order) else 0
    return rows


def count_listed(texts: pa.Array, words: Tree, flank: int, edges: bool) -> Ints:
    """(n,) int64: in how many places of each text a word of the list begins.

    texts  (n,) large_string; null counts as empty
    flank  which characters may stand before and behind a word: all but a-z, all but `\\w`, or white space
    edges  whether begin and end of a line (between U+000A) are flanks too
    """
    offsets, data = buffers(texts)
    counts = np.zeros(len(offsets) - 1, np.int64)
    _count(read_only(data), offsets, words, flank, edges, *table(), counts)
    return counts


@lean_kernel
def _count(data: Bytes, offsets: Offsets, words: Tree, flank: int, edges: bool, index: Index, entries: Entries, counts: Ints) -> None:
    for d in range(offsets.size - 1):
        i, end = np.uint64(offsets[d]), np.uint64(offsets[d + 1])
        while i < end:
            stop = i
            while stop < end and data[stop] != 10:
                stop += _1
            counts[d] += _count_line(data, i, stop, words, flank, edges, index, entries)
            i = stop + _1


@lean
def _count_line(
    text: Bytes, i: np.uint64, end: np.uint64, words: Tree, flank: int, edges: bool, index: Index, entries: Entries
) -> np.int64:
    found = np.int64(0)
    before = edges
    while i < end:
        if before or words[0, ENDS] == FREE:
            found += _begins(text, i, end, words, flank, edges, before, index, entries)
        code, size = _character(text, i, end, index, entries)
        before = _is_flank(code, flank, index, entries)
        i += size
    return found


@lean
def _begins(
    text: Bytes, i: np.uint64, end: np.uint64, words: Tree, flank: int, edges: bool, before: bool, index: Index, entries: Entries
) -> bool:
    node = np.int64(0)
    while i < end:
        code, size = _character(text, i, end, index, entries)
        if code < 0x80:
            node = _child(words, node, code)
        else:
            more = np.uint32(1) + np.uint32(code >= 0x800) + np.uint32(code >= 0x10000)  # UTF-8: bytes behind the first
            node = _child(words, node, (np.uint32(0xFF00) >> (more + _ONE) & np.uint32(0xFF)) | code >> (_SIX * more))
            while node and more:
                more -= _ONE
                node = _child(words, node, np.uint32(0x80) | (code >> (_SIX * more) & np.uint32(0x3F)))
        if node == 0:
            return False
        i += size
        kind = words[node, ENDS]
        if kind == FREE:
            return True
        if kind == FLANKED and before:
            if i >= end:
                if edges:
                    return True
            elif _is_flank(_character(text, i, end, index, entries)[0], flank, index, entries):
                return True
    return False


@lean
def _child(words: Tree, node: np.int64, byte: np.uint32) -> np.int64:
    child = np.int64(words[node, CHILD])
    while child and words[child, BYTE] < byte:
        child = np.int64(words[child, SIBLING])
    return child if child and words[child, BYTE] == byte else np.int64(0)


@lean
def _character(text: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries) -> tuple[np.uint32, np.uint64]:
    """(code point in small letters, bytes of the character as it stands)."""
    byte = np.uint32(text[i])
    if byte < 0x80:
        return byte | np.uint32(0x20) if byte - np.uint32(65) < np.uint32(26) else byte, _1
    code, size = decode(text, i, end)
    return np.uint32(np.int32(code) + (entry(code, index, entries) >> CASE_SHIFT)), size


@lean
def _is_flank(code: np.uint32, flank: int, index: Index, entries: Entries) -> bool:
    if flank == FLANK_NOT_A_TO_Z:
        return bool(code - np.uint32(97) >= np.uint32(26))
    properties = entry(code, index, entries)
    if flank == FLANK_NOT_WORD:
        return bool(properties & (LETTER | NUMERIC) == 0 and code != np.uint32(95))
    return bool(properties & SPACE != 0)
