"""`d4a compare` for people: what differs in recipe and numeric class, decisions that flip, values that are apart."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..compare import Comparison, Difference, FlowComparison
from ..errors import visible

_SHOWN = 20  # flips of a flow; --json has them all


def show_comparison(console: Console, found: Comparison) -> None:
    """Print it; A and B stand for the two datasets as they were given."""
    console.print(f"A {escape(found.a)}\nB {escape(found.b)}")
    if found.recipe:
        table = _table("recipes differ in", "option", "A", "B")
        for name, values in found.recipe.items():
            table.add_row(escape(name), *(escape(visible("-" if value is None else str(value))) for value in values))
        console.print(table)
    for label, classes in found.numeric.items():
        console.print(f"numeric class of {label}: {escape(_classes(*classes))}")
    for flow in found.flows:
        _show_flow(console, flow)


def _show_flow(console: Console, flow: FlowComparison) -> None:
    flipped = sum(flip.count for flip in flow.flips)
    share = f", {flipped / flow.both:.2%}" if flow.both else ""
    alone = f"; only in A {flow.only_a:,}, only in B {flow.only_b:,}" if flow.only_a or flow.only_b else ""
    console.print(f"\n[bold]{flow.flow}[/]: {flow.both:,} records in both, kept {flow.kept_a:,} and {flow.kept_b:,}{alone}")
    console.print(f"{flipped:,} decisions differ{share}")
    if flow.flips:
        table = _table("", "records", "in A", "in B", "for instance")
        for flip in flow.flips[:_SHOWN]:
            table.add_row(f"{flip.count:,}", escape(flip.a), escape(flip.b), escape(visible(", ".join(flip.keys))))
        console.print(table)
        if len(flow.flips) > _SHOWN:
            console.print(f"and {len(flow.flips) - _SHOWN} more kinds (--json)")
    apart = [one for one in flow.values if one.differ or one.one_sided]
    console.print(f"{len(flow.values)} measured values in both, {len(apart)} of them differ somewhere")
    if apart:
        table = _table("", "value", "compared", "differ", "in one only", "largest", "mean", "least cosine", "at")
        for one in apart:
            table.add_row(*_row(one))
        console.print(table)


def _row(one: Difference) -> list[str]:
    counts = (f"{count:,}" for count in (one.compared, one.differ, one.one_sided))
    numbers = ("" if number is None else f"{number:.4g}" for number in (one.largest, one.mean))
    cosine = "" if one.cosine is None else f"{one.cosine:.6f}"
    return [escape(one.name), *counts, *numbers, cosine, escape(visible(one.key or ""))]


def _classes(a: dict[str, str] | None, b: dict[str, str] | None) -> str:
    """What differs, or the class of both."""
    if a is None or b is None:
        return f"in {'B' if a is None else 'A'} only, {_words(a or b or {})}"
    other = [name for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
    if not other:
        return f"the same, {_words(a)}"
    return "; ".join(f"{name} {a.get(name, 'none')} in A, {b.get(name, 'none')} in B" for name in other)


def _words(numeric: dict[str, str]) -> str:
    return ", ".join(f"{name} {value[:16]}" for name, value in sorted(numeric.items()))


def _table(title: str, *names: str) -> Table:
    shape: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
    table = Table(title=title or None, title_justify="left", title_style="bold", **shape)
    for name in names:
        right = name in ("records", "compared", "differ", "in one only", "largest", "mean", "least cosine")
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    return table
