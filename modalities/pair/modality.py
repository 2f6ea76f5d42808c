"""The pair modality: one record is an image with a caption, packed as the file, the caption and a .json.

Sources are those of images, and so is how images are stored and packed; the caption is text as in a text flow, so stages of
both kinds work on a pair. A member of its own for the caption is what loaders of pairs expect (open_clip, Energon).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ...curator.columns import buffers
from ...curator.modality import Entry
from ...curator.recipe import Source
from ...curator.stage import Columns
from ..image.modality import Image
from ..image.read import read_entry
from ..image.records import PAIR_COLUMNS
from ..text.rows import excerpt


class Pair(Image):
    """Images with captions: in tars, in tables, in COCO's JSON, or as `name.txt` beside `name.jpg`."""

    name: ClassVar[str] = "pair"
    columns: ClassVar[pa.Schema] = PAIR_COLUMNS
    one_split: ClassVar[bool] = True

    @property
    def shown(self) -> tuple[str, ...]:
        """The image and its caption."""
        return ("bytes", "text")

    def read(self, entry: Entry, source: Source) -> Iterator[pa.RecordBatch]:
        """As images; one of several captions is one record each, and an image without any is refused as `no_caption`."""
        return read_entry(entry, source, PAIR_COLUMNS)

    def sizes(self, batch: pa.RecordBatch) -> Columns:
        """As images; `txt`: bytes of the caption."""
        missing = batch.column("bytes").is_null().to_numpy(zero_copy_only=False)
        return {**super().sizes(batch), "txt": pa.array(np.diff(buffers(batch.column("text"))[0]), pa.int64(), mask=missing)}

    def members(self, payload: pa.Table) -> dict[str, list[bytes]]:
        """As images; `txt`: the caption in UTF-8."""
        return {**super().members(payload), "txt": payload.column("text").cast(pa.large_binary()).to_pylist()}

    def payload_of(self, members: dict[str, bytes], column: str = "") -> str | bytes:
        """The image, or the caption."""
        return members["txt"].decode() if column == "text" else members["jpg"]

    def preview(self, payload: bytes, column: str = "") -> tuple[str, bytes]:
        """As images; of the caption the first 600 characters."""
        if column != "text":
            return super().preview(payload)
        return "text/plain", excerpt(payload)
