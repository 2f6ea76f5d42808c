"""README.md of a dataset: Hugging Face front matter, then what a person wants to know before using it.

Everything is derived from dataset.json's content, so the card cannot say anything else; no clock, no path of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import yaml

from .manifest import Dataset, Shard, brace_pattern, by_flow, group_shards

# Hugging Face's licence names that are not the SPDX identifier in lower case, and those that are
_RENAMED = {"odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "pddl-1.0": "pddl"}
_SPDX = re.compile(r"cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[234]\.[05]|mit|apache-2\.0|bsd-[23]-clause|(a|l)?gpl-[23]\.[01]|isc|unlicense")
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def render(dataset: Dataset) -> str:
    """The whole card in Markdown."""
    sections = [
        _front_matter(dataset),
        f"# {dataset.name}\n\n{_intro(dataset)}",
        "## Numbers\n\n" + "\n\n".join(_stage_table(dataset, flow) for flow in sorted(dataset.flows)),
        "## How to load it\n\n" + _loading(dataset),
        "## What was dropped, and why\n\n" + _dropped(dataset),
        "## Licences\n\n" + _licences(dataset),
        "## How it was made\n\n" + _making(dataset),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(dataset)),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(dataset: Dataset) -> str:
    samples = sum(shard.samples for shard in dataset.shards)
    matter = {
        "pretty_name": dataset.name,
        **_licence_matter(dataset),
        "size_categories": [_size_category(samples)],
        "tags": ["webdataset"],
        "configs": [
            {
                "config_name": flow,
                "data_files": [{"split": split, "path": f"{flow}/{split}/*.tar"} for split in group_shards(shards, _split)],
            }
            for flow, shards in by_flow(dataset.shards).items()
        ],
    }
    return f"---\n{yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)}---"


def _split(shard: Shard) -> str:
    return shard.split


def _size_category(samples: int) -> str:
    for i, top in enumerate(_SIZES):
        if samples < 10 ** (i + 3):
            return f"{_SIZES[i - 1]}<n<{top}" if i else f"n<{top}"
    return f"n>{_SIZES[-1]}"


def _licence_matter(dataset: Dataset) -> dict[str, object]:
    whole = str(dataset.recipe.get("licence") or "")
    spdx = {whole} if whole else {name for counts in dataset.licences.values() for name in counts if name}
    if not whole and _unlicensed(dataset):
        spdx.add("unknown")
    names = sorted({_hub_licence(name) for name in spdx})
    matter: dict[str, object] = {"license": names[0] if len(names) == 1 else names or "unknown"}
    if names == ["other"]:
        matter["license_name"] = re.sub(r"[^a-z0-9.]+", "-", "-".join(sorted(spdx)).lower()).strip("-")
    return matter


def _hub_licence(spdx: str) -> str:
    lower = spdx.lower()
    if lower == "unknown" or _SPDX.fullmatch(lower):
        return lower
    return _RENAMED.get(lower, "other")


def _unlicensed(dataset: Dataset) -> int:
    known = sum(count for counts in dataset.licences.values() for name, count in counts.items() if name)
    return sum(shard.samples for shard in dataset.shards) - known


def _intro(dataset: Dataset) -> str:
    parts = [f"{flow} ({_amount(shards)})" for flow, shards in by_flow(dataset.shards).items()]
    description = str(dataset.recipe.get("description") or "").strip()
    what = f"WebDataset shards, curated by d4a (Data4All): {', '.join(parts) or 'no samples'}."
    where = "Every input record, kept or dropped, has a row in `ledger/`; every measured value is in `scores/`."
    look = f"Only the first {dataset.limit:,} records of every flow were taken (`--limit`)." if dataset.limit is not None else ""
    return "\n\n".join(part for part in (description, f"{what} {where}", look) if part)


def _amount(shards: Sequence[Shard]) -> str:
    samples, size = sum(shard.samples for shard in shards), sum(shard.bytes for shard in shards)
    return f"{samples:,} samples, {len(shards):,} shard{'' if len(shards) == 1 else 's'}, {_bytes(size)}"


def _bytes(count: int) -> str:
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.1f} {units[0]}" if units[0] != "B" else f"{count} B"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def line(cells: Sequence[object]) -> str:
        shown = (f"{cell:,}" if isinstance(cell, int) else re.sub(r"\s+", " ", str(cell)).replace("|", "\\|") for cell in cells)
        return f"| {' | '.join(shown)} |"

    return "\n".join([line(head), line(["---"] * len(head)), *(line(row) for row in rows)])


def _stage_table(dataset: Dataset, flow: str) -> str:
    counts = dataset.flows[flow]
    head = f"**{flow}**: {counts.records:,} records in, {counts.unreadable:,} of them unreadable, {counts.kept:,} kept.\n\n"
    return head + _table(["stage", "in", "dropped", "kept"], [(f"`{s.label}`", s.entered, s.dropped, s.kept) for s in counts.stages])


def _loading(dataset: Dataset) -> str:
    flows = by_flow(dataset.shards)
    code = [loading_code(flow, shards, dataset.members[flow]) for flow, shards in flows.items()]
    snippets = ["\n".join(["```python", *lines, "```"]) for lines in code]
    if not flows:
        return "There is nothing to load: no record was kept."
    flow, shards = next(iter(flows.items()))
    place = f"{flow}/{shards[0].split}"
    readers = _table(
        ["reader", "what it reads"],
        [
            ("webdataset, open_clip", f"the tars; open_clip also `{place}/sizes.json`"),
            ("Hugging Face datasets", f'`load_dataset(FOLDER, "{flow}", streaming=True)`'),
            ("wids", f"`{place}/index.json` (one split), `{flow}/index.json` (all)"),
            ("Megatron Energon", f"the folder `{flow}/`, prepared already"),
            ("NVIDIA DALI", f"`{place}/*.tar` with the `.idx` beside each"),
            ("pandas, DuckDB", f"`{place}/*.parquet`: key, place in the tar, digest, source, licence"),
        ],
    )
    return "\n\n".join([*snippets, "The same files serve other readers, with nothing to convert:", readers])


def loading_code(flow: str, shards: Sequence[Shard], suffixes: Sequence[str]) -> list[str]:
    """Three lines of Python that read a flow of the dataset in the current folder, its train split where there is one."""
    splits = group_shards(shards, _split)
    split = "train" if "train" in splits else next(iter(splits))
    urls = brace_pattern([shard.path for shard in splits[split]])
    decoder, show = ('"pil"', 'sample["jpg"].size') if "jpg" in suffixes else ("", 'sample["json"].get("text", sample["json"])')
    also = ', sample["txt"]' if "txt" in suffixes else ""
    return [
        "import webdataset as wds",
        f'{flow} = wds.WebDataset("{"::".join(urls)}", shardshuffle=False).decode({decoder})',
        f"for sample in {flow}: print({show}{also})",
    ]


def _dropped(dataset: Dataset) -> str:
    rows = [
        (flow, f"`{stage.label}`", f"`{reason}`", count)
        for flow, counts in sorted(dataset.flows.items())
        for stage in counts.stages
        for reason, count in sorted(stage.reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    if not rows:
        return "No stage dropped a record."
    ask = "For one record (value, threshold, and for a duplicate the kept twin): `d4a why FOLDER KEY`."
    return _table(["flow", "stage", "reason", "records"], rows) + "\n\n" + ask


def _licences(dataset: Dataset) -> str:
    rows: list[tuple[object, ...]] = [
        (flow, name, count) for flow, counts in sorted(dataset.licences.items()) for name, count in sorted(counts.items()) if name
    ]
    if unknown := _unlicensed(dataset):
        rows.append(("", "unknown", unknown))
    whole = str(dataset.recipe.get("licence") or "")
    about = f"The dataset as a whole: {whole}. " if whole else ""
    note = "By sample, as the recipe declares it for each source; d4a does not check it. It is in each shard's `.parquet`."
    return f"{about}{note}\n\n" + _table(["flow", "licence", "samples"], rows)


def _making(dataset: Dataset) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted({**dataset.tool, **dataset.libraries}.items()))
    rows = [
        ("command", "`d4a curate RECIPE.yaml`"),
        ("recipe", f"`{dataset.recipe_digest}`, in full under `recipe` in `dataset.json`"),
        ("seed", str(dataset.seed)),
        ("versions", versions),
        ("dataset id", f"`{dataset.dataset_id}`"),
    ]
    check = "The dataset id is the Merkle root of the shards' SHA-256: `d4a verify FOLDER` reads every byte again and compares."
    return _table(["what", "value"], rows) + "\n\n" + check


def _unsearched(flow: str, uses: Sequence[str]) -> Iterator[str]:
    """What of a flow nobody searched for personal data; a pair has two parts, each with a stage of its own for it."""
    found = {"captions": any("pii" in use for use in uses), "pictures": any("detect" in use for use in uses)}
    if flow == "pair" and any(found.values()):
        yield from (f"{flow} ({part})" for part, searched in found.items() if not searched)
    elif not any(found.values()):
        yield flow


def _limits(dataset: Dataset) -> Iterator[str]:
    used = {flow: [stage.use for stage in counts.stages] for flow, counts in sorted(dataset.flows.items())}
    unsearched = [name for flow, uses in used.items() for name in _unsearched(flow, uses)]
    if unsearched:
        yield f"No stage of {', '.join(unsearched)} looked for personal data: expect names, addresses and faces if the sources have them."
    repeated = [flow for flow, uses in used.items() if not any(".dedup" in use for use in uses)]
    if repeated:
        yield f"No stage of {', '.join(repeated)} removed duplicates."
    if len({shard.split for shard in dataset.shards}) > 1:
        yield "Splits are drawn record by record after deduplication: records less alike than its thresholds may lie in two splits."
        if "pair" in used:
            yield "All captions of one image file lie in one split; another file of the same picture may lie in the other."
    if dataset.numeric:
        yield "Values of neural stages repeat within one numeric class (weights, precision, device kind): `numeric` in `dataset.json`."
    if any("jpg" in suffixes for suffixes in dataset.members.values()):
        yield "Images are packed byte for byte under the suffix `.jpg`, whatever their format; the true one is in the `.json` member."
    yield "Filters measure form (length, repetition, size, likeness), not truth, taste or harm."
