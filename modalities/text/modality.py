"""The text modality: records with a text and the fields that came with it, packed as one .json member each.

Text is stored in the scan, because it is cleaned there; a second member for the bare text would nearly double
small shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from ...curator.columns import buffers
from ...curator.modality import Entry, Modality
from ...curator.recipe import Source
from ...curator.stage import Columns
from .conversations import joined_text, structure_of
from .html import check_html
from .json_strings import quoted, quoted_sizes
from .read import FORMATS, format_by_name, read_entry
from .rows import COLUMNS, excerpt
from .streams import compression
from .warc import WITHOUT_TEXT
from .warc_records import can_be_cut

_TEXT_HEAD, _URL_HEAD, _META_HEAD, _RECORD_HEAD, _TAIL = b'{"text":', b',"url":', b',"meta":', b'{"record":', b"}"


class Text(Modality):
    """JSON, CSV, Parquet, plain text, Markdown, HTML, PDF, WARC, WET and WAT; all but Parquet also as .gz, .zst, .bz2 and .xz."""

    name: ClassVar[str] = "text"
    columns: ClassVar[pa.Schema] = COLUMNS
    batch_bytes: ClassVar[int] = 4 << 20
    formats: ClassVar[tuple[str, ...]] = ("auto", *FORMATS)
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow", "orjson", "resiliparse", "trafilatura", "pypdfium2")
    irrelevant: ClassVar[frozenset[str]] = WITHOUT_TEXT

    def check(self, source: Source) -> None:
        """Only what is asked for by name: resiliparse is missed when a page is met, and most sources hold none."""
        if source.extract == "trafilatura":
            check_html(source.extract)

    def accepts(self, path: str, source: Source) -> bool:
        """By suffix: any that this modality reads; with a `format`, that one and files of no known suffix."""
        kind = format_by_name(path)
        return kind != "" if source.format == "auto" else kind in ("", source.format) or {kind, source.format} == {"json", "jsonl"}

    def splits(self, path: str, source: Source) -> bool:
        """JSON lines that are not compressed (a `.json` file only where the source says `format: jsonl`), and WARC files, plain or gzip."""
        kind = self._format(path, source)
        return (kind == "jsonl" and not compression(path)) or (kind == "warc" and can_be_cut(path))

    def counts_lines(self, path: str, source: Source) -> bool:
        """A record of a WARC file is known by the byte at which it begins."""
        return self._format(path, source) != "warc"

    def _format(self, path: str, source: Source) -> str:
        return format_by_name(path) if source.format == "auto" else source.format

    def read(self, entry: Entry, source: Source) -> Iterator[pa.RecordBatch]:
        """Batches of about 4 MiB or 2,048 records."""
        return read_entry(entry, source)

    def sizes(self, batch: pa.RecordBatch) -> Columns:
        """`json`: bytes of `members(...)["json"]`; null where there is no text."""
        text, url, meta, record = (batch.column(name) for name in COLUMNS.names)
        sizes = len(_TEXT_HEAD) + quoted_sizes(text) + len(_TAIL)
        sizes += np.where(_valid(url), len(_URL_HEAD) + quoted_sizes(url), 0)
        sizes += np.where(_valid(meta), len(_META_HEAD) + np.diff(buffers(meta)[0]), 0)
        whole = len(_RECORD_HEAD) + np.diff(buffers(record)[0]) + len(_TAIL)
        return {"json": pa.array(np.where(_valid(record), whole, sizes), pa.int64(), mask=~_valid(text))}

    def members(self, payload: pa.Table) -> dict[str, list[bytes]]:
        """One member, `{"text": ..., "url": ..., "meta": {...}}` without what the record does not have.

        A conversation is `{"record": {...}}`, as it came: its joined text is no training data, and in the record already.
        """
        texts = quoted(payload.column("text")).to_pylist()
        urls = payload.column("url").to_pylist()
        objects = [payload.column(name).cast(pa.large_binary()).to_pylist() for name in ("meta", "record")]
        return {"json": list(map(_body, texts, urls, *objects))}

    def payload_of(self, members: dict[str, bytes], column: str = "") -> str:
        """The text; of a conversation the joined one that rules saw."""
        body = orjson.loads(members["json"])
        if "record" not in body:
            return str(body["text"])
        return joined_text(body["record"], structure_of(body["record"]) or "")

    def preview(self, payload: bytes, column: str = "") -> tuple[str, bytes]:
        """The first 600 characters."""
        return "text/plain", excerpt(payload)


def _body(text: bytes, url: str | None, meta: bytes | None, record: bytes | None) -> bytes:
    if record is not None:
        return _RECORD_HEAD + record + _TAIL
    more = b"" if url is None else _URL_HEAD + orjson.dumps(url)
    if meta is not None:
        more += _META_HEAD + meta
    return _TEXT_HEAD + text + more + _TAIL


def _valid(column: pa.Array) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return found
