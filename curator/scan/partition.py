"""SCAN: once over the payload. Read, clean, measure, sketch; write evidence.

One unit is one partition in one round. Its evidence is a Parquet file with one row for every record that
entered, readable or not; payload is stored beside it (payload.py), or referred to where it lies (references.py).
Evidence of a later round grows in parts: each unit scans only the rows that no part holds yet.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import D4AError
from ..journal import FRONT, JOURNAL
from ..modality import NAMED, REFERENCE, Entry, Modality, reader_schema
from ..plan import FlowPlan
from ..sources import Partition
from ..stage import Cutter, Ints
from ..store import UNIT_MANIFEST, Folder, Store, checked, committed, damaged, data_file, digest, write_manifest
from .measure import EvidenceWriter
from .payload import Stored, as_seen
from .poison import CRASHED, Guard, Poison, Tolerance, last_line
from .references import REFERRED, as_named, changed, filled, origins

SPANS = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64())]))
Scan = Generator[None, None, dict[str, Any]]
Rests = dict[int, tuple[int, str, str]]  # see Poison.rests
_FEW_ROWS = 16  # before a model, of a batch at least: fewer cost more in calls
_PASS_BYTES = 1 << 28  # and its bytes at most, about: five batches are in hand at once
_PIECE_BYTES = 1 << 17  # it stays in the processor's cache


@dataclass(frozen=True)
class Part:
    """One committed piece of a partition's evidence in a round."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def evidence(self) -> Path:
        """The Parquet file. Raises D4AError where it is damaged."""
        return checked(data_file(self.folder, self.manifest, "evidence"))

    @property
    def payload(self) -> Path:
        """The file of stored payload; its records are checked when they are read."""
        return data_file(self.folder, self.manifest, "payload")

    @property
    def digest(self) -> str:
        """sha256 of the evidence: part of the decision's key."""
        return str(self.manifest["files"]["evidence"]["sha256"])

    def looked(self, run: str | None) -> bool:
        """Whether a run knows that the files its records name are as they were; None: whether any run does."""
        return run is None or self.manifest.get("looked", run) == run

    def rows(self) -> Ints:
        """Rows of the partition that this part holds."""
        rows: Ints = read_columns(self.evidence, ["row"]).column("row").to_numpy().astype(np.int64)
        return rows


def read_columns(path: Path, names: list[str]) -> pa.Table:
    """Some columns of one Parquet file; a third of what `read_table` costs on the many small files that evidence is."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=names)


def parts_of(store: Store, flow: FlowPlan, round_index: int, part: Partition) -> list[Part]:
    """Committed parts of a partition's evidence, in a fixed order."""
    folder = store.unit("scan", flow.name, flow.scan_key(round_index, part))
    found = []
    for path in sorted(folder.glob(f"*/{UNIT_MANIFEST}")):
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
    store: Store,
    flow: FlowPlan,
    round_index: int,
    ordinal: int,
    entering: Ints | None,
    cuts: pa.Table | None,
    fence: Callable[[], None],
    max_bad_records: int | None = None,
    care: dict[str, Any] | None = None,
    overlap: bool = True,
    run: str = "",
    when_read: Callable[[], None] = lambda: None,
) -> Scan:
    """Scan what is missing of one partition in one round, and commit it. Stops once, when it has begun; `finished` returns counts.

    entering  rows of the partition that survived the round before; None in round 0
    cuts      what the round before takes out of them: see cuts.read_spans
    care      the batch that a worker died of: see poison.Guard
    overlap   a model works on one batch while the next ones are read and decoded; the bytes are the same without
    run       which run this is: each looks once whether the files that records name are as they were
    when_read see EvidenceWriter.begin
    """
    part = flow.partitions[ordinal]
    key = flow.scan_key(round_index, part)
    before = parts_of(store, flow, round_index, part)
    if round_index == 0 and before and not _as_read(part, before[0], run):
        fence()
        store.drop_unit("scan", flow.name, key)
        before = []
    rows = missing_rows(before, entering)
    if rows is not None and len(rows) == 0:
        yield
        return {"records": 0, "bad": before[0].manifest["bad"] if round_index == 0 else {}}
    name = "all" if rows is None else digest(rows.tolist())[:16]
    with Folder(store.unit("scan", flow.name, key) / name, fence) as unit:
        poison = Poison.of(store, flow, round_index, ordinal)
        guard = Guard(poison, Tolerance(flow.name, max_bad_records), flow.rounds[round_index].before_models, care)
        writer = EvidenceWriter(unit, flow, round_index, guard)
        batches = _batches(store, flow, round_index, ordinal, rows, poison.rests())
        writer.begin(batches if cuts is None else _with_spans(batches, cuts), overlap, when_read)
        yield
        writer.finish()
        unit.manifest = {**writer.close(), "line_starts": _line_starts(flow, part) if round_index == 0 else {}}
        unit.manifest |= {"looked": run} if writer.names_files and round_index == 0 else {}
    return {"records": writer.records, "bad": unit.manifest["bad"]}


def finished(scan: Scan) -> dict[str, Any]:
    """What a scan returns, wherever it stands."""
    while True:
        try:
            next(scan)
        except StopIteration as end:
            return dict(end.value)


def _as_read(part: Partition, one: Part, run: str) -> bool:
    """Whether the files that records of the first round name are as they were when they were read; looked at once a run, and noted."""
    if one.looked(run):
        return True
    if not as_named(part, read_columns(one.evidence, ["entry", *(field.name for field in NAMED)])):
        return False
    write_manifest(one.folder, {**one.manifest, "looked": run})
    return True


def _with_spans(batches: Iterator[pa.RecordBatch], cuts: pa.Table) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.append_column(Cutter.column, _spans_of(cuts, batch.column("row").to_numpy()))


def _spans_of(cuts: pa.Table, rows: Ints) -> pa.Array:
    """(n,) SPANS: what is taken out of these rows of a partition, null where it is nothing."""
    held = cuts.column("row").to_numpy()
    if not len(held):
        return pa.nulls(len(rows), SPANS)
    at = np.minimum(np.searchsorted(held, rows), len(held) - 1)
    return cuts.column("spans").combine_chunks().take(pa.array(at, mask=held[at] != rows))


# ------------------------------------------------------------------------------------------------- reading


def _batches(store: Store, flow: FlowPlan, round_index: int, ordinal: int, rows: Ints | None, rests: Rests) -> Iterator[pa.RecordBatch]:
    """Batches of the records that enter, `row` and `entry` columns in front; in later rounds only `rows`.

    Readers give a batch a file at least: small ones are put together, so that neither kernels nor models run on single records.
    One that is half as large as they may be goes on as it is, because to put it together means to copy it. Before a model a batch is one
    forward pass, which would be padded otherwise, unless its records are huge; so the model begins soon, too.
    """
    part, modality, whole = flow.partitions[ordinal], flow.modality, flow.rounds[round_index].pass_rows
    found = read_partition(flow, part, rests) if rows is None else _stored_batches(store, flow, round_index, ordinal, rows)
    most, size_limit = modality.batch_rows, modality.batch_bytes // 2
    if whole > 1:
        most, size_limit = -(-_FEW_ROWS // whole) * whole, _PASS_BYTES
    waiting: list[pa.RecordBatch] = []
    count = size = 0
    for batch in found:
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, most - count)
            start += piece.num_rows
            waiting.append(piece)
            count, size = count + piece.num_rows, size + piece.get_total_buffer_size() // max(1, batch.num_rows // piece.num_rows)
            if count >= most or size >= size_limit:
                yield _joined(waiting)
                waiting, count, size = [], 0, 0
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def read_partition(flow: FlowPlan, part: Partition, rests: Rests) -> Iterator[pa.RecordBatch]:
    """Records of a partition from their source files, numbered; a file that cannot be opened is one row with a reason.

    rests   entries of which the rest crashes the reader
    Raises D4AError when a file is no longer the one that was listed.
    """
    row = 0
    for index, entry in enumerate(part.entries):
        JOURNAL.open(index)
        for batch in _read_entry(flow, entry, rests.get(index)):
            numbers = pa.array(np.arange(row, row + batch.num_rows, dtype=np.int32))
            entries = pa.array(np.full(batch.num_rows, index, np.int32))
            row += batch.num_rows
            yield pa.RecordBatch.from_arrays([numbers, entries, *batch.columns], names=["row", "entry", *batch.schema.names])


def _read_entry(flow: FlowPlan, entry: Entry, rest: tuple[int, str, str] | None) -> Iterator[pa.RecordBatch]:
    path = Path(entry.root, entry.path)
    if entry.problem:
        yield _unreadable(flow.modality, entry.problem, "")
        return
    _check_unchanged(entry)
    try:
        yield from _read_batches(flow, entry, rest)
    except PermissionError:
        yield _unreadable(flow.modality, "permission_denied", "")
    except FileNotFoundError as error:
        raise D4AError("vanished while it was being read", str(path), "run the same command again: the sources are listed anew") from error
    except OSError as error:
        yield _unreadable(flow.modality, "read_error", error.strerror or type(error).__name__)
    _check_unchanged(entry)


def _read_batches(flow: FlowPlan, entry: Entry, rest: tuple[int, str, str] | None) -> Iterator[pa.RecordBatch]:
    """What the reader gives, up to where it crashes; from there on the entry is one row."""
    found, rows = flow.modality.read(entry, flow.flow.sources[entry.source]), 0
    while True:
        if rest is not None and rest[0] == rows:
            yield _unreadable(flow.modality, rest[1], rest[2])
            return
        JOURNAL.read(rows)
        try:
            batch = next(found, None)
        except (D4AError, OSError):
            raise
        except BaseException as error:  # a parser may call sys.exit
            yield _unreadable(flow.modality, CRASHED, last_line(error))
            return
        finally:
            JOURNAL.rest(FRONT)
        if batch is None:
            return
        rows += batch.num_rows
        yield batch


def _line_starts(flow: FlowPlan, part: Partition) -> dict[str, int]:
    """Entry -> lines that begin in it, for byte ranges: later ranges of the file number their lines on from here."""
    counts = {}
    for index, entry in enumerate(part.entries):
        if entry.end - entry.start < entry.size and flow.modality.counts_lines(entry.path, flow.flow.sources[entry.source]):
            try:
                feeds = _line_feeds(Path(entry.root, entry.path), max(entry.start - 1, 0), entry.end - 1)
            except PermissionError:
                continue  # its one row says so
            counts[str(index)] = feeds + (entry.start == 0)
    return counts


def _line_feeds(path: Path, start: int, end: int) -> int:
    """Line feeds in a range of a file."""
    count, piece = 0, np.empty(_PIECE_BYTES, np.uint8)
    with FileIO(path) as file:
        file.seek(start)
        while start < end and (size := file.readinto(piece.data)):
            count += int(np.count_nonzero(piece[: min(size, end - start)] == ord("\n")))
            start += size
    return count


def _check_unchanged(entry: Entry) -> None:
    for name, *state in [(entry.path, entry.size, entry.mtime_ns), *entry.beside]:
        path = Path(entry.root, name)
        try:
            now = path.stat()
        except PermissionError:
            continue
        except OSError as error:
            hint = "run the same command again: the sources are listed anew"
            raise D4AError("vanished since the sources were listed", str(path), hint) from error
        if [now.st_size, now.st_mtime_ns] != state:
            hint = "run the same command again: only what changed is scanned anew"
            raise D4AError("changed since the sources were listed", str(path), hint)


def _unreadable(kind: Modality, reason: str, detail: str) -> pa.RecordBatch:
    schema = reader_schema(kind)
    row = {"reason": reason, "detail": detail or None}
    return pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names}], schema=schema)


def latest_stored_round(flow: FlowPlan, round_index: int) -> int:
    """The newest round, up to `round_index`, that stored payload: the first, or one with a Transform that may change it."""
    return max(r for r in range(round_index + 1) if r == 0 or flow.rounds[r].changes)


def _stored_batches(store: Store, flow: FlowPlan, round_index: int, ordinal: int, rows: Ints) -> Iterator[pa.RecordBatch]:
    """Some records of a partition, as the last round that stored payload left them."""
    modality, part = flow.modality, flow.partitions[ordinal]
    reference = ["entry", *(field.name for field in REFERENCE)] if modality.refers else []
    for one in parts_of(store, flow, latest_stored_round(flow, round_index - 1), part):
        seen = read_columns(one.evidence, ["row", "start", "payload_bytes", "digest", "rest", *reference])
        seen = seen.filter(pa.array(np.isin(seen.column("row").to_numpy(), rows)))
        portion = np.cumsum(seen.column("payload_bytes").to_numpy()) // modality.batch_bytes
        starts = np.flatnonzero(np.diff(portion, prepend=-1)).tolist()
        for start, end in pairwise([*starts, seen.num_rows]):
            piece = seen.slice(start, end - start).combine_chunks()
            columns = {name: piece.column(name).combine_chunks() for name in ("row", *reference)}
            payload = _stored(store, flow, ordinal, one, piece)
            columns.update(zip(modality.columns.names, payload.columns, strict=True))
            names = ["row", "entry", *reader_schema(modality).names]
            kinds = {"entry": pa.int32(), **{field.name: field.type for field in reader_schema(modality)}}
            yield pa.RecordBatch.from_arrays([columns.get(name, pa.nulls(len(piece), kinds.get(name))) for name in names], names)


def _stored(store: Store, flow: FlowPlan, ordinal: int, one: Part, seen: pa.Table) -> pa.RecordBatch:
    """All payload columns of rows of a part. Raises D4AError where they are not what was seen."""
    columns, stored = flow.modality.columns, Stored(flow.modality.columns)
    if not stored.add(one.payload, seen.column("start").to_numpy(), np.arange(len(seen))):
        raise damaged(one.payload)
    payload = stored.columns(columns.names)
    if flow.modality.refers:
        seen = seen.append_column("origin", origins(ordinal, seen.column("entry")))
        payload = filled(flow, payload, seen.select(REFERRED.names))
    other = seen.filter(pa.array(~as_seen(payload, seen, columns.names[0])))
    if other.num_rows:
        raise (changed(store, flow, other) if flow.modality.refers else None) or damaged(one.payload)
    return payload
