"""Sources of images written for tests: tars member by member, and what the readers make of a file."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from d4a.curator.modality import Entry
from d4a.curator.recipe import Source
from d4a.modalities.image.read import read_records
from d4a.modalities.image.records import Record

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(64))


def image(number: int) -> bytes:
    """Bytes that begin as a JPEG does, another image for each number."""
    return JPEG + number.to_bytes(4, "big")


def entry(path: Path, start: int = 0, end: int | None = None, **more: Any) -> Entry:
    """A file, or a range of it, as it is listed."""
    status = path.stat()
    size = status.st_size
    return Entry(str(path.parent), path.name, size, status.st_mtime_ns, start, size if end is None else end, **more)


def records(path: Path, pairs: bool = False, images: str = "", **source: Any) -> list[Record]:
    """All records of a file."""
    return list(read_records(entry(path, images=images), Source(path=str(path), **source), pairs))


def in_ranges(path: Path, size: int, pairs: bool = False, **source: Any) -> list[Record]:
    """The records of all ranges of `size` bytes of a file, the last range read first."""
    total, one = path.stat().st_size, Source(path=str(path), **source)
    ranges = [entry(path, start, min(start + size, total)) for start in range(0, total, size)]
    found = {part.start: list(read_records(part, one, pairs)) for part in reversed(ranges)}
    return [record for part in ranges for record in found[part.start]]


def write_tar(path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]], mode: str = "w", form: int = tarfile.GNU_FORMAT) -> Path:
    """A tar of these members; a TarInfo is written as it is."""
    with tarfile.open(path, mode, format=form) as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return path


def tar_bytes(members: Iterable[tuple[str, bytes]]) -> bytes:
    """A tar as bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
