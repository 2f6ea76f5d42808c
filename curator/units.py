"""A unit of work: plain data that says what to do, and whether it is done; and the names of the steps that units are of.

The driver makes units, and every engine calls `run_unit` with them, so a unit is the same work on a laptop, in a Slurm array
element or in a Ray task.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .backends.device import choose
from .decide.cuts import read_spans
from .decide.verdicts import decide_round, read_kept
from .engines.local import Unit
from .engines.worker import ALONE, INBOX
from .pack.layout import lay_out
from .pack.shards import pack_shard
from .plan import FlowPlan, Plan, load_plan
from .scan.evidence import Evidence
from .scan.partition import Part, Scan, finished, missing_rows, parts_of, scan_partition
from .stage import Ints
from .store import Store, checked, committed, data_file

_early: dict[tuple[str, int, int], Scan] = {}  # flow, round, partition -> what this process does next, begun


def run_unit(unit: Unit) -> dict[str, Any]:
    """Do one unit of work, described by plain data, and commit it. Returns counts for the progress line."""
    if unit["kind"] == "scan":
        place = _place(unit)
        return {"partition": unit["partition"], **finished(_early.pop(place) if place in _early else _begun(unit))}
    store, plan = _store_and_plan(unit)
    flow, fence = plan.flow(unit["flow"]), store.fence(unit["run"])
    if unit["kind"] == "pack":
        if is_committed(store, plan, unit):
            return {"records": 0}
        return pack_shard(store, flow, unit["layout"], unit["shard"], fence)
    evidence = Evidence(store, flow, plan.limit, unit["memory"], choose(plan.machine.device, "cupy").backend)
    if unit["kind"] == "decide":
        return decide_round(store, evidence, unit["round"], unit["key"], unit["before"], fence)
    return lay_out(store, evidence, unit["decided"], plan.recipe.output, unit["key"], fence)


def _store_and_plan(unit: Unit) -> tuple[Store, Plan]:
    store = Store(Path(unit["root"]))
    return store, load_plan(store.state / "plan.json", unit["plan"])


def _begun(unit: Unit) -> Scan:
    """A unit of a scan: where its round has a model, the first batches are now read and decoded."""
    store, plan = _store_and_plan(unit)
    flow, fence = plan.flow(unit["flow"]), store.fence(unit["run"])
    entering = _entering(store, flow, unit) if unit["before"] else None
    cuts = read_spans(store, flow, unit["before"], unit["start"], unit["end"]) if unit["before"] else None
    borne, care, overlap = plan.recipe.max_bad_records, unit.get("care"), not unit.get(ALONE)
    where = (flow, unit["round"], unit["partition"])
    scan = scan_partition(store, *where, entering, cuts, fence, borne, care, overlap, unit["run"], _begin_next)
    next(scan)
    return scan


def _begin_next() -> None:
    """Begin with what this worker does next, so that a model which is done with one unit does not wait for the first images of another."""
    unit = INBOX.next_unit()
    if unit is not None and unit["kind"] == "scan":
        with suppress(Exception):  # what is wrong now is wrong again when it is its turn
            _early[_place(unit)] = _begun(unit)


def _place(unit: Unit) -> tuple[str, int, int]:
    return unit["flow"], unit["round"], unit["partition"]


def is_committed(store: Store, plan: Plan, unit: Unit) -> bool:
    """Whether there is nothing left to do of a unit of a scan or a pack."""
    flow = plan.flow(unit["flow"])
    if unit["kind"] == "pack":
        return committed(store.unit("pack", flow.name, unit["shard"]["unit"])) is not None
    return is_scanned(store, flow, unit, parts_of(store, flow, unit["round"], flow.partitions[unit["partition"]]))


def is_scanned(store: Store, flow: FlowPlan, unit: Unit, parts: list[Part]) -> bool:
    """Whether parts hold all rows of a unit of a scan, and its run knows that the files they name are as they were."""
    missing = missing_rows(parts, _entering(store, flow, unit) if unit["before"] else None)
    return missing is not None and not len(missing) and all(part.looked(unit.get("run")) for part in parts)


def _entering(store: Store, flow: FlowPlan, unit: Unit) -> Ints:
    """Rows of a partition that the round before kept."""
    folder = store.unit("decide", flow.name, unit["before"])
    manifest = committed(folder)
    assert manifest is not None
    kept = read_kept(checked(data_file(folder, manifest, "verdicts")))
    return np.flatnonzero(kept[unit["start"] : unit["end"]]).astype(np.int64)


def needs_card(plan: Plan, flow: FlowPlan, round_index: int) -> bool:
    """Whether a stage of a round computes on a card."""
    stages = flow.rounds[round_index].stages
    return plan.machine.device == "cuda" and any(s.make().cost == "model" or s.facts.local.get("backend") == "rapids" for s in stages)


# ------------------------------------------------------------------------------------------------- names


def scan_step(flow: str, round_index: int) -> str:
    """Name of the step that scans a flow in a round."""
    return f"scan {flow}" + _round(round_index)


def decide_step(flow: str, round_index: int) -> str:
    """Name of the step that decides on a round."""
    return f"decide {flow}" + _round(round_index)


def layout_step(flow: str) -> str:
    """Name of the step that lays out a flow."""
    return f"lay out {flow}"


def pack_step(flow: str) -> str:
    """Name of the step that packs a flow."""
    return f"pack {flow}"


def _round(round_index: int) -> str:
    return f" (round {round_index + 1})" if round_index else ""
