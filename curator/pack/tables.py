"""The tables that the layout leaves of every record: ledger, scores, sketches; written as the records come by.

Of all records at once only numbers are held, and the keys. Row groups are of fixed size, so the bytes of a file depend
on its rows and not on the pieces in which they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..ledger import LEDGER, ROWS_A_FILE, SCHEMA_VERSION
from ..scan.evidence import Evidence
from ..stage import Bools, Ints, Value
from .order import Order
from .portions import Portion

_GROUP_ROWS = 65_536
_CLUSTER_COLUMNS = (
    (pa.string(), pa.int64()),
    ("key of the record that stands for its cluster; null: alone in it", "records of its cluster, itself included"),
)


class TableFiles:
    """Writes one table as Parquet files of ROWS_A_FILE rows."""

    def __init__(self, schema: pa.Schema, file: Callable[[int], Path]) -> None:
        """`file`: the path of a file, by its number."""
        self._schema, self._file = schema, file
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = self._written = 0  # waiting; in the file that is open
        self._count = 0

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        self._waiting.append(rows)
        self._rows += rows.num_rows
        while self._rows >= (wanted := min(_GROUP_ROWS, ROWS_A_FILE - self._written)):
            self._write(wanted)

    def _write(self, count: int) -> None:
        waiting = pa.concat_tables([self._schema.empty_table(), *self._waiting])
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file(self._count), self._schema, compression="zstd")
            self._count, self._written = self._count + 1, 0
        self._writer.write_table(waiting.slice(0, count).combine_chunks(), row_group_size=_GROUP_ROWS)
        self._waiting, self._rows = [waiting.slice(count)], self._rows - count
        self._written += count
        if self._written == ROWS_A_FILE:
            self._finish()

    def _finish(self) -> None:
        assert self._writer is not None
        self._writer.close()
        self._writer, self._written = None, 0

    def close(self) -> int:
        """Write what waits; returns how many files there are, at least one."""
        if self._rows or not self._count:
            self._write(self._rows)
        if self._writer is not None:
            self._finish()
        return self._count


# ------------------------------------------------------------------------------------------ scores and sketches

MeasuredValue = tuple[int, str, Value]  # round, label of the stage, value


class Measured:
    """A table of measured values and, for scores, of what is known of clusters; null where a record did not enter the round."""

    def __init__(self, values: list[MeasuredValue], clusters: list[Clusters]) -> None:
        self._values, self._clusters = values, clusters
        fields = [pa.field(f"{label}.{value.name}", value.type, metadata={"doc": value.doc}) for _, label, value in values]
        self.names = [field.name for field in fields]
        for one in clusters:
            fields += [pa.field(n, t, metadata={"doc": doc}) for n, t, doc in zip(one.names, *_CLUSTER_COLUMNS, strict=True)]
        named = [pa.field("id", pa.int64()), pa.field("key", pa.string())]
        self.schema = pa.schema([*named, *fields], metadata={"schema_version": SCHEMA_VERSION})

    def rows(self, portion: Portion, keys: pa.Array) -> pa.Table:
        """One row for every record of a portion, whose keys are given."""
        columns = [pa.array(portion.ids), keys, *(portion.column(value) for value in self._values)]
        columns += [column for one in self._clusters for column in one.columns(portion.start, portion.end)]
        return pa.table([column.cast(field.type) for column, field in zip(columns, self.schema, strict=True)], schema=self.schema)


def edited_chars(portion: Portion, values: list[MeasuredValue]) -> pa.Array:
    """(n,) int64 sum of the values called `edited_chars`; null where none was measured."""
    total = pa.nulls(len(portion.ids), pa.int64())
    for one in values:
        if one[2].name == "edited_chars":
            found = portion.column(one)
            total = pc.coalesce(pc.add(pc.fill_null(total, 0), found), total)
    return total


class Clusters:
    """What a Dedup found to be alike, of all records of a flow."""

    def __init__(self, label: str, tagged: bool, stands: Ints, keys: pa.Array) -> None:
        """
        tagged  whether duplicates stay and the samples say their cluster
        stands  (n,) int64   the record that stands for each one; -1 for records that did not reach the stage
        keys    of all records
        """
        self.label, self.tagged, self._keys = label, tagged, keys
        self._sizes = np.bincount(stands[stands >= 0], minlength=len(stands)).astype(np.min_scalar_type(len(stands)))
        self._stands = narrow(stands)

    @property
    def names(self) -> tuple[str, str]:
        """Of the two columns."""
        return f"{self.label}.cluster", f"{self.label}.cluster_size"

    def columns(self, start: int, end: int) -> tuple[pa.Array, pa.Array]:
        """Of records [start, end): key of the record that stands for the cluster, null where it is alone in it; number of its records."""
        stands = self._stands[start:end]
        entered = stands >= 0
        sizes = self._sizes[stands]
        named = self._keys.take(pa.array(stands, mask=~(entered & (sizes > 1))))
        return named, pa.array(sizes, pa.int64(), mask=~entered)


def narrow(records: Ints) -> Ints:
    """Numbers of records, -1 for none, in as few bytes as they need."""
    return records.astype(np.min_scalar_type(-max(len(records), 1)))


# ------------------------------------------------------------------------------------------------------ ledger


class Verdicts:
    """The verdicts of the last round, on disk but for what leads from a record to another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        table = pq.read_table(path, columns=["kept", "twin", "elsewhere"])
        self.kept: Bools = table.column("kept").to_numpy()
        self._twin = narrow(table.column("twin").to_numpy())
        self._elsewhere = table.column("elsewhere").cast(pa.large_string())

    def pieces(self) -> Iterator[tuple[int, pa.Table]]:
        """The first record, and rows as VERDICTS."""
        start = 0
        with pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(_GROUP_ROWS, use_threads=False):
                yield start, pa.Table.from_batches([batch])
                start += batch.num_rows

    def twins(self, start: int, end: int, names: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Of records [start, end): index of the twin, name of the twin, name of what stands for it in the end. Names of all are given."""
        twin = self._twin[start:end]
        twins = pa.array(twin, mask=twin < 0)
        survivor, last = self._survivors(start, end)
        named = pc.coalesce(names.take(twins), self._elsewhere.slice(start, end - start).combine_chunks())
        stands = pc.coalesce(names.take(pa.array(survivor, mask=survivor < 0)), self._elsewhere.take(pa.array(last)).combine_chunks())
        return twins, named, stands

    def _survivors(self, start: int, end: int) -> tuple[Ints, Ints]:
        """For a duplicate the record of the dataset at the end of its chain of twins, -1 where none is left here; and the last record of
        the chain that has no twin here, itself where it has none: it may have one in an earlier dataset."""
        found, last = self._twin[start:end].astype(np.int64), np.arange(start, end)
        while (onward := (found >= 0) & ~self.kept[found]).any():
            last[onward] = found[onward]
            found[onward] = self._twin[found[onward]]
        return found, last


def ledger_rows(evidence: Evidence, verdicts: Verdicts, edited: pa.ChunkedArray | None, order: Order) -> Iterator[pa.Table]:
    """As LEDGER, some records at a time.

    edited  (n,) int64 characters that cleaning changed, null where that was not measured; None: nowhere
    """
    before = 0
    for start, rows in verdicts.pieces():
        indices = pa.array(np.arange(start, start + rows.num_rows))
        kept = rows.column("kept").to_numpy()
        twins, twin, survivor = verdicts.twins(start, start + len(kept), evidence.keys)
        columns = {
            "id": pa.array(evidence.ids(start, start + len(kept))),
            "flow": pa.repeat(pa.scalar(evidence.flow.name), len(kept)),
            "key": evidence.keys.slice(start, len(kept)),
            "source": evidence.sources.take(indices),
            "verdict": pc.if_else(pa.array(kept), "kept", "dropped"),
            **{name: _where(~kept, rows.column(name).cast(pa.string())) for name in ("stage", "reason")},
            **{name: _where(~np.isnan(rows.column(name).to_numpy()), rows.column(name)) for name in ("value", "threshold", "similarity")},
            "detail": rows.column("detail"),
            "twin": twin,
            "twin_source": evidence.sources.take(twins),
            "survivor": survivor,
            "edited_chars": pa.nulls(len(kept)) if edited is None else edited.slice(start, len(kept)),
        }
        placed = order.columns(before, before + int(np.count_nonzero(kept)))
        before += len(placed["split"])
        back = pa.array(np.cumsum(kept) - 1, mask=~kept)
        columns.update({name: column.take(back) for name, column in placed.items()})
        yield pa.table([columns[name].cast(LEDGER.field(name).type) for name in LEDGER.names], schema=LEDGER)


def _where(mask: Bools, column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pa.array(mask), column, None)
