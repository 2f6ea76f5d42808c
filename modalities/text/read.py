"""Source files -> reader batches: which format a file has, and the readers of formats with one record a file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from ...curator.recipe import Source
from ...curator.stage import Entry
from .html import main_text
from .jsonl import read_jsonl
from .parquet import read_parquet
from .rows import MAX_RECORD_BYTES, Rows, one_row
from .streams import ReadError, Stream, compression, open_stream

# `json`: lines of JSON, if it is lines at all, so the file is looked at first
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json-lines": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".txt": "txt",
    ".md": "md",
    ".html": "html",
    ".htm": "html",
}
FORMATS = ("jsonl", "parquet", "txt", "md", "html")
_READ_BYTES = 1 << 20
_SNIFFED_BYTES = 1 << 16


def format_by_name(path: str) -> str:
    """The format that a file's suffix names, `json` for one that has to be looked at; nothing for a foreign file."""
    name = Path(path)
    packed = compression(path)
    kind = _SUFFIXES.get(Path(name.stem).suffix.lower() if packed else name.suffix.lower(), "")
    return "" if packed and kind == "parquet" else kind


def read_entry(entry: Entry, source: Source) -> Iterator[pa.RecordBatch]:
    """The records of a file or byte range. Raises OSError where the machine cannot read it."""
    path = str(Path(entry.root, entry.path))
    kind = format_by_name(entry.path) if source.format == "auto" else source.format
    if kind == "parquet":
        yield from read_parquet(path, source)
    elif kind in ("jsonl", "json"):
        yield from _read_lines(path, entry, kind, source)
    elif kind in FORMATS:
        yield _read_document(path, kind)
    else:
        yield one_row("unknown_format", f"format {source.format}; known: {', '.join(FORMATS)}")


def _read_lines(path: str, entry: Entry, kind: str, source: Source) -> Iterator[pa.RecordBatch]:
    whole = entry.start == 0 and entry.end == entry.size
    if kind == "json" and _is_one_document(path):
        yield one_row("not_json_lines", "one JSON document, not one a line; jq -c '.[]' makes lines of an array")
        return
    with closing(open_stream(path, max(entry.start - 1, 0))) as stream:
        yield from read_jsonl(stream, source, entry.start, None if whole else entry.end)


def _is_one_document(path: str) -> bool:
    """Whether a .json file begins like an array or like an indented object."""
    try:
        with closing(open_stream(path)) as stream:
            head = (stream.read(_SNIFFED_BYTES) or b"").removeprefix(codecs.BOM_UTF8).lstrip()
    except ReadError:
        return False  # the reader meets the damage again, and says so
    return head.startswith(b"[") or head.split(b"\n", 1)[0].strip() == b"{"


def _read_document(path: str, kind: str) -> pa.RecordBatch:
    try:
        with closing(open_stream(path)) as stream:
            data = _read_whole(stream)
        text = main_text(data) if kind == "html" else _plain_text(data)
    except ReadError as error:
        return one_row(error.reason, error.detail)
    rows = Rows()
    rows.add(text, None, None, None, len(data))
    return rows.take()


def _read_whole(stream: Stream) -> bytes:
    data = bytearray()
    while piece := stream.read(_READ_BYTES):
        data += piece
        if len(data) > MAX_RECORD_BYTES:
            raise ReadError("file_too_long", f"the limit is {MAX_RECORD_BYTES} bytes")
    if not data:
        raise ReadError("empty_file")
    return bytes(data)


def _plain_text(data: bytes) -> str:
    if (nul := data.find(b"\0")) >= 0:
        raise ReadError("binary_file", f"a NUL: byte {nul}")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise ReadError("invalid_utf8", f"{error.reason}: byte {error.start}") from error
