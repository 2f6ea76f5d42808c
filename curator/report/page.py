"""report.html: one page that shows what a run did to the data, and needs nothing but a browser.

No script, and nothing from elsewhere: a Content-Security-Policy says so to the browser too. Charts, groups and samples
are put in while they fit, the rest is bounded by construction: no data makes the page larger than LIMIT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from ..shards.manifest import Dataset, by_flow
from ..stage import Machine
from .content import FlowContent, Shown
from .distributions import measure
from .figures import count, plural, share, size
from .head import how_to_use, masthead, splits
from .markup import Html, join, tag
from .records import Gallery
from .sections import dropped_parts, duplicate_parts, kept_parts, source_table, stage_table, unreadable, value_figures
from .stream import draw_stream, legend
from .survey import Survey, survey

LIMIT = 2_000_000  # bytes of the whole page
_NOTE_BYTES = 400  # for the line that says what was left out of a section
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass
class _Section:
    """A section of a chapter.

    head    always there
    parts   there while they fit, inside an element of class `kind`
    most    share of the chapter's remaining space that they may take
    """

    title: str
    head: Html
    parts: Sequence[Html] = ()
    kind: str = ""
    element: str = "div"
    most: float = 0
    shown: list[Html] = field(default_factory=list)

    def fit(self, space: int) -> int:
        """Take as many parts as `space` bytes hold; returns the bytes taken."""
        taken = 0
        for part in self.parts:
            needed = len(part.encode())
            if taken + needed <= space:
                self.shown.append(part)
                taken += needed
        return taken

    def html(self, key: str) -> Html:
        """The section as far as it was fitted."""
        left_out = len(self.parts) - len(self.shown)
        body = tag(self.element, *self.shown, class_=self.kind) if self.shown else Html("")
        note = tag("p", f"{count(left_out)} more left out to keep this page small.", class_="note") if left_out else Html("")
        return tag("section", tag("h3", self.title), self.head, body, note, id=key)


def render(dataset: Dataset, flows: Sequence[FlowContent], previews: Shown, machine: Machine | None = None) -> bytes:
    """The page in UTF-8, at most LIMIT bytes; the same bytes for the same input."""
    surveys = [survey(flow.ledger, flow.dedups, flow.partition_source) for flow in flows]
    chapters = [_chapter(dataset, flow, found, previews) for flow, found in zip(flows, surveys, strict=True)]
    usage = how_to_use(dataset, surveys)
    space = LIMIT - len(_document(dataset, flows, chapters, usage, machine).encode()) - _NOTE_BYTES * sum(map(len, chapters))
    for index, chapter in enumerate(chapters):
        left = space // (len(chapters) - index)
        for section in chapter:
            taken = section.fit(int(left * section.most))
            left, space = left - taken, space - taken
    return _document(dataset, flows, chapters, usage, machine).encode()


def _document(dataset: Dataset, flows: Sequence[FlowContent], chapters: list[list[_Section]], usage: Html, machine: Machine | None) -> Html:
    style = Html((files(__package__) / "report.css").read_text(encoding="utf-8"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{dataset.name} · d4a report"),
        tag("style", style),
    )
    bodies = [_chapter_html(dataset, flow, sections) for flow, sections in zip(flows, chapters, strict=True)]
    links = [
        (flow.name, [(_key(flow, index), section.title) for index, section in enumerate(sections)])
        for flow, sections in zip(flows, chapters, strict=True)
    ]
    body = tag("body", masthead(dataset, machine, links), tag("main", *bodies, usage))
    return join([Html("<!doctype html>\n"), tag("html", head, body, lang="en"), Html("\n")])


def _key(flow: FlowContent, index: int) -> str:
    return f"{flow.name}-{index}"


def _chapter_html(dataset: Dataset, flow: FlowContent, sections: list[_Section]) -> Html:
    counts, shards = dataset.flows[flow.name], by_flow(dataset.shards).get(flow.name, [])
    kept = f"{count(counts.kept)} of {plural(counts.records, 'record')} kept ({share(counts.kept, counts.records)})"
    whole = f"{kept}, {size(sum(shard.bytes for shard in shards))} in {plural(len(shards), 'shard')}."
    lead = whole if counts.records else "No record came in: the sources hold nothing that this flow reads."
    parts = [section.html(_key(flow, index)) for index, section in enumerate(sections)]
    return tag("article", tag("header", tag("h2", flow.name), tag("p", lead, class_="lead")), *parts, id=flow.name)


def _chapter(dataset: Dataset, flow: FlowContent, found: Survey, previews: Shown) -> list[_Section]:
    """The sections of a flow; those that would be empty are not there."""
    counts = dataset.flows[flow.name]
    if not counts.records:
        return [_Section("What could not be read", unreadable(counts, flow, found))]
    gallery = _gallery(flow, found, previews)
    sources = [(path, int(total)) for path, (total, _) in zip(flow.sources, found.by_source, strict=False)]
    drawing = draw_stream(flow.name, counts, sources, splits(dataset, flow.name), f"{flow.name}-s")
    values = value_figures(measure(flow.scores, flow.columns), counts, flow.name)
    groups = duplicate_parts(flow, found, gallery, flow.name)
    dropped = dropped_parts(flow, found, counts, gallery)
    about_groups = tag("p", _ABOUT_GROUPS, _ABOUT_WORDS if gallery.has_text else "", class_="lead")
    sections = [
        _Section("From sources to shards", join([tag("div", drawing, class_="scroll"), legend(), source_table(flow, found)])),
        _Section("Stages and reasons", stage_table(counts, flow)),
        _Section("Measured values", _ABOUT_VALUES, values, "values", most=0.25),
        _Section("Duplicates", about_groups, groups, "groups", most=0.5),
        _Section("Dropped, for example", _ABOUT_SAMPLES, dropped, "all", most=0.75),
        _Section("Kept, for example", _ABOUT_KEPT, kept_parts(found, gallery), "cards", element="ul", most=1),
        _Section("What could not be read", unreadable(counts, flow, found)),
    ]
    return [section for section in sections if section.parts or not section.most]


def _gallery(flow: FlowContent, found: Survey, previews: Shown) -> Gallery:
    """All previews of a flow at once, so that each file of the state is opened once."""
    rows = [row for pools in (found.typical, found.closest) for pool in pools.values() for row in pool.rows()] + found.kept.rows()
    shown = [group for groups in found.groups.values() for group in groups.shown]
    rows += [row for group in shown for row in (*group.dropped, group.kept) if row is not None]
    ids = sorted({row["id"] for row in rows if row["stage"] not in flow.refusing or row["value"] is not None})
    keeps = {(column.label, limit.reason): str(limit) for column in flow.columns for limit in column.thresholds if limit.reason}
    return Gallery(previews.get(flow.name, ids), flow.values, keeps)


_ABOUT_VALUES = tag(
    "p",
    "Every record that could be measured, before any threshold. The dashed line is the threshold, the pale bars are the side it drops; "
    "a rule drops fewer records than lie there where earlier stages took some of them.",
    class_="lead",
)
_ABOUT_GROUPS = "A record is dropped only beside one that was kept and that it resembles. The kept one stands first."
_ABOUT_WORDS = join(
    [
        " In the dropped texts, ",
        tag("mark", "marked words"),
        " are theirs alone and ",
        tag("del", "struck words"),
        " stand in the kept text only; long agreement is shortened.",
    ]
)
_ABOUT_SAMPLES = tag(
    "p",
    "Some records of every reason, picked at random, and the closest calls: those nearest to the threshold. "
    "Where a closest call should have stayed, the threshold is too strict.",
    class_="lead",
)
_ABOUT_KEPT = tag("p", "Picked at random from all that was kept; the same data gives the same pick.", class_="lead")
