"""The way from sources to shards as one drawing: a stream that loses width as records leave it.

After Minard's map of 1869: width is proportional to records, the left bank is straight, and what is dropped leaves to
the right, beside the words that say why. A left-to-right Sankey diagram has no room for the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..shards.manifest import FlowCounts, StageCounts
from .figures import by_count, count, plural, share
from .markup import Html, clip, join, tag

WIDTH = 960
_BANK = 330.0  # x of the left bank
_STREAM = 230.0  # width of all records
_TURN = 9.0  # inner radius of a bend
_LEAVES = _BANK + _STREAM + 46  # x where dropped bands end
_WORDS = _LEAVES + 12
_THINNEST = 1.5
_SEAM = 0.6  # pieces overlap, so that no hairline shows between them
_ROW = 50.0
_LABEL_CHARACTERS = 34
_REASON_CHARACTERS = 26
_MOST_ENDS = 8  # sources or splits with a line of their own


@dataclass
class _Pen:
    """Where the drawing has got to: y, the right bank, and the pieces so far."""

    y: float
    right: float
    parts: list[Html]

    def text(self, x: float, y: float, words: str, kind: str, anchor: str | None = None) -> None:
        self.parts.append(tag("text", words, x=_c(x), y=_c(y), class_=kind, text_anchor=anchor))

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self.parts.append(tag("line", x1=_c(x1), y1=_c(y1), x2=_c(x2), y2=_c(y2), class_=kind))

    def area(self, path: str, kind: str) -> None:
        self.parts.append(tag("path", d=path, class_=kind))


def draw_stream(name: str, flow: FlowCounts, sources: Sequence[tuple[str, int]], splits: Sequence[tuple[str, int]], key: str) -> Html:
    """An inline SVG.

    sources, splits   (name, records) at the upper and lower end of the stream
    key               prefix of the ids inside the SVG; they must be unique in the page
    """
    scale = _STREAM / max(flow.records, 1)
    pen = _Pen(18, _BANK + flow.records * scale, [])
    _ends(pen, _folded(sources, "sources"), scale, upper=True)
    for stage in flow.stages:
        _stage(pen, stage, scale)
    pen.line(0, pen.y, _BANK - 12, pen.y, "gate")
    _ends(pen, _folded(splits, "splits"), scale, upper=False)
    title = f"{name}: from sources to shards"
    return tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", _in_words(flow), id=f"{key}-desc"),
        _fade(key),
        *pen.parts,
        class_="stream",
        viewBox=f"0 0 {WIDTH} {pen.y + 10:.0f}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
        style=f"--fade:url(#{key}-fade)",
    )


def _fade(key: str) -> Html:
    """What leaves loses the colour of the stream in its bend."""
    stops = [tag("stop", offset=offset, class_=kind) for offset, kind in (("0", "fade-from"), ("0.6", "fade-to"), ("1", "fade-to"))]
    return tag("defs", tag("linearGradient", *stops, id=f"{key}-fade"))


def _in_words(flow: FlowCounts) -> str:
    steps = [f"{stage.label} drops {count(stage.dropped)} of {count(stage.entered)}" for stage in flow.stages if stage.dropped]
    return f"{plural(flow.records, 'record')} in; {'; '.join([clip(step, 120) for step in steps[:40]])}; {count(flow.kept)} kept."


def _folded(ends: Sequence[tuple[str, int]], noun: str) -> list[tuple[str, int]]:
    """At most _MOST_ENDS names: the rest as one."""
    if len(ends) <= _MOST_ENDS:
        return list(ends)
    largest = sorted(range(len(ends)), key=lambda i: (-ends[i][1], i))[: _MOST_ENDS - 1]
    rest = [number for index, (_, number) in enumerate(ends) if index not in largest]
    return [*(ends[i] for i in sorted(largest)), (f"{len(rest):,} more {noun}", sum(rest))]


def _ends(pen: _Pen, ends: list[tuple[str, int]], scale: float, upper: bool) -> None:
    """Sources joining (upper) or splits parting: a staircase, so that every line to a name is free."""
    step, start = 26.0, pen.y
    foot = start + step * len(ends) + (8 if upper else 0)
    x = pen.right if upper else _BANK
    for index, (label, number) in enumerate(ends):
        width = number * scale
        left = x - width if upper else x
        level = start + step * index + 12
        top, bottom = (level, foot) if upper else (start, level)
        if width:
            _band(pen, left, width, top, bottom)
        pen.text(0, level + 4, clip(label, _LABEL_CHARACTERS), "label end")
        pen.text(_BANK - 18, level + 4, count(number), "figure", "end")
        pen.line(_BANK - 12, level, left - 2, level, "lead")
        x = left if upper else x + width
    pen.y = foot


def _band(pen: _Pen, left: float, width: float, top: float, bottom: float) -> None:
    """A piece of the stream. A gap of one unit at its left tells neighbours apart; a thin one keeps its width."""
    gap = 1.0 if width > 4 and left > _BANK else 0.0
    pen.area(f"M{_c(left + gap)} {_c(top)}H{_c(left + max(width, _THINNEST))}V{_c(bottom)}H{_c(left + gap)}Z", "water")


def _stage(pen: _Pen, stage: StageCounts, scale: float) -> None:
    """One stage: its name and what is left of it at the left, what leaves it at the right."""
    kept, gate = stage.kept * scale, pen.y
    width = stage.dropped * scale
    height = max(_ROW, width + _TURN + 16)
    pen.line(0, gate, _BANK - 12, gate, "gate")
    pen.text(0, gate + 20, clip(stage.label, _LABEL_CHARACTERS), "label")
    pen.text(_BANK - 18, gate + 20, count(stage.kept), "figure", "end")
    pen.text(0, gate + 37, _aside(stage), "aside")
    if stage.kept:
        pen.area(f"M{_c(_BANK)} {_c(gate)}H{_c(_BANK + max(kept, _THINNEST))}V{_c(gate + height + _SEAM)}H{_c(_BANK)}Z", "water")
    if stage.dropped:
        _leave(pen, gate, max(width, _THINNEST))
        middle = gate + _TURN + max(width, _THINNEST) / 2
        _words(pen, stage, max(middle, gate + 20))
    pen.right, pen.y = _BANK + kept, gate + height


def _aside(stage: StageCounts) -> str:
    use = "" if stage.use == stage.label else f"{clip(stage.use, 24)} · "
    return f"{use}{share(stage.kept, stage.entered)} of {count(stage.entered)}" if stage.entered else f"{use}nothing came in"


def _leave(pen: _Pen, gate: float, width: float) -> None:
    """The band that turns off to the right: two concentric quarter circles and a straight end."""
    right, turn = pen.right, _TURN
    outer = turn + width
    pen.area(
        f"M{_c(right)} {_c(gate)}A{_c(turn)} {_c(turn)} 0 0 0 {_c(right + turn)} {_c(gate + turn)}H{_c(_LEAVES)}V{_c(gate + outer)}"
        f"H{_c(right + turn)}A{_c(outer)} {_c(outer)} 0 0 1 {_c(right - width)} {_c(gate)}Z",
        "leaving",
    )


def _words(pen: _Pen, stage: StageCounts, y: float) -> None:
    """How many leave, and for which reason most of them."""
    (main, number), *others = by_count(stage.reasons) or [("dropped", stage.dropped)]
    minus = tag("tspan", f"−{count(stage.dropped)}", class_="minus")
    part = tag("tspan", share(stage.dropped, stage.entered), dx=8)
    pen.parts.append(tag("text", minus, part, x=_c(_WORDS), y=_c(y), class_="label"))
    reason = clip(main, _REASON_CHARACTERS)
    more = f" {count(number)} · {plural(len(others), 'other reason')} {count(stage.dropped - number)}" if others else ""
    pen.text(_WORDS, y + 17, reason + more, "aside")


def _c(value: float) -> str:
    """A coordinate, as short as it can be."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value else "0"


def legend() -> Html:
    """How to read the drawing."""
    return tag(
        "p",
        join(["Width is proportional to records; what is dropped leaves to the right. Bands too thin to see are drawn at a hair's width."]),
        class_="note",
    )
