"""JSON lines -> records. orjson parses; only a line it refuses is looked at again, to say what is wrong with it.

A parser that cuts fields out of the raw line would be faster still, but would have to validate JSON itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from ...curator.recipe import Source
from .lines import TooLong, line_blocks
from .rows import MAX_RECORD_BYTES, Rows
from .streams import ReadError, Stream

_ID_TYPES = (str, int, float)  # compared with `type`: a bool is an int, and no id
_JSON_TYPES = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
# orjson reads integers beyond 64 bits as floats, and writes those with an exponent of 18 (negative ones) or more
_HUGE = re.compile(rb"[:,\[]-?\d(?:\.\d+)?e\+?(?:1[89]|[2-9]\d|\d{3})")


class _RecordError(Exception):
    """A line that gives no record: reason, detail, and its own id where it has one."""

    def __init__(self, reason: str, detail: str, ident: str | None = None) -> None:
        super().__init__(reason, detail, ident)
        self.reason, self.detail, self.ident = reason, detail, ident


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
                _add(rows, raw, line, source)
                if rows.full:
                    yield rows.take()
    except ReadError as error:
        rows.refuse(error.reason, f"{error.detail}, {rows.total} records", line + 1)
    if rows.total == 0 and start == 0 and end is None:
        rows.refuse("empty_file", f"{line + 1} blank lines" if line >= 0 else "")
    if len(rows):
        yield rows.take()


def _add(rows: Rows, raw: bytes | TooLong, line: int, source: Source) -> None:
    if isinstance(raw, TooLong):
        rows.refuse("line_too_long", f"{raw} bytes; the limit is {MAX_RECORD_BYTES}", line)
        return
    try:
        text, ident, url, meta = _parse(raw, source)
    except (ValueError, RecursionError) as error:
        if raw.strip():
            rows.refuse(*_diagnose(raw, error), line)
    except _RecordError as refused:
        rows.refuse(refused.reason, refused.detail, line, refused.ident)
    else:
        rows.add(text, meta, line, ident, len(raw), url)


def _parse(raw: bytes, source: Source) -> tuple[str, str | None, str | None, bytes | None]:
    """Text, id, address and the rest of one line. Raises ValueError where it is not JSON, _RecordError where it is no record."""
    record = orjson.loads(raw)
    text, ident, url = _take(record, source)
    try:
        meta = orjson.dumps(record) if record else None
    except orjson.JSONEncodeError as error:  # it reads 1024 levels, but writes 254
        raise ValueError("nested deeper than 254 levels") from error
    if type(ident) is float or (meta is not None and _HUGE.search(meta)):
        record = json.loads(raw.decode())
        text, ident, url = _take(record, source)
        meta = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() if record else None
    return text, _id_text(ident), url, meta


def _take(record: Any, source: Source) -> tuple[str, str | int | float | None, str | None]:
    """Take text, id and address out of a record; a value that cannot be an id or an address stays in it. Raises _RecordError."""
    if type(record) is not dict:
        raise _RecordError("not_an_object", _JSON_TYPES[type(record)])
    text = record.pop(source.text_field, _RecordError)
    ident = record.get(source.id_field)
    if type(ident) not in _ID_TYPES:
        ident = None
    if text is _RecordError:
        raise _RecordError("no_text_field", f"fields: {', '.join(record)}" if record else "no field at all", _id_text(ident))
    if type(text) is not str:
        raise _RecordError("text_not_a_string", _JSON_TYPES[type(text)], _id_text(ident))
    url = record.get(source.url_field)
    if ident is not None:
        del record[source.id_field]
    if type(url) is not str:
        return text, ident, None
    record.pop(source.url_field, None)  # the id may be the address
    return text, ident, url


def _id_text(ident: str | int | float | None) -> str | None:
    return ident if ident is None or type(ident) is str else json.dumps(ident)


def _diagnose(raw: bytes, error: Exception) -> tuple[str, str]:
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
