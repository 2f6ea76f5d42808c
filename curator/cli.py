"""The command line: parse, call, print. No logic, and no import heavier than Typer before a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .cli_options import (
    AcceptClass,
    AsJson,
    BatchTime,
    DatasetPath,
    Device,
    EngineName,
    Fresh,
    Limit,
    Memory,
    Out,
    Overrides,
    RayAddress,
    RecipePath,
    TakeOver,
    UnitTime,
    WorkerMemory,
    console,
    load_recipe,
    machine_for,
    parse_memory,
    print_json,
)
from .cli_slurm import app as slurm
from .errors import EXIT_MACHINE, visible

app = typer.Typer(
    name="d4a",
    help="Data4All: raw text and images in; clean, deduplicated, explained WebDataset shards out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"d4a {version('d4a')}")
        raise typer.Exit


app.add_typer(slurm, name="slurm")


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Data4All: raw text and images in; clean, deduplicated, explained WebDataset shards out."""


@app.command()
def curate(
    recipe: RecipePath,
    out: Out = None,
    overrides: Overrides = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core, on a card fewer.")] = 0,
    memory: Memory = None,
    worker_memory: WorkerMemory = None,
    batch_time: BatchTime = 3600,
    unit_time: UnitTime = 86400,
    device: Device = "auto",
    limit: Limit = None,
    fresh: Fresh = False,
    accept_class: AcceptClass = False,
    take_over: TakeOver = False,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
    json: AsJson = False,
) -> None:
    """Run a recipe: scan, decide, pack, publish. Run it again to go on after a crash or with other thresholds."""
    from .engines.local import get_ready

    get_ready()
    from .doctor import usual_workers
    from .load.files import digest
    from .progress import Reporter
    from .run import curate as run_recipe
    from .show.summary import show_outcome

    loaded = load_recipe(recipe, overrides, out)
    with Reporter("json" if json else "people") as reporter:
        found = machine_for(loaded, device)
        outcome = run_recipe(
            loaded,
            digest(loaded),
            Path(loaded.output.path),
            found,
            workers=workers or usual_workers(found),
            memory=parse_memory(memory),
            worker_bytes=parse_memory(worker_memory, "--worker-memory"),
            batch_s=batch_time,
            unit_s=unit_time,
            limit=limit,
            fresh=fresh,
            accept_class=accept_class,
            take_over=take_over,
            engine=engine,
            ray_address=ray_address,
            reporter=reporter,
        )
    if json:
        print_json(outcome.as_json())
        return
    show_outcome(console(), outcome)
    _next_commands(Path(loaded.output.path))


@app.command()
def plan(recipe: RecipePath, out: Out = None, overrides: Overrides = None, device: Device = "auto", limit: Limit = None) -> None:
    """Show what would run, where and why, without running it."""
    from .doctor import memory_share
    from .forecast import forecasts, ways
    from .load.files import digest
    from .plan import make_plan
    from .scan.partition import parts_of
    from .show.summary import show_plan
    from .stage import Dedup
    from .store import Store

    loaded = load_recipe(recipe, overrides, out)
    root = Path(loaded.output.path).absolute()
    made = make_plan(loaded, digest(loaded), machine_for(loaded, device), root, limit)
    held = {flow.name: sum(bool(parts_of(Store(root), flow, 0, part)) for part in flow.partitions) for flow in made.flows}
    found = {flow.name: list(forecasts(Store(root), flow, limit)) for flow in made.flows}
    show_plan(console(), made, held, found, {flow.name: list(ways(Store(root), flow, limit)) for flow in made.flows})
    if any(isinstance(planned.make(), Dedup) for flow in made.flows for one in flow.rounds for planned in one.stages):
        typer.echo(f"pair searches may use {memory_share() / 2**30:.1f} GiB, a quarter of what is free (--memory), and the disk of {root}")


@app.command()
def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Read a recipe and name everything that is wrong with it, all at once."""
    from .plan import check_recipe
    from .show.summary import counted

    loaded = load_recipe(recipe, overrides, None)
    check_recipe(loaded)
    stages = sum(len(flow.stages) for flow in loaded.flows().values())
    typer.echo(f"{recipe}: good; {', '.join(loaded.flows())}, {counted(stages, 'stage')}; `d4a plan` also looks at sources and models")


@app.command()
def models(recipe: RecipePath, overrides: Overrides = None, json: AsJson = False) -> None:
    """Find every model that a recipe needs, fetch those that a download brings, and say where each lies.

    On a cluster: on the login node, before the first run. HF_HUB_OFFLINE=1 only looks. Exit code 3: some can be had nowhere.
    """
    from dataclasses import asdict

    from .needed import find_models
    from .show.catalog import show_models

    here, lacking = find_models(load_recipe(recipe, overrides, None))
    if json:
        missing = [{"stage": one.stage, "model": one.model, "why": one.error.what, "hint": one.error.hint} for one in lacking]
        print_json({"models": [asdict(one) for one in here], "missing": missing})
    else:
        show_models(console(), here, len(lacking))
    for one in lacking:
        typer.echo(f"{typer.style('error', fg='red', bold=True)}: {visible(str(one))}", err=True)
    if lacking:
        raise typer.Exit(EXIT_MACHINE)


@app.command()
def why(
    dataset: DatasetPath,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="A record: its key, its source, or the end of either.")] = None,
    json: AsJson = False,
) -> None:
    """Say why a record was kept or dropped; without a KEY, the table of drops by stage and reason."""
    from .explain import Previews, explain, overview
    from .show.summary import why_dataset, why_record

    if key is None:
        manifest, drops = overview(dataset)
        print_json(drops) if json else console().print(why_dataset(manifest, drops))
        return
    rows = explain(dataset, key)
    if json:
        print_json(rows)
        return
    previews = Previews(dataset)
    for row in rows:
        ids = [row["id"], *([row["twin_row"]["id"]] if row["twin_row"] else [])]
        console().print(why_record(row, previews.get(row["flow"], ids, whole=True)), crop=False)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder of a finished dataset.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one, of the same sources.")],
    json: AsJson = False,
) -> None:
    """Say which decisions flip between two datasets, and how far measured values are apart: other thresholds, or another machine."""
    from .compare import compare as find_differences
    from .show.compare import show_comparison

    found = find_differences(a, b)
    print_json(found.as_json()) if json else show_comparison(console(), found)


@app.command()
def verify(dataset: DatasetPath) -> None:
    """Hash every file of a dataset and compare with its manifest."""
    from .errors import D4AError
    from .shards.manifest import read
    from .shards.verify import verify as find_problems
    from .show.summary import counted

    manifest = read(dataset)
    problems = find_problems(dataset)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise D4AError(
            counted(len(problems), "problem"), str(dataset), "run the same `d4a curate` again, with --fresh where times were kept"
        )
    shards, samples = counted(len(manifest.shards), "shard"), counted(sum(shard.samples for shard in manifest.shards), "sample")
    typer.echo(f"{dataset}: whole; {shards}, {samples}, {manifest.dataset_id}")


@app.command()
def stages(name: Annotated[str | None, typer.Argument(metavar="NAME", help="A stage: its values, options and rules.")] = None) -> None:
    """List the stages, or describe one."""
    from .catalog import describe
    from .registry import stage_names
    from .show.catalog import show_stage, show_stages

    if name is None:
        show_stages(console(), [describe(one) for one in stage_names()])
        return
    if name not in stage_names():
        _unknown("stage", name, stage_names())
    show_stage(console(), describe(name))


@app.command()
def recipes() -> None:
    """List the shipped recipes."""
    from .catalog import recipes as shipped
    from .show.catalog import show_recipes

    show_recipes(console(), shipped())


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe.")]) -> None:
    """Print a shipped recipe."""
    typer.echo(_shipped(name).read_text(), nl=False)


@app.command()
def copy(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; an existing file is left alone.")],
) -> None:
    """Copy a shipped recipe, to make it yours."""
    from .errors import UsageError

    source = _shipped(name)
    if target.exists():
        raise UsageError("the file exists", str(target), "choose another name")
    try:
        target.write_text(source.read_text())
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", str(target)) from error
    typer.echo(f"{target}: written; change its sources, then: d4a curate {target}")


@app.command()
def doctor(device: Device = "auto") -> None:
    """Say what this machine can run, and what is missing for the rest."""
    from .doctor import machine, probe
    from .show.catalog import show_doctor

    show_doctor(console(), probe())
    chosen = machine(device)
    typer.echo(f"neural stages run on {chosen.device} in {chosen.precision}: {chosen.why}")


@app.command()
def clean(dataset: DatasetPath) -> None:
    """Remove the resumable state of a dataset; the dataset stays, the next run scans anew, `why` shows no more texts."""
    from .shards.manifest import read
    from .slurm.jobs import check_free
    from .store import Store

    read(dataset)
    check_free(Store(dataset))
    freed = Store(dataset).remove_state()
    typer.echo(f"{dataset}: {freed / 1e6:,.1f} MB of state removed")


@app.command("run-unit", hidden=True)
def run_one_unit(
    units_file: Annotated[Path, typer.Argument(metavar="UNITS", help="A file under .d4a/steps/, one unit a line.")],
    index: Annotated[int, typer.Argument(min=0, metavar="INDEX", help="Line of the unit, from 0.")],
    of: Annotated[int | None, typer.Option(min=1, metavar="N", help="Run every Nth unit from INDEX on.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Run one unit of work of a step, or, as element INDEX of N, its share of the step: what every engine calls."""
    if of is not None:
        from .engines.local import get_ready

        get_ready()
    import orjson

    from .errors import UsageError
    from .slurm.element import run_element
    from .units import run_unit

    try:
        units = [orjson.loads(line) for line in units_file.read_bytes().splitlines()[index :: of or 1]]
        unit = units[0]
    except (OSError, IndexError, ValueError) as error:
        raise UsageError(f"no unit in line {index}: {error}", str(units_file), "units lie in .d4a/steps/, one a line, from 0") from error
    if of is None:
        print_json(run_unit(unit))
    else:
        raise typer.Exit(run_element(units_file.stem, units, index, of, workers))


# ------------------------------------------------------------------------------------------------ plumbing


def _shipped(name: str) -> Path:
    from .catalog import recipe_path
    from .catalog import recipes as shipped

    path = recipe_path(name)
    if path is None:
        _unknown("recipe", name, [recipe.name for recipe in shipped()])
    return path


def _unknown(kind: str, name: str, known: list[str]) -> NoReturn:
    from .errors import UsageError
    from .wording import did_you_mean, listed

    raise UsageError(f"no {kind} `{name}`", hint=did_you_mean(name, known) or f"there are: {listed(known)}")


def _next_commands(out: Path) -> None:
    import shlex

    from rich.text import Text

    screen = console()
    again = shlex.join(["d4a", *(argument for argument in sys.argv[1:] if argument not in ("--fresh", "--accept-class"))])
    for command, what in (
        (f"d4a why {out}", "what was dropped, and why"),
        (f"d4a why {out} KEY", "one record: value, threshold, twin"),
        (f"{out}/report.html", "the run as a page"),
        (f"{again} --set STAGE.OPTION=VALUE", "another threshold, no new scan"),
    ):
        screen.print(Text.assemble(f"{command:<34}", (f"  {what}", "dim")), soft_wrap=True)


def main() -> None:
    """Run `sys.argv`: every D4AError becomes its message on stderr and its exit code."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments, standalone_mode=True)
    except Exception as error:
        from .errors import D4AError, RecipeError

        if isinstance(error, OSError) and not debug:
            error = D4AError(f"{error.strerror or error}", str(error.filename or "standard output"), "--debug shows the traceback")
        if debug or not isinstance(error, D4AError):
            raise
        many = isinstance(error, RecipeError) and len(error.problems) > 1
        head = f"{len(error.problems)} mistakes\n" if many and isinstance(error, RecipeError) else ""
        typer.echo(f"{typer.style('error', fg='red', bold=True)}: {head}{visible(str(error))}", err=True)
        sys.exit(error.exit_code)
