"""Slurm's jobs for people: what was submitted, and how far it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .jobs import Submission
from .status import Status

_NUMBERS = ("elements", "units", "done", "left", "running", "waiting", "failed")


def show_submission(console: Console, submission: Submission, scripts: dict[str, str]) -> None:
    """One row a step, in order; each waits for all of the rows above it that have the same number before them."""
    table = _table("after", "step", "jobs", "elements", "units", "resources of an element")
    for number, group in enumerate(submission.groups):
        for step in group:
            units = "" if step.kind == "driver" else f"{step.units:,}"
            jobs = " ".join(step.jobs) or str(len(step.firsts) or 1)
            table.add_row(str(number or ""), step.name, jobs, f"{step.elements:,}", units, resources(scripts[f"{step.kind}.sbatch"]))
    console.print(table)
    console.print(f"at most {submission.nodes} elements at a time; units of later steps are what the plan foresees")


def resources(template: str) -> str:
    """What a template asks for, in short."""
    asked = re.findall(r"^#SBATCH\s+--(cpus-per-task|mem|gres|time|partition|account|qos|constraint)[= ](\S+)", template, re.MULTILINE)
    return ", ".join(f"{name} {value}" for name, value in asked)


def show_status(console: Console, status: Status) -> None:
    """One row a step."""
    table = _table("step", "units", "done", "left", "running", "waiting", "failed", "read")
    for row in status.rows:
        numbers = [f"{n:,}" if n else "" for n in (row.units, row.done, row.left, row.running, row.waiting, row.failed)]
        more = f" and {len(row.logs) - 2} more" if len(row.logs) > 2 else ""
        table.add_row(row.step, *numbers, "\n".join(map(_short, row.logs[:2])) + more)
    console.print(table)
    console.print(status.verdict, soft_wrap=True)


def _short(path: str) -> str:
    """Relative to the current folder, where it lies below it."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold", justify="right" if name in _NUMBERS else "left")
    return table
