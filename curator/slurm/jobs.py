"""Slurm's own commands, and the record of what was submitted for a dataset (`.d4a/slurm.json`).

Everything is asked of scontrol and squeue: sacct is not there on every site, and what was done is seen from what was committed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import D4AError, MachineError
from ..store import Store, read_json, slug, write_json


@dataclass
class Step:
    """One step of the graph: an array of elements, or one driver job.

    kind    "cpu" or "gpu": an array that does units; "driver": a job that decides and writes the next lists; "ray": one that does all
    units   units known or foreseen when it was submitted
    firsts  the first element of each job; an array longer than MaxArraySize is several
    jobs    job ids, as far as submitted
    """

    name: str
    kind: str
    units: int
    elements: int
    firsts: list[int] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)

    @property
    def slug(self) -> str:
        """Its name in files and jobs."""
        return slug(self.name)


@dataclass
class Submission:
    """What was submitted: steps in groups; a group waits for all of the group before.

    run   id of the run, which workers compare before every rename
    cwd   relative paths of the recipe start here
    """

    run: str
    cwd: str
    nodes: int
    groups: list[list[Step]]

    @property
    def steps(self) -> list[Step]:
        """All steps in order."""
        return [step for group in self.groups for step in group]

    def save(self, store: Store) -> None:
        """Write it down."""
        write_json(store.state / "slurm.json", asdict(self))

    @classmethod
    def load(cls, store: Store) -> Submission | None:
        """The submission of a dataset, or None."""
        found: Any = read_json(store.state / "slurm.json")
        if found is None:
            return None
        return cls(found["run"], found["cwd"], found["nodes"], [[Step(**step) for step in group] for group in found["groups"]])

    def drove(self, store: Store, step: Step) -> Path:
        """A file that is there when a driver job did all it had to."""
        return folder(store) / f"{self.run[:8]}-{step.slug}.done"


def folder(store: Store) -> Path:
    """Scripts, plan and logs of a dataset's jobs."""
    return store.state / "slurm"


# ------------------------------------------------------------------------------------------------- asking


@dataclass(frozen=True)
class Queued:
    """A job, or an element of an array, that is waiting or running."""

    job: str
    task: int | None
    state: str
    reason: str

    @property
    def waits(self) -> bool:
        """Whether it has not begun."""
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")


def queued(jobs: list[str]) -> list[Queued] | None:
    """Which of these jobs wait or run; None where Slurm cannot be asked."""
    if not jobs:
        return []
    try:
        done = _run(["squeue", "--noheader", "--array", f"--jobs={','.join(jobs)}", "--format=%F %K %T %r"])
    except MachineError:
        return None
    if done.returncode:
        return [] if "Invalid job id" in done.stderr else None
    return list(_parsed(done.stdout))


def _parsed(text: str) -> Iterator[Queued]:
    for line in text.splitlines():
        job, task, state, reason = line.split(maxsplit=3)
        yield Queued(job, int(task) if task.isdigit() else None, state, reason)


def max_array_size() -> int:
    """Elements that one array may have here. Raises MachineError where Slurm cannot be asked."""
    done = _run(["scontrol", "show", "config"])
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise MachineError(f"scontrol does not answer: {done.stderr.strip() or 'no MaxArraySize'}", hint="submit from a login node")
    return int(found[1])


def sbatch(arguments: list[str]) -> str:
    """Submit a script; returns the job's id. Raises D4AError with what sbatch says."""
    done = _run(["sbatch", "--parsable", *arguments])
    if done.returncode:
        hint = "account, partition and limits stand in the templates: `d4a slurm templates DIR`, then --templates DIR"
        raise D4AError(f"sbatch refuses: {done.stderr.strip()}", arguments[0], hint)
    return done.stdout.strip().partition(";")[0]


def scancel(jobs: list[str]) -> None:
    """Take jobs out of the queue."""
    _run(["scancel", *jobs])


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        raise MachineError(f"there is no {command[0]} here", hint="run this on a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise MachineError(f"{command[0]} did not answer in 120 s", hint="try again") from None


# ---------------------------------------------------------------------------------------------- one driver


def check_free(store: Store) -> None:
    """Raises D4AError while jobs of a submission may still work on this dataset: between them, nobody holds its lock."""
    submission = Submission.load(store)
    if submission is None or _owner(store) != submission.run or submission.drove(store, submission.steps[-1]).exists():
        return
    jobs = [job for step in submission.steps for job in step.jobs]
    alive = queued(jobs)
    if alive is None:
        hint = "run this where squeue answers; or, if the jobs are gone, with --take-over: what still runs of them then stops by itself"
        raise D4AError(f"Slurm jobs were submitted for this dataset ({_ids(jobs)}), and squeue does not answer", str(store.root), hint)
    if alive:
        ids = _ids([job for job in jobs if job in {one.job for one in alive}])
        hint = f"`d4a slurm status {store.root}` shows them; to end them: scancel {ids}"
        raise D4AError(f"Slurm jobs work on this dataset: {ids}", str(store.root), hint)


def _owner(store: Store) -> str:
    try:
        return (store.state / "run").read_text()
    except FileNotFoundError:
        return ""


def _ids(jobs: list[str]) -> str:
    return " ".join(jobs)
