"""`page(...)`: the parsed report of a small dataset with one text flow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from d4a.curator.ledger import LEDGER
from d4a.curator.report.content import Column, FlowContent
from d4a.curator.report.page import render
from small_report import Page, Previews, Row, counts_of, dataset_of, write


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., Page]:
    """`page(rows, stages=[…], scores={…}, columns=[…], previews=…)` -> the parsed page of a dataset with one text flow."""
    numbers = itertools.count()

    def make(
        rows: Sequence[Row],
        stages: Sequence[str] = ("read", "filter", "dedup"),
        scores: Mapping[str, pa.Array] | None = None,
        columns: Sequence[Column] = (),
        previews: Previews | None = None,
        rows_a_file: int = 1_000_000,
        rows_a_group: int = 65_536,
        dataset: Mapping[str, Any] | None = None,
        **content: Any,
    ) -> Page:
        folder = tmp_path / f"page-{next(numbers)}"
        folder.mkdir()
        ledger = write(folder, "ledger", pa.Table.from_pylist(list(rows), schema=LEDGER), rows_a_file, rows_a_group)
        measured = write(folder, "scores", pa.table(dict(scores)), rows_a_file, rows_a_group) if scores else []
        known = {"dedups": {"dedup": 0.8}, "sources": ["in"], "partition_source": [0], **content}
        flow = FlowContent(name="text", ledger=ledger, scores=measured, columns=columns, **known)
        return Page(render(dataset_of({"text": counts_of(rows, stages)}, **(dataset or {})), [flow], previews or Previews()))

    return make
