"""The end of DECIDE: where every kept record goes, and the tables that say so for every record.

Keys, splits, order and shard borders are fixed here, from exact member sizes, before a byte of payload is
read; so Pack's shards are independent units. One unit is one flow. Evidence is read once, some thousand records at a
time; what is held of all records is their keys, and a few numbers of each.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from ..decide.verdicts import read_kept
from ..ledger import LEDGER, SCHEMA_VERSION
from ..plan import FlowPlan, code_key
from ..recipe import Output
from ..scan.evidence import Evidence, place_schema
from ..scan.measure import MEMBER, member_suffixes
from ..scan.partition import latest_stored_round
from ..scan.references import REFERRED, origins
from ..stage import Bools
from ..store import Folder, Store, checked, committed, data_file, digest, intact
from .order import Order
from .packlist import PackFiles, Rows
from .portions import PART, Portion, portions
from .tables import Clusters, Measured, MeasuredValue, TableFiles, Verdicts, edited_chars, ledger_rows

LAYOUT_FORMAT = 2
PACK_FORMAT = 1


def layout_key(evidence: Evidence, decided: str, output: Output) -> str:
    """Key of a flow's layout: its last decision, and the options of output that place records."""
    options = output.model_dump(mode="json", include={"shard_bytes", "split", "order", "seed"})
    licences = [source.licence for source in evidence.flow.flow.sources]
    return digest("layout", LAYOUT_FORMAT, SCHEMA_VERSION, code_key(), evidence.flow.name, decided, options, licences)


def lay_out(store: Store, evidence: Evidence, decided: list[str], output: Output, key: str, fence: Callable[[], None]) -> dict[str, Any]:
    """Place the kept records of a flow; commit pack list, ledger, scores and sketches.

    decided  key of the verdicts of every round
    """
    flow = evidence.flow
    folder = store.unit("layout", flow.name, key)
    done = committed(folder)
    # its tables are linked into the dataset: who changes them there changes them here
    if done is not None and all(intact(folder / entry["name"]) for entry in done["files"].values()):
        return {**done, "reused": True}
    with Folder(folder, fence) as unit:
        unit.manifest = _laid_out(store, evidence, decided, output, unit)
    return {**unit.manifest, "reused": False}


def _laid_out(store: Store, evidence: Evidence, keys: list[str], output: Output, unit: Folder) -> dict[str, Any]:
    """Write all files; returns the manifest."""
    flow = evidence.flow
    *before, last = [_decided(store, flow, key) for key in keys]
    verdicts = Verdicts(checked(last["verdicts"]))
    clusters = [one for decided in (*before, last) for one in _clusters(evidence, decided)]
    order = Order(flow.name, output, int(np.count_nonzero(verdicts.kept)), flow.modality.one_split)
    rows = _PackRows(evidence, order, [one for one in clusters if one.tagged])
    # a round was entered by what the round before kept
    entered = [np.ones(evidence.size, bool), *(read_kept(checked(decided["verdicts"])) for decided in before)]
    tables, edited = _gather(evidence, entered, verdicts.kept, clusters, rows, unit)
    order.arrange()
    ledger = _files(unit, "ledger", LEDGER)
    for piece in ledger_rows(evidence, verdicts, edited, order):
        ledger.add(piece)
    return {
        "shards": _pack_list(order, rows, unit),
        "tables": {"ledger": ledger.close(), **tables},
        "records": evidence.size,
        "kept": len(order.place),
        "licences": dict(sorted(rows.licences.items())),
        "suffixes": rows.suffixes,
        "scores": rows.scores,
    }


def _gather(
    evidence: Evidence, entered: list[Bools], kept: Bools, clusters: list[Clusters], rows: _PackRows, unit: Folder
) -> tuple[dict[str, int], pa.ChunkedArray | None]:
    """Write scores and sketches, and add the rows of the pack list.

    Returns how many files each table has, and (n,) int64 characters that cleaning changed, null where that was not measured; or None.
    """
    values = list(measured_values(evidence.flow))
    scores, sketches = ([value for value in values if value[2].sketch == sketch] for sketch in (False, True))
    tables = {"scores": Measured(scores, clusters), "sketches": Measured(sketches, [])}
    files = {name: _files(unit, name, table.schema) for name, table in tables.items() if len(table.schema) > 2}
    edits = [value for value in values if value[2].name == "edited_chars"]
    edited = []
    for portion in portions(evidence, rows.columns(values), entered):
        keys = evidence.keys.slice(portion.start, len(portion.ids))
        mask = pa.array(kept[portion.start : portion.end])
        measured = tables["scores"].rows(portion, keys)
        if "scores" in files:
            files["scores"].add(measured)
        if "sketches" in files:
            files["sketches"].add(tables["sketches"].rows(portion, keys).filter(mask))
        if edits:
            edited.append(edited_chars(portion, edits))
        rows.add(portion, mask, measured.filter(mask))
    return {name: file.close() for name, file in files.items()}, pa.chunked_array(edited, pa.int64()) if edits else None


class _PackRows:
    """The rows of the pack list: what Pack needs to know of every kept record of a flow."""

    def __init__(self, evidence: Evidence, order: Order, tagged: list[Clusters]) -> None:
        flow = evidence.flow
        self._evidence, self._flow, self._order = evidence, flow, order
        self._rows = Rows(evidence.store.state, evidence.memory)
        values = list(measured_values(flow))
        self._packed = [value for value in values if value[2].packed]
        self._tags = [name for one in tagged for name in one.names]
        self.scores = [*(f"{label}.{value.name}" for _, label, value in values if not value.sketch), *self._tags]
        self.suffixes = member_suffixes(flow)
        self.licences: Counter[str] = Counter()  # SPDX identifier -> samples; those without one are not counted
        self.round = latest_stored_round(flow, len(flow.rounds) - 1)
        self._place = ["start", *(["entry", *REFERRED.names[1:]] if flow.modality.refers else [])]

    def columns(self, values: list[MeasuredValue]) -> list[list[str]]:
        """For every round what is to be read of it: values, and what rows are made of."""
        columns = [["row", *(f"{label}.{v.name}" for i, label, v in values if i == index)] for index in range(len(self._flow.rounds))]
        columns[self.round] += ["digest", "rest", *(MEMBER + suffix for suffix in self.suffixes), *self._place]
        return columns

    def add(self, portion: Portion, kept: pa.Array, scores: pa.Table) -> None:
        """Add the kept records of a portion; their keys and scores are given."""
        indices = np.flatnonzero(kept) + portion.start
        keys, sources = scores.column("key").to_pylist(), self._evidence.sources.take(pa.array(indices))
        names = ["digest", "rest", *(MEMBER + suffix for suffix in self.suffixes), PART, *self._place]
        stored = portion.rounds[self.round].select(names).filter(kept)
        heads = self._heads(portion, kept, scores, keys, sources.to_pylist())
        sizes = {suffix: stored.column(MEMBER + suffix).to_numpy() for suffix in self.suffixes}
        lengths = np.fromiter(map(len, heads), np.int64, len(heads))
        sizes["json"] = np.where(sizes["json"] == 2, lengths, lengths + sizes["json"] - 1)
        licences = [source.licence for source in self._flow.flow.sources]
        of = self._evidence.source_indices(indices)
        self.licences.update({licences[k]: count for k, count in enumerate(np.bincount(of).tolist()) if count and licences[k]})
        columns = {
            "key": scores.column("key").cast(pa.large_string()),
            "source": sources,
            "sample_key": self._order.add(keys, stored.column("digest").to_numpy().tolist(), sizes),
            "licence": pa.array(licences, pa.string()).take(pa.array(of)),
            **{name: stored.column(name) for name in ("digest", "rest")},
            "head": pa.array(heads, pa.large_binary()),
            **{MEMBER + suffix: pa.array(size) for suffix, size in sizes.items()},
            **{name: scores.column(name) for name in self.scores},
            **{name: stored.column(name) for name in (PART, *self._place) if name != "entry"},
        }
        if self._flow.modality.refers:
            columns["origin"] = origins(portion.ids[kept.to_numpy(zero_copy_only=False)] >> 32, stored.column("entry"))
        self._rows.add(pa.table(columns))

    def _heads(self, portion: Portion, kept: pa.Array, scores: pa.Table, keys: list[str], sources: list[str]) -> list[bytes]:
        """The beginning of every sample's .json member: key, source, the packed values and the clusters of stages that tag."""
        rows: list[dict[str, Any]] = [{"key": key, "source": source} for key, source in zip(keys, sources, strict=True)]
        for one in self._packed:
            _, label, value = one
            for row, cell in zip(rows, portion.column(one).filter(kept).to_pylist(), strict=True):
                if cell is not None:
                    name = value.packed if value.packed not in row else f"{label}.{value.packed}"
                    row[name] = orjson.Fragment(cell) if value.json else cell
        for tag in self._tags:
            for row, cell in zip(rows, scores.column(tag).to_pylist(), strict=True):
                if cell is not None:
                    row[tag] = cell
        return [orjson.dumps(row) for row in rows]

    def in_order(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Once arranged, the rows of every shard: what decides the bytes of its files; and where their payload lies."""
        payloads, schema = self._payloads(), place_schema(self._flow)
        before = shard = 0
        for rows in self._rows.ordered(self._order.place, self._order.starts):
            while shard + 1 < len(self._order.starts) and (end := int(self._order.starts[shard + 1])) <= before + rows.num_rows:
                start = int(self._order.starts[shard])
                mine = rows.slice(start - before, end - start)
                places = self._places(mine, payloads)
                yield mine.drop_columns([name for name in (PART, *schema.names) if name in mine.column_names]), places.select(schema.names)
                shard += 1
            before += rows.num_rows

    def _payloads(self) -> list[str]:
        state = self._evidence.store.state
        return [str(part.payload.relative_to(state)) for parts in self._evidence.parts(self.round) for part in parts]

    def _places(self, rows: pa.Table, payloads: list[str]) -> pa.Table:
        held, codes = np.unique(rows.column(PART), return_inverse=True)
        file = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array([payloads[number] for number in held], pa.string()))
        return rows.append_column("payload", file)


def _pack_list(order: Order, rows: _PackRows, unit: Folder) -> list[dict[str, Any]]:
    """Write the pack list. Returns one entry a shard: path, split, samples, unit key, and where its rows are."""
    files, shards = PackFiles(unit), []
    for (split, path), (told, places) in zip(order.paths, rows.in_order(), strict=True):
        key = digest("shard", PACK_FORMAT, code_key(), path, _table_digest(told))
        table = pa.table({name: column for one in (told, places) for name, column in zip(one.column_names, one.columns, strict=True)})
        shards.append({"path": path, "split": split, "count": told.num_rows, "unit": key, **files.add(table)})
    files.close()
    return shards


def _table_digest(table: pa.Table) -> str:
    """sha256 of a table's rows, wherever in memory they lie: a slice that is not copied may be written with bytes beyond it."""
    rows = pa.record_batch([pa.concat_arrays(column.chunks) for column in table.columns], schema=table.schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_batch(rows)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _files(unit: Folder, name: str, schema: pa.Schema) -> TableFiles:
    return TableFiles(schema, lambda number: unit.file(f"{name}-{number:06d}", ".parquet"))


def measured_values(flow: FlowPlan) -> Iterator[MeasuredValue]:
    """Every value that is in scores or sketches."""
    for index, one in enumerate(flow.rounds):
        for planned in one.stages:
            yield from ((index, planned.label, value) for value in planned.make().values if not value.working)


def _clusters(evidence: Evidence, decided: dict[str, Path]) -> Iterator[Clusters]:
    """Of the stages of a round."""
    if "clusters" not in decided:
        return
    path = checked(decided["clusters"])
    modes = {planned.label: planned.mode for one in evidence.flow.rounds for planned in one.stages}
    for label in pq.read_schema(path).names:
        stands = pq.read_table(path, columns=[label]).column(label).to_numpy()
        yield Clusters(label, modes[label] == "tag", stands, evidence.keys)


def _decided(store: Store, flow: FlowPlan, key: str) -> dict[str, Path]:
    """The files of a committed decision, by their stems."""
    folder = store.unit("decide", flow.name, key)
    manifest = committed(folder)
    assert manifest is not None, key
    return {stem: data_file(folder, manifest, stem) for stem in manifest["files"]}
