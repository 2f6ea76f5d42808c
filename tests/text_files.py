"""What the reader tests share: a file on disk, and its records as rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from d4a.curator.modality import Entry, reader_schema
from d4a.curator.recipe import Source
from d4a.curator.registry import modality

TEXT = modality("text")


def entry(path: Path, start: int = 0, end: int | None = None) -> Entry:
    """The entry that a listing would give for the file, or for a byte range of it."""
    size = path.stat().st_size
    return Entry(str(path.parent), path.name, size, 0, start, size if end is None else end)


def batches(path: Path, start: int = 0, end: int | None = None, **source: Any) -> list[pa.RecordBatch]:
    """Reader batches of a file; every one has the reader's schema."""
    found = list(TEXT.read(entry(path, start, end), Source(path=str(path), **source)))
    assert all(batch.schema.equals(reader_schema(TEXT)) and batch.num_rows for batch in found)
    return found


def rows(path: Path, start: int = 0, end: int | None = None, **source: Any) -> list[dict[str, Any]]:
    """The same as dicts."""
    return [row for batch in batches(path, start, end, **source) for row in batch.to_pylist()]


def written(path: Path, data: bytes | str) -> Path:
    """The file, with these bytes."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def only_problem(path: Path, **source: Any) -> tuple[str, str | None]:
    """Reason and detail of a file's single row, which has no text."""
    (row,) = rows(path, **source)
    assert row["text"] is None and row["meta"] is None
    return row["reason"], row["detail"]


def peak_kb() -> int:
    """Peak memory of this process in kB; `getrusage` would tell that of the process that started it, were it the greater one."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
