"""The inner half of SCAN: runs the stages of a round over batches, and writes what they measured.

Evidence is a Parquet file with one row for every record that entered, readable or not; values of records that
were refused are null. Payload that the modality stores lies beside it.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..columns import buffers, fixed_rows, same_rows
from ..modality import NAMED, REFERENCE, reader_schema
from ..plan import FlowPlan, PlannedStage, wanted_columns
from ..stage import Columns, Cut, Dedup, Filter, Ints, Stage, Transform
from ..store import Folder
from .ahead import ahead, behind
from .payload import PayloadWriter, digests, rest_digests
from .poison import REASONS, Guard

# of a row group at least: a small one costs more to write, and later to read, than what is in it
GROUP_ROWS = 1 << 14
MEMBER = "member:"  # prefix of the size columns, one a member suffix; no label holds a colon
_Measured = dict[str, tuple[Ints, pa.Array]]  # column -> rows of the batch that have it, and their values
# what evidence says about a record beside measured values; from `digest` on null for refused records
# digest: of the payload proper (text, image bytes); rest: of what else is packed (meta), null where there is nothing else
# start: where stored payload begins in its file
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
        ("rest", pa.binary(16)),
        ("payload_bytes", pa.int64()),
        ("start", pa.int64()),
    ]
)


def evidence_schema(flow: FlowPlan, round_index: int) -> pa.Schema:
    """Schema of the evidence of a round: HEAD, REFERENCE where the modality refers, member sizes, and the values of its stages."""
    sizes = flow.modality.sizes(pa.RecordBatch.from_pylist([], schema=reader_schema(flow.modality)))
    values = [(f"{s.label}.{v.name}", v.type) for s in flow.rounds[round_index].stages for v in s.make().values]
    reference = REFERENCE if flow.modality.refers else []
    return pa.schema([*HEAD, *reference, *((MEMBER + suffix, pa.int64()) for suffix in sorted(sizes)), *values])


def _written(schema: pa.Schema) -> dict[str, Any]:
    """How columns are written: digests, sketches and embeddings are noise to a codec, and no two of them are equal."""
    noise = {field.name for field in schema if pa.types.is_fixed_size_binary(field.type)}
    if any(pa.types.is_nested(field.type) for field in schema):  # Parquet has other names for those
        return {"compression": "zstd"}
    codecs = {name: "none" if name in noise else "zstd" for name in schema.names}
    return {"compression": codecs, "use_dictionary": [name for name in schema.names if name not in noise]}


def member_suffixes(flow: FlowPlan) -> list[str]:
    """Suffixes of the members of every sample of a flow."""
    return sorted(flow.modality.sizes(pa.RecordBatch.from_pylist([], schema=reader_schema(flow.modality))))


class EvidenceWriter:
    """Runs the stages of a round over batches and writes evidence and, where it may be new, payload."""

    def __init__(self, unit: Folder, flow: FlowPlan, round_index: int, guard: Guard) -> None:
        one = flow.rounds[round_index]
        self._guard = guard
        self._modality = flow.modality
        self._planned: list[tuple[PlannedStage, bool]] = [(s, False) for s in one.carried] + [(s, True) for s in one.stages]
        self._stages: list[Stage] = [planned.make() for planned, _ in self._planned]
        self._before_models = one.before_models
        for (planned, _), stage in zip(self._planned, self._stages, strict=True):
            stage.open(planned.facts)
        self._changes = one.changes
        self._schema = evidence_schema(flow, round_index)
        self._file = pq.ParquetWriter(unit.file("evidence", ".parquet"), self._schema, **_written(self._schema))
        self._waiting: list[pa.RecordBatch] = []
        self._payload = PayloadWriter(unit.file("payload", ".bin"), flow.modality.columns) if round_index == 0 or self._changes else None
        self._unit, self._content = unit, hashlib.sha256()  # of what is stored: the digests of its records
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self.records = 0
        self.names_files = False

    def begin(self, batches: Iterator[pa.RecordBatch], overlap: bool, when_read: Callable[[], None]) -> None:
        """Begin with reader batches.

        overlap    where a round has a model: the reader and the stages before it run ahead in a thread of their own, from now on, and what
                   it has done is written in another, so that it is kept waiting by neither
        when_read  called then in the first of these threads, when the model has still to see the last batches
        """
        self._overlap = overlap and self._before_models < len(self._stages)
        ready = (self._through(self._taken(number, batch), range(self._before_models)) for number, batch in enumerate(batches))
        self._ready = ahead(_followed(ready, when_read)) if self._overlap else ready

    def finish(self) -> None:
        """Measure what was begun with, and append the evidence."""
        done = (self._through(hand, range(self._before_models, len(self._stages))) for hand in self._ready)
        if self._overlap:
            behind(done, self._write)
        else:
            for hand in done:
                self._write(hand)

    def _taken(self, number: int, batch: pa.RecordBatch) -> _Hand:
        """A batch as the reader gave it, those out that it could not read."""
        self.records += batch.num_rows
        refused = _Refused(batch.num_rows)
        return _Hand(number, batch, *refused.take_out(batch, np.arange(batch.num_rows), "read"), refused)

    def _through(self, hand: _Hand, positions: range) -> _Hand:
        """The same batch behind these stages."""
        for position in positions:
            if not hand.live.num_rows:
                break  # every record was refused: the values of later stages are null
            started = time.thread_time()
            self._measure(hand, position)
            self._seconds[self._planned[position][0].label] += time.thread_time() - started
        return hand

    def _measure(self, hand: _Hand, position: int) -> None:
        stage, (planned, recorded), refused = self._stages[position], self._planned[position], hand.refused
        work, found = partial(_run, stage, wanted=wanted_columns(self._stages, position)), None
        while found is None and hand.live.num_rows:
            hand.live, hand.at = refused.take_out(self._guard.mark(planned.label, hand.live), hand.at, planned.label)
            found = self._guard.run(position, planned.label, hand.number, work, hand.live) if hand.live.num_rows else None
        if found is None:
            return
        hand.live, values = _joined(found)
        if recorded:
            hand.measured.update({f"{planned.label}.{v.name}": (hand.at, values[v.name]) for v in stage.values})
        if isinstance(stage, Transform):
            hand.live, hand.at = refused.take_out(hand.live, hand.at, planned.label)

    def _write(self, hand: _Hand) -> None:
        """Append the evidence of a batch, and count those of its records that are bad."""
        batch, live, at, measured, refused = hand.batch, hand.live, hand.at, hand.measured, hand.refused
        self._guard.count(refused.bad(self._modality.irrelevant))
        payload = live.column(self._modality.columns.names[0])
        columns: dict[str, pa.Array] = {name: batch.column(name) for name in ("row", "entry", "line", "id")}
        columns.update({name: pa.array(getattr(refused, name), pa.string()) for name in ("stage", "reason", "detail")})
        measured["digest"] = at, digests(payload)
        if len(self._modality.columns) > 1:
            measured["rest"] = at, rest_digests(live.select(self._modality.columns.names[1:]))
        offsets, _ = buffers(payload)
        measured["payload_bytes"] = at, pa.array(np.diff(offsets))
        measured.update({MEMBER + suffix: (at, column) for suffix, column in self._modality.sizes(live).items()})
        if self._payload is not None:
            measured.update({name: (at, column) for name, column in self._stored(self._payload, batch, live, at).items()})
            if self._modality.refers:
                columns.update({field.name: batch.column(field.name) for field in NAMED})
                self.names_files |= columns["file"].null_count < batch.num_rows
            for _, values in [measured[name] for name in ("digest", "rest") if name in measured]:
                self._content.update(fixed_rows(values, np.uint8, (16,)).data)
        for name, (rows, values) in measured.items():
            columns[name] = _spread(values, rows, batch.num_rows)
        arrays = [columns.get(f.name, pa.nulls(batch.num_rows, f.type)).cast(f.type) for f in self._schema]
        self._waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        if sum(one.num_rows for one in self._waiting) >= GROUP_ROWS:
            self._flush()

    def _stored(self, writer: PayloadWriter, batch: pa.RecordBatch, live: pa.RecordBatch, at: Ints) -> Columns:
        """Store what no file holds as it is; `start` of the live records, and at which byte of its file the payload proper of each lies."""
        names = self._modality.columns.names
        columns = [live.column(name) for name in names]
        if not self._modality.refers:
            return {"start": writer.add(live)}
        lies, before = batch.column("at").take(pa.array(at)), batch.column(names[0])
        if self._changes and not same_rows(before, columns[0]):
            lies = pc.if_else(pc.equal(digests(before.take(pa.array(at))), digests(columns[0])), lies, None)
        columns[0] = pc.if_else(lies.is_valid(), pa.scalar(None, columns[0].type), columns[0])
        return {"start": writer.add(pa.RecordBatch.from_arrays(columns, names)), "at": lies}

    def _flush(self) -> None:
        self._file.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting = []

    def close(self) -> dict[str, Any]:
        """Finish the files; returns the manifest."""
        self._flush()
        self._file.close()
        if self._payload is not None:
            self._payload.close()
            self._unit.digests["payload"] = self._content.hexdigest()
        bad = dict(sorted(self._guard.tolerance.counts.items()))
        return {"records": self.records, "bad": bad, "seconds": {label: round(s, 4) for label, s in self._seconds.items()}}


def _followed(hands: Iterator[_Hand], when_read: Callable[[], None]) -> Iterator[_Hand]:
    yield from hands
    when_read()


def _run(stage: Stage, live: pa.RecordBatch, wanted: frozenset[str]) -> tuple[pa.RecordBatch, Columns]:
    """The batch after a stage, and the stage's values; raises what tells that they are not as the stage declares them."""
    if isinstance(stage, Transform):
        changed = stage.change(live, wanted)
        values: Columns = {v.name: changed.column(v.name) for v in stage.values}
    else:
        assert isinstance(stage, Filter | Dedup | Cut)
        changed, values = live, stage.measure(live) if isinstance(stage, Filter) else stage.sketch(live)
    values = {v.name: values[v.name].cast(v.type) for v in stage.values}
    lengths = {name: len(column) for name, column in {**values, "batch": changed}.items()}
    if set(lengths.values()) != {live.num_rows}:
        raise ValueError(f"columns of {lengths} rows for a batch of {live.num_rows}")
    return changed, values


def _joined(found: list[tuple[pa.RecordBatch, Columns]]) -> tuple[pa.RecordBatch, Columns]:
    """One batch and its values, out of those of its records where it was not run as a whole."""
    if len(found) == 1:
        return found[0]
    values = {name: pa.concat_arrays([_whole(columns[name]) for _, columns in found]) for name in found[0][1]}
    return pa.concat_batches([live for live, _ in found]), values


def _whole(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


@dataclass
class _Hand:
    """A batch on its way through the stages.

    number    of the batch in the unit
    batch     as the reader gave it
    live, at  records that nobody refused, as the stages so far changed them, and their places in `batch`
    """

    number: int
    batch: pa.RecordBatch
    live: pa.RecordBatch
    at: Ints
    refused: _Refused
    measured: _Measured = field(default_factory=dict)


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

    def bad(self, irrelevant: frozenset[str]) -> Counter[str]:
        """Reason -> records that cannot be read, or that crash a stage."""
        words = zip(self.stage, self.reason, strict=True)
        return Counter(why for stage, why in words if why in REASONS or (why and stage == "read" and why not in irrelevant))


def _spread(values: pa.Array, rows: Ints, n: int) -> pa.Array:
    """Values of some rows -> a column of n rows, null elsewhere."""
    if len(rows) == n:
        return values
    index = np.full(n, -1, np.int64)
    index[rows] = np.arange(len(rows))
    return values.take(pa.array(index, mask=index < 0))
