"""The parts of a flow's chapter, in the order in which they are read.

Each takes what was counted and gives markup; what may grow with the data comes as a list of fragments, of which the
page takes as many as its size allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..shards.manifest import FlowCounts, StageCounts
from .charts import bar_row, bars, histogram, meter, similarity_chart
from .content import FlowContent
from .distributions import Names, Numbers
from .figures import by_count, count, number, plural, seconds, share
from .markup import Html, clip, join, name, prose, tag
from .records import Gallery, card, cards, group_figure, group_summary, together
from .survey import Survey

_MOST_REASONS = 30
_MOST_STAGES = 80
_MOST_SUFFIXES = 12
_ABOUT_TIMES = "CPU time: of the scan, all workers together, as measured when it was made; records/s: of one core."


def stage_table(flow: FlowCounts, content: FlowContent) -> Html:
    """Stage by reason: counts, shares, time and speed."""
    columns = ["stage and reason", "in", "dropped", "share", "", "kept", "CPU time", "records/s"]
    kinds = [None, "n", "n", "n", "wide", "n", "n", "n"]
    head = tag(
        "tr",
        *(
            tag("th", words, scope="col", class_=kind) if words else tag("td", class_=kind)
            for words, kind in zip(columns, kinds, strict=True)
        ),
    )
    times, steps = [*content.seconds, *[0.0] * len(flow.stages)], [*content.steps, *[""] * len(flow.stages)]
    remarks = [step or ("measures only" if one.label in content.annotating else "") for one, step in zip(flow.stages, steps, strict=False)]
    bodies = [_stage_rows(stage, times[i], remarks[i]) for i, stage in enumerate(flow.stages[:_MOST_STAGES])]
    hidden = len(flow.stages) - len(bodies)
    after = tag("p", f"{plural(hidden, 'more stage')}: see dataset.json.", class_="note") if hidden else Html("")
    caption = tag("caption", "What each stage dropped, and why", class_="unseen")
    return join(
        [tag("div", tag("table", caption, tag("thead", head), *bodies, class_="stages"), class_="scroll"), after, _notes(flow, content)]
    )


def _stage_rows(stage: StageCounts, time: float, remark: str) -> Html:
    speed = count(round(stage.entered / time)) if time and stage.entered else ""
    cells = [
        tag("th", name(stage.label, 60), tag("span", remark, class_="pill") if remark else Html(""), scope="rowgroup"),
        tag("td", count(stage.entered), class_="n"),
        tag("td", count(stage.dropped), class_="n"),
        tag("td", share(stage.dropped, stage.entered), class_="n"),
        tag("td", meter(stage.dropped, stage.entered), class_="meter"),
        tag("td", count(stage.kept), class_="n"),
        tag("td", seconds(time) if time else "", class_="n"),
        tag("td", speed, class_="n"),
    ]
    reasons = by_count(stage.reasons)
    rows = [_reason_row(name(reason, 60), number_, stage.entered) for reason, number_ in reasons[:_MOST_REASONS]]
    rest = reasons[_MOST_REASONS:]
    if rest:
        rows.append(_reason_row(join([f"{len(rest):,} more reasons"]), sum(number_ for _, number_ in rest), stage.entered))
    return tag("tbody", tag("tr", *cells, class_="stage"), *rows)


def _reason_row(label: Html, number_: int, entered: int) -> Html:
    return tag(
        "tr",
        tag("th", label, scope="row"),
        tag("td"),
        tag("td", count(number_), class_="n"),
        tag("td", share(number_, entered), class_="n"),
        tag("td", meter(number_, entered), class_="meter"),
        tag("td", colspan=3),
        class_="reason",
    )


def _notes(flow: FlowCounts, content: FlowContent) -> Html:
    """What stages noted, and rules that never fired."""
    found = [_ABOUT_TIMES] if any(content.seconds) else []
    found += [
        f"{clip(stage.label, 60)}: {clip(key, 60).replace('_', ' ')} {count(value)}"
        for stage, notes in zip(flow.stages, content.notes, strict=False)
        for key, value in sorted(notes.items())
        if value
    ]
    if content.silent:
        shown = ", ".join(clip(rule, 80) for rule in content.silent[:20])
        more = f" and {len(content.silent) - 20} more" if len(content.silent) > 20 else ""
        found.append(f"Rules that dropped nothing: {shown}{more}.")
    return tag("ul", *(tag("li", one) for one in found[:40]), class_="notes") if found else Html("")


def source_table(content: FlowContent, survey: Survey) -> Html:
    """What became of each source's records; empty where there is one source."""
    rows = survey.by_source.tolist()
    if len(rows) < 2:
        return Html("")
    named = sorted(zip(content.sources, rows, strict=False), key=lambda item: -item[1][0])[:_MOST_REASONS]
    body = [
        tag(
            "tr",
            tag("th", name(path), scope="row"),
            tag("td", count(total), class_="n"),
            tag("td", count(kept), class_="n"),
            tag("td", share(kept, total), class_="n"),
        )
        for path, (total, kept) in named
    ]
    head = tag(
        "tr",
        *(
            tag("th", words, scope="col", class_="n" if words != "source" else None)
            for words in ("source", "records", "kept", "share kept")
        ),
    )
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body), class_="plain"), class_="scroll")


# ------------------------------------------------------------------------------------------------- values


def value_figures(found: Sequence[Numbers | Names], flow: FlowCounts, flow_key: str) -> list[Html]:
    """One figure a measured value; those with a threshold first, else in the order of the stages."""
    numbered = sorted(enumerate(found), key=lambda item: (not item[1].column.thresholds, item[0]))
    return [_value_figure(one, flow, f"{flow_key}-v{index}") for index, one in numbered]


def _value_figure(one: Numbers | Names, flow: FlowCounts, key: str) -> Html:
    drawn = histogram(one, key) if isinstance(one, Numbers) else bars(one)
    title = tag("h4", tag("span", name(one.column.label, 60), class_="of"), " ", name(one.column.name, 60))
    parts = [title, drawn, *_sides(one, flow)]
    if isinstance(one, Numbers) and one.measured:
        scale = " Logarithmic scale." if one.axis.log else ""
        missing = f" {count(one.missing)} without it." if one.missing else ""
        parts.append(
            tag(
                "p",
                f"{plural(one.measured, 'record')}, {number(one.lowest)} to {number(one.highest)}.{missing}{_outside(one)}{scale}",
                class_="note",
            )
        )
    elif isinstance(one, Names) and one.counts:
        parts.append(tag("p", f"{plural(len(one.counts), 'different value')} in {plural(one.measured, 'record')}.", class_="note"))
    return tag("figure", *parts, tag("p", prose(one.column.doc, 400), class_="doc"), class_="value")


def _outside(one: Numbers) -> str:
    below, above = int(one.counts[: one.axis.first + 1].sum()), int(one.counts[one.axis.last + 1 :].sum())
    parts = [f"{count(below)} below"] * bool(below) + [f"{count(above)} above"] * bool(above)
    return f" {' and '.join(parts)} what is drawn." if parts else ""


def _sides(one: Numbers | Names, flow: FlowCounts) -> list[Html]:
    """For each threshold the records on either side, and how many this rule dropped: an earlier rule may have taken others."""
    if not isinstance(one, Numbers):
        return []
    reasons: Counter[str] = Counter()
    for stage in flow.stages:
        if stage.label == one.column.label:  # a Transform can refuse in more than one round
            reasons.update(stage.reasons)
    shown = []
    for limit in one.column.thresholds:
        out = one.beyond(limit)
        taken = join([" · ", name(limit.reason, 60), f" took {count(reasons[limit.reason])}"]) if limit.reason else Html("")
        sides = f" · {count(one.measured - out)} on the kept side, {count(out)} on the other"
        shown.append(tag("p", tag("b", f"{limit} {number(limit.limit)}"), sides, taken, class_="sides"))
    return shown


# ---------------------------------------------------------------------------------------------- duplicates


def duplicate_parts(content: FlowContent, survey: Survey, gallery: Gallery, flow_key: str) -> list[Html]:
    """For each Dedup that dropped something a heading with its numbers, then its groups."""
    parts = []
    for index, (label, threshold) in enumerate(content.dedups.items()):
        groups = survey.groups[label]
        if groups.shown:
            chart = _similarities(survey, label, threshold, f"{flow_key}-d{index}")
            parts.append(tag("div", tag("h4", name(label, 60)), group_summary(groups), chart, class_="dedup"))
            parts += [group_figure(group, gallery) for group in groups.shown]
    return parts


def _similarities(survey: Survey, label: str, threshold: float, key: str) -> Html:
    counts = survey.similarity[label]
    if not counts.sum() or counts[-1] == counts.sum():
        return Html("")  # all are equal: nothing to see
    words = f"Similarity of the dropped records to the kept one; the threshold is {number(threshold)}."
    return tag("figure", similarity_chart(counts, threshold, label, key), tag("p", words, class_="note"), class_="value")


# ------------------------------------------------------------------------------------------------- samples


def dropped_parts(content: FlowContent, survey: Survey, flow: FlowCounts, gallery: Gallery) -> list[Html]:
    """Samples of each reason, in the order of the stages; duplicates and what could not be read have their own sections."""
    parts, seen = [], set[tuple[str, str]]()
    for stage in flow.stages:
        if stage.label == "read" or stage.label in content.dedups:
            continue
        for reason, number_ in by_count(stage.reasons):
            key = (stage.label, reason)
            if key not in survey.typical or key in seen:
                continue
            seen.add(key)
            closest = survey.closest.get(key)
            rows = together(survey.typical[key].rows(), closest.rows() if closest else [])
            head = tag(
                "h4",
                tag("span", name(stage.label, 60), class_="of"),
                " ",
                name(reason, 60),
                " ",
                tag("span", plural(number_, "record"), class_="howmany"),
            )
            parts.append(tag("section", head, cards(rows, gallery), class_="samples"))
    return parts


def kept_parts(survey: Survey, gallery: Gallery) -> list[Html]:
    """Samples of what is in the dataset."""
    return [card(row, gallery) for row in survey.kept.rows()]


def unreadable(flow: FlowCounts, content: FlowContent, survey: Survey) -> Html:
    """Reasons for which something could not be read, with examples; and files that no reader takes."""
    read = next((stage for stage in flow.stages if stage.label == "read"), None)
    parts = []
    if read is not None and read.reasons:
        rows = [_unreadable_row(reason, number_, survey) for reason, number_ in by_count(read.reasons)[:_MOST_REASONS]]
        head = tag(
            "tr",
            tag("th", "reason", scope="col"),
            tag("th", "records or files", scope="col", class_="n"),
            tag("th", "for example", scope="col"),
        )
        parts.append(tag("div", tag("table", tag("thead", head), tag("tbody", *rows), class_="plain"), class_="scroll"))
    else:
        parts.append(tag("p", "All files that were listed could be read." if flow.records else "No file was listed.", class_="lead"))
    if content.skipped:
        parts.append(_skipped(content))
    return join(parts)


def _unreadable_row(reason: str, number_: int, survey: Survey) -> Html:
    rows = survey.typical["read", reason].rows() if ("read", reason) in survey.typical else []
    examples = [tag("li", name(row["source"]), f" {clip(row['detail'], 120)}" if row["detail"] else "") for row in rows]
    return tag("tr", tag("th", name(reason, 60), scope="row"), tag("td", count(number_), class_="n"), tag("td", tag("ul", *examples)))


def _skipped(content: FlowContent) -> Html:
    top = by_count(content.skipped)
    total, longest = sum(content.skipped.values()), top[0][1]
    rows = [bar_row([name(suffix or "(no suffix)", 40)], number_, longest, total) for suffix, number_ in top[:_MOST_SUFFIXES]]
    if len(top) > _MOST_SUFFIXES:
        rest = sum(number_ for _, number_ in top[_MOST_SUFFIXES:])
        rows.append(bar_row([plural(len(top) - _MOST_SUFFIXES, "other")], rest, longest, total))
    words = tag(
        "p",
        f"{plural(total, 'file')} in the source folders {'is' if total == 1 else 'are'} of a kind this flow does not read:",
        class_="lead",
    )
    return join([words, tag("table", tag("tbody", *rows), class_="bars")])
