"""The search for passages that occur again, in bounded memory: what does not fit it goes through files, by hash and then by place.

Texts are read twice and in order, only those that share a fingerprint with something. Pairs of occurrences, extended to both sides, would
need fewer rows for long passages and are quadratic where thousands of texts share one; windows in groups are linear and lose none.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.columns import buffers
from ...curator.dedup.spill import Spill
from ...curator.stage import Bools, Entered, Ints, Spans
from ...curator.store import write_error
from .passages import PLACE_BITS, Fingerprints, Rows, Winnow, group, mark, repeated_windows, resolve, with_marked
from .seams import token_places
from .tokens import tokenise

_TEXT_BYTES = 16 << 20  # text read at a time; what is made of it takes some ten times as much
_ROW_BYTES = 96  # memory that a window takes while windows are sorted
_MOST_PARTS = 1024
_NOWHERE = np.uint64(0xFFFFFFFFFFFFFFFF)
_PLACE_BITS = np.uint64(PLACE_BITS)


class Marks(NamedTuple):
    """One bit for all fingerprints of equal upper bits: whether any of them may occur again. See passages.mark."""

    again: Rows
    shift: int


def repeats(entered: Entered, winnow: Winnow, size: int) -> Spans:
    """Every passage that consists of windows of `size` tokens, each equal to one before it that does not overlap it and stays.

    entered  has the column `fingerprints`: those of each text, uint32, little-endian, one after the other
    """
    folder, memory = entered.workspace.folder, entered.workspace.memory
    marks = _marks(entered, memory // 4)
    records = np.flatnonzero(_candidates(entered, marks)).astype(np.int64)
    sizes = entered.column("payload_bytes").to_numpy()[records].astype(np.int64)
    parts = min(_MOST_PARTS, 1 + int(sizes.sum()) // 4 * _ROW_BYTES // memory)
    windows = _Parts(folder, parts, 3)
    for portion in _portions(records, sizes):
        rows = repeated_windows(tokenise(entered.payload(portion, "text")), portion, winnow, size, *marks)
        windows.add((rows[:, 0] >> np.uint64(48)) * np.uint64(parts) >> np.uint64(16), rows)
    last = records[np.searchsorted(np.cumsum(sizes), sizes.sum() / parts * np.arange(1, parts))].astype(np.uint64)
    places, groups, count = _Parts(folder, parts, 2), 0, 0
    for part in range(parts):
        found, groups = _grouped(windows.take(part), groups)
        places.add(np.searchsorted(last, found[:, 0] >> _PLACE_BITS), found)
        count += len(found)
    spans = _resolved(places, parts, _room(folder, groups), size)
    return Spans(*_in_bytes(entered, spans, sizes, records), {"texts_compared": len(records), "windows_compared": count})


# ------------------------------------------------------------------------------------------------- which texts


def _marks(entered: Entered, memory: int) -> Marks:
    """One pass over the fingerprints. By chance one in 500 looks repeated, more where memory is short: what is compared in vain."""
    wanted = int(entered.column("payload_bytes").to_numpy().sum()) * 16  # slots; a text of English has a fingerprint in some 30 bytes
    bits = min(32, max(6, min(wanted, memory * 4).bit_length()))
    seen, again = np.zeros(1 << (bits - 6), np.uint64), np.zeros(1 << (bits - 6), np.uint64)
    for _, column in entered.chunks("fingerprints"):
        mark(_values(column)[0], np.uint64(32 - bits), seen, again)
    return Marks(again, 32 - bits)


def _candidates(entered: Entered, marks: Marks) -> Bools:
    """(n,) bool: texts with a fingerprint that may occur again."""
    candidates = np.zeros(entered.size, np.bool_)
    for indices, column in entered.chunks("fingerprints"):
        found, bounds = _values(column)
        marked = np.empty(len(indices), np.bool_)
        with_marked(found, bounds, np.uint64(marks.shift), marks.again, marked)
        candidates[indices] = marked
    return candidates


def _values(column: pa.Array) -> tuple[Fingerprints, Ints]:
    """Fingerprints of all records of a piece, and where those of each begin; null counts as none."""
    offsets, data = buffers(column)
    values = np.frombuffer(data[offsets[0] : offsets[-1]].tobytes(), "<u4").astype(np.uint32, copy=False)
    return values, (offsets - offsets[0]) // 4


def _portions(records: Ints, sizes: Ints) -> Iterator[Ints]:
    """The records in order, so many at a time that their texts have about _TEXT_BYTES."""
    portion = np.cumsum(sizes) // _TEXT_BYTES
    yield from (part for part in np.split(records, np.flatnonzero(np.diff(portion)) + 1) if len(part))


# ---------------------------------------------------------------------------------------------- which windows


class _Parts:
    """Rows of words on disk, in parts; of one part they come back in the order in which they came."""

    def __init__(self, folder: Path, parts: int, width: int) -> None:
        self._spill, self._width = Spill(folder), width
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(parts)]

    def add(self, parts: npt.NDArray[Any], rows: Rows) -> None:
        """Rows, and the part each goes to."""
        by = np.argsort(parts.astype(np.uint16), kind="stable")
        borders = np.searchsorted(parts[by], np.arange(len(self._pieces) + 1))
        for part in np.flatnonzero(np.diff(borders)).tolist():
            piece = rows[by[borders[part] : borders[part + 1]]]
            self._pieces[part].append((self._spill.append(piece), len(piece)))

    def take(self, part: int) -> Rows:
        """(m, width) uint64: all rows of a part."""
        rows = np.empty((sum(count for _, count in self._pieces[part]), self._width), np.uint64)
        filled = 0
        for start, count in self._pieces[part]:
            self._spill.read(start, rows[filled : filled + count])
            filled += count
        return rows


def _grouped(windows: Rows, groups: int) -> tuple[Rows, int]:
    """Place and group, (m, 2), of the windows that are equal to another one; and the next free number of a group."""
    slots = np.zeros(1 << (2 * len(windows)).bit_length(), np.uint64)
    found = np.empty((len(windows), 2), np.uint64)
    count, behind = group(windows, slots, np.uint64(groups), np.empty(len(windows), np.uint64), found)
    return found[:count], int(behind)


# ------------------------------------------------------------------------------------------------ which are cut


def _room(folder: Path, groups: int) -> Rows:
    """(groups,) uint64 on disk, all ones: memory for what is used often only. Raises D4AError on a full disk."""
    if not groups:
        return np.empty(0, np.uint64)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, 8 * groups)  # else a full disk would end the process
            room = np.memmap(file, np.uint64, "r+", shape=(groups,))
    except OSError as error:
        raise write_error(error, folder) from error
    room[:] = _NOWHERE
    return room.view(np.ndarray)


def _resolved(places: _Parts, parts: int, kept: Rows, size: int) -> Rows:
    """(p, 4) uint64: see passages.resolve; parts hold whole records, in order."""
    found = [np.empty((0, 4), np.uint64)]
    for part in range(parts):
        rows = places.take(part)
        by = np.argsort(rows[:, 0], kind="stable")  # a few ascending runs, which are merged
        spans = np.empty((len(rows), 4), np.uint64)
        count = resolve(rows[by, 0], rows[by, 1], np.uint64(size), kept, spans)
        found.append(spans[:count].copy())
    return np.concatenate(found)


def _in_bytes(entered: Entered, spans: Rows, sizes: Ints, records: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Record, first byte, byte behind the last, and twin of each span; texts are read again for it."""
    record, first, behind = (spans[:, k].astype(np.int64) for k in range(3))
    start, end = np.empty_like(first), np.empty_like(first)
    texts = np.unique(record)
    for portion in _portions(texts, sizes[np.searchsorted(records, texts)]):
        a, b = np.searchsorted(record, [portion[0], portion[-1] + 1])
        starts, ends, bounds = token_places(entered.payload(portion, "text"))
        begins = bounds[np.searchsorted(portion, record[a:b])]
        start[a:b], end[a:b] = starts[begins + first[a:b]], ends[begins + behind[a:b] - 1]
    return record, start, end, (spans[:, 3] >> _PLACE_BITS).astype(np.int64)
