"""Samples are a fair draw, closest calls are the closest, and groups hold the kept record and the ones dropped for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from d4a.curator.ledger import LEDGER
from d4a.curator.report.survey import CLOSEST, KEPT, MEMBERS, TYPICAL, Row, Survey, survey
from small_report import dropped, duplicate, kept, write


def read(folder: Path, rows: list[Row], dedups: dict[str, float] | None = None, sources: list[int] | None = None) -> Survey:
    paths = write(folder, "ledger", pa.Table.from_pylist(rows, schema=LEDGER), 700, 100)
    return survey(paths, dedups or {}, sources or [0])


def test_closest_calls_are_those_nearest_to_the_threshold(tmp_path: Path) -> None:
    values = np.random.default_rng(1).permutation(2000)
    rows = [dropped(i, "filter", "few", value=float(value), threshold=2000.0) for i, value in enumerate(values)]
    found = read(tmp_path, rows)
    assert [row["value"] for row in found.closest["filter", "few"].rows()] == [1999.0, 1998.0][:CLOSEST]


def test_samples_are_drawn_from_everywhere_and_not_from_the_beginning(tmp_path: Path) -> None:
    found = read(tmp_path, [kept(i) if i % 2 else dropped(i, "filter", "few") for i in range(4000)])
    places = [row["id"] for row in (*found.kept.rows(), *found.typical["filter", "few"].rows())]
    assert len(found.kept.rows()) == KEPT and len(found.typical["filter", "few"].rows()) == TYPICAL
    assert min(places) < 1200 and max(places) > 2800 and len(set(places)) == len(places)
    assert ("filter", "few") not in found.closest  # nothing was measured


def test_groups_largest_least_alike_and_typical(tmp_path: Path) -> None:
    rows = [kept(i) for i in range(300)]
    rows += [duplicate(1000 + i, "doc-00005", 0.9 + i / 1000) for i in range(50)]
    rows += [duplicate(2000 + i, f"doc-{100 + i:05d}", 0.99) for i in range(100)]
    rows += [duplicate(3000, "doc-00250", 0.8001)]
    groups = read(tmp_path, rows, {"dedup": 0.8}).groups["dedup"]
    assert groups.sizes[1] == 101 and groups.sizes[50] == 1 and groups.sizes.sum() == 102
    shown = {group.twin: group for group in groups.shown}
    largest, least = shown["doc-00005"], shown["doc-00250"]
    assert (largest.kind, largest.size, len(largest.dropped)) == ("largest", 50, MEMBERS)
    assert (least.kind, least.size, least.dropped[0]["similarity"]) == ("least alike", 1, 0.8001)
    assert sum(group.kind == "typical" for group in groups.shown) == 2
    for group in groups.shown:
        assert group.kept is not None and group.kept["key"] == group.twin and group.kept["verdict"] == "kept"
        assert [row["twin"] for row in group.dropped] == [group.twin] * len(group.dropped)
        similarities = [row["similarity"] for row in group.dropped]
        assert similarities == sorted(similarities, reverse=True)


def test_a_twin_that_was_dropped_later_is_shown_as_such(page) -> None:
    rows = [kept(0), {**duplicate(1, "doc-00000", 0.85, stage="second"), "reason": "alike"}, duplicate(2, "doc-00001", 1.0, stage="first")]
    made = page(rows, stages=("read", "first", "second"), dedups={"first": 0.8, "second": 0.8})
    assert "kept here; dropped later by second: alike" in made.text


def test_records_are_counted_by_source(tmp_path: Path) -> None:
    rows = [
        kept(ordinal << 32 | i) if i % (ordinal + 1) else dropped(ordinal << 32 | i, "f", "r") for ordinal in range(3) for i in range(60)
    ]
    assert read(tmp_path, rows, sources=[0, 1, 0]).by_source.tolist() == [[120, 40], [60, 30]]
