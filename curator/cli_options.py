"""What commands share: options, and reading a recipe and a machine. No import heavier than Typer before a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

RecipePath = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")]
DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a finished dataset.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: text.language.min_score=0.8; repeatable.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write here instead of the recipe's output.path.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where neural stages are computed, and hashes that a card can make.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Take only the first N records of every flow.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget the state of earlier runs.")]
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="For pair searches and layouts, 2GB say; default: a quarter of what is free.")
]
WorkerMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="A worker that holds more is ended, its unit run again; not in tasks of ray; default: 90 % of the free."
    ),
]
BatchTime = Annotated[
    float,
    typer.Option(
        min=0.1, metavar="SECONDS", help="Longest time of a stage for a batch, then for each of its records; not in tasks of ray."
    ),
]
UnitTime = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="Longest time of a unit, which is then tried once more; not in tasks of ray.")
]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Go on although Slurm jobs of this dataset cannot be asked after; they stop by themselves.")
]
EngineName = Annotated[Literal["local", "ray"], typer.Option(help="What runs the units; ray needs NeMo Curator (extra nemo).")]
RayAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="A running Ray cluster; without, ray begins one here and ends it.")
]
AcceptClass = Annotated[bool, typer.Option("--accept-class", help="Measure anew where the numeric class of a model changed.")]


def load_recipe(recipe: str, overrides: list[str] | None, out: Path | None) -> Any:
    """The recipe as the command line changes it."""
    from .load.files import load

    loaded = load(recipe, overrides or [])
    if out is None:
        return loaded
    return loaded.model_copy(update={"output": loaded.output.model_copy(update={"path": str(out)})})


def parse_memory(size: str | None, option: str = "--memory") -> int | None:
    """Bytes of an option. Raises UsageError."""
    from .errors import UsageError
    from .recipe import parse_bytes

    try:
        found = parse_bytes(size)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if found is not None and not (isinstance(found, int) and found > 0):
        raise UsageError(f"{option}: {size!r} is no memory at all")
    return found


def machine_for(recipe: Any, device: Literal["auto", "cpu", "cuda"]) -> Any:
    """What this machine offers to the stages of a recipe."""
    from .doctor import machine
    from .registry import stage_class
    from .stage import Machine

    specs = [(stage_class(spec.use), spec.options) for flow in recipe.flows().values() for spec in flow.stages]
    stages = [kind(kind.Options.model_validate(options)) for kind, options in specs]  # an option may make a stage one of cost `model`
    neural = any(stage.cost == "model" for stage in stages)
    if neural or device == "cuda" or any(stage.on_card for stage in stages):
        return machine(device, neural)
    return Machine(why="no stage of the recipe uses a card")


def console() -> Any:
    """Where results for people go."""
    from rich.console import Console

    return Console(highlight=False)


def print_json(value: Any) -> None:
    """Results for programs."""
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
