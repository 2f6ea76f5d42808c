"""Runs a plan: hands the units of each act to the engine, in order, and publishes the result.

The driver holds the lock and does nothing heavy. It knows no engine: what it hands out are plain units, and an engine that
gives no result for one leaves it to others.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import orjson
import pyarrow as pa

from .decide.verdicts import decide_key, read_verdicts
from .doctor import memory_share
from .engines.local import STEP_S, UNIT_S, LocalEngine, Unit, Work
from .engines.ray import RayEngine
from .errors import D4AError, MachineError
from .outcome import FlowOutcome, Outcome
from .pack.layout import layout_key
from .pack.publish import publish
from .pack.shards import packed, published_shards
from .plan import FlowPlan, Plan, make_plan, save_plan
from .progress import Reporter
from .recipe import Recipe
from .scan.evidence import Evidence
from .scan.partition import Part, parts_of
from .scan.poison import REASONS, Tolerance, after_death
from .slurm.jobs import check_free
from .sources import changed
from .stage import Judging, Machine
from .store import Store, read_json, replacing, write_json
from .units import decide_step, is_scanned, layout_step, needs_card, pack_step, run_unit, scan_step

# -------------------------------------------------------------------------------------------------- driver


class Engine(Protocol):
    """Runs independent units. One that gives no result for a unit leaves it to others, and the run goes on when they committed it."""

    workers: int
    memory: int

    def run(self, units: list[Unit], work: Work) -> Iterator[dict[str, Any]]:
        """Results of `work`, in any order."""

    def close(self, kill: bool = False) -> None:
        """End what runs beside this process; with `kill` in the middle of a unit."""


class Deferred(Exception):  # noqa: N818
    """The engine left units to others. `steps`: name of a step -> how many of its units."""

    def __init__(self, steps: dict[str, int]) -> None:
        super().__init__(steps)
        self.steps = steps


class Driver:
    """One run over one dataset folder, under its lock."""

    def __init__(self, store: Store, plan: Plan, engine: Engine, run_id: str, reporter: Reporter) -> None:
        self.store, self.plan, self.engine, self.run_id, self.reporter = store, plan, engine, run_id, reporter
        self.outcomes = {flow.name: FlowOutcome(flow.name, skipped=flow.skipped, hints=flow.hints) for flow in plan.flows}
        self._decided: defaultdict[str, list[str]] = defaultdict(list)
        self._scanned: defaultdict[str, Counter[int]] = defaultdict(Counter)  # by partition
        self._parts: defaultdict[str, dict[int, list[list[Part]]]] = defaultdict(dict)  # of each round, read once
        self._bad = {flow.name: Tolerance(flow.name, plan.recipe.max_bad_records) for flow in plan.flows}
        self._stamp = save_plan(store, plan)
        self._left: dict[str, int] = {}
        shutil.rmtree(store.state / "steps", ignore_errors=True)

    def run(self) -> Outcome:
        """Everything, to the published dataset. Raises Deferred where the engine left units to others."""
        started = time.monotonic()
        self.work()
        with self.reporter.spinner("publish"):
            dataset, published = publish(self.store, self.plan, list(self.outcomes.values()))
        return Outcome(
            self.store.root, dataset.dataset_id, list(self.outcomes.values()), time.monotonic() - started, published, self.plan.limit
        )

    def work(self) -> None:
        """Scan and decide round after round, lay out, pack. Raises Deferred."""
        for round_index in range(max(len(flow.rounds) for flow in self.plan.flows)):
            flows = [flow for flow in self.plan.flows if len(flow.rounds) > round_index]
            for flow in flows:
                self._scan(flow, round_index)
            self._end_of_step()
            if round_index == 0:
                self._know_seen()
            for flow in flows:
                self._decide(self.plan.flow(flow.name), round_index)
        for flow in self.plan.flows:
            self._lay_out(flow)
        self._check_sources()
        self._pack()
        self._end_of_step()

    def _end_of_step(self) -> None:
        """What comes next needs all units so far."""
        if self._left:
            raise Deferred(self._left)

    def _units(self, name: str, units: list[Unit], reused: int = 0) -> Iterator[dict[str, Any]]:
        self.reporter.step(name, len(units) + reused, reused)
        common = {"root": str(self.store.root), "run": self.run_id, "plan": self._stamp, "memory": self.engine.memory}
        whole = [{**unit, **common} for unit in units]
        if whole:
            with replacing(self.store.units_file(name)) as file:
                file.writelines(orjson.dumps(unit) + b"\n" for unit in whole)
        left = len(whole)
        for result in self.engine.run(whole, run_unit):
            left -= 1
            self.reporter.advance(result.get("records", 0))
            yield result
        if left:
            self._left[name] = left

    def _unit(self, name: str, unit: Unit) -> dict[str, Any]:
        """The result of a step of one unit, on which all that follows rests."""
        for result in self._units(name, [unit]):
            return result
        raise Deferred(self._left)

    def _scan(self, flow: FlowPlan, round_index: int) -> None:
        todo = list(self._scan_units(flow, round_index))
        name = scan_step(flow.name, round_index)
        if self.plan.limit is not None and round_index == 0:
            self._scan_first(flow, name, todo)
        else:
            self._count_scanned(flow, round_index, self._units(name, todo, len(flow.partitions) - len(todo)))

    def _evidence(self, flow: FlowPlan) -> Evidence:
        return Evidence(self.store, flow, self.plan.limit, known=self._parts[flow.name])

    def _know_seen(self) -> None:
        """Later rounds measure what the first one found, not what was there before."""
        for flow in self.plan.flows:
            if flow.modality.refers and len(flow.rounds) > 1:
                self.plan = self.plan.with_seen(flow.name, [parts[0].digest for parts in self._evidence(flow).parts(0)])
                self._stamp = save_plan(self.store, self.plan)

    def _scan_units(self, flow: FlowPlan, round_index: int) -> Iterator[Unit]:
        """One unit for every partition with something to scan; bad records of what is scanned are counted."""
        before = self._decided[flow.name][-1] if round_index else ""
        evidence = self._evidence(flow)
        starts = evidence.starts if before else np.zeros(len(flow.partitions) + 1, np.int64)
        for ordinal, parts in enumerate(evidence.parts(round_index)):
            unit = {"kind": "scan", "flow": flow.name, "round": round_index, "partition": ordinal, "before": before, "run": self.run_id}
            unit.update(start=int(starts[ordinal]), end=int(starts[ordinal + 1]))
            done = is_scanned(self.store, flow, unit, parts)
            for part in parts if done or round_index else ():  # what is looked at again counts its own
                self._bad[flow.name].add(part.manifest["bad"])
            if not done:
                yield unit

    def _scan_first(self, flow: FlowPlan, name: str, todo: list[Unit]) -> None:
        """With --limit: scan partitions in order until they hold enough records, and leave the rest out of the plan."""
        assert self.plan.limit is not None
        waiting = {unit["partition"]: unit for unit in todo}
        total, used = 0, 0
        while used < len(flow.partitions) and total < self.plan.limit:
            wave = flow.partitions[used : used + self.engine.workers]
            units = [waiting[used + k] for k in range(len(wave)) if used + k in waiting]
            self._count_scanned(flow, 0, self._units(name, units, len(wave) - len(units)))
            for parts in self._parts[flow.name][0][used : used + len(wave)]:
                if total < self.plan.limit:
                    total += int(parts[0].manifest["records"])
                    used += 1
        self.plan = self.plan.with_partitions(flow.name, used)
        del self._parts[flow.name][0][used:]
        self._stamp = save_plan(self.store, self.plan)

    def _count_scanned(self, flow: FlowPlan, round_index: int, results: Iterable[dict[str, Any]]) -> None:
        """Records, not readings: of a partition, a later round scans some of those again that an earlier one scanned."""
        most = self._scanned[flow.name]
        for result in results:
            ordinal = result["partition"]
            most[ordinal] = max(most[ordinal], result["records"])
            self._bad[flow.name].add(result["bad"])
            self._parts[flow.name][round_index][ordinal] = parts_of(self.store, flow, round_index, flow.partitions[ordinal])
        self.outcomes[flow.name].scanned = most.total()

    def _decide(self, flow: FlowPlan, round_index: int) -> None:
        outcome = self.outcomes[flow.name]
        decided = self._decided[flow.name]
        before = decided[-1] if decided else ""
        key = decide_key(self._evidence(flow), round_index, before)
        unit = {"kind": "decide", "flow": flow.name, "round": round_index, "key": key, "before": before}
        result = self._unit(decide_step(flow.name, round_index), unit)
        decided.append(key)
        if "cuts" in result:
            self.plan = self.plan.with_cuts(flow.name, result["cuts"])
            self._stamp = save_plan(self.store, self.plan)
        outcome.records, outcome.kept = result["records"], result["kept"]
        outcome.stages += self._timed(flow, round_index, result["stages"])
        if round_index == 0:
            _check_readable(flow, result["stages"], self.plan.recipe.max_bad_fraction, lambda: self._first_unreadable(flow, key))
        outcome.silent_rules += list(_silent_rules(flow, round_index, result["stages"]))

    def _first_unreadable(self, flow: FlowPlan, key: str) -> str:
        """Where the first record lies that could not be read, or crashed a stage."""
        verdicts = read_verdicts(self.store, flow, key)
        crashed, passed = ([verdicts.code(word) for word in words] for words in (REASONS, flow.modality.irrelevant))
        unread = (verdicts.stage == verdicts.code("read")) & ~np.isin(verdicts.reason, passed)
        where = np.flatnonzero(~verdicts.kept & (unread | np.isin(verdicts.reason, crashed)))
        return str(self._evidence(flow).sources.take(pa.array(where[:1]))[0])

    def _timed(self, flow: FlowPlan, round_index: int, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Summary rows with the CPU seconds each stage took in the scan."""
        seconds: Counter[str] = Counter()
        for part in chain.from_iterable(self._evidence(flow).parts(round_index)):
            seconds.update(part.manifest["seconds"])
        return [{**row, "seconds": seconds.get(row["label"], 0.0)} for row in stages]

    def _lay_out(self, flow: FlowPlan) -> None:
        flow = self.plan.flow(flow.name)
        decided = self._decided[flow.name]
        key = layout_key(self._evidence(flow), decided[-1], self.plan.recipe.output)
        result = self._unit(layout_step(flow.name), {"kind": "layout", "flow": flow.name, "key": key, "decided": decided})
        outcome = self.outcomes[flow.name]
        outcome.layout = key
        outcome.shards, outcome.licences, outcome.suffixes = result["shards"], result["licences"], result["suffixes"]

    def _check_sources(self) -> None:
        """Nothing is published of sources that are no longer what was scanned."""
        paths = changed(self.plan.entries())
        if paths:
            raise D4AError(
                f"{len(paths)} source files changed or vanished since the scan: {', '.join(paths[:5])}{' …' if len(paths) > 5 else ''}",
                hint="nothing was published; run the same command again: only what changed is scanned anew",
            )

    def _pack(self) -> None:
        published = published_shards(self.store)
        for flow in self.plan.flows:
            outcome = self.outcomes[flow.name]
            todo = [s for s in outcome.shards if packed(self.store, flow.name, s, published) is None]
            units = [{"kind": "pack", "flow": flow.name, "layout": outcome.layout, "shard": shard} for shard in todo]
            for _ in self._units(pack_step(flow.name), units, len(outcome.shards) - len(todo)):
                pass


def _check_readable(flow: FlowPlan, rows: list[dict[str, Any]], allowed: float, first: Callable[[], str]) -> None:
    read, *others = rows
    counted = Counter({reason: count for reason, count in read["reasons"].items() if reason not in flow.modality.irrelevant})
    relevant = read["kept"] + counted.total()
    for row in others:
        counted.update({reason: count for reason, count in row["reasons"].items() if reason in REASONS})
    bad = counted.total()
    if relevant and bad / relevant > allowed:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counted.items(), key=lambda r: -r[1])[:4])
        raise D4AError(
            f"{flow.name}: {bad} of {relevant} records cannot be read ({reasons}); the recipe allows {allowed:.0%}",
            first(),
            f"see the sources' path, format and {'text_field' if flow.name == 'text' else 'images'}; or raise max_bad_fraction",
        )


def _silent_rules(flow: FlowPlan, round_index: int, stages: list[dict[str, Any]]) -> Iterator[str]:
    """Rules that dropped nothing of what reached them: often a sign that a threshold is not what it was meant to be."""
    fired = {row["label"]: row["reasons"] for row in stages if row["in"]}
    for planned in flow.rounds[round_index].stages:
        stage = planned.make()
        if planned.mode == "judge" and isinstance(stage, Judging) and planned.label in fired:
            reasons = {rule.reason for rule in stage.rules() if getattr(stage.options, rule.option) is not None}
            yield from (f"{planned.label}: {reason}" for reason in sorted(reasons - set(fired[planned.label])))


# ------------------------------------------------------------------------------------------------- curate


def curate(
    recipe: Recipe,
    recipe_digest: str,
    out: Path,
    machine: Machine,
    *,
    workers: int,
    memory: int | None = None,
    worker_bytes: int | None = None,
    batch_s: float = STEP_S,
    unit_s: float = UNIT_S,
    limit: int | None = None,
    fresh: bool = False,
    accept_class: bool = False,
    take_over: bool = False,
    engine: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
    reporter: Reporter,
) -> Outcome:
    """Raw folders in, a finished dataset out. Raises D4AError; what was committed until then is used by the next run.

    memory        bytes for pair searches, None: a quarter of what is free
    worker_bytes  a worker that holds more is killed, and its unit run again alone; None: nine tenths of what is free
    batch_s       so is one that is longer at a stage with a batch
    unit_s        or at a unit
    take_over     do not ask Slurm whether jobs of this dataset are alive
    ray_address   host:port of a running cluster for engine "ray"; None: a Ray of this run's own
    """
    out = out.absolute()
    store, run_id = Store(out), uuid.uuid4().hex
    store.make()
    if not take_over:
        check_free(store)
    with store.locked(run_id):
        plan = begin(store, lambda: make_plan(recipe, recipe_digest, machine, out, limit), reporter, fresh, accept_class)
        local = LocalEngine(workers, memory or memory_share(), after_death, batch_s, worker_bytes, unit_s)
        local.tick = lambda: reporter.tick(local.retried)
        runs = local if engine == "local" else ray_engine(store, plan, local, ray_address)
        try:
            outcome = Driver(store, plan, runs, run_id, reporter).run()
        except BaseException:
            runs.close(kill=True)
            raise
        runs.close()
        return outcome


def ray_engine(store: Store, plan: Plan, local: LocalEngine, address: str | None) -> RayEngine:
    """Engine `ray` for the units of a plan, on a running cluster or a Ray of its own. Raises MachineError without NeMo Curator."""

    def cards(unit: Unit) -> float:
        return float(unit["kind"] == "scan" and needs_card(plan, plan.flow(unit["flow"]), unit["round"]))

    return RayEngine(local, store.state, address, cards)


def begin(store: Store, planned: Callable[[], Plan], reporter: Reporter, fresh: bool = False, accept_class: bool = False) -> Plan:
    """The plan of a run that starts, under the lock: what a crash left is cleared up first. Raises D4AError."""
    store.finish_publication()
    if fresh:
        store.drop_state("scan", "decide", "match", "layout", "pack", "next")
    store.check_published()
    with reporter.spinner("list sources, find models"):
        plan = planned()
    _check_class(store, plan, fresh or accept_class)
    return plan


def _check_class(store: Store, plan: Plan, accept: bool) -> None:
    """A run is never continued silently in another numeric class: the same model, but other digits."""
    path = store.state / "class.json"
    before, now = read_json(path) or {}, plan.numeric_class()
    for label, entry in now.items():
        old = before.get(label)
        if old is not None and not accept and old["options"] == entry["options"] and old["numeric"] != entry["numeric"]:
            keys = sorted({*old["numeric"], *entry["numeric"]})
            names = [name for name in keys if old["numeric"].get(name) != entry["numeric"].get(name)]
            changes = ", ".join(f"{name} {old['numeric'].get(name)} -> {entry['numeric'].get(name)}" for name in names)
            hint = "--accept-class measures everything of this stage anew, --fresh forgets the old state"
            raise MachineError(f"{label} was measured in another numeric class: {changes}", str(store.root), hint)
    write_json(path, {**before, **now})
