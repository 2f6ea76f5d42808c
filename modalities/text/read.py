"""Source files -> reader batches: which format a file has, and the readers of formats with one record a file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from ...curator.modality import Entry
from ...curator.recipe import Source
from .delimited import DELIMITERS, read_delimited
from .html import main_text
from .json_document import json_form, read_json_document
from .json_list import read_json_list
from .jsonl import read_jsonl
from .parquet import read_parquet
from .pdf import read_pdf
from .rows import MAX_RECORD_BYTES, Rows, one_row
from .streams import ReadError, Stream, compression, open_stream
from .warc import read_warc

# `json`: lines, a list or one document, so the file is looked at first
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json-lines": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "txt",
    ".md": "md",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
    ".warc": "warc",
    ".wet": "warc",
    ".wat": "warc",
}
FORMATS = ("jsonl", "json", "csv", "tsv", "parquet", "txt", "md", "html", "pdf", "warc")
# first bytes of formats that are no text, whatever the name says
_MAGIC = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"PK\x03\x04": "zip",
    b"%PDF-": "PDF",
    b"SQLite format 3\0": "SQLite",
    b"ARROW1": "Arrow",
}
_READ_BYTES = 1 << 20
_SNIFFED_BYTES = 16  # all of the first bytes


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
    elif kind == "warc":
        yield from read_warc(path, entry.start, entry.end, entry.size, source)
    elif kind not in FORMATS:
        yield one_row("unknown_format", f"format {source.format}; known: {', '.join(FORMATS)}")
    elif kind != "pdf" and (found := _foreign(path)):
        yield one_row("wrong_suffix", f"{found} by its first bytes, and not {kind}")
    elif kind in ("jsonl", "json"):
        yield from _read_json(path, entry, kind, source)
    elif kind in DELIMITERS:
        with closing(open_stream(path)) as stream:
            yield from read_delimited(stream, source, DELIMITERS[kind])
    else:
        yield _read_document(path, kind, source)


def _foreign(path: str) -> str:
    """The format that a file's first bytes name, of those that no reader of text can take."""
    try:
        with closing(open_stream(path)) as stream:
            head = stream.read(_SNIFFED_BYTES) or b""
    except ReadError:
        return ""  # the reader meets the damage again, and says so
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


def _read_json(path: str, entry: Entry, kind: str, source: Source) -> Iterator[pa.RecordBatch]:
    form = _json_form(path) if kind == "json" else "lines"
    with closing(open_stream(path, max(entry.start - 1, 0))) as stream:
        if form == "list":
            yield from read_json_list(stream, source)
        elif form == "document":
            yield _read_json_document(stream, source)
        else:
            whole = entry.start == 0 and entry.end == entry.size
            yield from read_jsonl(stream, source, entry.start, None if whole else entry.end)


def _json_form(path: str) -> str:
    try:
        with closing(open_stream(path)) as stream:
            return json_form(stream)
    except ReadError:
        return "lines"  # the reader meets the damage again, and says so


def _read_json_document(stream: Stream, source: Source) -> pa.RecordBatch:
    try:
        return read_json_document(_read_whole(stream), source)
    except ReadError as error:
        return one_row(error.reason, error.detail)


def _read_document(path: str, kind: str, source: Source) -> pa.RecordBatch:
    try:
        with closing(open_stream(path)) as stream:
            data = _read_whole(stream)
        meta = None
        if kind == "pdf":
            text, meta = read_pdf(data)
        else:
            text = main_text(data, source.extract) if kind == "html" else _plain_text(data)
    except ReadError as error:
        return one_row(error.reason, error.detail)
    rows = Rows()
    rows.add(text, meta, None, None, len(data))
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
