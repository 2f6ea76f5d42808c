"""The end of DECIDE: where every kept record goes, and the tables that say so for every record.

Keys, splits, order and shard borders are fixed here, from exact member sizes, before a byte of payload is
read; so Pack's shards are independent units. One unit is one flow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from .decide import Verdicts, read_clusters, read_verdicts
from .evidence import Evidence
from .ledger import LEDGER, SCHEMA_VERSION, write_tables
from .measure import MEMBER, member_suffixes
from .plan import code_key
from .recipe import Output
from .scan import latest_text_round
from .shards.tar import sample_bytes, tar_bytes
from .stage import Ints, Value
from .store import Folder, Store, committed, digest, intact

PACK_FORMAT = 1


def layout_key(evidence: Evidence, decided: str, output: Output) -> str:
    """Key of a flow's layout: its last decision, and the options of output that place records."""
    options = output.model_dump(mode="json", include={"shard_bytes", "split", "order", "seed"})
    licences = [source.licence for source in evidence.flow.flow.sources]
    return digest("layout", PACK_FORMAT, SCHEMA_VERSION, code_key(), evidence.flow.name, decided, options, licences)


def lay_out(store: Store, evidence: Evidence, decided: list[str], output: Output, key: str, fence: Callable[[], None]) -> dict[str, Any]:
    """Place the kept records of a flow; commit pack list, ledger, scores and sketches.

    decided  key of the verdicts of every round
    """
    folder = store.unit("layout", evidence.flow.name, key)
    done = committed(folder)
    # its tables are linked into the dataset: who changes them there changes them here
    if done is not None and all(intact(folder / entry["name"]) for entry in done["files"].values()):
        return {**done, "reused": True}
    # a round was entered by what the round before kept: evidence may hold more, from runs with other thresholds
    entered = [np.arange(evidence.size), *(np.flatnonzero(read_verdicts(store, evidence.flow, k).kept) for k in decided[:-1])]
    verdicts = read_verdicts(store, evidence.flow, decided[-1])
    kept = np.flatnonzero(verdicts.kept).astype(np.int64)
    clusters = [found for k in decided for found in _clusters(evidence, read_clusters(store, evidence.flow, k))]
    tagged = [one for one in clusters if one.tagged]
    scores = _with_clusters(_values(evidence, entered, kept, sketch=False), tagged, kept)
    packing = _Packing(evidence, kept, output, scores.drop_columns(["id", "key"]), tagged)
    with Folder(folder, fence) as unit:
        pq.write_table(packing.table(), unit.file("pack", ".parquet"), compression="zstd", row_group_size=16_384)
        tables = {
            "ledger": _ledger(evidence, entered, verdicts, kept, packing),
            "scores": _with_clusters(_values(evidence, entered, np.arange(evidence.size), sketch=False), clusters),
            "sketches": _values(evidence, entered, kept, sketch=True),
        }
        counts = {name: write_tables(table, _paths(unit, name)) for name, table in tables.items() if len(table.column_names) > 2}
        unit.manifest = {
            "shards": packing.shards(),
            "tables": counts,
            "records": evidence.size,
            "kept": len(kept),
            "licences": packing.licences(),
            "suffixes": sorted(packing.sizes),
            "scores": packing.scores.column_names,
            "unreadable": int((~verdicts.kept & (verdicts.stage == verdicts.code("read"))).sum()),
        }
    return {**unit.manifest, "reused": False}


def _paths(unit: Folder, name: str) -> Iterator[Path]:
    index = 0
    while True:
        yield unit.file(f"{name}-{index:06d}", ".parquet")
        index += 1


def keyed_hashes(purpose: str, seed: int, *columns: list[Any]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """(n,) uint64 keyed by purpose and seed: the only source of chance in d4a. Columns hold str or bytes."""
    start = hashlib.blake2b(f"{purpose}\0{seed}\0".encode(), digest_size=8)
    out = np.empty(len(columns[0]), np.uint64)
    for index, parts in enumerate(zip(*columns, strict=True)):
        hashed = start.copy()
        for part in parts:
            raw = part.encode() if isinstance(part, str) else part
            hashed.update(len(raw).to_bytes(4, "little") + raw)
        out[index] = int.from_bytes(hashed.digest(), "little")
    return out


class _Packing:
    """The kept records of a flow: split, order, shard of each, and what Pack needs to write them."""

    def __init__(self, evidence: Evidence, kept: Ints, output: Output, scores: pa.Table, tagged: list[_Clusters]) -> None:
        self._evidence, self._kept, self._output, self.scores = evidence, kept, output, scores
        flow = evidence.flow
        self._last = len(flow.rounds) - 1
        self.keys: list[str] = evidence.keys.take(pa.array(kept)).to_pylist()
        self.sources: list[str] = evidence.sources.take(pa.array(kept)).to_pylist()
        self.sample_keys = [hashlib.blake2b(f"{flow.name}\0{key}".encode(), digest_size=10).hexdigest() for key in self.keys]
        self._round = latest_text_round(flow, self._last) if flow.modality.stored else 0
        digests = evidence.table(self._round, ["digest", "rest"], kept)
        self.digests, self.rests = (digests.column(name).combine_chunks() for name in ("digest", "rest"))
        self.heads = self._heads(tagged)
        self.sizes = self._sizes()
        self.splits = self._draw()
        self.order, self.shard = self._arrange()

    def _heads(self, tagged: list[_Clusters]) -> list[bytes]:
        """The beginning of every sample's .json member: key, source, the packed values and the clusters of stages that tag."""
        rows: list[dict[str, Any]] = [{"key": key, "source": source} for key, source in zip(self.keys, self.sources, strict=True)]
        for index, label, value in _all_values(self._evidence):
            if not value.packed:
                continue
            column = self._evidence.table(index, [f"{label}.{value.name}"], self._kept).column(0).to_pylist()
            for row, cell in zip(rows, column, strict=True):
                if cell is not None:
                    name = value.packed if value.packed not in row else f"{label}.{value.packed}"
                    row[name] = orjson.Fragment(cell) if value.json else cell
        for one in tagged:
            for row, *cells in zip(rows, *(column.to_pylist() for column in one.columns(self._kept).values()), strict=True):
                row.update({name: cell for name, cell in zip(one.names, cells, strict=True) if cell is not None})
        return [orjson.dumps(row) for row in rows]

    def _sizes(self) -> dict[str, Ints]:
        """suffix -> (kept,) int64 bytes of that member, as Pack will write it."""
        suffixes = member_suffixes(self._evidence.flow)
        table = self._evidence.table(self._round, [MEMBER + suffix for suffix in suffixes], self._kept)
        sizes = {suffix: table.column(MEMBER + suffix).to_numpy().astype(np.int64) for suffix in suffixes}
        heads = np.array([len(head) for head in self.heads], np.int64)
        sizes["json"] = np.where(sizes["json"] == 2, heads, heads + sizes["json"] - 1)
        return sizes

    def _draw(self) -> list[str]:
        """The split of every kept record, by a keyed draw on its key."""
        names = sorted(self._output.split)
        shares = np.cumsum([self._output.split[name] for name in names])
        if not names:
            return ["train"] * len(self.keys)
        drawn = keyed_hashes("split", self._output.seed, self.keys) / 2.0**64
        return [[*names, "train"][index] for index in np.searchsorted(shares, drawn, side="right")]

    def _arrange(self) -> tuple[Ints, Ints]:
        """Order of packing (indices into kept) and the shard number of each place in it; shards never cross splits."""
        if self._output.order == "shuffle":
            draw = keyed_hashes("order", self._output.seed, self.digests.to_pylist(), self.keys)
        else:
            draw = np.arange(len(self.keys), dtype=np.uint64)
        names = sorted(set(self.splits))
        split = np.array([names.index(s) for s in self.splits], np.int64)
        order = np.lexsort((draw, split)).astype(np.int64)  # stable: equal draws, if ever, in input order
        taken = np.asarray(sample_bytes(self.sizes))[order] if len(order) else np.zeros(0, np.int64)
        shard, number, filled, before = np.zeros(len(order), np.int64), -1, 0, -1
        for index, (group, size) in enumerate(zip(split[order].tolist(), taken.tolist(), strict=True)):
            if group != before or tar_bytes(filled + size) > self._output.shard_bytes:
                number, filled, before = number + 1, 0, group
            filled += size
            shard[index] = number
        return order, shard

    @cached_property
    def packed(self) -> pa.Table:
        """What decides the bytes of every shard and of the files beside it, one row a record, in packing order."""
        columns = {
            "key": pa.array(self.keys, pa.large_string()),
            "source": pa.array(self.sources, pa.large_string()),
            "sample_key": pa.array(self.sample_keys, pa.string()),
            "licence": pa.array(self._licences(), pa.string()),
            "digest": self.digests,
            "rest": self.rests,
            "head": pa.array(self.heads, pa.large_binary()),
            **{MEMBER + suffix: pa.array(size) for suffix, size in self.sizes.items()},
            **{name: self.scores.column(name) for name in self.scores.column_names},
        }
        return pa.table(columns).take(pa.array(self.order))

    def shards(self) -> list[dict[str, Any]]:
        """One entry a shard: path, rows of the pack list, unit key."""
        found: list[dict[str, Any]] = []
        counts: dict[str, int] = {}
        for number in range(int(self.shard[-1]) + 1 if len(self.shard) else 0):
            start, end = (int(place) for place in np.searchsorted(self.shard, [number, number + 1]))
            split = self.splits[self.order[start]]
            path = f"{self._evidence.flow.name}/{split}/{counts.get(split, 0):06d}.tar"
            counts[split] = counts.get(split, 0) + 1
            unit = digest("shard", PACK_FORMAT, code_key(), path, _table_digest(self.packed.slice(start, end - start)))
            found.append({"path": path, "split": split, "start": start, "count": end - start, "unit": unit})
        return found

    def table(self) -> pa.Table:
        """The pack list: `packed`, and where the payload lies."""
        places = self._evidence.places(self._kept, self._last).take(pa.array(self.order))
        return pa.table({**{name: self.packed.column(name) for name in self.packed.column_names}, **_columns(places)})

    def _licences(self) -> list[str]:
        licences = []
        for ordinal, part in enumerate(self._evidence.flow.partitions):
            inside = (self._kept >= self._evidence.starts[ordinal]) & (self._kept < self._evidence.starts[ordinal + 1])
            licences += [self._evidence.flow.flow.sources[part.entries[0].source].licence] * int(inside.sum())
        return licences

    def licences(self) -> dict[str, int]:
        """SPDX identifier -> kept samples; records without one are not counted."""
        names, counts = np.unique(np.array(self._licences(), dtype=str), return_counts=True)
        return {str(name): int(count) for name, count in zip(names, counts, strict=True) if name}


def _columns(table: pa.Table) -> dict[str, pa.Array]:
    return {name: table.column(name).combine_chunks() for name in table.column_names}


def _table_digest(table: pa.Table) -> str:
    """sha256 of a table's rows, whatever chunks they lie in."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_batch(table.combine_chunks().to_batches()[0])
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _all_values(evidence: Evidence) -> Iterator[tuple[int, str, Value]]:
    for index, one in enumerate(evidence.flow.rounds):
        for planned in one.stages:
            for value in planned.make().values:
                if not value.working:
                    yield index, planned.label, value


@dataclass(frozen=True)
class _Clusters:
    """What a Dedup found to be alike, of all records of a flow.

    stands  (n,) int64   the record that stands for each one; -1 for records that did not reach the stage
    tagged  whether duplicates stay and the samples say their cluster
    """

    label: str
    tagged: bool
    stands: Ints
    keys: pa.Array

    @property
    def names(self) -> tuple[str, str]:
        """Of the two columns."""
        return f"{self.label}.cluster", f"{self.label}.cluster_size"

    def columns(self, indices: Ints | None = None) -> dict[str, pa.Array]:
        """Key of the record that stands for the cluster, null where it is alone in it; number of its records."""
        entered = self.stands >= 0
        sizes = np.bincount(self.stands[entered], minlength=len(self.stands))[self.stands]
        stands = self.stands
        if indices is not None:
            entered, sizes, stands = entered[indices], sizes[indices], stands[indices]
        named = self.keys.take(pa.array(stands, mask=~(entered & (sizes > 1))))
        return dict(zip(self.names, (named.cast(pa.string()), pa.array(sizes, pa.int64(), mask=~entered)), strict=True))


def _clusters(evidence: Evidence, found: dict[str, Ints]) -> Iterator[_Clusters]:
    modes = {planned.label: planned.mode for one in evidence.flow.rounds for planned in one.stages}
    for label, stands in found.items():
        yield _Clusters(label, modes[label] == "tag", stands, evidence.keys)


def _with_clusters(table: pa.Table, clusters: list[_Clusters], indices: Ints | None = None) -> pa.Table:
    docs = ("key of the record that stands for its cluster; null: alone in it", "records of its cluster, itself included")
    for one in clusters:
        for (name, column), doc in zip(one.columns(indices).items(), docs, strict=True):
            table = table.append_column(pa.field(name, column.type, metadata={"doc": doc}), column)
    return table


# -------------------------------------------------------------------------------------------------- tables


def _ledger(evidence: Evidence, entered: list[Ints], verdicts: Verdicts, kept: Ints, packing: _Packing) -> pa.Table:
    n = evidence.size
    columns: dict[str, pa.Array] = {
        "id": pa.array(evidence.ids),
        "flow": pa.repeat(pa.scalar(evidence.flow.name), n),
        "key": evidence.keys,
        "source": evidence.sources,
        "verdict": pc.if_else(pa.array(verdicts.kept), "kept", "dropped"),
    }
    columns.update(_why(verdicts))
    twins = pa.array(verdicts.twin, mask=verdicts.twin < 0)
    elsewhere = pa.array(verdicts.elsewhere, pa.large_string())
    columns["twin"], columns["twin_source"] = pc.coalesce(evidence.keys.take(twins), elsewhere), evidence.sources.take(twins)
    survivors, last = survivor(verdicts)
    columns["survivor"] = pc.coalesce(evidence.keys.take(pa.array(survivors, mask=survivors < 0)), elsewhere.take(pa.array(last)))
    columns["edited_chars"] = _edited(evidence, entered)
    paths = np.array([shard["path"] for shard in packing.shards()], object)
    shard_of = np.empty(len(kept), object)
    shard_of[packing.order] = paths[packing.shard] if len(kept) else []
    where = np.full(n, -1, np.int64)
    where[kept] = np.arange(len(kept))
    back = pa.array(where, mask=where < 0)
    for name, values in (("split", packing.splits), ("shard", shard_of.tolist()), ("sample_key", packing.sample_keys)):
        columns[name] = pa.array(values, pa.string()).take(back)
    return pa.table([columns[name].cast(LEDGER.field(name).type) for name in LEDGER.names], schema=LEDGER)


def _why(verdicts: Verdicts) -> dict[str, pa.Array]:
    names = pa.array(verdicts.names)
    columns = {name: names.take(pa.array(getattr(verdicts, name), mask=verdicts.kept)) for name in ("stage", "reason")}
    for name in ("value", "threshold", "similarity"):
        values = getattr(verdicts, name)
        columns[name] = pa.array(values, mask=np.isnan(values))
    columns["detail"] = pa.array(verdicts.detail, pa.string())
    return columns


def survivor(verdicts: Verdicts) -> tuple[Ints, Ints]:
    """For a duplicate, (n,) int64: the record of the dataset at the end of its chain of twins, -1 where none is left here; and the last
    record of the chain that has no twin here, itself where it has none: it may have one in an earlier dataset."""
    found, last = verdicts.twin.copy(), np.arange(len(verdicts.twin))
    while True:
        onward = (found >= 0) & ~verdicts.kept[found]
        if not onward.any():
            return found, last
        last[onward] = found[onward]
        found[onward] = verdicts.twin[found[onward]]


def _edited(evidence: Evidence, entered: list[Ints]) -> pa.Array:
    """Sum over all rounds of the values called `edited_chars`; null where none was measured."""
    total, measured = np.zeros(evidence.size, np.int64), np.zeros(evidence.size, bool)
    for index, label, value in _all_values(evidence):
        if value.name == "edited_chars":
            column = evidence.table(index, [f"{label}.edited_chars"], entered[index]).column(0).combine_chunks()
            total[entered[index]] += column.fill_null(0).to_numpy()
            measured[entered[index]] |= column.is_valid().to_numpy(zero_copy_only=False)
    return pa.array(total, mask=~measured)


def _values(evidence: Evidence, entered: list[Ints], indices: Ints, sketch: bool) -> pa.Table:
    """id, key and every measured value of the records at `indices`; null where a record did not enter the round."""
    columns = {"id": pa.array(evidence.ids[indices]), "key": evidence.keys.take(pa.array(indices))}
    schema = [pa.field("id", pa.int64()), pa.field("key", pa.string())]
    for index, label, value in _all_values(evidence):
        if value.sketch != sketch:
            continue
        both = np.intersect1d(entered[index], indices, assume_unique=True)
        column = evidence.table(index, [f"{label}.{value.name}"], both).column(0)
        name = f"{label}.{value.name}"
        at = np.full(len(indices), -1, np.int64)
        at[np.searchsorted(indices, both)] = np.arange(len(both))
        columns[name] = column.combine_chunks().take(pa.array(at, mask=at < 0))
        schema.append(pa.field(name, value.type, metadata={"doc": value.doc}))
    table = pa.table([columns[field.name].cast(field.type) for field in schema], schema=pa.schema(schema))
    return table.replace_schema_metadata({"schema_version": SCHEMA_VERSION})
