"""Tables and lines for people: the summary of a run, and the answer of `d4a why`."""

from __future__ import annotations

from difflib import Match, SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..backends.device import choose
from ..errors import visible
from ..report.differences import spaced_words
from ..scan.poison import REASONS
from ..stage import Dedup

if TYPE_CHECKING:
    from ..forecast import Forecast
    from ..outcome import FlowOutcome, Outcome
    from ..plan import Plan, PlannedStage
    from ..shards.manifest import Dataset

_WHO = {"cpu": "the CPU", "rapids": "the card"}


COMPARED_WORDS = 5_000  # of two texts, so that an answer takes no longer than a moment
DIFFERENCES = 6  # places where they differ that `why` shows
DIFFERENCE_WORDS = 30  # words of each
RUN_WORDS = 5  # that two texts hardly share by chance


def show_outcome(console: Console, outcome: Outcome) -> None:
    """The table of every flow, what was reused, and where the shards are."""
    for flow in outcome.flows:
        console.print(flow_table(flow))
        for line in _notes(flow):
            console.print(Text(f"  {line}", style="dim"))
    if outcome.limit is not None:
        console.print(
            f"a look only: the first {outcome.limit:,} records of every flow (whole partitions are scanned for it, and reused later)"
        )
    shards = [shard for flow in outcome.flows for shard in flow.shards]
    reused = [f"{flow.name} scan reused" for flow in outcome.flows if not flow.scanned]
    new = [f"{flow.name}: {counted(flow.scanned, 'record')} scanned" for flow in outcome.flows if flow.scanned]
    console.print(f"{outcome.seconds:.1f} s; " + "; ".join([*new, *reused]) + ("" if outcome.published else "; nothing changed"))
    console.print(
        Text.assemble(("dataset ", "dim"), f"{outcome.dataset_id[:16]}  {counted(len(shards), 'shard')} in {_short(outcome.root)}")
    )


def flow_table(flow: FlowOutcome) -> Table:
    """stage, in, kept, dropped %, main reason, records per CPU second."""
    table = _table(f"{flow.name}: {flow.kept:,} of {flow.records:,} records kept")
    table.add_column("stage", no_wrap=True)
    for name in ("in", "kept", "dropped"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("main reason", overflow="fold")
    table.add_column("rec/s", justify="right", no_wrap=True)
    for row in flow.stages:
        dropped = row["in"] - row["kept"]
        share = f"{dropped / row['in']:.1%}" if row["in"] else "-"
        reasons = sorted(row["reasons"].items(), key=lambda item: (-item[1], item[0]))
        reason = f"{reasons[0][0]} {reasons[0][1]:,}" if reasons else ""
        more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
        rate = f"{row['in'] / row['seconds']:,.0f}" if row.get("seconds") else ""
        table.add_row(_stepped(row["label"], row.get("step", "")), f"{row['in']:,}", f"{row['kept']:,}", share, reason + more, rate)
    return table


def _stepped(label: str, step: str) -> str:
    """A stage's label; a Cut stands in two rows."""
    return f"{label} ({step})" if step else label


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _notes(flow: FlowOutcome) -> list[str]:
    lines = []
    if flow.skipped:
        top = sorted(flow.skipped.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{suffix} {count:,}" for suffix, count in top[:6])
        lines.append(f"passed over in folders, by suffix: {named}" + (f" and {len(top) - 6} more" if len(top) > 6 else ""))
    if flow.silent_rules:
        lines.append(f"rules that dropped nothing: {', '.join(_grouped(flow.silent_rules))}")
    for row in flow.stages:
        crashed = ", ".join(f"{reason} {row['reasons'][reason]:,}" for reason in REASONS if reason in row["reasons"])
        lines += [f"{row['label']} left out records that it cannot take: {crashed}; --fresh tries them again"] if crashed else []
        notes = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in sorted(row.get("notes", {}).items()) if count)
        lines += [f"{_stepped(row['label'], row.get('step', ''))}: {notes}"] if notes else []
    lines += flow.hints
    if not flow.kept:
        lines.append(f"no record of {flow.name} is left: look at the reasons above")
    return lines


def _grouped(rules: list[str]) -> list[str]:
    """`label: rule` entries -> `label (rule, rule)`."""
    groups: dict[str, list[str]] = {}
    for rule in rules:
        label, _, reason = rule.partition(": ")
        groups.setdefault(label, []).append(reason)
    return [f"{label} ({', '.join(reasons)})" for label, reasons in groups.items()]


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def show_plan(console: Console, plan: Plan, held: dict[str, int], forecasts: dict[str, list[Forecast]], ways: dict[str, list[str]]) -> None:
    """What would run, where, and what is there already; what searches by bands will find and need.

    held  flow -> partitions whose first scan is done
    ways  flow -> how searches go that depend on the number of records
    """
    console.print(
        f"device {plan.machine.device}, precision {plan.machine.precision}" + (f" ({plan.machine.why})" if plan.machine.why else "")
    )
    stages = [planned.make() for flow in plan.flows for one in flow.rounds for planned in one.stages]
    if plan.machine.device == "cuda" and any(isinstance(stage, Dedup) and stage.cost == "model" for stage in stages):
        compares = choose("cuda", "cupy")
        console.print(f"embeddings are compared by {_WHO[compares.backend]}: {compares.why}", markup=False)
    for flow in plan.flows:
        table = _table(f"{flow.name}: {counted(len(flow.partitions), 'partition')}")
        for name in ("round", "stage", "measures with", "judges by"):
            table.add_column(name)
        for index, one in enumerate(flow.rounds):
            for planned in one.stages:
                options = planned.make().options
                judged = _options({**options.of_kind("judge"), **options.of_kind("search")})
                judging = judged if planned.mode == "judge" else "nothing: annotates only"
                name = _stepped(planned.label, planned.step)
                measured = _options({**options.of_kind("measure"), **options.of_kind("file")})
                table.add_row(str(index + 1), Text(name), Text(measured), Text(judging))  # [en] is no markup
        console.print(table)
        size = sum(part.size for part in flow.partitions)
        files = len({(entry.root, entry.path) for part in flow.partitions for entry in part.entries})
        there = f"first round of {held.get(flow.name, 0):,} of {counted(len(flow.partitions), 'partition')} already scanned"
        console.print(f"  {counted(files, 'file')}, {size / 1e6:,.1f} MB; {there}")
        for line in flow.hints:
            console.print(f"  {line}", markup=False)
        for planned in (stage for one in flow.rounds for stage in one.stages):
            _show_place(console, planned)
        for forecast in forecasts.get(flow.name, []):
            _show_forecast(console, forecast)
        for line in ways.get(flow.name, []):
            console.print(f"  {line}", markup=False)


def _show_place(console: Console, planned: PlannedStage) -> None:
    """Where a stage computes, and why, if there is a choice."""
    local, precision = planned.facts.local, planned.facts.numeric.get("precision")
    if "backend" in local:
        console.print(f"  {planned.label} computes on {_WHO[local['backend']]}: {local['why']}", markup=False)  # d4a[gpu] is no markup
    elif "device" in local:
        where = f"  {planned.label} runs on {local['device']}" + (f" in {precision}" if precision else "")
        console.print(f"{where}; every worker holds a model of its own: {_mb(_size(Path(local['path'])))} of weights", markup=False)


def _size(weights: Path) -> int:
    """Bytes of a file, or of the largest one of a folder, which holds the weights."""
    return max((path.stat().st_size for path in ([weights] if weights.is_file() else weights.rglob("*")) if path.is_file()), default=0)


def _show_forecast(console: Console, forecast: Forecast) -> None:
    """The curve of a pair search, and its needs."""
    bands = f"{counted(forecast.bands, 'band')} x {counted(forecast.rows, 'row')}"
    table = _table(f"  {forecast.label}: {bands}; so many pairs of a similarity are found")
    table.add_column("  similarity")
    for similarity, _ in forecast.curve:
        table.add_column(f"{similarity:g}", justify="right")
    table.add_row("  found", *(f"{found:.4f}" for _, found in forecast.curve))
    console.print(table)
    for line in (
        f"about {counted(forecast.records.count, 'record')} ({forecast.records.basis})",
        f"sketches {_mb(forecast.disk)} on disk ({forecast.sketch_bytes:,} bytes each), as much again of what is kept",
        f"the search: at most {_mb(forecast.spilled)} of temporary files, {_mb(forecast.memory)} of memory beside its allowance",
    ):
        console.print(f"    {line}", soft_wrap=True)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in options.items() if value is not None)


def _plain(value: Any) -> str:
    """An option as a recipe would write it, without what is not set."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_plain(inner)}" for name, inner in value.items() if inner is not None) + "}"
    return f"[{', '.join(map(_plain, value))}]" if isinstance(value, list) else str(value)


def counted(count: int, noun: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


# ----------------------------------------------------------------------------------------------------- why


def why_record(row: dict[str, Any], payloads: dict[int, dict[str, bytes]]) -> RenderableType:
    """One ledger row as sentences, and for a text duplicate the words that differ."""
    kept = row["verdict"] == "kept"
    head = Text.assemble(
        (row["verdict"], "bold green" if kept else "bold red"), f"  {row['flow']}  ", (visible(row["key"]), "bold"), no_wrap=True
    )
    lines = [f"  source      {row['source']}"] if row["source"] != row["key"] else []
    if row["edited_chars"]:
        why = f"; {row['detail']}" if kept and row["detail"] else ""
        lines.append(f"  edited      {counted(row['edited_chars'], 'character')} less{why}")
    if kept:
        return Group(head, *map(_line, [*lines, f"  sample      {row['sample_key']} in {row['shard']}"]))
    lines.append(f"  by          {row['stage']}: {row['reason']}" + (f" ({row['detail']})" if row["detail"] else ""))
    if row["twin"] is not None:
        return Group(head, *map(_line, [*lines, *_twin_lines(row)]), *_side_by_side(row, payloads))
    if row["value"] is not None:
        against = f", threshold {row['threshold']:.6g}" if row["threshold"] is not None else ""
        lines.append(f"  measured    {row['value']:.6g}{against}")
    return Group(head, *map(_line, lines))


def _line(text: str) -> Text:
    """A line as it is: names from the data are no markup, and paths are not broken."""
    return Text(visible(text), no_wrap=True, overflow="ignore")


def _twin_lines(row: dict[str, Any]) -> list[str]:
    lines = [f"  similarity  {row['similarity']:.4f}, threshold {row['threshold']:.6g}", f"  twin        {row['twin']}"]
    if row["twin_source"] is None:
        lines.append("              in an earlier dataset, as `against` has it")
    elif row["twin_source"] != row["twin"]:
        lines.append(f"              from {row['twin_source']}")
    twin = row["twin_row"]
    if twin is not None and twin["verdict"] == "kept":
        lines.append(f"              kept: {twin['sample_key']} in {twin['shard']}")
    elif twin is not None:
        lines.append(f"              itself dropped later by {twin['stage']}: {twin['reason']}")
        lines.append(f"  survivor    {row['survivor'] or 'none: the whole group was dropped'}")
    return lines


def _side_by_side(row: dict[str, Any], payloads: dict[int, dict[str, bytes]]) -> list[RenderableType]:
    """For texts: the words that only one of the two has, with a few before them, and how many they share."""
    twin = row["twin_row"]
    both = [payloads.get(one["id"], {}).get("text/plain") for one in (row, twin) if one]
    if len(both) < 2 or None in both:
        return []
    left, right = (spaced_words(one.decode("utf-8", "replace")) for one in both if one is not None)
    before, length = _stretch(left, right), len(right)
    left, right = left[:COMPARED_WORDS], right[before : before + COMPARED_WORDS]
    matcher = SequenceMatcher(None, [word.rstrip() for word in left], [word.rstrip() for word in right], autojunk=False)
    places = [(a, b, c, d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]
    tail = _shared(matcher.get_matching_blocks(), len(left), before, length)
    tail += "" if len(places) <= DIFFERENCES else f"; {len(places) - DIFFERENCES:,} more places differ"
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    for name in ("only in the dropped one", "only in the twin"):
        table.add_column(name, ratio=1, overflow="fold")
    for a, b, c, d in places[:DIFFERENCES]:
        table.add_row(_passage(left, a, b), _passage(right, c, d))
    return [table, Text(tail, style="dim")] if places else [Text(tail, style="dim")]


def _stretch(left: list[str], right: list[str]) -> int:
    """The word of a long twin from which on it is compared: somewhat before the place that most runs of words of the other text give."""
    if len(right) <= COMPARED_WORDS:
        return 0
    size = range(RUN_WORDS)
    runs = {tuple(left[k + j].rstrip() for j in size): k for k in range(min(len(left), COMPARED_WORDS) - RUN_WORDS + 1)}
    words = [word.rstrip() for word in right]
    ahead = [k - runs[run] for k, run in enumerate(zip(*(words[j:] for j in size), strict=False)) if run in runs]
    return max(0, sorted(ahead)[len(ahead) // 2] - DIFFERENCE_WORDS) if ahead else 0


def _shared(blocks: list[Match], left: int, before: int, right: int) -> str:
    """How many words two texts share, and where they stand in a twin that is much longer.

    left, right  words of the text, at most COMPARED_WORDS, and of the whole twin
    before       words of the twin that were passed over
    """
    same = sum(block.size for block in blocks)
    told = (
        f"  {same:,} of {left:,} and {right:,} words are the same" if same < left or same < right else f"  all {same:,} words are the same"
    )
    runs = [block for block in blocks if block.size >= RUN_WORDS]
    if runs and right > 1.2 * left:
        told += f", words {before + runs[0].b + 1:,} to {before + runs[-1].b + runs[-1].size:,} of the twin"
    return told + (f" (of the first {COMPARED_WORDS:,} compared)" if left == COMPARED_WORDS or right > COMPARED_WORDS > before == 0 else "")


def _passage(words: list[str], start: int, end: int) -> Text:
    """Words in bold after the few that lead to them."""
    words = [visible(word.rstrip()) + " " * word.endswith(" ") for word in words]
    lead = "".join(words[max(0, start - 4) : start])
    shown = "".join(words[start : min(end, start + DIFFERENCE_WORDS)]) + (" …" if end - start > DIFFERENCE_WORDS else "")
    return Text.assemble((f"… {lead}" if lead else "", "dim"), (shown, "bold"))


def why_dataset(dataset: Dataset, drops: list[dict[str, Any]]) -> RenderableType:
    """Drops by flow, stage and reason."""
    table = _table(f"{dataset.name}: what was dropped and why")
    for name in ("flow", "stage", "reason"):
        table.add_column(name)
    table.add_column("records", justify="right")
    table.add_column("of flow", justify="right")
    for row in drops:
        total = dataset.flows[row["flow"]].records
        table.add_row(row["flow"], row["stage"], row["reason"], f"{row['count']:,}", f"{row['count'] / total:.2%}")
    kept = "; ".join(f"{name}: {flow.kept:,} of {flow.records:,} kept" for name, flow in dataset.flows.items())
    return Group(table, kept)
