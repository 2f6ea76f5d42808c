"""The text modality: records with a text and the fields that came with it, packed as one .json member each.

Text is stored in the scan, because it is cleaned there; a second member for the bare text would nearly double
small shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import orjson
import pyarrow as pa

from ...curator.columns import buffers
from ...curator.recipe import Source
from ...curator.stage import Columns, Entry, Modality
from .json_size import quoted_sizes
from .read import FORMATS, format_by_name, read_entry
from .rows import COLUMNS
from .streams import compression

_PREVIEW_CHARACTERS = 600
_TEXT_HEAD, _META_HEAD, _TAIL = b'{"text":', b',"meta":', b"}"


class Text(Modality):
    """JSON lines, Parquet, plain text, Markdown and HTML; all but Parquet also as .gz and .zst."""

    name: ClassVar[str] = "text"
    columns: ClassVar[pa.Schema] = COLUMNS
    stored: ClassVar[bool] = True
    formats: ClassVar[tuple[str, ...]] = ("auto", *FORMATS)
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow", "orjson", "resiliparse")

    def accepts(self, path: str, source: Source) -> bool:
        """By suffix: any that this modality reads; with a `format`, that one and files of no known suffix."""
        kind = format_by_name(path)
        return kind != "" if source.format == "auto" else kind in ("", source.format) or (kind, source.format) == ("json", "jsonl")

    def splits(self, path: str, source: Source) -> bool:
        """JSON lines that are not compressed; a `.json` file only where the source says `format: jsonl`."""
        kind = format_by_name(path) if source.format == "auto" else source.format
        return kind == "jsonl" and not compression(path)

    def read(self, entry: Entry, source: Source) -> Iterator[pa.RecordBatch]:
        """Batches of about 4 MiB or 2,048 records."""
        return read_entry(entry, source)

    def sizes(self, batch: pa.RecordBatch) -> Columns:
        """`json`: bytes of `members(...)["json"]`; null where there is no text."""
        text, meta = batch.column("text"), batch.column("meta")
        offsets, _ = buffers(meta)
        with_meta = meta.is_valid().to_numpy(zero_copy_only=False)
        sizes = len(_TEXT_HEAD) + quoted_sizes(text) + np.where(with_meta, len(_META_HEAD) + np.diff(offsets), 0) + len(_TAIL)
        return {"json": pa.array(sizes, pa.int64(), mask=text.is_null().to_numpy(zero_copy_only=False))}

    def members(self, payload: dict[str, Any]) -> dict[str, bytes]:
        """One member, `{"text": ..., "meta": {...}}`; no `meta` where the record had no other field."""
        meta = payload["meta"]
        rest = b"" if meta is None else _META_HEAD + meta.encode()
        return {"json": _TEXT_HEAD + orjson.dumps(payload["text"]) + rest + _TAIL}

    def preview(self, payload: bytes) -> tuple[str, bytes]:
        """The first 600 characters."""
        head = payload[: 4 * _PREVIEW_CHARACTERS].decode("utf-8", "ignore")  # a character cut at the end
        return "text/plain", head[:_PREVIEW_CHARACTERS].encode()
