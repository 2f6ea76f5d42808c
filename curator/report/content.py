"""What the page is told about a flow beside dataset.json, and how that follows from a plan.

Plain data, so that the page depends on no stage being installed. Counts are not here: they are dataset.json's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal, Protocol

from ..options import option_kind
from ..plan import FlowPlan, PlannedStage
from ..stage import Dedup, Judging, Stage, Transform


class Shown(Protocol):
    """Where previews come from; `explain.Previews` is one."""

    def get(self, flow: str, ids: list[int]) -> Mapping[int, Mapping[str, bytes]]:
        """id -> media type -> bytes for those of the records that can be shown."""
        ...


@dataclass(frozen=True)
class Threshold:
    """A value stays on one side of a limit: `keep` min: value >= limit, max: value <= limit. `reason` may be unknown: ""."""

    keep: Literal["min", "max"]
    limit: float
    reason: str = ""

    def border(self, whole: bool) -> float:
        """The smallest number on the upper side, as the border of a bin closed at its left; between two whole numbers where all are."""
        if whole:
            return math.ceil(self.limit) - 0.5 if self.keep == "min" else math.floor(self.limit) + 0.5
        return self.limit if self.keep == "min" else math.nextafter(self.limit, math.inf)

    def __str__(self) -> str:
        return "≥" if self.keep == "min" else "≤"


@dataclass(frozen=True)
class Column:
    """A measured value that is drawn: `label.name` in the scores."""

    label: str
    name: str
    doc: str
    thresholds: tuple[Threshold, ...] = ()

    @property
    def full(self) -> str:
        """Its name in the scores."""
        return f"{self.label}.{self.name}"


@dataclass(frozen=True)
class FlowContent:
    """One flow.

    ledger, scores    Parquet files, in order
    columns           values to draw, in the order of the stages; strings that hold JSON are left out
    values            (stage label, reason) -> name of the value that the rule looks at; reason "": of all other rules of the stage
    dedups            labels of the stages that match records, with their reason to drop
    refusing          labels of the stages that refuse what they cannot change: there is no picture of that
    annotating        labels of the stages that measure without judging
    steps, seconds, notes   one entry for each of the flow's stages in dataset.json; steps: see PlannedStage.step
    sources           path of each source; partition_source: index of the source of each partition
    skipped           suffix -> files that no reader takes
    silent            rules that dropped nothing
    """

    name: str
    ledger: Sequence[Path]
    scores: Sequence[Path] = ()
    columns: Sequence[Column] = ()
    values: Mapping[tuple[str, str], str] = field(default_factory=dict)
    dedups: Mapping[str, float] = field(default_factory=dict)
    refusing: Sequence[str] = ("read",)
    annotating: Sequence[str] = ()
    steps: Sequence[str] = ()
    seconds: Sequence[float] = ()
    notes: Sequence[Mapping[str, int]] = ()
    sources: Sequence[str] = ()
    partition_source: Sequence[int] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    silent: Sequence[str] = ()


def flow_content(flow: FlowPlan, outcome: Any, ledger: Sequence[Path], scores: Sequence[Path]) -> FlowContent:
    """Content of a flow that was just run; `outcome` is its FlowOutcome."""
    stages = [(planned, planned.make()) for one in flow.rounds for planned in one.stages]
    rules = {planned.label: _rules(planned, stage) for planned, stage in stages}
    return FlowContent(
        name=flow.name,
        ledger=ledger,
        scores=scores,
        columns=[
            Column(planned.label, value.name, value.doc, tuple(t for name, t in rules[planned.label] if name == value.name))
            for planned, stage in stages
            for value in stage.values
            if not (value.sketch or value.json or value.working)
        ],
        values={(label, limit.reason): name for label, found in rules.items() for name, limit in found if limit.reason or len(found) == 1},
        dedups={planned.label: stage.threshold for planned, stage in stages if isinstance(stage, Dedup)},
        refusing=["read", *(planned.label for planned, stage in stages if isinstance(stage, Transform))],
        annotating=[planned.label for planned, _ in stages if planned.mode == "annotate"],
        steps=[row.get("step", "") for row in outcome.stages],
        seconds=[float(row.get("seconds") or 0) for row in outcome.stages],
        notes=[row.get("notes") or {} for row in outcome.stages],
        sources=[source.path for source in flow.flow.sources],
        partition_source=[part.entries[0].source for part in flow.partitions],
        skipped=outcome.skipped,
        silent=outcome.silent_rules,
    )


def _rules(planned: PlannedStage, stage: Stage) -> list[tuple[str, Threshold]]:
    """Thresholds of a stage by the value they apply to; none where it only annotates."""
    if planned.mode == "annotate" or not isinstance(stage, Judging):
        return []
    named = [(rule.value, rule.keep, getattr(stage.options, rule.option), rule.reason) for rule in stage.rules()]
    named = named or list(_named_limits(stage))
    return [(name, Threshold(keep, float(limit), why)) for name, keep, limit, why in named if limit is not None and math.isfinite(limit)]


def _named_limits(stage: Judging) -> Iterator[tuple[str, Literal["min", "max"], float | None, str]]:
    """A stage that judges in its own way has no rules; there `min_x` and `max_x`, as thresholds are called, apply to its value x."""
    ends: tuple[Literal["min", "max"], ...] = ("min", "max")
    for value, end in product(stage.values, ends):
        option = f"{end}_{value.name}"
        info = type(stage.options).model_fields.get(option)
        limit = getattr(stage.options, option, None)
        if info is not None and option_kind(info) == "judge" and isinstance(limit, int | float):
            yield value.name, end, limit, ""
