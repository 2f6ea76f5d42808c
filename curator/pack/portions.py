"""Evidence in one pass: consecutive records with all that was measured of them, some thousands at a time.

Each file is opened once, and what grows with the evidence is let go when it was seen. The decision asks for a column
of all records instead: see `Evidence.table`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..scan.evidence import Evidence
from ..scan.measure import GROUP_ROWS, evidence_schema
from ..scan.partition import Part
from ..stage import Bools, Ints, Value

_FEW = GROUP_ROWS // 4  # records of small partitions are put together until they are this many


@dataclass(frozen=True)
class Portion:
    """Consecutive records of a flow, in input order.

    start   place of the first one in the flow
    ids     (n,) int64   partition ordinal << 32 | row
    rounds  for every round a table of n rows, null where a record did not enter; its column PART says which of all parts of the round,
            counted from the first partition on, the row is from
    """

    start: int
    ids: Ints
    rounds: list[pa.Table]

    @property
    def end(self) -> int:
        """Place behind the last one."""
        return self.start + len(self.ids)

    def column(self, value: tuple[int, str, Value]) -> pa.ChunkedArray:
        """A value that a stage measured: round, label of the stage, value."""
        index, label, measured = value
        return self.rounds[index].column(f"{label}.{measured.name}")


PART = "part"


def portions(evidence: Evidence, names: list[list[str]], entered: list[Bools]) -> Iterator[Portion]:
    """All records of a flow.

    names    for every round the columns to read
    entered  for every round (n,) the records that entered it; evidence may hold more, from runs with other thresholds
    """
    waiting: list[Portion] = []
    for portion in _in_partitions(evidence, names, entered):
        waiting.append(portion)
        if portion.end - waiting[0].start >= _FEW:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(found: list[Portion]) -> Portion:
    rounds = [pa.concat_tables(tables).combine_chunks() for tables in zip(*(one.rounds for one in found), strict=True)]
    return Portion(found[0].start, np.concatenate([one.ids for one in found]), rounds)


def _in_partitions(evidence: Evidence, names: list[list[str]], entered: list[Bools]) -> Iterator[Portion]:
    schemas = [pa.schema([evidence_schema(evidence.flow, k).field(name) for name in of]) for k, of in enumerate(names)]
    before = [0] * len(schemas)
    for ordinal, first in enumerate(evidence.starts[:-1].tolist()):
        with contextlib.ExitStack() as opened:
            rounds = []
            for k, schema in enumerate(schemas):
                parts = evidence.parts(k)[ordinal]
                rounds.append([_File(opened, part, schema, before[k] + number) for number, part in enumerate(parts)])
                before[k] += len(parts)
            last = int(evidence.starts[ordinal + 1])
            for start in range(first, last, GROUP_ROWS):
                end = min(start + GROUP_ROWS, last)
                tables = []
                for k, files in enumerate(rounds):
                    table = _aligned(files, schemas[k], start - first, entered[k][start:end])
                    if table is None:
                        raise evidence.lacking(k)
                    tables.append(table)
                yield Portion(start, np.arange(start - first, end - first) | ordinal << 32, tables)


def _aligned(files: list[_File], schema: pa.Schema, start: int, entered: Bools) -> pa.Table | None:
    """Rows of a partition from `start` on, null where a record did not enter; None where one that did is missing."""
    pieces = [schema.append(pa.field(PART, pa.int32())).empty_table()]
    at, count = np.full(len(entered), -1, np.int64), 0
    for file in files:
        rows, piece = file.between(start, start + len(entered))
        at[rows - start] = np.arange(count, count + len(rows))
        pieces.append(piece)
        count += len(rows)
    if (at[entered] < 0).any():
        return None
    table = pa.concat_tables(pieces)
    if entered.all() and np.array_equal(at, np.arange(count)):
        return table
    return table.take(pa.array(at, mask=~entered))


class _File:
    """The evidence of a part, read by rows of its partition; held are the row groups that were read last."""

    def __init__(self, opened: contextlib.ExitStack, part: Part, schema: pa.Schema, number: int) -> None:
        self._file = opened.enter_context(pq.ParquetFile(part.evidence))
        self._schema, self._number = schema, number
        self._rows = self._file.read(["row"], use_threads=False).column(0).to_numpy()
        groups = range(self._file.num_row_groups)
        self._starts = np.cumsum([0, *(self._file.metadata.row_group(group).num_rows for group in groups)])
        self._held: dict[int, pa.Table] = {}

    def between(self, start: int, end: int) -> tuple[Ints, pa.Table]:
        """Those of the rows [start, end) that the part holds: their numbers, and the columns and PART."""
        at = np.flatnonzero((self._rows >= start) & (self._rows < end))
        groups = np.unique(np.searchsorted(self._starts, at, side="right") - 1).tolist()
        self._held = {group: self._held[group] if group in self._held else self._read(group) for group in groups}
        pieces = [self._schema.empty_table()]
        for group in groups:
            inside = at[(at >= self._starts[group]) & (at < self._starts[group + 1])] - self._starts[group]
            whole = inside[-1] - inside[0] + 1 == len(inside)
            table = self._held[group]
            pieces.append(table.slice(inside[0], len(inside)) if whole else table.take(pa.array(inside)))
        numbers = pa.array(np.full(len(at), self._number, np.int32))
        return self._rows[at].astype(np.int64), pa.concat_tables(pieces).append_column(PART, numbers)

    def _read(self, group: int) -> pa.Table:
        names = self._schema.names
        return self._file.read_row_group(group, columns=names, use_threads=False).select(names)
