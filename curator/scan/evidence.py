"""The evidence of a flow, seen as columns over all its records, and the way back from a record to its payload.

Columns are read when asked for and never all at once: signatures and embeddings are large, and most of the
decision needs neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..backends.device import Backend
from ..errors import D4AError
from ..plan import FlowPlan
from ..stage import Ints, Workspace
from ..store import Store, damaged
from .measure import evidence_schema
from .names import Sources, unique_keys
from .partition import Part, latest_stored_round, parts_of, read_columns
from .payload import Stored, as_seen
from .references import REFERRED, changed, filled, origins

CHUNK_ROWS = 4096
PLACE = pa.schema([("payload", pa.dictionary(pa.int32(), pa.string())), ("start", pa.int64())])


class Evidence:
    """All records of a flow in input order (partition, row); `limit` keeps the first ones only."""

    def __init__(
        self,
        store: Store,
        flow: FlowPlan,
        limit: int | None,
        memory: int = 1 << 30,
        backend: Backend = "cpu",
        known: dict[int, list[list[Part]]] | None = None,
    ) -> None:
        """Nothing depends on `memory` and `backend`.

        memory   for what grows faster than a few words a record [bytes]
        backend  see Workspace
        known    parts of rounds that were looked for before; what is looked for here is added
        """
        self.store, self.flow, self.limit, self.memory, self.backend = store, flow, limit, memory, backend
        self._parts = known if known is not None else {}

    def parts(self, round_index: int) -> list[list[Part]]:
        """For every partition its committed parts."""
        if round_index not in self._parts:
            self._parts[round_index] = [parts_of(self.store, self.flow, round_index, p) for p in self.flow.partitions]
        return self._parts[round_index]

    def identity(self, round_index: int) -> list[Any]:
        """What a decision over this round rests on: which files, how their lines are numbered, and all that was measured."""
        numbered = [parts[0].manifest["line_starts"] for parts in self.parts(0)]
        digests = [[part.digest for part in parts] for parts in self.parts(round_index)]
        return [[p.uid, lines, found] for p, lines, found in zip(self.flow.partitions, numbered, digests, strict=True)]

    @cached_property
    def starts(self) -> Ints:
        """(partitions + 1,) int64: index of every partition's first record."""
        counts = [parts[0].manifest["records"] for parts in self.parts(0)]
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        return np.minimum(starts, self.limit) if self.limit is not None else starts

    @property
    def size(self) -> int:
        """Records of the flow."""
        return int(self.starts[-1])

    def ids(self, start: int, end: int) -> Ints:
        """(n,) int64 of records [start, end): partition ordinal << 32 | row."""
        places = np.arange(start, end)
        ordinals = np.searchsorted(self.starts, places, side="right") - 1
        return ordinals << 32 | (places - self.starts[ordinals])

    def table(self, round_index: int, names: list[str], indices: Ints) -> pa.Table:
        """Columns of a round for the records at `indices` (ascending), which must have entered it."""
        pieces = [evidence_schema(self.flow, round_index).empty_table().select(names)]
        places = [np.zeros(0, np.int64)]
        for ordinal, parts in enumerate(self.parts(round_index)):
            for part in parts:
                piece = read_columns(part.evidence, ["row", *names])
                place = piece.column("row").to_numpy().astype(np.int64) + self.starts[ordinal]
                inside = place < self.starts[ordinal + 1]
                pieces.append(piece.select(names).filter(pa.array(inside)))
                places.append(place[inside])
        whole, where = pa.concat_tables(pieces), np.concatenate(places)
        if np.array_equal(where, indices):
            return whole
        order = np.argsort(where, kind="stable")
        at = order[np.minimum(np.searchsorted(where[order], indices), max(len(order) - 1, 0))] if len(order) else order
        if len(at) != len(indices) or not np.array_equal(where[at], indices):
            raise self.lacking(round_index)
        return whole.take(pa.array(at))

    def chunks(self, round_index: int, name: str, indices: Ints) -> Iterator[tuple[Ints, pa.Array]]:
        """A column of a round for the records at `indices` (ascending), some at a time: places in `indices`, and values."""
        count = 0
        for ordinal, parts in enumerate(self.parts(round_index)):
            for part in parts:
                with pq.ParquetFile(part.evidence) as file:
                    for piece in file.iter_batches(CHUNK_ROWS, columns=["row", name]):
                        records = piece.column("row").to_numpy().astype(np.int64) + self.starts[ordinal]
                        at = np.minimum(np.searchsorted(indices, records), max(len(indices) - 1, 0))
                        wanted = (records < self.starts[ordinal + 1]) & (indices[at] == records if len(indices) else False)
                        count += int(np.count_nonzero(wanted))
                        column = piece.column(name)
                        yield (at, column) if wanted.all() else (at[wanted], column.filter(pa.array(wanted)))
        if count != len(indices):
            raise self.lacking(round_index)

    def lacking(self, round_index: int) -> D4AError:
        """The error for a record that entered a round and has no evidence of it."""
        return D4AError(f"round {round_index + 1} of {self.flow.name} lacks evidence of some records; this is a defect of d4a")

    def round_of(self, column: str) -> int | None:
        """The round that measured `<label>.<value>`, or None."""
        for index, one in enumerate(self.flow.rounds):
            for planned in one.stages:
                if column in {f"{planned.label}.{value.name}" for value in planned.make().values}:
                    return index
        return None

    # ------------------------------------------------------------------------------------ names of records

    @cached_property
    def sources(self) -> Sources:
        """Where every record lies in its source."""
        paths: list[str] = []
        at, lines = np.empty(self.size, np.int32), np.empty(self.size, np.int64)
        seen: dict[tuple[str, str], int] = {}  # lines before the range of a file that was cut
        for ordinal, part in enumerate(self.flow.partitions):
            one = self.parts(0)[ordinal][0]
            start, end = int(self.starts[ordinal]), int(self.starts[ordinal + 1])
            table = read_columns(one.evidence, ["entry", "line"]).slice(0, end - start)
            before = []
            for index, entry in enumerate(part.entries):
                place = (entry.root, entry.path)
                before.append(seen.get(place, 0))
                seen[place] = before[-1] + one.manifest["line_starts"].get(str(index), 0)
            entries, line = table.column("entry").to_numpy(), table.column("line")
            at[start:end] = entries + len(paths)
            lines[start:end] = np.where(line.is_valid(), line.fill_null(0).to_numpy() + np.array(before, np.int64)[entries], -1)
            paths += [entry.path for entry in part.entries]
        return Sources(paths, at, lines)

    def source_indices(self, indices: Ints) -> Ints:
        """(m,) int64: which source of the flow the records at `indices` come from."""
        return self._partition_sources[np.searchsorted(self.starts, indices, side="right") - 1]

    @cached_property
    def _partition_sources(self) -> Ints:
        return np.array([part.entries[0].source for part in self.flow.partitions], np.int64)

    @cached_property
    def keys(self) -> pa.Array:
        """(n,) large_string, unique: the record's own id (unless empty), else its source; repeats get ~2, ~3 in input order."""
        pieces = [pa.array([], pa.large_string())]
        for ordinal, parts in enumerate(self.parts(0)):
            indices = pa.array(np.arange(self.starts[ordinal], self.starts[ordinal + 1]))
            ids = read_columns(parts[0].evidence, ["id"]).column("id").slice(0, len(indices)).combine_chunks().cast(pa.large_string())
            lacks = pc.fill_null(pc.equal(ids, ""), True)
            if pc.any(lacks).as_py():
                ids = pc.replace_with_mask(ids, lacks, self.sources.take(indices.filter(lacks)))
            pieces.append(ids)
        return unique_keys(pa.concat_arrays(pieces))

    # ------------------------------------------------------------------------------------------- payload

    def places(self, indices: Ints, round_index: int) -> pa.Table:
        """Where the payload of records at `indices` (ascending) lies, as it is after a round: columns of `place_schema`.

        `payload` is null where none was stored: the record was refused.
        """
        latest, schema = latest_stored_round(self.flow, round_index), place_schema(self.flow)
        measured = ["start", *(["entry", *REFERRED.names[1:]] if self.flow.modality.refers else [])]
        empty = evidence_schema(self.flow, latest).empty_table().select(measured)
        names: list[str] = []
        tables, codes, where, of = [empty], [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for ordinal, parts in enumerate(self.parts(latest)):
            for part in parts:
                table = read_columns(part.evidence, ["row", *measured])
                table = table.filter(table.column("start").is_valid())
                where.append(table.column("row").to_numpy().astype(np.int64) + self.starts[ordinal])
                codes.append(np.full(table.num_rows, len(names), np.int32))
                of.append(np.full(table.num_rows, ordinal))
                names.append(str(part.payload.relative_to(self.store.state)))
                tables.append(table.select(measured))
        whole, found = pa.concat_tables(tables), np.concatenate(where)
        file = pa.DictionaryArray.from_arrays(pa.array(np.concatenate(codes)), pa.array(names, pa.string()))
        whole = whole.append_column("payload", file)
        if self.flow.modality.refers:
            whole = whole.append_column("origin", origins(np.concatenate(of), whole.column("entry")))
        order = np.argsort(found, kind="stable")
        place = np.searchsorted(found[order], indices)
        held = place < len(found)
        held[held] = found[order[place[held]]] == indices[held]
        at = np.zeros(len(indices), np.int64)
        at[held] = order[place[held]]
        return whole.select(schema.names).take(pa.array(at, mask=~held))


def place_schema(flow: FlowPlan) -> pa.Schema:
    """PLACE, and REFERRED where the modality refers."""
    return pa.schema([*PLACE, *(REFERRED if flow.modality.refers else [])])


def read_payload(store: Store, flow: FlowPlan, places: pa.Table, names: list[str] | None = None) -> pa.Table:
    """Payload columns (all, or `names`) of records at `places`, in that order, as they are found: see `check_digests`.

    Raises D4AError when a source file can no longer be read, or stored payload is cut short.
    """
    columns = pa.schema([flow.modality.columns.field(name) for name in names or flow.modality.columns.names])
    files = places.column("payload").combine_chunks()
    codes = files.indices.to_numpy()
    starts = places.column("start").to_numpy()
    stored = Stored(flow.modality.columns)
    by = np.argsort(codes, kind="stable")
    for mine in np.split(by, np.flatnonzero(np.diff(codes[by])) + 1) if len(by) else []:
        path = store.state / files.dictionary[int(codes[mine[0]])].as_py()
        if not stored.add(path, starts[mine], mine):
            raise damaged(path)
    found = stored.columns(columns.names)
    if flow.modality.refers and columns.names[0] == flow.modality.columns.names[0]:
        found = filled(flow, found, places)
    return pa.Table.from_batches([found], columns)


def check_digests(store: Store, flow: FlowPlan, payload: pa.Table, expected: pa.Table) -> None:
    """Raises D4AError naming the files where payload is not what the scan saw.

    payload   columns of the modality: all, the packed one alone, or all others
    expected  columns of `place_schema`, digest and rest of the same records
    """
    proper = flow.modality.columns.names[0]
    other = expected.filter(pa.array(~as_seen(payload, expected, proper)))
    if other.num_rows:
        referred = flow.modality.refers and proper in payload.column_names
        raise (changed(store, flow, other) if referred else None) or damaged(store.state / other.column("payload")[0].as_py())


# -------------------------------------------------------------------------------------------------- views


@dataclass
class View:
    """What a Dedup or a Sampling sees of the records that reached it: `stage.Entered`."""

    evidence: Evidence
    round_index: int
    label: str
    indices: Ints

    @property
    def size(self) -> int:
        """Number of records."""
        return len(self.indices)

    @property
    def settled(self) -> int:
        """None: all records are this run's."""
        return 0

    def column(self, name: str) -> pa.ChunkedArray:
        """A value of the stage itself, or a column that every record has."""
        if name in ("key", "source"):
            names = self.evidence.keys if name == "key" else self.evidence.sources
            return pa.chunked_array([names.take(pa.array(self.indices))])
        if name == "source_index":
            return pa.chunked_array([self.evidence.source_indices(self.indices)])
        if name in ("digest", "payload_bytes"):
            return self.evidence.table(self.round_index, [name], self.indices).column(0)
        return self.evidence.table(self.round_index, [f"{self.label}.{name}"], self.indices).column(0)

    def chunks(self, name: str) -> Iterator[tuple[Ints, pa.Array]]:
        """A value of the stage itself, or by its full name of any stage up to this round, some records at a time."""
        full = name if "." in name else f"{self.label}.{name}"
        index = self.evidence.round_of(full)
        assert index is not None and index <= self.round_index, full
        return self.evidence.chunks(index, full, self.indices)

    @property
    def workspace(self) -> Workspace:
        """The dataset's own state folder."""
        return Workspace(self.evidence.store.state, self.evidence.memory, self.evidence.backend)

    def foreign(self, name: str) -> pa.ChunkedArray | None:
        """A value of any stage, by its full name."""
        index = self.evidence.round_of(name)
        if index is None or index > self.round_index:  # what a later round measured must not decide this one
            return None
        return self.evidence.table(index, [name], self.indices).column(0)

    def payload(self, indices: Ints, column: str = "") -> pa.Array:
        """A payload column of some of the records, by their index in this view, in the order asked for."""
        store, flow = self.evidence.store, self.evidence.flow
        places, (proper, *others) = self._places.take(pa.array(indices)), flow.modality.columns.names
        names = [proper] if column in ("", proper) else others
        payload = read_payload(store, flow, places, names)
        if not flow.modality.refers or names == others:  # a source's file is compared when it is packed
            check_digests(store, flow, payload, places)
        return payload.column(column or proper).combine_chunks()

    @cached_property
    def _places(self) -> pa.Table:
        places = self.evidence.places(self.indices, self.round_index)
        latest = latest_stored_round(self.evidence.flow, self.round_index)
        seen = self.evidence.table(latest, ["digest", "rest"], self.indices)
        return places.append_column("digest", seen.column("digest")).append_column("rest", seen.column("rest"))
