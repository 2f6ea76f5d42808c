"""Stored payload: the columns of records in a file, one record behind the other, each readable alone by the byte at which it begins.

As it is, not packed: Pack takes records in another order than Scan saw them, and reads of a file what it needs of it. Arrow
batches in LZ4 took 40 % of the room, and three times the time of writing and ten times that of reading; the shards have the same size
again. What is read is compared with the digests in the evidence, so a file is never read only to be checked.
"""

from __future__ import annotations

import hashlib
from io import FileIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..backends.cpu import lean_kernel, read_only, scratch
from ..columns import Bytes, Offsets, buffers, fixed_column
from ..stage import Bools, Ints

_DIGEST = 16  # bytes
_WORD = 8  # bytes; a record begins at a multiple of it, with the length of every column, -1 for null


def digests(payload: pa.Array) -> pa.Array:
    """The first 16 bytes of sha256 of every record's payload; (n,) binary(16).

    Nothing else names the function. Processors of today have instructions for it; BLAKE3 would be faster from 10 kB on.
    """
    offsets, data = buffers(payload)
    view, sha256 = memoryview(data), hashlib.sha256  # type: ignore[arg-type]
    found = b"".join([sha256(view[a:b]).digest() for a, b in pairwise(offsets.tolist())])
    return fixed_column(np.frombuffer(found, np.uint8).reshape(-1, 32)[:, :_DIGEST])


def rest_digests(columns: pa.RecordBatch | pa.Table) -> pa.Array:
    """`digests` of what is packed beside the payload proper: of its lengths in all columns, and of the columns."""
    cells = [buffers(column) for column in columns.columns]
    lengths = fixed_column(np.stack([np.diff(offsets) for offsets, _ in cells], 1))
    full = [column for column, (offsets, _) in zip(columns.columns, cells, strict=True) if offsets[-1] > offsets[0]]
    pieces = [one.cast(pa.large_binary()) for one in (lengths, *full)]
    return digests(pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.large_binary()), null_handling="replace"))


def as_seen(payload: pa.Table | pa.RecordBatch, seen: pa.Table, proper: str) -> Bools:
    """(n,) Whether records are what the scan saw.

    payload  columns of the modality: all of them, the payload proper alone, or all others
    seen     digest and rest of the same records
    proper   name of the payload proper
    """
    same = np.ones(payload.num_rows, np.bool_)
    rest = [name for name in payload.schema.names if name != proper]
    if proper in payload.schema.names:
        same &= _equal(digests(payload.column(proper)), seen.column("digest"))
    if rest:
        same &= _equal(rest_digests(payload.select(rest)), seen.column("rest"))
    return same


def _equal(found: pa.Array, seen: pa.ChunkedArray) -> Bools:
    same: Bools = pc.fill_null(pc.equal(found, seen), False).to_numpy(zero_copy_only=False)
    return same


class PayloadWriter:
    """Writes the payload columns of batches."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._names, self._end = schema.names, 0
        self._file = FileIO(path, "w")

    def add(self, batch: pa.RecordBatch) -> pa.Array:
        """Append records; returns (n,) int64, where each begins."""
        columns = [batch.column(name) for name in self._names]
        cells = [buffers(column) for column in columns]
        lengths = np.stack([np.diff(offsets) for offsets, _ in cells], 1)
        sizes = -(lengths.sum(1) // -_WORD) * _WORD + _WORD * len(columns)
        starts = np.cumsum(sizes) - sizes
        out = scratch("stored payload", max(int(sizes.sum()), _WORD), np.uint8)[: int(sizes.sum())]
        valid = np.stack([column.is_valid().to_numpy(zero_copy_only=False) for column in columns], 1)
        out.view(np.int64)[_heads(starts, len(columns))] = np.where(valid, lengths, -1)
        for (offsets, data), places in zip(cells, _inside(starts, lengths), strict=True):
            _move(read_only(data), offsets[:-1], np.diff(offsets), out, places)
        view = out.data
        while view:
            view = view[self._file.write(view) :]
        self._end += int(sizes.sum())
        return pa.array(starts + (self._end - int(sizes.sum())))

    def close(self) -> None:
        """Nothing may be added any more."""
        self._file.close()


class Stored:
    """Some records of some files: added file by file, then put together as columns in the order asked for."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        # files are mapped while they are looked at, one after the other: mapped pages count as memory of the process
        self._pieces: list[tuple[Path, Ints, Ints, npt.NDArray[np.int64]]] = []

    def add(self, path: Path, starts: Ints, places: Ints) -> bool:
        """Records of a file that begin at `starts` become rows `places`; False where the file cannot hold them."""
        width = len(self._schema)
        if path.stat().st_size < starts.max() + _WORD * width:
            return False
        data = _mapped(path)
        lengths = data[: len(data) // _WORD * _WORD].view(np.int64)[_heads(starts, width)]
        filled = np.maximum(lengths, 0)
        if filled.max() > len(data) or (starts + _WORD * width + filled.sum(1)).max() > len(data):
            return False
        self._pieces.append((path, starts, places, lengths))
        return True

    def columns(self, names: list[str]) -> pa.RecordBatch:
        """Columns of the records."""
        rows = sum(len(places) for _, _, places, _ in self._pieces)
        lengths = np.empty((rows, len(self._schema)), np.int64)
        for _, _, places, found in self._pieces:
            lengths[places] = found
        arrays = [self._column(k, self._schema.field(k).type, lengths[:, k]) for k in map(self._schema.get_field_index, names)]
        return pa.RecordBatch.from_arrays(arrays, names)

    def _column(self, number: int, kind: pa.DataType, lengths: Ints) -> pa.Array:
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(np.maximum(lengths, 0), out=offsets[1:])
        out = np.empty(int(offsets[-1]), np.uint8)
        for path, starts, places, found in self._pieces:
            filled = np.maximum(found, 0)
            _move(read_only(_mapped(path)), _inside(starts, filled)[number], np.ascontiguousarray(filled[:, number]), out, offsets[places])
        valid = lengths >= 0
        bits = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.Array.from_buffers(kind, len(lengths), [bits, pa.py_buffer(offsets), pa.py_buffer(out)])


def _mapped(path: Path) -> Bytes:
    return np.asarray(np.memmap(path, np.uint8, "r"))


def _heads(starts: Ints, width: int) -> npt.NDArray[np.int64]:
    """(n, width): the words that hold the lengths of records."""
    return (starts // _WORD)[:, None] + np.arange(width)


def _inside(starts: Ints, lengths: npt.NDArray[np.int64]) -> list[Ints]:
    """For every column, (n,): the bytes at which its cells begin."""
    ends = np.cumsum(lengths, 1) + (starts + _WORD * lengths.shape[1])[:, None]
    return [ends[:, k] - lengths[:, k] for k in range(lengths.shape[1])]


@lean_kernel
def _move(data: Bytes, starts: Ints, sizes: Ints, out: Bytes, places: Offsets) -> None:
    """Copy data[starts[k]:starts[k] + sizes[k]] to `places[k]` of `out`."""
    for k in range(starts.size):
        start, place = np.uint64(starts[k]), np.uint64(places[k])
        for i in range(np.uint64(sizes[k])):
            out[place + i] = data[start + i]
