"""Why a record is where it is: ledger rows for people, and previews of payload while the state is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .errors import D4AError
from .ledger import drops_by_reason, find
from .plan import Plan, published_plan
from .scan.evidence import Evidence, read_payload
from .scan.payload import as_seen
from .shards.manifest import Dataset, read
from .store import Store


class Previews:
    """Short views of records, dropped ones included: text excerpts or thumbnails.

    They come from the state under .d4a/ and from the source files; once either is gone there is none.
    """

    def __init__(self, root: Path, plan: Plan | None = None) -> None:
        """`plan`: of the run that is being published; else the one that was published last, which the ledger is about."""
        self._store = Store(root)
        self._plan = plan or published_plan(self._store)
        self._evidence: dict[str, Evidence] = {}

    def get(self, flow: str, ids: list[int], whole: bool = False) -> dict[int, dict[str, bytes]]:
        """id -> media type -> bytes for those of the records that can be shown; with `whole`, texts at full length."""
        if self._plan is None or not ids:
            return {}
        try:
            evidence = self._of_flow(self._plan, flow)
            wanted = np.array(sorted(set(ids)), np.int64)
            indices = evidence.starts[wanted >> 32] + (wanted & 0xFFFFFFFF)
            seen = evidence.table(0, ["digest", "rest"], indices)
            places = evidence.places(indices, 0)
            for name in seen.column_names:
                places = places.append_column(name, seen.column(name))
        except (D4AError, OSError, IndexError, KeyError, ValueError):
            return {}  # a preview is a courtesy: the state may be of another run, or gone
        shown = {}
        for position in np.flatnonzero(places.column("payload").is_valid().to_numpy()).tolist():
            views = self._views(evidence, places.slice(position, 1), whole)
            if views:
                shown[int(wanted[position])] = views
        return shown

    def _views(self, evidence: Evidence, place: pa.Table, whole: bool) -> dict[str, bytes]:
        modality, views = evidence.flow.modality, {}
        for column in modality.shown:
            payload = self._payload(evidence, place, column)
            if payload is not None:
                kind, short = modality.preview(payload, column)
                views[kind] = payload if whole and kind == "text/plain" else short
        return views

    def _of_flow(self, plan: Plan, flow: str) -> Evidence:
        if flow not in self._evidence:
            self._evidence[flow] = Evidence(self._store, plan.flow(flow), plan.limit)
        return self._evidence[flow]

    def _payload(self, evidence: Evidence, place: pa.Table, column: str) -> bytes | None:
        """A column of one record at a time: an image may be as large as a file can be."""
        flow, (proper, *others) = evidence.flow, evidence.flow.modality.columns.names
        try:
            payload = read_payload(self._store, flow, place, [proper] if column == proper else others)
        except (D4AError, OSError):
            return None  # its source may have moved since
        if not as_seen(payload, place, proper).all():
            return None  # changed or damaged
        value = payload.column(column)[0].as_py()
        return value.encode() if isinstance(value, str) else value


def explain(root: Path, key: str) -> list[dict[str, Any]]:
    """Ledger rows for a key, each with `twin_row`: the row of its twin, or None. Raises D4AError when there is none."""
    rows = find(root, key)
    if not rows:
        raise D4AError(
            f"no record {key!r} in the ledger",
            str(root),
            "a KEY is a record's own id, a file as the source lists it, FILE#NUMBER with numbers from 0, or the end of these; see ledger/",
        )
    for row in rows:
        twins = (
            [twin for twin in find(root, row["twin"]) if twin["flow"] == row["flow"] and twin["key"] == row["twin"]] if row["twin"] else []
        )
        row["twin_row"] = twins[0] if twins else None
    return rows


def overview(root: Path) -> tuple[Dataset, list[dict[str, Any]]]:
    """The manifest of a dataset and its drops by flow, stage and reason."""
    return read(root), drops_by_reason(root)
