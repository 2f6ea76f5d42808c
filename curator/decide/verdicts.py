"""DECIDE: over evidence only. Thresholds, twins, keepers; one verdict for every record.

One unit is one round of one flow. Its result is a table with one row for every record of the flow, in input
order; the next round starts from it. Searches are committed apart, under a key without thresholds (searches.py), so
that a changed threshold does not search again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..dedup.earlier import Joined
from ..dedup.keepers import choose_keepers
from ..dedup.preference import named_values
from ..plan import FlowPlan, PlannedStage, code_key
from ..scan.evidence import Evidence, View
from ..stage import Bools, Cut, Cutter, Dedup, Ints, Judgement, Judging, Pairs, Sampling, Spans, Stage
from ..store import Folder, Store, checked, committed, data_file, digest
from .cuts import search_spans, whereabouts, write_spans
from .searches import found_once

VERDICTS = pa.schema(
    [
        ("kept", pa.bool_()),
        ("stage", pa.dictionary(pa.int16(), pa.string())),
        ("reason", pa.dictionary(pa.int16(), pa.string())),
        ("detail", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("twin", pa.int64()),
        ("elsewhere", pa.string()),
        ("similarity", pa.float64()),
    ]
)


# ------------------------------------------------------------------------------------------------ verdicts


class Verdicts:
    """Growing verdicts of n records, and what each stage did."""

    def __init__(self, size: int) -> None:
        self.kept: Bools = np.ones(size, bool)
        self.names: list[str] = [""]
        self.stage = np.zeros(size, np.int16)
        self.reason = np.zeros(size, np.int16)
        self.detail: npt.NDArray[np.object_] = np.full(size, None, object)
        self.value = np.full(size, np.nan)
        self.threshold = np.full(size, np.nan)
        self.twin = np.full(size, -1, np.int64)
        self.elsewhere: npt.NDArray[np.object_] = np.full(size, None, object)  # name of a twin in an earlier dataset
        self.similarity = np.full(size, np.nan)
        self.clusters: dict[str, Ints] = {}  # see read_clusters; of this round
        self.spans: Spans | None = None  # what the round's Cut takes out; records are those of the flow

    @classmethod
    def of_table(cls, table: pa.Table) -> Verdicts:
        """Go on from a committed table."""
        self = cls(table.num_rows)
        self.kept = table.column("kept").to_numpy().copy()
        for name, target in (("stage", self.stage), ("reason", self.reason)):
            column = table.column(name).combine_chunks()
            codes = np.array([self.code(text) for text in column.dictionary.to_pylist()], np.int16)
            target[:] = codes[column.indices.to_numpy()] if len(codes) else 0
        for name in ("detail", "elsewhere"):
            setattr(self, name, table.column(name).to_numpy(zero_copy_only=False).astype(object))
        for name in ("value", "threshold", "twin", "similarity"):
            setattr(self, name, table.column(name).to_numpy().copy())
        return self

    def code(self, text: str) -> int:
        """The number of a stage label or reason."""
        if text not in self.names:
            self.names.append(text)
        return self.names.index(text)

    def drop(self, where: Ints, stage: str, reasons: list[str], **columns: Any) -> None:
        """Drop records at `where`; `reasons` is one word a record, other columns are arrays as long as `where`."""
        self.kept[where] = False
        self.detail[where] = None  # of a stage before, if any
        self.stage[where] = self.code(stage)
        codes = {reason: self.code(reason) for reason in sorted(set(reasons))}
        self.reason[where] = [codes[reason] for reason in reasons]
        for name, values in columns.items():
            getattr(self, name)[where] = values

    def table(self) -> pa.Table:
        """As VERDICTS."""
        names = pa.array(self.names)
        coded = {n: pa.DictionaryArray.from_arrays(pa.array(getattr(self, n)), names) for n in ("stage", "reason")}
        plain = {n: pa.array(getattr(self, n), VERDICTS.field(n).type) for n in VERDICTS.names if n not in coded}
        return pa.table({name: {**coded, **plain}[name] for name in VERDICTS.names}, schema=VERDICTS)


def decide_key(evidence: Evidence, round_index: int, before: str) -> str:
    """Digest of all evidence of the round, the round before, and the judging options."""
    flow = evidence.flow
    planned = flow.rounds[round_index].stages
    stages = [[s.fingerprint(), s.mode, s.options, [one.dataset_id for one in flow.earlier(s)]] for s in planned]
    return digest("decide", code_key(), flow.name, before, evidence.identity(round_index), stages, evidence.limit)


def decide_round(store: Store, evidence: Evidence, round_index: int, key: str, before: str, fence: Callable[[], None]) -> dict[str, Any]:
    """Judge one round and commit its verdicts under `key`; `before` is the key of the round before, empty in round 0."""
    folder = store.unit("decide", evidence.flow.name, key)
    done = committed(folder)
    if done is not None:
        return {**done, "reused": True}
    verdicts = read_verdicts(store, evidence.flow, before) if before else Verdicts(evidence.size)
    stages = _refused_before(evidence, round_index, verdicts)
    for planned in evidence.flow.rounds[round_index].stages:
        stages.append(_decide_stage(store, evidence, round_index, planned, verdicts, fence))
    with Folder(folder, fence) as unit:
        pq.write_table(verdicts.table(), unit.file("verdicts", ".parquet"), compression="zstd")
        if verdicts.clusters:
            pq.write_table(pa.table(verdicts.clusters), unit.file("clusters", ".parquet"), compression="zstd")
        cuts = {} if verdicts.spans is None else {"cuts": write_spans(unit, evidence, verdicts.spans)}
        unit.manifest = {"stages": stages, "records": evidence.size, "kept": int(verdicts.kept.sum()), **cuts}
    return {**unit.manifest, "reused": False}


def read_verdicts(store: Store, flow: FlowPlan, key: str) -> Verdicts:
    """The committed verdicts of a round."""
    folder = store.unit("decide", flow.name, key)
    manifest = committed(folder)
    assert manifest is not None, key
    return Verdicts.of_table(pq.read_table(checked(data_file(folder, manifest, "verdicts"))))


@lru_cache(maxsize=2)
def read_kept(verdicts: Path) -> Bools:
    """(n,) Who was kept, of all records of a flow: read once for all its partitions."""
    kept: Bools = pq.read_table(verdicts, columns=["kept"]).column(0).to_numpy()
    return kept


def _refused_before(evidence: Evidence, round_index: int, verdicts: Verdicts) -> list[dict[str, Any]]:
    """What the reader refused, and in a later round what a Transform refused when it was run again."""
    carried = [(planned.label, planned.use) for planned in evidence.flow.rounds[round_index].carried]
    rows = [_take_refused(evidence, round_index, verdicts, label, use) for label, use in [("read", "read"), *carried]]
    return rows if round_index == 0 else [row for row in rows if row["reasons"]]


def _take_refused(evidence: Evidence, round_index: int, verdicts: Verdicts, label: str, use: str) -> dict[str, Any]:
    """Drop the records that the reader, or a Transform, refused in the scan."""
    alive = np.flatnonzero(verdicts.kept)
    table = evidence.table(round_index, ["stage", "reason", "detail"], alive)
    mine = pc.fill_null(pc.equal(table.column("stage"), label), False).to_numpy()
    where = alive[mine]
    reasons = table.column("reason").filter(pa.array(mine)).to_pylist()
    details = table.column("detail").filter(pa.array(mine)).to_pylist()
    said = [new or old for new, old in zip(details, verdicts.detail[where], strict=True)]
    verdicts.drop(where, label, reasons, detail=np.array(said, object))
    return {"label": label, "use": use, "in": len(alive), "kept": len(alive) - len(where), "reasons": _count(reasons)}


def _count(reasons: list[str]) -> dict[str, int]:
    names, counts = np.unique(np.array(reasons, dtype=str), return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _decide_stage(
    store: Store, evidence: Evidence, round_index: int, planned: PlannedStage, verdicts: Verdicts, fence: Callable[[], None]
) -> dict[str, Any]:
    reached = np.flatnonzero(verdicts.kept)
    refused = _take_refused(evidence, round_index, verdicts, planned.label, planned.use)
    alive = np.flatnonzero(verdicts.kept)
    stage = planned.make()
    counted = reached if isinstance(stage, Cutter) else alive  # what it refuses is what it cut most of
    result = {**refused, "step": planned.step, "notes": _totals(evidence, round_index, planned.label, stage, counted)}
    view = View(evidence, round_index, planned.label, alive)
    if planned.mode == "judge" and isinstance(stage, Judging):
        _judge(stage, view, verdicts, result)
    elif planned.mode != "annotate" and isinstance(stage, Dedup):
        entered = Joined(evidence.flow.earlier(planned), view)
        asked = [stage.search_key(), _ranking(stage, entered), entered.dataset_ids]
        pairs = found_once(store, view, planned, asked, Pairs, lambda: stage.pairs(entered), fence)
        _keep(stage, entered, pairs, planned, verdicts, result)
    elif isinstance(stage, Cut):
        spans = search_spans(store, view, planned, stage, fence)
        _note_spans(evidence, planned, spans, verdicts, result)
    result["kept"] = int(verdicts.kept.sum())
    return result


def _note_spans(evidence: Evidence, planned: PlannedStage, spans: Spans, verdicts: Verdicts, result: dict[str, Any]) -> None:
    """Leave spans to the round behind, and say of each record where what it loses is kept."""
    verdicts.spans = spans
    result["notes"] |= spans.notes
    if planned.mode == "judge":
        records, told = whereabouts(spans, evidence.keys)
        verdicts.detail[records] = [f"what was cut out of it stands in {keys}" for keys in told]


def _totals(evidence: Evidence, round_index: int, label: str, stage: Stage, alive: Ints) -> dict[str, int]:
    """Sums of the values that are counts, and the records that have any: `emails` 12, `emails records` 3."""
    names = [value.name for value in stage.values if value.total]
    if not names:
        return {}
    table = evidence.table(round_index, [f"{label}.{name}" for name in names], alive).rename_columns(names)
    columns = {name: table.column(name).fill_null(0).to_numpy() for name in names}
    return {key: int(count) for name, c in columns.items() for key, count in ((name, c.sum()), (f"{name} records", np.count_nonzero(c)))}


def _judge(stage: Judging, view: View, verdicts: Verdicts, result: dict[str, Any]) -> None:
    verdict = _verdict(stage, view)
    out = ~verdict.keep
    reasons = [verdict.reasons[code] for code in verdict.reason[out]]
    detail = verdict.detail[out] if verdict.detail is not None else None
    verdicts.drop(view.indices[out], view.label, reasons, value=verdict.value[out], threshold=verdict.threshold[out], detail=detail)
    result["reasons"] = _add(result["reasons"], _count(reasons))


def _verdict(stage: Judging, view: View) -> Judgement:
    if isinstance(stage, Sampling):
        return stage.choose(view)
    names = [value.name for value in stage.values]
    columns = [f"{view.label}.{name}" for name in names]
    return stage.judge(view.evidence.table(view.round_index, columns, view.indices).rename_columns(names))


def _add(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


def _ranking(stage: Dedup, entered: Joined) -> str:
    """Digest of the order of preference, where values of other stages decide it: their evidence is not this round's alone."""
    keep = getattr(stage.options, "keep", None)
    if not (stage.prefers if keep is None else named_values(keep)):
        return ""
    return hashlib.sha256(np.ascontiguousarray(stage.order(entered)).data).hexdigest()


def _keep(stage: Dedup, entered: Joined, pairs: Pairs, planned: PlannedStage, verdicts: Verdicts, result: dict[str, Any]) -> None:
    settled, records = entered.settled, entered.own.indices
    wanted = (pairs.a >= settled) | (pairs.b >= settled)
    if getattr(stage.options, "only_across_sources", False):
        sources = entered.column("source_index").to_numpy()
        wanted &= sources[pairs.a] != sources[pairs.b]
    chosen = pairs if wanted.all() else Pairs(pairs.a[wanted], pairs.b[wanted], pairs.similarity[wanted])
    kept = choose_keepers(chosen.a, chosen.b, chosen.similarity, stage.order(entered), stage.threshold)
    twin, similarity = kept.twin[settled:], kept.similarity[settled:]
    here, there = np.flatnonzero(twin >= settled), np.flatnonzero((twin >= 0) & (twin < settled))
    stands = records.copy()
    stands[here] = records[twin[here] - settled]
    stands[there] = -1  # its cluster is another dataset's
    verdicts.clusters[planned.label] = np.full(len(verdicts.kept), -1, np.int64)
    verdicts.clusters[planned.label][records] = stands
    result["notes"] = {**result["notes"], **pairs.notes}
    if planned.mode == "tag":
        result["notes"] |= {"clusters": len(np.unique(twin[here])), "records that would be dropped": len(here) + len(there)}
        return
    for out, named in ((here, {"twin": stands[here]}), (there, {"elsewhere": [entered.name(int(k)) for k in twin[there]]})):
        verdicts.drop(
            records[out],
            planned.label,
            [stage.reason] * len(out),
            value=similarity[out],
            threshold=np.full(len(out), stage.threshold),
            similarity=similarity[out],
            detail=stage.details(entered, out + settled, twin[out], similarity[out]),
            **named,
        )
    if len(here) + len(there):
        result["reasons"] = _add(result["reasons"], {stage.reason: len(here) + len(there)})
    if settled:
        result["notes"] |= {"records of earlier datasets": settled, "twins in earlier datasets": len(there)}


def read_clusters(store: Store, flow: FlowPlan, key: str) -> dict[str, Ints]:
    """The clusters of a committed round: label of a Dedup -> (n,) int64, the record that stands for each one; -1 where it did not enter."""
    folder = store.unit("decide", flow.name, key)
    manifest = committed(folder)
    assert manifest is not None, key
    if "clusters" not in manifest["files"]:
        return {}
    table = pq.read_table(checked(data_file(folder, manifest, "clusters")))
    return {name: table.column(name).to_numpy() for name in table.column_names}
