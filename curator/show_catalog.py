"""Printing of what this installation offers: stages, recipes, and what the machine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from .catalog import ShippedRecipe, StageDoc
    from .doctor import Report

_KINDS = {"measure": "a change scans anew", "search": "a change searches pairs anew", "judge": "a change decides anew"}
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
    console.print(f"[bold]{stage.name}[/]  ({stage.verb}, cost {stage.cost}, from {stage.package})")
    console.print(escape("\n".join(part for part in (stage.summary, stage.details) if part)), "", sep="\n")
    options = _table("options", "name", "type", "default", "changes", "description")
    for option in stage.options:
        options.add_row(option.name, escape(option.type), escape(option.default), _KINDS[option.kind], escape(option.description))
    console.print(options, "")
    if stage.values:
        values = _table("measured values", "name", "type", "in the sample as", "definition")
        for value in stage.values:
            values.add_row(value.name, value.type, value.packed or ("(sketch)" if value.sketch else "-"), escape(value.description))
        console.print(values, "")
    if stage.rules:
        rules = _table("rules, in this order", "reason", "a record stays while")
        for rule in stage.rules:
            rules.add_row(rule.reason, escape(rule.keeps))
        console.print(rules)


def show_recipes(console: Console, recipes: list[ShippedRecipe]) -> None:
    """Name, purpose and command of every shipped recipe."""
    table = _table("", "recipe", "for", "run")
    for recipe in recipes:
        table.add_row(recipe.name, escape(recipe.title), escape(recipe.command))
    console.print(table)


def show_doctor(console: Console, report: Report) -> None:
    """One line a finding."""
    table = _table("", "", "what", "finding")
    for row in report.rows:
        table.add_row(_MARKS[row.status], row.name, escape(row.text))
    console.print(table)
