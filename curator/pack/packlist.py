"""The pack list: one row for every kept record, in packing order, with what Pack needs to write it.

Rows come in input order. What does not fit in memory goes to files without a name: once as it comes, and when the
order is known once more, cut into stretches of whole shards, each of which is put in order in memory. In the list
a shard is a row group, so that no shard reads another's rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from ..dedup.spill import Spill
from ..stage import Ints
from ..store import Folder, Store, checked, committed, data_file

# of one file, about: whoever reads a shard checks all of its file
_SHARDS, _ROWS = 64, 1_000_000
_COPIES = 4  # of a stretch that are held at once while it is ordered and written
_MOST_BYTES = 1 << 30  # of a stretch, where memory is plenty: Arrow counts bytes of strings up to 2 GiB


class Rows:
    """Rows of any number, added in input order, and given back once, in packing order."""

    def __init__(self, folder: Path, memory: int) -> None:
        """`folder`: for files without a name; `memory`: bytes to use, about."""
        self._folder, self._most = folder, min(memory // _COPIES, _MOST_BYTES)
        self._held: list[pa.Table] = []
        self._spilled: _Tables | None = None
        self._bytes = 0

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        self._held.append(rows)
        self._bytes += rows.nbytes
        if self._bytes > self._most:
            self._spilled = self._spilled or _Tables(self._folder)
            for table in self._held:
                self._spilled.add(table)
            self._held = []

    def ordered(self, place: Ints, starts: Ints) -> Iterator[pa.Table]:
        """The rows in order: some shards at a time.

        place   (n,) int64 place in packing order of the rows, as they were added
        starts  (shards + 1,) int64 place at which every shard begins, and n
        """
        if self._spilled is None:
            if self._held:
                yield _in_order(self._held, place)
            return
        borders = self._borders(starts)
        stretches = [_Tables(self._folder, self._spilled.spill) for _ in borders[1:]]
        before = 0
        for table in self._spilled.tables():
            here = place[before : before + table.num_rows]
            before += table.num_rows
            stretch = np.searchsorted(borders, here, side="right") - 1
            order = np.argsort(stretch, kind="stable")
            table = table.append_column(_PLACE, pa.array(here)).take(pa.array(order))
            cuts = np.searchsorted(stretch[order], np.arange(len(borders)))
            for number in np.flatnonzero(np.diff(cuts)).tolist():
                stretches[number].add(table.slice(cuts[number], cuts[number + 1] - cuts[number]))
        for tables, first in zip(stretches, borders.tolist(), strict=False):
            found = list(tables.tables())
            places = np.concatenate([table.column(_PLACE).to_numpy() for table in found])
            yield _in_order([table.drop_columns([_PLACE]) for table in found], places - first)

    def _borders(self, starts: Ints) -> Ints:
        """Places between stretches of about as many rows as fit, or of one shard."""
        rows = max(1, int(starts[-1] * self._most / self._bytes))
        borders = [0]
        while borders[-1] < starts[-1]:
            fits = int(starts[np.searchsorted(starts, borders[-1] + rows, side="right") - 1])
            borders.append(fits if fits > borders[-1] else int(starts[np.searchsorted(starts, borders[-1], side="right")]))
        return np.array(borders)


_PLACE = "\0place"  # no column of the list is called so


def _in_order(tables: list[pa.Table], place: Ints) -> pa.Table:
    order = np.empty(len(place), np.int64)
    order[place] = np.arange(len(place))
    return pa.concat_tables(tables).combine_chunks().take(pa.array(order))


class _Tables:
    """Tables in a file without a name."""

    def __init__(self, folder: Path, spill: Spill | None = None) -> None:
        self.spill = spill or Spill(folder)
        self._places: list[tuple[int, int]] = []

    def add(self, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        data = np.frombuffer(sink.getvalue(), np.uint8)
        self._places.append((self.spill.append(data), len(data)))

    def tables(self) -> Iterator[pa.Table]:
        for start, size in self._places:
            data = np.empty(size, np.uint8)
            self.spill.read(start, data)
            yield pa.ipc.open_stream(pa.py_buffer(data)).read_all()


# ---------------------------------------------------------------------------------------------------- files


class PackFiles:
    """Writes the pack list, a row group a shard."""

    def __init__(self, unit: Folder) -> None:
        self._unit, self._files = unit, 0
        self._writer: pq.ParquetWriter | None = None
        self._shards = self._rows = 0

    def add(self, rows: pa.Table) -> dict[str, Any]:
        """Append the rows of the next shard; returns where `read_rows` finds them."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._unit.file(_stem(self._files), ".parquet"), rows.schema, compression="zstd")
            self._files, self._shards, self._rows = self._files + 1, 0, 0
        self._writer.write_table(rows, row_group_size=rows.num_rows)
        found = {"file": _stem(self._files - 1), "group": self._shards}
        self._shards, self._rows = self._shards + 1, self._rows + rows.num_rows
        if self._shards >= _SHARDS or self._rows >= _ROWS:
            self.close()
        return found

    def close(self) -> None:
        """Finish the last file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _stem(number: int) -> str:
    return f"pack-{number:06d}"


def read_rows(store: Store, flow: str, layout: str, shard: dict[str, Any]) -> tuple[pa.Table, dict[str, Any]]:
    """Rows of the pack list for a shard of a committed layout; and the layout's manifest."""
    folder = store.unit("layout", flow, layout)
    manifest = committed(folder)
    assert manifest is not None, layout
    with pq.ParquetFile(checked(data_file(folder, manifest, shard["file"]))) as file:
        return file.read_row_group(shard["group"], use_threads=False), manifest
