"""The image modality: loose files, members of tars and what tables name, packed byte for byte.

Images are never re-encoded, and copied by the scan only where they lie nowhere as they are; the member is called .jpg whatever the
format, because readers sniff the bytes and one suffix for all samples is what loaders require. What came with an image is its `meta`.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image as Pillow

from ...curator.columns import buffers
from ...curator.errors import MachineError
from ...curator.modality import Entry, Modality
from ...curator.recipe import Source
from ...curator.stage import Columns
from .folders import arrange
from .pillow import flatten, open_image, orientation, quiet, upright
from .read import FORMATS, LIBRARIES, accepts, counts_lines, hint_at_tables, read_entry, splits, weight
from .records import IMAGE_COLUMNS, IRRELEVANT
from .sniff import SNIFF_BYTES, readable, sniff

_PREVIEW_PX, _PREVIEW_BYTES = 160, 6000
_PREVIEW_PIXELS = 100_000_000
_META_HEAD = b'{"meta":'


class Image(Modality):
    """JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF and HEIC images, told by their first bytes: files, members of tars and rows of tables."""

    name: ClassVar[str] = "image"
    columns: ClassVar[pa.Schema] = IMAGE_COLUMNS
    refers: ClassVar[bool] = True
    formats: ClassVar[tuple[str, ...]] = FORMATS
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES
    irrelevant: ClassVar[frozenset[str]] = IRRELEVANT
    batch_rows: ClassVar[int] = 64

    def check(self, source: Source) -> None:
        """What reads HEIC, where it is asked for by name; else it is missed when such an image is met."""
        if source.format == "heic" and not readable("heic"):
            raise MachineError("format heic needs pillow-heif", source.path, "pip install 'd4a[heic]'")

    def accepts(self, path: str, source: Source) -> bool:
        """With `auto` every file: what is no image is named as such in the ledger, not passed over."""
        return accepts(path, source)

    def arrange(self, entries: list[Entry], source: Source, skipped: Counter[str]) -> list[Entry]:
        """Captions, fields and labels that lie beside images are put to them."""
        return arrange(entries, source, skipped)

    def hint(self, entries: list[Entry], source: Source) -> str:
        """Tables that lie in a folder among images, and are read where a `path` names them."""
        return hint_at_tables(entries, source)

    def splits(self, path: str, source: Source) -> bool:
        """Tars and tables that are not compressed."""
        return splits(path, source)

    def weight(self, path: str, source: Source) -> int:
        """More than one for tables that only name images."""
        return weight(path, source)

    def counts_lines(self, path: str, source: Source) -> bool:
        """Only of JSON lines."""
        return counts_lines(path, source)

    def read(self, entry: Entry, source: Source) -> Iterator[pa.RecordBatch]:
        """Batches of at most 64 records or about 32 MiB."""
        return read_entry(entry, source, IMAGE_COLUMNS)

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


def _thumbnail(payload: bytes) -> Pillow.Image:
    kind = sniff(payload[:SNIFF_BYTES])
    image = open_image(payload, kind)
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
