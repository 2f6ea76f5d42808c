"""How far the jobs of a dataset are: from what was committed and from squeue, so from any login node and without sacct."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ..errors import UsageError
from ..plan import Plan
from ..store import Store
from ..units import is_committed
from .jobs import Queued, Step, Submission, folder, queued


@dataclass
class Row:
    """One step. Units are done or left; elements of the array (or the driver job) run, wait or have failed.

    logs  of what failed, or of what runs
    """

    step: str
    units: int
    done: int
    left: int
    running: int = 0
    waiting: int = 0
    failed: int = 0
    logs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Status:
    """All steps, and one line for people."""

    rows: list[Row]
    verdict: str
    alive: bool | None

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def look(root: Path) -> Status:
    """Ask squeue and the store. Raises UsageError where nothing was submitted."""
    store = Store(root.absolute())
    submission = Submission.load(store)
    if submission is None:
        raise UsageError("nothing was submitted for this dataset", str(root), "d4a slurm submit RECIPE --nodes N")
    alive = queued([job for step in submission.steps for job in step.jobs])
    plan = Plan.from_json((store.state / "plan.json").read_bytes())
    steps = submission.steps
    over = max((index for index, step in enumerate(steps) if submission.drove(store, step).exists()), default=-1)
    rows = [_row(store, plan, step, alive or [], index <= over) for index, step in enumerate(steps)]
    if alive is None:
        rows = [replace(row, failed=0, logs=[]) for row in rows]
    return Status(rows, _verdict(root, rows, alive, over == len(steps) - 1), None if alive is None else bool(alive))


def _verdict(root: Path, rows: list[Row], alive: list[Queued] | None, over: bool) -> str:
    if over:
        return f"finished: {root}"
    if alive is None:
        return "squeue does not answer: what runs and what failed is not known here"
    if alive:
        return "held or failed elements: see `read`; the rest goes on" if any(row.failed for row in rows) else "goes on"
    return f"stopped: nothing is queued; go on with: d4a slurm resume {root}"


def _row(store: Store, plan: Plan, step: Step, alive: list[Queued], over: bool) -> Row:
    mine = [one for one in alive if one.job in step.jobs]
    counts = Counter(one.waits for one in mine)
    if over:
        return Row(step.name, step.units, step.units, 0)
    if step.kind in ("driver", "ray"):
        logs = [str(path) for job in step.jobs if (path := folder(store) / "logs" / f"{step.slug}-{job}.log").exists()]
        failed = int(bool(logs) and not mine)
        return Row(step.name, 1, 0, 1, counts[False], counts[True], failed, logs)
    done = _done(store, plan, step)
    units = len(done) or step.units
    row = Row(step.name, units, sum(done), units - sum(done), counts[False], counts[True])
    queue = {(one.job, one.task) for one in mine}
    for element in range(min(step.elements, len(done))):
        log = _log(store, step, element)
        if not all(done[element :: step.elements]) and log is not None and _place(step, element) not in queue:
            row.failed += 1
            row.logs.append(str(log))
    return row


def _done(store: Store, plan: Plan, step: Step) -> list[bool]:
    """For every unit of the step's list whether it is committed; empty before there is a list."""
    try:
        lines = store.units_file(step.name).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [is_committed(store, plan, orjson.loads(line)) for line in lines]


def _place(step: Step, element: int) -> tuple[str, int] | None:
    """(job, task) of an element; None where its job was not submitted."""
    index = max(k for k, first in enumerate(step.firsts) if first <= element)
    return (step.jobs[index], element - step.firsts[index]) if index < len(step.jobs) else None


def _log(store: Store, step: Step, element: int) -> Path | None:
    place = _place(step, element)
    if place is None:
        return None
    path = folder(store) / "logs" / f"{step.slug}-{place[0]}_{place[1]}.log"
    return path if path.exists() else None
