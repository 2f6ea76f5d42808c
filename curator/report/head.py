"""What a dataset is, at the top of the page, and how to use it, at the end."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

from ..shards.card import loading_code
from ..shards.manifest import Dataset, by_flow
from ..stage import Machine
from .figures import by_count, count, plural, share, size
from .markup import Html, clip, join, tag
from .survey import Row, Survey

_LONGEST_COMMAND_KEY = 100
_EMBLEM = [  # a hundred rivers make the sea
    tag("path", d="M2 5C16 5 18 20 34 20", class_="river"),
    tag("path", d="M2 15C14 15 20 20 34 20", class_="river"),
    tag("path", d="M2 26C14 26 20 20 34 20", class_="river"),
    tag("path", d="M2 36C16 36 18 20 34 20", class_="river"),
    tag("path", d="M33 20H58", class_="sea"),
]


def masthead(dataset: Dataset, machine: Machine | None, links: Sequence[tuple[str, list[tuple[str, str]]]]) -> Html:
    """Name, numbers, identity, and the way to each section."""
    emblem = tag("svg", *_EMBLEM, class_="emblem", viewBox="0 0 60 40", aria_hidden="true")
    description = str(dataset.recipe.get("description") or "").strip()
    about = tag("p", clip(description, 1200), class_="about") if description else Html("")
    brand = tag("p", emblem, tag("span", "d4a report"), class_="brand")
    return tag(
        "header", brand, tag("h1", dataset.name), about, _numbers(dataset), _identity(dataset, machine), _contents(links), class_="masthead"
    )


def _numbers(dataset: Dataset) -> Html:
    records = sum(flow.records for flow in dataset.flows.values())
    kept = sum(flow.kept for flow in dataset.flows.values())
    facts = [
        ("kept", count(kept), f"of {plural(records, 'record')}"),
        (
            "share kept",
            share(kept, records),
            f"{count(records - kept)} dropped, each with a reason" if kept < records else "nothing dropped",
        ),
        ("size", size(sum(shard.bytes for shard in dataset.shards)), f"in {plural(len(dataset.shards), 'shard')}"),
    ]
    return tag("dl", *(tag("div", tag("dt", term), tag("dd", value, tag("small", more))) for term, value, more in facts), class_="numbers")


def _identity(dataset: Dataset, machine: Machine | None) -> Html:
    tools = [*sorted(dataset.tool.items()), *sorted(dataset.libraries.items())]
    every = [(flow, split, number) for flow in sorted(dataset.flows) for split, number in splits(dataset, flow)]
    rows = [
        ("flows", "; ".join(f"{flow}: {count(found.kept)} of {count(found.records)}" for flow, found in sorted(dataset.flows.items()))),
        ("limit", f"only the first {count(dataset.limit)} records of every flow" if dataset.limit is not None else ""),
        ("splits", "; ".join(f"{flow}/{split} {count(number)}" for flow, split, number in every) or "none"),
        ("licence", _licence(dataset)),
        ("dataset id", tag("code", dataset.dataset_id)),
        ("recipe", tag("code", dataset.recipe_digest)),
        ("seed", str(dataset.seed)),
        ("device", _device(machine)),
        ("numeric class", _numeric_class(dataset)),
        ("made with", ", ".join(f"{tool} {version}" for tool, version in tools)),
    ]
    return tag("dl", *(join([tag("dt", term), tag("dd", value)]) for term, value in rows if value), class_="identity")


def splits(dataset: Dataset, flow: str) -> list[tuple[str, int]]:
    """Splits of a flow and their samples, train first."""
    found: dict[str, int] = {}
    for shard in by_flow(dataset.shards).get(flow, []):
        found[shard.split] = found.get(shard.split, 0) + shard.samples
    return sorted(found.items(), key=lambda item: (item[0] != "train", item[0]))


def _licence(dataset: Dataset) -> str:
    whole = clip(str(dataset.recipe.get("licence") or ""), 60)
    named: Counter[str] = Counter()
    for counts in dataset.licences.values():
        named.update({licence: number for licence, number in counts.items() if licence})
    unknown = sum(shard.samples for shard in dataset.shards) - named.total()
    parts = [f"{clip(licence, 60)} ({plural(number, 'sample')})" for licence, number in by_count(named)[:12]]
    if unknown and (named or not whole):
        parts.append(f"not declared ({plural(unknown, 'sample')})")
    return "; ".join([f"{whole} as a whole"] * bool(whole) + parts) or "not declared"


def _device(machine: Machine | None) -> str:
    if machine is None:
        return ""
    return f"{machine.device}, {machine.precision}" + (f": {clip(machine.why, 200)}" if machine.why else "")


def _numeric_class(dataset: Dataset) -> Html:
    """What decides the digits of neural values; long digests by their beginning."""
    facts = [
        (label, ", ".join(f"{key} {value[:12]}…" if len(value) > 40 else f"{key} {value}" for key, value in sorted(found.items())))
        for label, found in sorted(dataset.numeric.items())
    ]
    return join(tag("div", tag("span", f"{clip(label, 60)}: ", class_="faint"), clip(words, 300)) for label, words in facts[:20])


def _contents(links: Sequence[tuple[str, list[tuple[str, str]]]]) -> Html:
    rows = [
        tag(
            "li",
            tag("a", flow, href=f"#{flow}", class_="flow"),
            tag("span", *(tag("a", title, href=f"#{key}") for key, title in sections)),
        )
        for flow, sections in links
    ]
    return tag("nav", tag("ul", *rows, tag("li", tag("a", "How to use it", href="#use", class_="flow"))), aria_label="Contents")


# ---------------------------------------------------------------------------------------------------- use


def how_to_use(dataset: Dataset, surveys: Sequence[Survey]) -> Html:
    """Lines that load the dataset, and `d4a why` with keys that it has."""
    flows = by_flow(dataset.shards)
    code = [loading_code(flow, shards, dataset.members.get(flow, ())) for flow, shards in flows.items()]
    load = [tag("pre", tag("code", *(tag("span", line, class_="line") for line in lines))) for lines in code]
    asked = [
        ("d4a why .", "all reasons with their counts"),
        *_questions(surveys),
        ("d4a verify .", "read every byte again and compare it with dataset.json"),
    ]
    rows = [tag("tr", tag("td", tag("code", command)), tag("td", meaning)) for command, meaning in asked]
    return tag(
        "section",
        tag("h2", "How to use it"),
        tag("h3", "Load it"),
        *(load or [tag("p", "There is nothing to load: no record was kept.", class_="lead")]),
        tag("h3", "Ask why"),
        tag("p", "In the folder that holds this page, which is the folder of the dataset:", class_="lead"),
        tag("div", tag("table", tag("tbody", *rows), class_="plain commands"), class_="scroll"),
        tag("p", "Every input record has a row in ledger/, every measured value is in scores/: Parquet, for any tool.", class_="note"),
        id="use",
    )


def _questions(surveys: Sequence[Survey]) -> list[tuple[str, str]]:
    """One command for a duplicate, one for another drop, one for a kept record, of each flow."""
    found = []
    for survey in surveys:
        rows: list[tuple[Row, str]] = []
        for groups in survey.groups.values():
            rows += [
                (row, f"the kept record it resembles, and how much ({row['stage']})") for group in groups.shown for row in group.dropped
            ][:3]
        others = [row for key, pool in sorted(survey.typical.items()) if key[0] not in survey.groups for row in pool.rows()]
        rows += [(row, f"dropped by {clip(row['stage'], 60)}: {clip(row['reason'], 60)}") for row in others]
        best = _plain([pair for pair in rows if pair[0]["twin"] is not None]) + _plain([pair for pair in rows if pair[0]["twin"] is None])
        best += _plain([(row, "kept: its sample key and shard") for row in survey.kept.rows()])
        found += [(f"d4a why . {shlex.quote(row['key'])}", meaning) for row, meaning in best]
    return found


def _plain(rows: list[tuple[Row, str]]) -> list[tuple[Row, str]]:
    """The first row whose key can be typed: short, on one line, printable, no option."""
    typed = [
        (row, words)
        for row, words in rows
        if row["key"].isprintable() and 0 < len(row["key"]) <= _LONGEST_COMMAND_KEY and row["key"][0] != "-"
    ]
    return typed[:1]
