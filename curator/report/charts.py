"""Histograms and bars. Exact counts, drawn as areas: a bin of another width is not higher or lower for it.

Inline SVG whose colours are the page's, so that dark and printed pages need no second drawing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..stage import Floats, Ints
from .distributions import Axis, Names, Numbers
from .figures import count, number, plural, share, tick
from .markup import Html, clip, join, name, tag

_W, _H, _TOP, _FOOT = 320.0, 132.0, 22.0, 18.0
_FEW = 10  # bars that have room for their counts
_CUT = 5.0  # a bar this many times higher than the next is cut short


def histogram(found: Numbers, key: str) -> Html:
    """The distribution of one number with its thresholds; the dropped side is hatched."""
    axis, limits = found.axis, found.column.thresholds
    if not found.measured or axis.last <= axis.first:
        return tag("p", "No record has this value.", class_="note")
    inside = slice(axis.first + 1, axis.last + 1)
    borders = axis.borders[axis.first : axis.last + 1]
    parts = _bars(borders, axis.log, found.counts[inside], found.dropped_bins()[inside])
    parts += _scale(borders, axis)
    for limit in limits:
        parts += _threshold(borders, axis.log, limit.border(found.whole), f"{limit} {tick(limit.limit)}", limit.keep)
    below, above = int(found.counts[: axis.first + 1].sum()), int(found.counts[axis.last + 1 :].sum())
    return _figure(found.column.full, _in_words(found, below, above), parts, key)


def similarity_chart(counts: Ints, threshold: float, label: str, key: str) -> Html:
    """How alike the dropped records are to the one that was kept."""
    borders = np.linspace(threshold if threshold < 1 else 0.5, 1, len(counts) + 1)
    parts = _bars(borders, False, counts, np.ones(len(counts), bool)) + _scale(borders, Axis(borders, 0, len(counts), False))
    words = f"{plural(int(counts.sum()), 'dropped record')} by similarity to the kept one, from {number(threshold)} to 1."
    return _figure(f"{label}: similarity", words, parts, key)


def _figure(title: str, words: str, parts: list[Html], key: str) -> Html:
    named = [tag("title", clip(title, 120), id=f"{key}-t"), tag("desc", words, id=f"{key}-d")]
    box = f"0 0 {_W:.0f} {_H:.0f}"
    return tag("svg", *named, *parts, class_="chart", viewBox=box, role="img", aria_labelledby=f"{key}-t {key}-d")


def _in_words(found: Numbers, below: int, above: int) -> str:
    sides = [f"{count(found.beyond(limit))} on the dropped side of {limit} {number(limit.limit)}" for limit in found.column.thresholds]
    outside = [f"{count(below)} below the drawn range"] * bool(below) + [f"{count(above)} above it"] * bool(above)
    head = f"{plural(found.measured, 'record')} from {number(found.lowest)} to {number(found.highest)}"
    return "; ".join([head, *sides, *outside]) + "."


def _place(borders: Floats, log: bool, values: Floats) -> Floats:
    """x of values, clipped to the drawing."""
    low, high = borders[0], borders[-1]
    inside = np.clip(values, low, high)
    if log:
        low, high, inside = np.log10(low), np.log10(high), np.log10(inside)
    placed: Floats = (inside - low) / (high - low) * _W
    return placed


def _bars(borders: Floats, log: bool, counts: Ints, dropped: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[Html]:
    x = _place(borders, log, borders)
    widths = np.maximum(np.diff(x), 1e-9)
    density = counts * (_W / len(counts)) / widths  # records in a bar of mean width
    few = len(counts) <= _FEW
    top, cut = (float(density.max()), None) if few else _ceiling(density)
    floor, room = _H - _FOOT, _H - _FOOT - _TOP
    heights = np.where(counts > 0, np.maximum(np.minimum(density / top, 1) * room, 0.8), 0) if top else np.zeros(len(counts))
    parts = []
    for kind, side in (("bar", ~dropped), ("bar out", dropped)):
        chosen = np.flatnonzero(side & (counts > 0))
        if len(chosen):
            gap = np.where(widths > 3, 0.6, 0.0)
            path = "".join(f"M{x[i]:.1f} {floor:.1f}v{-heights[i]:.1f}h{widths[i] - gap[i]:.1f}v{heights[i]:.1f}z" for i in chosen)
            parts.append(tag("path", d=path, class_=kind))
    parts.append(tag("line", x1=0, x2=_W, y1=floor, y2=floor, class_="base"))
    if few:
        parts += [_counted(x[i] + widths[i] / 2, floor - heights[i] - 3, int(counts[i])) for i in np.flatnonzero(counts)]
    if cut is not None:
        parts += _torn(float(x[cut]), float(widths[cut]), int(counts[cut]))
    return parts


def _counted(x: float, y: float, records: int) -> Html:
    return tag("text", count(records), x=f"{x:.1f}", y=f"{y:.1f}", class_="tick", text_anchor="middle")


def _ceiling(density: Floats) -> tuple[float, int | None]:
    """Height of the drawing in records, and the index of one bar that is cut so that the others can be seen."""
    order = np.argsort(density, kind="stable")[::-1]
    highest = float(density[order[0]])
    second = float(density[order[1]]) if len(order) > 1 else 0.0
    if second > 0 and highest > _CUT * second:
        return 1.7 * second, int(order[0])
    return highest, None


def _torn(x: float, width: float, records: int) -> list[Html]:
    """A gap across a bar that is cut short, and its count beside it."""
    y, right = _TOP + 12, x + width
    gap = f"M{x - 1:.1f} {y + 3:.1f}L{right + 1:.1f} {y - 3:.1f}v4L{x - 1:.1f} {y + 7:.1f}z"
    anchor, place = ("end", x - 4) if x > _W * 0.6 else ("start", right + 4)
    return [
        tag("path", d=gap, class_="torn"),
        tag("text", count(records), x=f"{place:.1f}", y=f"{y + 6:.1f}", class_="tick", text_anchor=anchor),
    ]


def _threshold(borders: Floats, log: bool, border: float, words: str, keep: str) -> list[Html]:
    """A line at the threshold, or an arrow at the edge where it lies outside; the words stand on the kept side."""
    x = float(_place(borders, log, np.array([border]))[0])
    y = 9.0
    outside = border < borders[0] or border > borders[-1]
    if outside:
        right = border > borders[-1]
        arrow = f"{words} →" if right else f"← {words}"
        return [tag("text", arrow, x=_W if right else 0, y=y, class_="limit", text_anchor="end" if right else "start")]
    to_right = (keep == "min" and x < _W * 0.72) or x < _W * 0.28
    place, anchor = (x + 4, "start") if to_right else (x - 4, "end")
    return [
        tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=2, y2=_H - _FOOT + 3, class_="cut"),
        tag("text", words, x=f"{place:.1f}", y=y, class_="limit", text_anchor=anchor),
    ]


def _scale(borders: Floats, axis: Axis) -> list[Html]:
    """Numbers under the drawing: powers of ten on a logarithmic axis, else its ends and round numbers between."""
    low, high = float(borders[0]), float(borders[-1])
    if axis.log:
        marks = [10.0**power for power in range(int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high))) + 1)]
    else:
        step = 1.0 if axis.last - axis.first <= _FEW and high - low <= _FEW else _round_step((high - low) / 4)
        marks = [round(step * k, 12) for k in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1)]
    marks = marks[:: -(-len(marks) // _FEW) or 1]
    parts = []
    for mark in marks:
        x = float(_place(borders, axis.log, np.array([mark]))[0])
        anchor = "start" if x < 12 else "end" if x > _W - 12 else "middle"
        parts.append(tag("text", tick(mark), x=f"{x:.1f}", y=f"{_H - 4:.1f}", class_="tick", text_anchor=anchor))
    return parts


def _round_step(rough: float) -> float:
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999))


# ---------------------------------------------------------------------------------------------------- bars


def bars(found: Names) -> Html:
    """The most frequent strings as a table with bars."""
    top = found.top()
    if found.counts is None:
        return tag("p", "More than 10,000 different values: not counted one by one.", class_="note")
    if not top:
        return tag("p", "No record has this value.", class_="note")
    rows = [bar_row([name(label or "(empty)", 40)], number_, top[0][1], found.measured) for label, number_ in top]
    rest = len(found.counts) - len(top)
    if rest:
        others = found.measured - sum(number_ for _, number_ in top)
        rows.append(bar_row([f"{plural(rest, 'other')}"], others, top[0][1], found.measured, "bar-row faint"))
    head = tag("tr", tag("th", "value", scope="col"), tag("th", "records", scope="col", colspan=2), tag("th", "share", scope="col"))
    return tag("table", tag("thead", head, class_="unseen"), tag("tbody", *rows), class_="bars")


def bar_row(label: Sequence[str], records: int, longest: int, whole: int, kind: str = "bar-row") -> Html:
    """A name, a bar, a count and a share."""
    return tag(
        "tr",
        tag("th", join(label), scope="row"),
        tag("td", meter(records, longest), class_="meter"),
        tag("td", count(records), class_="n"),
        tag("td", share(records, whole), class_="n"),
        class_=kind,
    )


def meter(part: int, whole: int) -> Html:
    """A bar as long as part of whole; the number it shows stands beside it in words."""
    wide = min(100 * part / whole, 100) if whole else 0
    return tag("span", class_="fill", style=f"width:{wide:.1f}%", aria_hidden="true")
