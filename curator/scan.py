"""SCAN: once over the payload. Read, clean, measure, sketch; write evidence.

One unit is one partition in one round. Its evidence is a Parquet file with one row for every record that
entered, readable or not; text is stored beside it as an Arrow IPC file of compressed batches of about 1 MiB.
Evidence of a later round grows in parts: each unit scans only the rows that no part holds yet.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from .columns import buffers
from .errors import D4AError
from .plan import FlowPlan, PlannedStage, wanted_columns
from .sources import Partition
from .stage import Columns, Dedup, Entry, Filter, Ints, Modality, Stage, Transform, reader_schema
from .store import MANIFEST, Folder, Store, committed, data_file, digest

BLOCK_BYTES = 1 << 20
BATCH_BYTES = 32 << 20
_Measured = dict[str, tuple[Ints, pa.Array]]  # column -> rows of the batch that have it, and their values
# what evidence says about a record beside measured values; `place` columns are null for refused records
HEAD = pa.schema(
    [
        ("row", pa.int32()),
        ("entry", pa.int32()),
        ("line", pa.int64()),
        ("id", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("digest", pa.binary(16)),
        ("payload_bytes", pa.int64()),
        ("block", pa.int32()),
        ("slot", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Part:
    """One committed piece of a partition's evidence in a round."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def evidence(self) -> Path:
        """The Parquet file."""
        return data_file(self.folder, self.manifest, "evidence")

    @property
    def payload(self) -> Path:
        """The Arrow IPC file of stored payload."""
        return data_file(self.folder, self.manifest, "payload")

    @property
    def digest(self) -> str:
        """sha256 of the evidence: part of the decision's key."""
        return str(self.manifest["files"]["evidence"]["sha256"])

    def rows(self) -> Ints:
        """Rows of the partition that this part holds, ascending."""
        rows: Ints = pq.read_table(self.evidence, columns=["row"]).column("row").to_numpy().astype(np.int64)
        return rows


def parts_of(store: Store, flow: FlowPlan, round_index: int, part: Partition) -> list[Part]:
    """Committed parts of a partition's evidence, in a fixed order."""
    folder = store.unit("scan", flow.name, flow.scan_key(round_index, part))
    found = []
    for path in sorted(folder.glob(f"*/{MANIFEST}")):
        manifest = committed(path.parent)
        if manifest is not None:
            found.append(Part(path.parent, manifest))
    return found


def missing_rows(parts: list[Part], entering: Ints | None) -> Ints | None:
    """Rows still to scan; None: all of the partition (round 0), an empty array: none."""
    if entering is None:
        return np.zeros(0, np.int64) if parts else None
    held = np.concatenate([part.rows() for part in parts]) if parts else np.zeros(0, np.int64)
    return np.setdiff1d(entering, held)


def scan_partition(
    store: Store, flow: FlowPlan, round_index: int, ordinal: int, entering: Ints | None, fence: Callable[[], None]
) -> dict[str, Any]:
    """Scan what is missing of one partition in one round, and commit it. Returns counts.

    entering  rows of the partition that survived the round before; None in round 0
    """
    part = flow.partitions[ordinal]
    before = parts_of(store, flow, round_index, part)
    rows = missing_rows(before, entering)
    if rows is not None and len(rows) == 0:
        return {"records": 0}
    key = flow.scan_key(round_index, part)
    name = "all" if rows is None else digest(rows.tolist())[:16]
    with Folder(store.unit("scan", flow.name, key) / name, fence) as unit:
        writer = _Evidence(unit, flow, round_index)
        for batch in _batches(store, flow, round_index, part, rows):
            writer.add(batch)
        unit.manifest = {**writer.close(), "line_starts": _line_starts(part)}
    return {"records": writer.records}


# ------------------------------------------------------------------------------------------------- reading


def _batches(store: Store, flow: FlowPlan, round_index: int, part: Partition, rows: Ints | None) -> Iterator[pa.RecordBatch]:
    """Batches of the records that enter, `row` and `entry` columns in front; in later rounds only `rows`.

    Readers give a batch a file at least: small ones are put together, so that neither kernels nor models run on single records.
    """
    if rows is not None and flow.modality.stored:
        found = _stored_batches(store, flow, round_index, part, rows)
    elif rows is not None:
        found = (batch.filter(pa.array(np.isin(batch.column("row").to_numpy(), rows))) for batch in read_partition(flow, part))
    else:
        found = read_partition(flow, part)
    waiting: list[pa.RecordBatch] = []
    count = size = 0
    for batch in found:
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, flow.modality.batch_rows - count)
            start += piece.num_rows
            waiting.append(piece)
            count, size = count + piece.num_rows, size + piece.get_total_buffer_size() // max(1, batch.num_rows // piece.num_rows)
            if count >= flow.modality.batch_rows or size >= BATCH_BYTES:
                yield _joined(waiting)
                waiting, count, size = [], 0, 0
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def read_partition(flow: FlowPlan, part: Partition) -> Iterator[pa.RecordBatch]:
    """All records of a partition from their source files, numbered; a file that cannot be opened is one row with a reason.

    Raises D4AError when a file is no longer the one that was listed.
    """
    row = 0
    for index, entry in enumerate(part.entries):
        for batch in _read_entry(flow, entry):
            numbers = pa.array(np.arange(row, row + batch.num_rows, dtype=np.int32))
            entries = pa.array(np.full(batch.num_rows, index, np.int32))
            row += batch.num_rows
            yield pa.RecordBatch.from_arrays([numbers, entries, *batch.columns], names=["row", "entry", *batch.schema.names])


def _read_entry(flow: FlowPlan, entry: Entry) -> Iterator[pa.RecordBatch]:
    path = Path(entry.root, entry.path)
    if entry.problem:
        yield _unreadable(flow.modality, entry.problem, "")
        return
    _check_unchanged(entry)
    try:
        yield from flow.modality.read(entry, flow.flow.sources[entry.source])
    except PermissionError:
        yield _unreadable(flow.modality, "permission_denied", "")
    except FileNotFoundError as error:
        raise D4AError("vanished while it was being read", str(path), "run the same command again: the sources are listed anew") from error
    except OSError as error:
        yield _unreadable(flow.modality, "read_error", error.strerror or type(error).__name__)
    _check_unchanged(entry)


def _line_starts(part: Partition) -> dict[str, int]:
    """Entry -> lines that begin in it, for byte ranges: later ranges of the file number their lines on from here."""
    counts = {}
    for index, entry in enumerate(part.entries):
        if entry.end - entry.start < entry.size:
            data = np.memmap(Path(entry.root, entry.path), np.uint8, "r")[max(entry.start - 1, 0) : entry.end - 1]
            counts[str(index)] = int(np.count_nonzero(data == ord("\n"))) + (entry.start == 0)
    return counts


def _check_unchanged(entry: Entry) -> None:
    path = Path(entry.root, entry.path)
    try:
        now = path.stat()
    except PermissionError:
        return
    except OSError as error:
        raise D4AError(
            "vanished since the sources were listed", str(path), "run the same command again: the sources are listed anew"
        ) from error
    if (now.st_size, now.st_mtime_ns) != (entry.size, entry.mtime_ns):
        raise D4AError("changed since the sources were listed", str(path), "run the same command again: only what changed is scanned anew")


def _unreadable(kind: Modality, reason: str, detail: str) -> pa.RecordBatch:
    schema = reader_schema(kind)
    row = {"reason": reason, "detail": detail or None}
    return pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names}], schema=schema)


def latest_text_round(flow: FlowPlan, round_index: int) -> int:
    """The newest round, up to `round_index`, that stored payload: the first, or one with a Transform."""
    return max(r for r in range(round_index + 1) if r == 0 or any(isinstance(s.make(), Transform) for s in flow.rounds[r].stages))


def _stored_batches(store: Store, flow: FlowPlan, round_index: int, part: Partition, rows: Ints) -> Iterator[pa.RecordBatch]:
    schema = reader_schema(flow.modality)
    for one in parts_of(store, flow, latest_text_round(flow, round_index - 1), part):
        places = pq.read_table(one.evidence, columns=["row", "block", "slot"])
        places = places.filter(pa.array(np.isin(places.column("row").to_numpy(), rows)))
        numbers, blocks, slots = (places.column(name).to_numpy() for name in places.column_names)
        with pa.memory_map(str(one.payload)) as source:
            file = pa.ipc.open_file(source)
            for block in np.unique(blocks):
                stored = file.get_batch(int(block)).take(pa.array(slots[blocks == block]))
                columns = {name: stored.column(name) for name in stored.schema.names}
                nothing = {field.name: pa.nulls(len(stored), field.type) for field in schema if field.name not in columns}
                rows_here = pa.array(numbers[blocks == block], pa.int32())
                yield pa.RecordBatch.from_pydict({"row": rows_here, "entry": pa.nulls(len(stored), pa.int32()), **columns, **nothing})


# ----------------------------------------------------------------------------------------------- measuring


class _Evidence:
    """Runs the stages of a round over batches and writes evidence and, where the modality stores it, payload."""

    def __init__(self, unit: Folder, flow: FlowPlan, round_index: int) -> None:
        one = flow.rounds[round_index]
        self._modality = flow.modality
        self._planned: list[tuple[PlannedStage, bool]] = [(s, False) for s in one.carried] + [(s, True) for s in one.stages]
        self._stages: list[Stage] = [planned.make() for planned, _ in self._planned]
        for (planned, _), stage in zip(self._planned, self._stages, strict=True):
            stage.open(planned.facts)
        self._stores = flow.modality.stored and (round_index == 0 or any(isinstance(s, Transform) for s in self._stages))
        self._schema = self._evidence_schema()
        self._file = pq.ParquetWriter(unit.file("evidence", ".parquet"), self._schema, compression="zstd")
        self._payload = _Blocks(unit.file("payload", ".arrow"), flow.modality.columns) if self._stores else None
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._notes: Counter[str] = Counter()
        self.records = 0

    def _evidence_schema(self) -> pa.Schema:
        fields = list(HEAD)
        sizes = self._modality.sizes(pa.RecordBatch.from_pylist([], schema=reader_schema(self._modality)))
        fields += [pa.field(f"size.{suffix}", pa.int64()) for suffix in sorted(sizes)]
        for planned, recorded in self._planned:
            if recorded:
                fields += [pa.field(f"{planned.label}.{v.name}", v.type) for v in planned.make().values]
        return pa.schema(fields)

    def add(self, batch: pa.RecordBatch) -> None:
        """Measure one reader batch and append its evidence."""
        self.records += batch.num_rows
        refused = _Refused(batch.num_rows)
        measured: _Measured = {}
        live, at = refused.take_out(batch, np.arange(batch.num_rows), "read")
        for position, stage in enumerate(self._stages):
            if not live.num_rows:
                break  # every record was refused: the values of later stages are null
            planned, recorded = self._planned[position]
            started = time.process_time()
            if isinstance(stage, Transform):
                live = stage.change(live, wanted_columns(self._stages, position))
                values: Columns = {v.name: live.column(v.name) for v in stage.values}
            elif isinstance(stage, Filter):
                values = stage.measure(live)
            else:
                assert isinstance(stage, Dedup)
                values = stage.sketch(live)
            self._seconds[planned.label] += time.process_time() - started
            if recorded:
                measured.update({f"{planned.label}.{v.name}": (at, values[v.name]) for v in stage.values})
            if isinstance(stage, Transform):
                live, at = refused.take_out(live, at, planned.label)
        self._write(batch, live, at, measured, refused)

    def _write(self, batch: pa.RecordBatch, live: pa.RecordBatch, at: Ints, measured: _Measured, refused: _Refused) -> None:
        payload = live.column(self._modality.columns.names[0])
        columns: dict[str, pa.Array] = {name: batch.column(name) for name in ("row", "entry", "line", "id")}
        columns.update({name: pa.array(getattr(refused, name), pa.string()) for name in ("stage", "reason", "detail")})
        measured["digest"] = at, digests(payload)
        offsets, _ = buffers(payload)
        measured["payload_bytes"] = at, pa.array(np.diff(offsets))
        measured.update({f"size.{suffix}": (at, column) for suffix, column in self._modality.sizes(live).items()})
        if self._payload is not None:
            blocks, slots = self._payload.add(live)
            measured["block"], measured["slot"] = (at, blocks), (at, slots)
        for name, (rows, values) in measured.items():
            columns[name] = _spread(values, rows, batch.num_rows)
        arrays = [columns.get(f.name, pa.nulls(batch.num_rows, f.type)).cast(f.type) for f in self._schema]
        self._file.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> dict[str, Any]:
        """Finish the files; returns the manifest."""
        self._file.close()
        if self._payload is not None:
            self._payload.close()
        return {"records": self.records, "seconds": {label: round(s, 4) for label, s in self._seconds.items()}}


class _Refused:
    """The records of a batch that reader or Transforms refused: by whom, why, and in a few words more."""

    def __init__(self, size: int) -> None:
        self.stage: list[str | None] = [None] * size
        self.reason: list[str | None] = [None] * size
        self.detail: list[str | None] = [None] * size

    def take_out(self, live: pa.RecordBatch, at: Ints, label: str) -> tuple[pa.RecordBatch, Ints]:
        """The rows without a `reason`, and their places in the batch; `at` are the places of all of `live`."""
        out = live.column("reason").is_valid().to_numpy(zero_copy_only=False)
        if not out.any():
            return live, at
        for index in np.flatnonzero(out).tolist():
            place = int(at[index])
            self.stage[place] = label
            self.reason[place] = live.column("reason")[index].as_py()
            self.detail[place] = live.column("detail")[index].as_py()
        return live.filter(pa.array(~out)), at[~out]


def _spread(values: pa.Array, rows: Ints, n: int) -> pa.Array:
    """Values of some rows -> a column of n rows, null elsewhere."""
    if len(rows) == n:
        return values
    index = np.full(n, -1, np.int64)
    index[rows] = np.arange(len(rows))
    return values.take(pa.array(index, mask=index < 0))


def digests(payload: pa.Array) -> pa.Array:
    """blake2b-16 of every record's payload; (n,) binary(16)."""
    offsets, data = buffers(payload)
    view = memoryview(data)  # type: ignore[arg-type]
    return pa.array(
        [hashlib.blake2b(view[a:b], digest_size=16).digest() for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)],
        pa.binary(16),
    )


class _Blocks:
    """Stored payload: an Arrow IPC file of zstd batches of about BLOCK_BYTES, each readable alone."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._file = pa.ipc.new_file(str(path), schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = self._rows = self._block = 0

    def add(self, batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
        """Append records; returns the block and the slot in it of each."""
        blocks, slots = np.zeros(batch.num_rows, np.int32), np.zeros(batch.num_rows, np.int32)
        offsets, _ = buffers(batch.column(self._schema.names[0]))
        start = 0
        for index, size in enumerate(np.diff(offsets).tolist()):
            blocks[index], slots[index] = self._block, self._rows
            self._rows += 1
            self._bytes += size
            if self._bytes >= BLOCK_BYTES:
                self._waiting.append(batch.slice(start, index + 1 - start))
                self._flush()
                start = index + 1
        if start < batch.num_rows:
            self._waiting.append(batch.slice(start))
        return pa.array(blocks), pa.array(slots)

    def _flush(self) -> None:
        if self._rows:
            table = pa.Table.from_batches([b.select(self._schema.names) for b in self._waiting]).combine_chunks()
            self._file.write_batch(table.to_batches()[0])
            self._block += 1
        self._waiting, self._bytes, self._rows = [], 0, 0

    def close(self) -> None:
        """Write the last block and the footer."""
        self._flush()
        self._file.close()
