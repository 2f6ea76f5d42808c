"""`d4a slurm …`: parse, call, print. No import heavier than Typer before a command runs."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .cli_options import AcceptClass, AsJson, Fresh, Out, Overrides, RecipePath, console, load_recipe, machine_for, print_json

app = typer.Typer(help="Run recipes on a Slurm cluster.", no_args_is_help=True)

StartedDataset = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a dataset that was begun.")]
Nodes = Annotated[int, typer.Option(min=1, metavar="N", help="Elements of an array that may run at a time; with --ray, nodes.")]
Templates = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Your templates (see `d4a slurm templates`) instead of the shipped ones.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the scripts and the calls of sbatch; submit and write nothing.")]


@app.command()
def submit(
    recipe: RecipePath,
    nodes: Nodes,
    out: Out = None,
    overrides: Overrides = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where the nodes compute neural stages; `cuda` needs no card here.")
    ] = "auto",
    templates: Templates = None,
    ray: Annotated[bool, typer.Option("--ray", help="One job of N nodes, in which Ray runs the units (extra nemo).")] = False,
    fresh: Fresh = False,
    accept_class: AcceptClass = False,
    dry_run: DryRun = False,
) -> None:
    """Submit what a recipe needs, or what is missing of it: arrays of units, and driver jobs between them."""
    from .load.files import digest
    from .plan import make_plan
    from .slurm.submit import Wanted

    loaded = load_recipe(recipe, overrides, out)
    root = Path(loaded.output.path).absolute()
    planned = partial(make_plan, loaded, digest(loaded), _machine_of_nodes(loaded, device), root)
    _submit(Wanted(planned, root, Path.cwd(), nodes, templates, ray, fresh, accept_class), dry_run)


@app.command()
def resume(
    dataset: StartedDataset,
    nodes: Annotated[int | None, typer.Option(min=1, metavar="N", help="As for submit; default: as before.")] = None,
    templates: Annotated[Path | None, typer.Option(metavar="DIR", help="Templates; default: as before.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Submit only what is missing of a dataset that was begun, here or on another engine."""
    from .slurm.submit import begun

    before = begun(dataset, nodes, templates)
    os.chdir(before.cwd)
    _submit(before, dry_run)


def _machine_of_nodes(recipe: Any, device: Literal["auto", "cpu", "cuda"]) -> Any:
    """What the nodes offer to the stages of a recipe: a login node without a card may plan for nodes with one."""
    from .errors import MachineError
    from .stage import Machine

    try:
        return machine_for(recipe, device)
    except MachineError:
        return Machine("cuda", "bf16", "asked for; the cards of the nodes were not probed from here")


def _submit(wanted: Any, dry_run: bool) -> None:
    import shlex

    from .progress import Reporter
    from .slurm.show import show_submission
    from .slurm.submit import rehearse, scripts_of
    from .slurm.submit import submit as run_submit

    if dry_run:
        submission, calls = rehearse(wanted)
        for name, text in scripts_of(wanted).items():
            typer.echo(f"==> {name}\n{text}")
        for name, call in calls.items():
            words = " ".join(f'"{word}"' if "$" in word else shlex.quote(word) for word in call)
            typer.echo(f"{name}=$(sbatch --parsable {words})")
    else:
        with Reporter() as reporter:
            submission = run_submit(wanted, reporter)
    show_submission(console(), submission, scripts_of(wanted))
    if not dry_run:
        typer.echo(f"d4a slurm status {wanted.root}\nd4a slurm resume {wanted.root}   (after a failure: only what is missing)")


@app.command()
def status(dataset: StartedDataset, json: AsJson = False) -> None:
    """Show how far the jobs of a dataset are, and which logs to read."""
    from .slurm.show import show_status
    from .slurm.status import look

    found = look(dataset)
    print_json(found.as_json()) if json else show_status(console(), found)


@app.command("templates")
def copy_shipped(target: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them.")]) -> None:
    """Copy the shipped job templates, to make them your site's."""
    from .errors import UsageError
    from .slurm.submit import TEMPLATES, copy_templates

    if any((target / name).exists() for name in TEMPLATES):
        raise UsageError("there are templates already", str(target), "choose another folder")
    copy_templates(target)
    typer.echo(f"{target}: {', '.join(TEMPLATES)}; edit them, then: d4a slurm submit RECIPE --nodes N --templates {target}")


@app.command(hidden=True)
def drive(
    dataset: StartedDataset,
    step: Annotated[str, typer.Argument(metavar="STEP")],
    ray_address: Annotated[str | None, typer.Option(metavar="HOST:PORT")] = None,
) -> None:
    """What a driver job does."""
    from .progress import Reporter
    from .show.summary import show_outcome
    from .slurm.submit import drive as run_step

    with Reporter() as reporter:
        outcome = run_step(dataset, step, reporter, ray_address)
    if outcome is not None:
        show_outcome(console(), outcome)
