"""Payload that a record only refers to: bytes that lie in a file as they are, a photograph or a member of a tar.

The scan copies none of them, and later rounds and Pack read them where they lie, so what they find is compared with the
digest of what was seen. Copying them once would spare that and cost the room of the sources again.
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import D4AError
from ..files import file_state
from ..modality import NAMED, Entry
from ..plan import FlowPlan
from ..sources import Partition
from ..stage import Ints
from ..store import Store

# origin: partition ordinal << 32 | number of the entry in it; file, at: see modality.REFERENCE
REFERRED = pa.schema([("origin", pa.int64()), ("file", pa.string()), ("at", pa.int64()), ("payload_bytes", pa.int64())])
AGAIN = "run the same command again: only what changed is scanned anew"


def origins(ordinals: int | Ints, entries: pa.Array | pa.ChunkedArray) -> pa.Array:
    """(n,) int64: `origin` of records of the entries with these numbers."""
    return pa.array(np.asarray(ordinals) << 32 | entries.to_numpy(zero_copy_only=False).astype(np.int64))


def filled(flow: FlowPlan, stored: pa.RecordBatch, referred: pa.Table | pa.RecordBatch) -> pa.RecordBatch:
    """Stored payload with the bytes that it only refers to.

    stored    columns of the modality, the first one among them
    referred  REFERRED of the same records
    Raises D4AError when a file can no longer be read; who asks compares the digests.
    """
    wanted = np.flatnonzero(referred.column("at").is_valid().to_numpy(zero_copy_only=False))
    if not len(wanted):
        return stored
    cells = stored.column(0).to_pylist()
    rows = referred.take(pa.array(wanted)).select(REFERRED.names).to_pylist()
    paths = [_path(flow, row) for row in rows]
    by = sorted(range(len(rows)), key=lambda k: (paths[k], rows[k]["at"]))
    for path, mine in groupby(by, key=paths.__getitem__):
        try:
            with open(path, "rb", buffering=0, opener=_at_once) as file:
                for k in mine:
                    cells[wanted[k]] = os.pread(file.fileno(), rows[k]["payload_bytes"], rows[k]["at"])
        except OSError as error:
            raise D4AError(f"cannot be read again: {error.strerror}", path, AGAIN) from error
    first = stored.schema.field(0)
    return pa.RecordBatch.from_arrays([pa.array(cells, first.type), *stored.columns[1:]], schema=stored.schema)


def _at_once(path: str, flags: int) -> int:
    """Opened without waiting, should a pipe have taken the file's place: its bytes are not those that were seen."""
    return os.open(path, flags | os.O_NONBLOCK)


def _path(flow: FlowPlan, row: dict[str, Any]) -> str:
    return str(Path(_entry(flow, row).root, _name(flow, row)))


def _name(flow: FlowPlan, row: dict[str, Any]) -> str:
    """The file, as its source lists it or a table names it."""
    return _entry(flow, row).path if row["file"] is None else str(row["file"])


def _entry(flow: FlowPlan, row: dict[str, Any]) -> Entry:
    origin: int = row["origin"]
    return flow.partitions[origin >> 32].entries[origin & 0xFFFFFFFF]


def changed(store: Store, flow: FlowPlan, referred: pa.Table) -> D4AError | None:
    """The error that names the files of records that are not what the scan saw; None where they refer to none.

    Their partitions count as not scanned from now on: their files may have the size and the time that they had.
    """
    rows = referred.filter(pc.is_valid(referred.column("at"))).select(["origin", "file"]).to_pylist()
    names = sorted({_name(flow, row) for row in rows})
    if not names:
        return None
    for ordinal in {row["origin"] >> 32 for row in rows}:
        store.uncommit("scan", flow.name, flow.scan_key(0, flow.partitions[ordinal]))
    what = f"{len(names)} source files changed since the scan: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
    return D4AError(what, hint=f"nothing was published; {AGAIN}")


def as_named(part: Partition, named: pa.Table) -> bool:
    """Whether the files that records of a partition name are as they were when they were read.

    named  columns NAMED and `entry`
    """
    rows = named.filter(pc.is_valid(named.column("file"))).select(["entry", *(field.name for field in NAMED)])
    for entry, file, *state in set(zip(*(column.to_pylist() for column in rows.columns), strict=True)):
        path = file if file.startswith("/") else f"{part.entries[entry].root}/{file}"
        if (file_state(path) or (None, None)) != tuple(state):
            return False
    return True
