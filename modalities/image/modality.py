"""The image modality: one file is one record, packed byte for byte.

Images are never re-encoded and never copied by the scan; the member is called .jpg whatever the format, because
readers sniff the bytes and one suffix for all samples is what loaders require. What came with an image is its `meta`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import orjson
import pyarrow as pa
from PIL import Image as Pillow

from ...curator.columns import buffers
from ...curator.modality import Entry, Modality, reader_schema
from ...curator.recipe import Source
from ...curator.stage import Columns
from .picture import flatten, orientation, quiet, upright
from .sniff import READABLE, SNIFF_BYTES, sniff, unreadable

MAX_FILE_BYTES = 256 * 2**20
_PREVIEW_PX, _PREVIEW_BYTES = 160, 6000
_PREVIEW_PIXELS = 100_000_000
_META_HEAD = b'{"meta":'


class Image(Modality):
    """JPEG, PNG, WebP, GIF, TIFF, BMP and AVIF files, told by their first bytes."""

    name: ClassVar[str] = "image"
    columns: ClassVar[pa.Schema] = pa.schema([("bytes", pa.large_binary()), ("meta", pa.large_binary())])
    refers: ClassVar[bool] = True
    formats: ClassVar[tuple[str, ...]] = ("auto", *READABLE)
    batch_rows: ClassVar[int] = 64

    def accepts(self, path: str, source: Source) -> bool:
        """Every file: what is no image is named as such in the ledger, not passed over."""
        return True

    def read(self, entry: Entry, source: Source) -> Iterator[pa.RecordBatch]:
        """One record. Only the first 4 KiB are read of a file that is no image."""
        schema = reader_schema(self)
        data, reason, detail = _load(Path(entry.root, entry.path), source.format)
        owner = entry.path.partition("/")[0] if "/" in entry.path else None
        meta = None if reason or owner is None else orjson.dumps({"owner": owner})
        row = {"bytes": data, "meta": meta, "reason": reason, "detail": detail, "at": None if reason else 0}
        yield pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names}], schema=schema)

    def sizes(self, batch: pa.RecordBatch) -> Columns:
        """`jpg`: bytes of the file; `json`: of the body. Null where there is no image."""
        data, meta = batch.column("bytes"), batch.column("meta")
        missing = data.is_null().to_numpy(zero_copy_only=False)
        body = np.where(meta.is_valid().to_numpy(zero_copy_only=False), len(_META_HEAD) + np.diff(buffers(meta)[0]) + 1, 2)
        return {"jpg": pa.array(np.diff(buffers(data)[0]), pa.int64(), mask=missing), "json": pa.array(body, pa.int64(), mask=missing)}

    def members(self, payload: pa.Table) -> dict[str, list[bytes]]:
        """The file as it is, and `{"meta": {...}}` or an empty body, for what the stages measured to be put before."""
        meta = [b"{}" if one is None else _META_HEAD + one + b"}" for one in payload.column("meta").to_pylist()]
        return {"jpg": payload.column("bytes").to_pylist(), "json": meta}

    def payload_of(self, members: dict[str, bytes], column: str = "") -> str | bytes:
        """The file."""
        return members["jpg"]

    def preview(self, payload: bytes, column: str = "") -> tuple[str, bytes]:
        """A JPEG thumbnail of at most 160 x 160 pixels and 6 kB; a grey square for what cannot be decoded."""
        try:
            with quiet(_PREVIEW_PIXELS):
                thumb = _thumbnail(payload)
        except Exception:  # a report shows what it can
            thumb = Pillow.new("L", (16, 16), 128)
        return "image/jpeg", _small_jpeg(thumb)


def _load(path: Path, wanted: str) -> tuple[bytes | None, str | None, str | None]:
    """(bytes, reason, detail) of a file; either bytes or a reason."""
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
        if not head:
            return None, "empty_file", None
        kind = sniff(head)
        if kind not in READABLE:
            return None, *unreadable(kind)
        if wanted not in ("auto", kind):
            return None, "other_format", kind
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE_BYTES:
            return None, "file_too_large", f"{size} bytes"
        return head + file.read(), None, None


def _thumbnail(payload: bytes) -> Pillow.Image:
    kind = sniff(payload[:SNIFF_BYTES])
    image = Pillow.open(io.BytesIO(payload), formats=(kind.upper(),))
    turned = orientation(image)
    image.draft("RGB", (2 * _PREVIEW_PX, 2 * _PREVIEW_PX))
    image.load()
    thumb = upright(flatten(image), kind, turned)
    thumb.thumbnail((_PREVIEW_PX, _PREVIEW_PX))
    return thumb


def _small_jpeg(thumb: Pillow.Image) -> bytes:
    while True:
        for quality in (80, 60, 40):
            out = io.BytesIO()
            thumb.save(out, "JPEG", quality=quality)
            if out.tell() <= _PREVIEW_BYTES:
                return out.getvalue()
        thumb = thumb.resize((max(1, thumb.width * 3 // 4), max(1, thumb.height * 3 // 4)))
