"""Recipe + inputs + machine -> Plan: flows, rounds, partitions, unit keys, numeric class.

The plan is plain data, written to `.d4a/plan.json`; a worker on any machine rebuilds its stages from it.
Everything that can be wrong before a record is read is found here.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from .dedup.earlier import Earlier
from .dedup.preference import lacking
from .errors import D4AError, UsageError
from .load.stages import works_on
from .modality import Entry, Modality
from .recipe import Flow, Recipe, StageSpec
from .registry import modality, stage_class, stage_names
from .sources import Partition, list_sources, partition
from .stage import Cut, Cutter, Dedup, Facts, Filter, Machine, Sampling, Stage, Transform
from .store import Store, digest, file_digest, write_json

EVIDENCE_FORMAT = 6
LIBRARIES = ("numpy", "pyarrow", "numba", "pillow", "orjson")


@dataclass(frozen=True)
class PlannedStage:
    """A stage of the recipe with what `prepare` found out about it.

    cutter  it is a Cut, in the round that takes out what it decided
    """

    label: str
    use: str
    mode: str
    options: dict[str, Any]
    facts: Facts = field(default_factory=Facts)
    cutter: bool = False

    def make(self) -> Stage:
        """The stage object, not opened."""
        kind = stage_class(self.use)
        options = kind.Options.model_validate(self.options)
        if self.cutter:
            assert issubclass(kind, Cut)
            return kind.cutter(options, self.mode == "judge")
        return kind(options)

    @property
    def step(self) -> str:
        """Of a Cut, which works in two rounds, what it does in this one: `search`, then `cut`, or `measure` with `mode: annotate`."""
        if not issubclass(stage_class(self.use), Cut):
            return ""
        return "search" if not self.cutter else "cut" if self.mode == "judge" else "measure"

    def sketch_digest(self) -> str:
        """What decides its sketches, whatever it is called: two datasets with equal ones can be searched together."""
        return digest(self.fingerprint()[1:])

    def fingerprint(self) -> list[Any]:
        """What decides the values it measures: the stage's part of a scan key."""
        stage = self.make()
        libraries = {name: installed(name) for name in stage.libraries}
        found = [self.label, self.use, stage.version, stage.options.of_kind("measure"), libraries, self.facts.numeric, self.facts.files]
        return [*found, self.mode] if self.cutter else found


@dataclass(frozen=True)
class Round:
    """Stages that measure the same records. `carried` are Transforms of earlier rounds that are run again for what they offer."""

    stages: tuple[PlannedStage, ...]
    carried: tuple[PlannedStage, ...] = ()

    @property
    def all(self) -> tuple[PlannedStage, ...]:
        """Every stage that a scan of the round runs, in order."""
        return (*self.carried, *self.stages)

    @property
    def before_models(self) -> int:
        """So many of `all` come before the first model."""
        return next((number for number, planned in enumerate(self.all) if planned.make().cost == "model"), len(self.all))

    @property
    def pass_rows(self) -> int:
        """Records of the largest forward pass of its models; 1 where there is none."""
        return max([planned.make().pass_rows for planned in self.all], default=1)

    @property
    def changes(self) -> bool:
        """Whether a stage of it may change payload, so that what is stored is stored anew."""
        return any(isinstance(stage := planned.make(), Transform) and not stage.derives for planned in self.stages)

    @property
    def cuts(self) -> bool:
        """Whether it begins with what a Cut of the round before decided."""
        return bool(self.stages) and self.stages[0].cutter


@dataclass(frozen=True)
class FlowPlan:
    """One flow: partitions in order, rounds in order."""

    name: str
    flow: Flow
    rounds: tuple[Round, ...]
    partitions: tuple[Partition, ...]
    skipped: dict[str, int] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    @property
    def modality(self) -> Modality:
        """What this flow's data means."""
        return modality(self.name)

    def earlier(self, planned: PlannedStage, out: Path | None = None) -> list[Earlier]:
        """The datasets that a stage's option `against` names. Raises UsageError, also where one of them is the folder `out`."""
        paths = [Path(path) for path in getattr(planned.make().options, "against", ())]
        if out is not None and out.absolute().resolve() in (path.absolute().resolve() for path in paths):
            raise UsageError(f"{planned.label}: the dataset in `against` is the output itself", str(out), "give the output another folder")
        return [Earlier(path, self.name, self.modality, planned.label, planned.sketch_digest()) for path in paths]

    def scan_key(self, round_index: int, part: Partition) -> str:
        """Key of the evidence of a partition in a round; thresholds are not in it, what was cut out of its records is."""
        seen = [part.seen] if round_index and part.seen else []
        return digest(self._round_keys[round_index], part.uid, *seen, *part.cuts[: sum(one.cuts for one in self.rounds[: round_index + 1])])

    @cached_property
    def _round_keys(self) -> list[str]:
        """For every round, what all its keys share: formats, versions, and the measuring stages up to it."""
        libraries = {name: _version(name) for name in self.modality.libraries}
        keys = [digest(EVIDENCE_FORMAT, self.name, installed("d4a"), libraries)]
        for one in self.rounds:
            keys.append(digest(keys[-1], [stage.fingerprint() for stage in one.stages]))
        return keys[1:]


@dataclass(frozen=True)
class Plan:
    """Everything a worker needs to know."""

    recipe: Recipe
    recipe_digest: str
    machine: Machine
    flows: tuple[FlowPlan, ...]
    limit: int | None = None

    def flow(self, name: str) -> FlowPlan:
        """The plan of one flow."""
        return next(flow for flow in self.flows if flow.name == name)

    def with_partitions(self, name: str, count: int) -> Plan:
        """The same plan with only the first partitions of a flow."""
        flows = tuple(replace(f, partitions=f.partitions[:count]) if f.name == name else f for f in self.flows)
        return replace(self, flows=flows)

    def with_cuts(self, name: str, cuts: list[str]) -> Plan:
        """The same plan, knowing what a Cut takes out of every partition of a flow."""
        flow = self.flow(name)
        parts = tuple(replace(part, cuts=(*part.cuts, cut)) for part, cut in zip(flow.partitions, cuts, strict=True))
        return replace(self, flows=tuple(replace(f, partitions=parts) if f.name == name else f for f in self.flows))

    def with_seen(self, name: str, digests: list[str]) -> Plan:
        """The same plan, knowing what the first round found in every partition of a flow: files that tables name are in no other key."""
        flow = self.flow(name)
        parts = tuple(replace(part, seen=seen) for part, seen in zip(flow.partitions, digests, strict=True))
        return replace(self, flows=tuple(replace(f, partitions=parts) if f.name == name else f for f in self.flows))

    def numeric_class(self) -> dict[str, dict[str, Any]]:
        """flow/label -> measuring options of a neural stage, and what decides its digits."""
        stages = [(flow.name, stage) for flow in self.flows for one in flow.rounds for stage in one.stages if stage.facts.numeric]
        return {f"{name}/{s.label}": {"options": s.make().options.of_kind("measure"), "numeric": s.facts.numeric} for name, s in stages}

    def entries(self) -> list[Entry]:
        """All input files and ranges."""
        return [entry for flow in self.flows for part in flow.partitions for entry in part.entries]

    def as_json(self) -> dict[str, Any]:
        """The plan as plain JSON values; read back by `from_json`."""
        flows = [{**asdict(flow), "flow": flow.flow.model_dump(mode="json")} for flow in self.flows]
        recipe = self.recipe.model_dump(mode="json", exclude_none=True)
        return {"recipe": recipe, "recipe_digest": self.recipe_digest, "machine": asdict(self.machine), "flows": flows, "limit": self.limit}

    @classmethod
    def from_json(cls, text: bytes) -> Plan:
        """The plan that `as_json` described."""
        data = orjson.loads(text)
        flows = tuple(
            FlowPlan(
                name=flow["name"],
                flow=Flow.model_validate(flow["flow"]),
                rounds=tuple(Round(_stages(r["stages"]), _stages(r["carried"])) for r in flow["rounds"]),
                partitions=tuple(
                    Partition(p["uid"], tuple(Entry(**e) for e in p["entries"]), tuple(p["cuts"]), p["seen"]) for p in flow["partitions"]
                ),
                skipped=flow["skipped"],
                hints=flow["hints"],
            )
            for flow in data["flows"]
        )
        return cls(Recipe.model_validate(data["recipe"]), data["recipe_digest"], Machine(**data["machine"]), flows, data["limit"])


@cache
def installed(distribution: str) -> str:
    """The version of a distribution; its metadata is a file, read once a process. Raises PackageNotFoundError."""
    return version(distribution)


def _version(distribution: str) -> str:
    try:
        return installed(distribution)
    except PackageNotFoundError:
        return ""


def _stages(rows: list[dict[str, Any]]) -> tuple[PlannedStage, ...]:
    return tuple(PlannedStage(**{**row, "facts": Facts(**row["facts"])}) for row in rows)


def code_key() -> list[Any]:
    """Versions of what writes bytes beside the stages: part of every key below the scan's, and of what is published."""
    return [installed("d4a"), {name: installed(name) for name in LIBRARIES}]


def save_plan(store: Store, plan: Plan) -> str:
    """Write the plan for the workers; returns its digest, which names it in every unit."""
    write_json(store.state / "plan.json", plan.as_json())
    return file_digest(store.state / "plan.json")


@lru_cache(maxsize=2)
def load_plan(path: Path, stamp: str) -> Plan:
    """The plan in a file, parsed once a process; `stamp` is its digest. Raises D4AError when the file is another plan."""
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != stamp:
        raise D4AError("the plan is not the one this unit belongs to", str(path), "run `d4a curate` again")
    return Plan.from_json(text)


def published_plan(store: Store) -> Plan | None:
    """The plan of the dataset as it was published last, while the state is there and can be read."""
    path = store.state / "published-plan.json"
    try:
        return load_plan(path, file_digest(path))
    except (OSError, ValueError, LookupError, TypeError):
        return None


# --------------------------------------------------------------------------------------------- making one


def make_plan(recipe: Recipe, recipe_digest: str, machine: Machine, out: Path, limit: int | None = None) -> Plan:
    """List inputs, find weights, check that every stage gets the columns it needs. Raises D4AError for what is wrong."""
    flows = []
    for name, flow in recipe.flows().items():
        kind = _modality(name)
        _check_sources(flow, kind)
        rounds = tuple(_rounds(flow.stages, kind, machine))
        for one in rounds:
            _check_needs(one, kind)
        _check_named(flow.stages)
        listing = list_sources(flow, kind, Path(out).absolute())
        parts, skipped = tuple(partition(listing, flow, kind)), dict(sorted(listing.skipped.items()))
        flows.append(FlowPlan(name, flow, rounds, parts, skipped, listing.hints))
        for planned in (stage for one in rounds for stage in one.stages):
            flows[-1].earlier(planned, out)
    return Plan(recipe, recipe_digest, machine, tuple(flows), limit)


def check_recipe(recipe: Recipe) -> None:
    """What can be wrong with a recipe beside its words: formats, the order of stages, values that a small model does not know.

    Looks at no source and no neural model. Raises D4AError.
    """
    for name, flow in recipe.flows().items():
        kind = _modality(name)
        _check_sources(flow, kind)
        specs = [spec for spec in flow.stages if PlannedStage(spec.label, spec.use, spec.mode, spec.options).make().cost != "model"]
        rounds = _rounds(specs, kind, Machine())
        for one in rounds:
            _check_needs(one, kind)
        _check_named(flow.stages)


def _modality(name: str) -> Modality:
    try:
        return modality(name)
    except KeyError:
        hint = "install d4a again: its entry points are older than its code"
        raise UsageError(f"no installed package says how the flow {name!r} is read", hint=hint) from None


def _check_sources(flow: Flow, kind: Modality) -> None:
    for source in flow.sources:
        if source.format not in kind.formats:
            known = f"{kind.name} reads: {', '.join(kind.formats)}"
            raise UsageError(f"unknown format {source.format!r} of a source", source.path, known)
        kind.check(source)


def _rounds(specs: list[StageSpec], kind: Modality, machine: Machine) -> list[Round]:
    """Cut the stages where a new round must start (a Transform after a Dedup; a model after a Filter or Dedup; behind a Cut)."""
    groups: list[list[PlannedStage]] = [[]]
    seen: set[type] = set()
    for spec in specs:
        planned = PlannedStage(spec.label, spec.use, spec.mode, spec.options)
        stage = planned.make()
        planned = PlannedStage(spec.label, spec.use, spec.mode, spec.options, stage.prepare(machine))
        late_transform = isinstance(stage, Transform) and Dedup in seen
        late_model = stage.cost == "model" and bool(seen & {Filter, Dedup})
        if late_transform or late_model:
            groups.append([])
            seen.clear()
        groups[-1].append(planned)
        seen.add(next(base for base in (Transform, Filter, Dedup, Cut) if isinstance(stage, base)))
        if isinstance(stage, Cut):
            if kind.refers and kind.columns.names[0] in stage.cutter(stage.options).needs:
                raise UsageError(f"{spec.label} cuts payload that is stored, and the payload of {kind.name} is the source's file")
            groups.append([replace(planned, cutter=True)])
            seen = {Transform}
    rounds = []
    for index, group in enumerate(groups):
        rounds.append(Round(tuple(group), tuple(s for before in groups[:index] for s in before if _derives(s))))
    return rounds


def _derives(planned: PlannedStage) -> bool:
    stage = planned.make()
    return isinstance(stage, Transform) and stage.derives


def _check_needs(one: Round, kind: Modality) -> None:
    """Every column a stage reads must come from the reader or from a Transform before it."""
    known = set(kind.columns.names)
    transforms: list[Transform] = []
    for planned in (*one.carried, *one.stages):
        stage = planned.make()
        known |= {stage.column} if isinstance(stage, Cutter) else set()
        for column in stage.needs:
            if column not in known and not any(t.can_offer(column) for t in transforms):
                what = f"{planned.label} reads the column {column!r}, which no stage before it gives"
                raise UsageError(what, hint=_giver(kind, column, known))
        if isinstance(stage, Transform):
            transforms.append(stage)
            known |= {value.name for value in stage.values}


def _check_named(specs: Sequence[StageSpec]) -> None:
    """What a stage prefers by must be measured by a stage before it, as a number; what it looks at else, as anything."""
    measured: list[str] = []
    numbers: list[str] = []
    for spec in specs:
        kind = stage_class(spec.use)
        options = kind.Options.model_validate(spec.options)
        keep = getattr(options, "keep", None)
        for name in lacking(keep, numbers) if keep is not None else []:
            what = f"{spec.label} prefers by {name}, which no stage before it measures as a number"
            raise UsageError(what, hint=_measured_before(name, numbers))
        for name in kind(options).asks if issubclass(kind, Sampling) else ():
            if name not in measured:
                raise UsageError(f"{spec.label} looks at {name}, which no stage before it measures", hint=_measured_before(name, measured))
        values = [*kind.values, *(kind.cutter.values if issubclass(kind, Cut) else ())]
        measured += [f"{spec.label}.{value.name}" for value in values]
        numbers += [f"{spec.label}.{v.name}" for v in values if pa.types.is_integer(v.type) or pa.types.is_floating(v.type)]


def _measured_before(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, cutoff=0.8)  # names share the flow, and often the stage
    return f"did you mean {near[0]}?" if near else f"measured before it: {', '.join(known) or 'nothing'}"


def _giver(kind: Modality, column: str, known: set[str]) -> str:
    """A hint: the stage that gives a column, or a name close to it."""
    for name in stage_names():
        found = stage_class(name)
        if name.split(".")[0] in works_on(kind.name) and issubclass(found, Transform):
            stage = found(found.Options())
            if stage.can_offer(column) or column in {value.name for value in stage.values}:
                return f"put `- use: {name}` before it"
    near = difflib.get_close_matches(column, sorted(known), 1)
    return f"did you mean {near[0]}?" if near else f"a record of {kind.name} has {', '.join(kind.columns.names)}"


def wanted_columns(stages: list[Stage], index: int) -> frozenset[str]:
    """Working columns that stages behind `index` in the same round read."""
    return frozenset(column for stage in stages[index + 1 :] for column in stage.needs)
