"""JSON lines -> records. orjson parses; only a line it refuses is looked at again, to say what is wrong with it.

A parser that cuts fields out of the raw line would be faster still, but would have to validate JSON itself. For texts of
some kilobytes reading takes 2.2 times what orjson does: the rest is copies, of a line out of its chunk, of a text into UTF-8
and of that into a column. Lines as views of their chunk save a third of it there, and cost as much at 200 bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from ...curator.recipe import Source
from .fields import RecordError, id_text, take
from .lines import TooLong, line_blocks
from .rows import MAX_RECORD_BYTES, Rows
from .streams import ReadError, Stream

# orjson reads integers beyond 64 bits as floats, and writes those with an exponent of 18 (negative ones) or more
_HUGE = re.compile(rb"[:,\[]-?\d(?:\.\d+)?e\+?(?:1[89]|[2-9]\d|\d{3})")
_MAX_DEPTH = 254  # of what orjson writes
_TOO_DEEP = f"nested deeper than {_MAX_DEPTH} levels"


def read_jsonl(stream: Stream, source: Source, start: int = 0, end: int | None = None) -> Iterator[pa.RecordBatch]:
    """Records of the lines that begin in [start, end), as reader batches; `line` counts from the first of them.

    stream  stands where `line_blocks` wants it
    """
    rows = Rows()
    line = -1
    try:
        for block in line_blocks(stream, start, end):
            for raw in block:
                line += 1
                if raw:
                    add_json(rows, raw, line, source, "line_too_long")
                    if rows.full:
                        yield rows.take()
    except ReadError as error:
        rows.refuse(error.reason, f"{error.detail}, {rows.total} records", line + 1)
    if rows.total == 0 and start == 0 and end is None:
        rows.refuse("empty_file", f"{line + 1} blank lines" if line >= 0 else "")
    if len(rows):
        yield rows.take()


def add_json(rows: Rows, raw: bytes | TooLong, line: int, source: Source, too_long: str) -> None:
    """Add the record that a piece of JSON holds, or what is wrong with it; blanks are no record."""
    if isinstance(raw, TooLong):
        rows.refuse(too_long, f"{raw} bytes; the limit is {MAX_RECORD_BYTES}", line)
        return
    try:
        text, meta, ident, url, record = parse_record(raw, source)
    except (ValueError, RecursionError) as error:
        if raw.strip():
            rows.refuse(*diagnose(raw, error), line)
    except RecordError as refused:
        rows.refuse(refused.reason, refused.detail, line, refused.ident)
    else:
        rows.add(text, meta, line, ident, len(raw), url, record)


def parse_record(raw: bytes, source: Source) -> tuple[str, bytes | None, str | None, str | None, bytes | None]:
    """Text, the other fields, id, address and, of a conversation, the whole.

    Raises ValueError or RecursionError where it is not JSON, RecordError where it is no record.
    """
    fields = orjson.loads(raw)
    text, ident, url, whole = take(fields, source)
    if whole:
        return text, None, _exact_id(ident, raw, source), url, _checked_depth(raw, fields)
    try:
        meta = orjson.dumps(fields) if fields else None
    except orjson.JSONEncodeError as error:  # it reads 1024 levels, but writes 254
        raise ValueError(_TOO_DEEP) from error
    if type(ident) is float or (meta is not None and _HUGE.search(meta)):
        fields = json.loads(raw.decode())
        text, ident, url, _ = take(fields, source)
        meta = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() if fields else None
    return text, meta, id_text(ident), url, None


def _exact_id(ident: str | int | float | None, raw: bytes, source: Source) -> str | None:
    return id_text(json.loads(raw.decode())[source.id_field] if type(ident) is float else ident)


def _checked_depth(raw: bytes, fields: Any) -> bytes:
    """The JSON as it came, where it is no deeper than what other fields may be: its readers have limits too."""
    if raw.count(b"[") + raw.count(b"{") >= _MAX_DEPTH:
        try:
            orjson.dumps(fields)
        except orjson.JSONEncodeError as error:
            raise ValueError(_TOO_DEEP) from error
    return raw.strip()


def diagnose(raw: bytes, error: Exception) -> tuple[str, str]:
    """Reason and detail for a line that orjson refused with `error`."""
    place = f"{error.msg}: column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
    try:
        line = raw.decode()
    except UnicodeDecodeError as bad:
        return "invalid_utf8", f"{bad.reason}: byte {bad.start}"
    if "\\u" in line and _has_lone_surrogate(line):
        return "invalid_unicode", f"a lone surrogate: {place}"
    return "broken_json", place


def _has_lone_surrogate(line: str) -> bool:
    """Whether the line is JSON but for \\ud800 to \\udfff without their other half, which no UTF-8 can hold."""
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        pass
    return False
