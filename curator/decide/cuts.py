"""What Cuts decide, from the search to the batches of the next round: committed with the verdicts, joined to the records.

Spans belong to records, so evidence of what was cut is kept by partition under their digest: other spans are other evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..plan import FlowPlan, PlannedStage
from ..scan.evidence import Evidence, View
from ..scan.partition import SPANS
from ..stage import Cut, Ints, Spans
from ..store import Folder, Store, checked, committed, data_file
from .searches import found_once

_NAMED = 3  # records of a cut that are named as keeping it


def search_spans(store: Store, view: View, planned: PlannedStage, stage: Cut, fence: Callable[[], None]) -> Spans:
    """What a Cut takes out of the records of a view; records and twins are those of the flow."""
    found = found_once(store, view, planned, stage.options.of_kind("search"), Spans, lambda: stage.spans(view), fence)
    return Spans(view.indices[found.record], found.start, found.end, view.indices[found.twin], found.notes)


def whereabouts(spans: Spans, keys: pa.Array) -> tuple[Ints, list[str]]:
    """Records that lose anything, ascending, and the keys of those that keep it: `a, b, c and 2 others`, that of the longest part first.

    keys  (n,) large_string   of all records of the flow
    """
    by = np.lexsort((spans.start, spans.start - spans.end, spans.record))
    first = by[np.sort(np.unique(spans.record[by] * len(keys) + spans.twin[by], return_index=True)[1])]  # of a record and a keeper
    records, begins, counts = np.unique(spans.record[first], return_index=True, return_counts=True)
    named = []
    for k in range(_NAMED):
        twins = spans.twin[first[np.minimum(begins + k, len(first) - 1)]]
        named.append(keys.take(pa.array(twins, mask=counts <= k)))
    told = pc.binary_join_element_wise(*named, pa.scalar(", ", pa.large_string()), null_handling="skip").to_pylist()
    return records, [text + _others(count - _NAMED) for text, count in zip(told, counts.tolist(), strict=True)]


def _others(count: int) -> str:
    return f" and {count} other{'s' * (count > 1)}" if count > 0 else ""


def write_spans(unit: Folder, evidence: Evidence, spans: Spans) -> list[str]:
    """Put spans into the unit of a decision; returns the digest of each partition's, "" where it has none."""
    table = pa.table({name: getattr(spans, name) for name in ("record", "start", "end")})
    pq.write_table(table, unit.file("spans", ".parquet"), compression="zstd")
    found = []
    for first, behind in zip(evidence.starts[:-1], evidence.starts[1:], strict=True):
        a, b = np.searchsorted(spans.record, [first, behind])
        rows = np.stack([spans.record[a:b] - first, spans.start[a:b], spans.end[a:b]]).astype("<i8")
        found.append(hashlib.sha256(rows.tobytes()).hexdigest() if a < b else "")
    return found


def read_spans(store: Store, flow: FlowPlan, key: str, start: int, end: int) -> pa.Table | None:
    """row, spans (SPANS): of the records [start, end) of a flow those that lose anything; None where the decision cut nothing at all.

    key  of the decision
    """
    folder = store.unit("decide", flow.name, key)
    manifest = committed(folder)
    assert manifest is not None, key
    if "spans" not in manifest["files"]:
        return None
    table = _read(checked(data_file(folder, manifest, "spans")))
    record = table.column("record").to_numpy()
    a, b = np.searchsorted(record, [start, end])
    rows, first = np.unique(record[a:b] - start, return_index=True)
    pieces = table.slice(a, b - a).combine_chunks()
    structs = pa.StructArray.from_arrays([pieces.column(name).combine_chunks() for name in ("start", "end")], names=["start", "end"])
    offsets = pa.array(np.append(first, b - a), pa.int32())
    return pa.table({"row": pa.array(rows), "spans": pa.ListArray.from_arrays(offsets, structs).cast(SPANS)})


@lru_cache(maxsize=2)
def _read(path: Path) -> pa.Table:
    """Spans of a whole flow: read once for all its partitions."""
    return pq.read_table(path)
