"""Printing of what this installation offers: stages, recipes, and what the machine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

if TYPE_CHECKING:
    from ..catalog import ShippedRecipe, StageDoc
    from ..doctor import Report
    from ..needed import Needed

_KINDS = {
    "measure": "a change scans anew",
    "file": "other contents scan anew",
    "search": "a change searches pairs anew",
    "against": "other datasets are searched anew",
    "judge": "a change decides anew",
}
_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]!![/]", "missing": "[dim]--[/]"}


def _table(title: str, *names: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def show_stages(console: Console, stages: list[StageDoc]) -> None:
    """One line a stage."""
    table = _table("", "stage", "verb", "what it does")
    for stage in stages:
        table.add_row(stage.name, stage.verb, escape(stage.summary))
    console.print(table)


def show_stage(console: Console, stage: StageDoc) -> None:
    """Options, values and rules of one stage."""
    console.print(f"[bold]{stage.name}[/]  [dim]{stage.verb}, cost {stage.cost}, from {stage.package}[/]")
    paragraphs = [" ".join(part.split()) for part in f"{stage.summary}\n\n{stage.details}".split("\n\n")]
    console.print(escape("\n".join(part for part in paragraphs if part)), "", sep="\n")
    if stage.options:
        console.print("[bold]options[/]")
    for option in stage.options:
        inner = "." in option.name  # of a mapping that may not be there
        default = f" = {escape(option.default)}" if option.default else "" if inner else ", required"
        _entry(console, f"{option.name}{default}", f"{option.type}; {_KINDS[option.kind]}", option.description)
    if stage.values:
        console.print("[bold]measured values[/]")
    for value in stage.values:
        kept = "sketch" if value.sketch else f"in the sample as {value.packed}" if value.packed else "in scores"
        _entry(console, value.name, f"{value.type}; {kept}", value.description)
    if stage.rules:
        console.print("[bold]rules, in this order[/]")
        for rule in stage.rules:
            console.print(f"  {rule.reason:<26} [dim]unless[/] {escape(rule.keeps)}")


def _entry(console: Console, name: str, kind: str, text: str) -> None:
    console.print(f"  [bold]{name}[/]  [dim]{escape(kind)}[/]")
    console.print(Padding(escape(text), (0, 0, 0, 6)))


def show_recipes(console: Console, recipes: list[ShippedRecipe]) -> None:
    """Name, purpose and command of every shipped recipe."""
    table = _table("", "recipe", "for", "run")
    for recipe in recipes:
        table.add_row(recipe.name, escape(recipe.title), escape(recipe.command))
    console.print(table)


def show_models(console: Console, models: list[Needed], lacking: int) -> None:
    """Stage, model, place, size, digest and licence of every model that is here."""
    if models:
        table = _table("", "stage", "model", "MB", "sha256", "licence", "lies at")
        for one in models:
            licence = escape(one.licence) or "[dim]not stated[/]"
            table.add_row(one.stage, escape(one.model), f"{one.bytes / 1e6:,.1f}", one.sha256[:16], licence, escape(one.path))
        console.width = 10_000  # paths are there to be copied: the terminal wraps them
        console.print(table)
    elif not lacking:
        console.print("no stage of this recipe needs a model")


def show_doctor(console: Console, report: Report) -> None:
    """One line a finding."""
    table = _table("", "", "what", "finding")
    for row in report.rows:
        table.add_row(_MARKS[row.status], row.name, escape(row.text))
    console.print(table)
