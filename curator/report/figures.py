"""Numbers as people read them. One way for each kind, on the whole page."""

from __future__ import annotations

import math
from collections.abc import Mapping


def count(number: int) -> str:
    """12,345."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """1 record, 2 records."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent first, then by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def share(part: int, whole: int) -> str:
    """Percent with one decimal; what is neither nothing nor everything never reads as 0% or 100%."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.0f}%" if percent in (0, 100) else f"{percent:.1f}%"


def size(number: int) -> str:
    """Bytes in binary units."""
    amount, units = float(number), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{number:,} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def seconds(amount: float) -> str:
    """CPU seconds, or minutes and hours."""
    if amount >= 7200:
        return f"{amount / 3600:,.1f} h"
    if amount >= 600:
        return f"{amount / 60:.0f} min"
    return f"{amount:.2f} s" if amount < 10 else f"{amount:.0f} s"


def number(value: float | None) -> str:
    """A measured value: four significant digits, whole numbers in full."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    digits = 4 if abs(value) < 10_000 else 6
    return f"{value:,.{digits}g}".replace("-", "−")


def tick(value: float) -> str:
    """A number at an axis: short."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")
