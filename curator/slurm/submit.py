"""A plan as a graph of Slurm jobs: arrays of units, and between them driver jobs that decide and write the next array's list.

The number of rounds is known from the plan, so the whole graph is submitted at once; how many units a later step has is not, so
element k of N does units k, k + N, … of a list of any length. A driver job is `d4a curate` that leaves scans and packs to arrays.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..doctor import memory_share
from ..engines.local import LocalEngine
from ..engines.slurm import SlurmEngine
from ..errors import D4AError, UsageError
from ..outcome import Outcome
from ..plan import FlowPlan, Plan, make_plan
from ..progress import Reporter
from ..run import Deferred, Driver, Engine, begin, ray_engine
from ..scan.poison import after_death
from ..store import Store, committed, write_json
from ..units import decide_step, is_committed, layout_step, needs_card, pack_step, scan_step
from .jobs import Step, Submission, check_free, folder, max_array_size, sbatch, scancel

TEMPLATES = ("environment.sh", "element.sh", "cpu.sbatch", "gpu.sbatch", "driver.sbatch", "ray.sbatch")
ELEMENTS_A_NODE = 8  # an element is a fraction of a node's work, so that a lost node or the slowest element costs little


# ----------------------------------------------------------------------------------------------- templates


def templates(source: Path | None) -> dict[str, str]:
    """name -> text of a site's templates, or of the shipped ones, as they are. Raises UsageError."""
    found = {}
    for name in TEMPLATES:
        path = (source or files("d4a.slurm")) / name
        if not path.is_file():
            raise UsageError("no such template", str(path), f"a folder of templates holds {', '.join(TEMPLATES)}")
        found[name] = path.read_text()
    return found


def copy_templates(target: Path) -> None:
    """Write the shipped templates into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    for name, text in templates(None).items():
        (target / name).write_text(text)


def cpus(template: str) -> int:
    """--cpus-per-task of a template; 1 where it says none."""
    found = re.search(r"^#SBATCH\s+(?:--cpus-per-task[= ]|-c\s*)(\d+)", template, re.MULTILINE)
    return int(found[1]) if found else 1


# --------------------------------------------------------------------------------------------------- graph


def graph(plan: Plan, left: dict[str, int], nodes: int, scripts: dict[str, str]) -> list[list[Step]]:
    """What is to be submitted: groups of steps, each waiting for all of the group before.

    left     steps whose units are known, from Deferred; what comes before them is done
    scripts  the templates: an element does a unit a core at a time
    """
    rounds = max(len(flow.rounds) for flow in plan.flows)
    groups: list[list[Step]] = []
    does: list[set[str]] = []
    for number in range(rounds + 1):
        flows = [flow for flow in plan.flows if number == rounds or number < len(flow.rounds)]
        groups.append([_array(plan, flow, number, rounds, left, nodes, scripts) for flow in flows])
        does.append({step.name for step in groups[-1]})
        groups.append([Step(f"driver {number + 1}", "driver", 1, 1)])
        lays_out = plan.flows if number == rounds - 1 else ()
        does.append({decide_step(flow.name, number) for flow in flows} | {layout_step(flow.name) for flow in lays_out})
    first = next((index for index, names in enumerate(does) if names & left.keys()), len(groups) - 1)
    return [[step for step in groups[first] if step.kind == "driver" or step.name in left], *groups[first + 1 :]]


def _array(plan: Plan, flow: FlowPlan, number: int, rounds: int, left: dict[str, int], nodes: int, scripts: dict[str, str]) -> Step:
    """The array of a flow's scan in a round, or of its pack behind the last round."""
    packs = number == rounds
    name = pack_step(flow.name) if packs else scan_step(flow.name, number)
    kind = "gpu" if not packs and needs_card(plan, flow, number) else "cpu"
    units = left.get(name, _shards(plan, flow) if packs else len(flow.partitions))
    elements = min(-(-units // cpus(scripts[f"{kind}.sbatch"])), nodes * ELEMENTS_A_NODE)
    return Step(name, kind, units, max(elements, 1))


def _shards(plan: Plan, flow: FlowPlan) -> int:
    """Shards of a flow if all of it were kept: at least one a split."""
    size = sum(part.size for part in flow.partitions)
    return size // plan.recipe.output.shard_bytes + 1 + len(plan.recipe.output.split)


def chunks(elements: int, longest: int) -> list[range]:
    """Elements of each job of an array that may have no more than `longest`."""
    return [range(first, min(first + longest, elements)) for first in range(0, elements, longest)]


# -------------------------------------------------------------------------------------------------- submit


@dataclass(frozen=True)
class Submitter:
    """Knows how a step becomes calls of sbatch."""

    store: Store
    submission: Submission
    longest: int

    def calls(self, step: Step, after: list[str]) -> list[list[str]]:
        """Arguments of sbatch for every job of a step; `after`: the jobs that must have ended well."""
        root, scripts = self.store.root, folder(self.store)
        logs = scripts / "logs"
        start = [f"--dependency=afterok:{':'.join(after)}", "--kill-on-invalid-dep=yes"] if after else []
        start += [f"--job-name=d4a-{step.slug}-{root.name}", f"--chdir={self.submission.cwd}"]
        script = str(scripts / f"{step.kind}.sbatch")
        if step.kind in ("driver", "ray"):
            wide = [f"--nodes={self.submission.nodes}"] if step.kind == "ray" else []
            return [[*start, *wide, f"--output={logs}/{step.slug}-%j.log", script, str(scripts), str(root), step.name]]
        parts = chunks(step.elements, self.longest)
        step.firsts = [part.start for part in parts]
        at_once = -(-self.submission.nodes // len(parts))
        return [
            [
                *start,
                f"--array=0-{len(part) - 1}%{at_once}",
                f"--output={logs}/{step.slug}-%A_%a.log",
                *[script, str(scripts), str(self.store.units_file(step.name)), str(part.start), str(step.elements)],
            ]
            for part in parts
        ]

    def submit(self) -> None:
        """Submit the graph; what an error leaves half submitted is taken back."""
        before: list[str] = []
        try:
            for group in self.submission.groups:
                jobs = []
                for step in group:
                    for call in self.calls(step, before):
                        step.jobs.append(sbatch(call))
                        self.submission.save(self.store)
                    jobs += step.jobs
                before = jobs
        except BaseException:
            scancel([job for step in self.submission.steps for job in step.jobs])
            raise


@dataclass(frozen=True)
class Wanted:
    """What to submit: the plan of a dataset folder, from a folder where its relative paths start.

    templates  a site's own, None: the shipped ones
    ray        one job for all, in which Ray runs the units
    """

    planned: Callable[[], Plan]
    root: Path
    cwd: Path
    nodes: int
    templates: Path | None = None
    ray: bool = False
    fresh: bool = False
    accept_class: bool = False

    def groups(self, plan: Plan, left: dict[str, int], scripts: dict[str, str]) -> list[list[Step]]:
        """The graph of what is left."""
        return [[Step("run", "ray", 1, 1)]] if self.ray else graph(plan, left, self.nodes, scripts)


def begun(root: Path, nodes: int | None, templates: Path | None) -> Wanted:
    """What is missing of a dataset, whoever began it: its recipe and machine, on nodes and with templates as before.

    Raises UsageError where nothing was begun. Sources are listed anew.
    """
    store = Store(root.absolute())
    try:
        plan = Plan.from_json((store.state / "plan.json").read_bytes())
    except FileNotFoundError:
        raise UsageError("nothing was begun here", str(root), "d4a slurm submit RECIPE --nodes N") from None
    before = Submission.load(store)
    if before is None and nodes is None:
        raise UsageError("nothing was submitted for this dataset before", str(root), "say how many nodes: --nodes N")
    kept = folder(store) if before is not None else None
    cwd = Path(before.cwd if before is not None else Path.cwd())
    return Wanted(
        lambda: make_plan(plan.recipe, plan.recipe_digest, plan.machine, store.root, plan.limit),
        store.root,
        cwd,
        nodes or (before.nodes if before is not None else 1),
        templates.absolute() if templates is not None else kept,
        ray=before is not None and before.steps[0].kind == "ray",
    )


def scripts_of(wanted: Wanted) -> dict[str, str]:
    """name -> text of what the jobs run: the templates, with the Python of this process."""
    return {name: text.replace("@PYTHON@", shlex.quote(sys.executable)) for name, text in templates(wanted.templates).items()}


def submit(wanted: Wanted, reporter: Reporter) -> Submission:
    """Write the first lists and submit the graph that does what is missing of a dataset. Raises D4AError."""
    longest = max_array_size()
    store, run_id = Store(wanted.root), uuid.uuid4().hex
    store.make()
    check_free(store)
    with store.locked(run_id):
        plan = begin(store, wanted.planned, reporter, wanted.fresh, wanted.accept_class)
        _check_whole(plan)
        scripts = folder(store)
        (scripts / "logs").mkdir(parents=True, exist_ok=True)
        texts = scripts_of(wanted)
        for name, text in texts.items():
            (scripts / name).write_text(text)
        write_json(scripts / "plan.json", plan.as_json())
        submission = Submission(run_id, str(wanted.cwd), wanted.nodes, wanted.groups(plan, _left(store, plan, run_id), texts))
        Submitter(store, submission, longest).submit()
    return submission


def rehearse(wanted: Wanted) -> tuple[Submission, dict[str, list[str]]]:
    """What `submit` would do, without writing anything: the submission, and a name for each job -> arguments of sbatch."""
    longest = max_array_size()
    store, plan = Store(wanted.root), wanted.planned()
    _check_whole(plan)
    left: dict[str, int] = {}
    for flow in plan.flows:
        units = [{"kind": "scan", "flow": flow.name, "round": 0, "partition": k, "before": ""} for k in range(len(flow.partitions))]
        missing = sum(not is_committed(store, plan, unit) for unit in units)
        left |= {scan_step(flow.name, 0): missing} if missing else {decide_step(flow.name, 0): 1}
    texts = scripts_of(wanted)
    submission = Submission("", str(wanted.cwd), wanted.nodes, wanted.groups(plan, left, texts))
    submitter = Submitter(store, submission, longest)
    calls: dict[str, list[str]] = {}
    before: list[str] = []
    for group in submission.groups:
        for step in group:
            made = submitter.calls(step, before)
            calls |= dict(zip(_names(step), made, strict=True))
        before = [f"${job}" for step in group for job in _names(step)]
    return submission, calls


def _names(step: Step) -> list[str]:
    """A shell variable for the id of each job of a step."""
    return [f"{step.slug}_{index + 1}".replace("-", "_") for index in range(len(step.firsts) or 1)]


def _check_whole(plan: Plan) -> None:
    if plan.limit is not None:
        raise UsageError("a run with --limit is a look at the first records: it is not for a cluster", hint="d4a curate --limit N")


def _left(store: Store, plan: Plan, run_id: str) -> dict[str, int]:
    """Go as far as what is committed reaches, write the lists of what comes next, and say what is in them."""

    def decided(unit: dict[str, object]) -> bool:
        return unit["kind"] == "decide" and committed(store.unit("decide", str(unit["flow"]), str(unit["key"]))) is not None

    try:
        Driver(store, plan, SlurmEngine(decided, memory_share()), run_id, Reporter("nothing")).work()
    except Deferred as deferred:
        return deferred.steps
    return {}


# --------------------------------------------------------------------------------------------------- drive


def drive(root: Path, name: str, reporter: Reporter, ray_address: str | None = None) -> Outcome | None:
    """What a driver job does: go on from what is committed to the next lists, or to the published dataset.

    ray_address  of the Ray that this job began on its nodes, which runs all units

    Raises D4AError where units of a step before it are missing.
    """
    store = Store(root)
    submission = Submission.load(store)
    if submission is None:
        raise UsageError("nothing was submitted for this dataset", str(root), "d4a slurm submit RECIPE")
    steps = submission.steps
    step = next(one for one in steps if one.name == name)
    with store.locked(submission.run, joins=True):
        store.finish_publication()
        store.check_published()
        plan = Plan.from_json((folder(store) / "plan.json").read_bytes())
        engine: Engine = SlurmEngine(lambda unit: unit["kind"] in ("decide", "layout"), memory_share())
        if ray_address is not None:
            engine = ray_engine(store, plan, LocalEngine(_cpus_here(), memory_share(), after_death), ray_address)
        outcome = None
        try:
            outcome = Driver(store, plan, engine, submission.run, reporter).run()
        except Deferred as deferred:
            to_come = {one.name for one in steps[steps.index(step) + 1 :]}
            missing = {what: units for what, units in deferred.steps.items() if what not in to_come}
            if missing:
                raise _lacking(store, steps, missing) from None
        finally:
            engine.close()
        submission.drove(store, step).touch()
    return outcome


def _cpus_here() -> int:
    """Of this task: the others of the node are other jobs'."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK") or os.cpu_count() or 1)


def _lacking(store: Store, steps: list[Step], missing: dict[str, int]) -> D4AError:
    what = ", ".join(f"{units} units of {name}" for name, units in missing.items())
    logs = ", ".join(f"{folder(store)}/logs/{step.slug}-*.log" for step in steps if step.name in missing)
    return D4AError(f"{what} are not done", str(store.root), f"read {logs or 'the logs'}; then: d4a slurm resume {store.root}")
