"""Small datasets to report on: ledger and scores on disk as the layout writes them, and pages parsed strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from d4a.curator.shards.manifest import Dataset, FlowCounts, Shard, StageCounts, merkle_root

Row = dict[str, Any]
VOID = {"meta", "img", "wbr"}


class Previews:
    """Views by id, as `explain.Previews` gives them."""

    def __init__(self, views: Mapping[int, tuple[str, bytes]] | None = None, every: tuple[str, bytes] | None = None) -> None:
        self.views, self.every = views or {}, every

    def get(self, flow: str, ids: list[int]) -> dict[int, dict[str, bytes]]:
        if self.every is not None:
            return {one: dict([self.every]) for one in ids}
        return {one: dict([self.views[one]]) for one in ids if one in self.views}


def kept(number: int, key: str | None = None, **more: Any) -> Row:
    """Ledger row of a record in the dataset."""
    key = f"doc-{number:05d}" if key is None else key
    return {"id": number, "flow": "text", "key": key, "source": key, "verdict": "kept", "sample_key": f"{number:020x}", **more}


def dropped(number: int, stage: str, reason: str, **more: Any) -> Row:
    """Ledger row of a record that a stage dropped."""
    return {**kept(number), "verdict": "dropped", "stage": stage, "reason": reason, "sample_key": None, **more}


def duplicate(number: int, twin: str, similarity: float, stage: str = "dedup", **more: Any) -> Row:
    """Ledger row of a duplicate."""
    measured = {"value": similarity, "threshold": 0.8, "similarity": similarity, "twin": twin, "twin_source": twin, "survivor": twin}
    return {**dropped(number, stage, "near_duplicate"), **measured, **more}


def write(folder: Path, name: str, table: pa.Table, rows_a_file: int, rows_a_group: int) -> list[Path]:
    paths = []
    for index, start in enumerate(range(0, max(table.num_rows, 1), rows_a_file)):
        paths.append(folder / f"{name}-{index:06d}.parquet")
        pq.write_table(table.slice(start, rows_a_file), paths[-1], row_group_size=rows_a_group)
    return paths


def counts_of(rows: Sequence[Row], stages: Sequence[str]) -> FlowCounts:
    entered, found = len(rows), []
    for label in stages:
        mine = [row["reason"] for row in rows if row.get("stage") == label]
        reasons = {reason: mine.count(reason) for reason in sorted(set(mine))}
        found.append(StageCounts(label=label, use=label, entered=entered, kept=entered - len(mine), dropped=len(mine), reasons=reasons))
        entered -= len(mine)
    unreadable = sum(row.get("stage") == "read" for row in rows)
    return FlowCounts(records=len(rows), kept=entered, dropped=len(rows) - entered, unreadable=unreadable, stages=found)


def dataset_of(flows: Mapping[str, FlowCounts], **more: Any) -> Dataset:
    shards = [
        Shard(path=f"{flow}/train/000000.tar", flow=flow, split="train", samples=counts.kept, bytes=10_240, sha256="ab" * 32,
              key_first="0" * 20, key_last="f" * 20, unit="u")
        for flow, counts in flows.items() if counts.kept
    ]  # fmt: skip
    plain = {
        "name": "small", "recipe": {"name": "small"}, "recipe_digest": "cd" * 32, "seed": 0, "tool": {"d4a": "1.2.3"},
        "members": {flow: ["json"] for flow in flows}, **more,
    }  # fmt: skip
    return Dataset(dataset_id=merkle_root(shards), flows=dict(flows), shards=shards, **plain)


class Page(HTMLParser):
    """A page taken apart; what is not closed in order, or not quoted, fails."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.data, self.source = data, data.decode("utf-8", "strict")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.parts: list[str] = []
        self.open: list[str] = []
        self.feed(self.source)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        assert all(value is not None for _, value in attrs), (tag, attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.parts.append(data)

    @property
    def text(self) -> str:
        """All words of the page."""
        return "".join(self.parts)

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
