"""Records of images on their way into reader batches: the one place that says what a source of images gives.

Readers of loose files, tars, tables, COCO and conversations all give `Record`s; whether a caption is payload (pairs) or
stands in `meta` (images) is settled here, so none of them knows which flow it reads for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from ...curator.modality import READER_TAIL, REFERENCE
from ..text.fields import RecordError
from ..text.parquet import as_text
from .sniff import SNIFF_BYTES, readable, sniff, unreadable

IMAGE_COLUMNS = pa.schema(
    [
        pa.field("bytes", pa.large_binary()),  # the file as it is
        pa.field("meta", pa.large_binary()),  # what came with it, a JSON object; null: nothing
    ]
)
PAIR_COLUMNS = pa.schema([IMAGE_COLUMNS.field("bytes"), pa.field("text", pa.large_string()), IMAGE_COLUMNS.field("meta")])
# reasons of sound records that hold no image, or no caption where one is needed
IRRELEVANT = frozenset({"no_image", "no_caption", "hidden_member"})
MAX_IMAGE_BYTES = 256 << 20
_BATCH_RECORDS, _BATCH_BYTES = 64, 32 << 20
_DETAIL_CHARACTERS = 200


@dataclass(slots=True)
class Record:
    """An image with what came with it, or the reason why there is none.

    data     its bytes, null with a reason
    caption  the text that belongs to it
    lack, lack_reason  why there is no caption: detail and reason where one is needed
    meta     what else came with it, of JSON's types
    line, ident  see modality.READER_TAIL
    file, at     see modality.REFERENCE
    state        size and mtime_ns of `file` [bytes, ns]; null: none that can be read
    """

    data: bytes | None = None
    caption: str | None = None
    lack: str = ""
    lack_reason: str = "no_caption"
    meta: dict[str, Any] = field(default_factory=dict)
    line: int | None = None
    ident: str | None = None
    file: str | None = None
    state: tuple[int, int] | None = None
    at: int | None = None
    reason: str | None = None
    detail: str = ""


def refused(reason: str, detail: str = "", line: int | None = None, ident: str | None = None) -> Record:
    """A record, a file or the rest of a file that cannot be read."""
    return Record(line=line, ident=ident, reason=reason, detail=detail)


def without_image(record: Record, wrong: RecordError, line: int | None) -> Record:
    """In place of a record whose image is not to be had; the file that it names is still looked at by later runs."""
    return Record(line=line, ident=record.ident, file=record.file, state=record.state, reason=wrong.reason, detail=wrong.detail)


def problem(head: bytes, size: int) -> tuple[str, str] | None:
    """(reason, detail) why `size` bytes that begin with `head` (SNIFF_BYTES of them) are no image to read; None where they are one."""
    if not head:
        return "empty_file", ""
    kind = sniff(head[:SNIFF_BYTES])
    if not readable(kind):
        return unreadable(kind)
    return ("file_too_large", f"{size} bytes; the limit is {MAX_IMAGE_BYTES}") if size > MAX_IMAGE_BYTES else None


def batches(records: Iterable[Record], columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Records as batches of the reader schema of these payload columns: IMAGE_COLUMNS, or PAIR_COLUMNS, which need a caption."""
    schema = pa.schema([*columns, *READER_TAIL, *REFERENCE])
    needs_caption = "text" in columns.names
    rows: list[dict[str, Any]] = []
    size = 0
    for record in records:
        row = _row(record, needs_caption)
        rows.append(row)
        size += len(row["bytes"] or b"")
        if len(rows) == _BATCH_RECORDS or size >= _BATCH_BYTES:
            yield _batch(rows, schema)
            rows, size = [], 0
    if rows:
        yield _batch(rows, schema)


def _batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([row[f.name] for row in rows], f.type) for f in schema], schema=schema)


def _row(record: Record, needs_caption: bool) -> dict[str, Any]:
    reason, detail, meta = record.reason, record.detail, None
    if reason is None and needs_caption and record.caption is None:
        reason, detail = record.lack_reason, record.lack
    if reason is None:
        fields = record.meta
        if not needs_caption and record.caption is not None:
            fields = {**fields, free_name(fields, "caption", record.caption): record.caption}
        try:
            meta = dump(fields) if fields else None
        except (ValueError, RecursionError) as error:
            reason, detail = "unreadable_meta", str(error)
    good = reason is None
    return {
        "bytes": record.data if good else None,
        "text": record.caption if good else None,
        "meta": meta,
        "line": record.line,
        "id": record.ident,
        "reason": reason,
        "detail": (detail if len(detail) <= _DETAIL_CHARACTERS else detail[: _DETAIL_CHARACTERS - 1] + "…") or None,
        "file": record.file,
        "file_bytes": record.state and record.state[0],
        "file_mtime_ns": record.state and record.state[1],
        "at": record.at if good else None,
    }


def free_name(fields: dict[str, Any], name: str, value: Any) -> str:
    """`name`, or with dots before it where another value stands under it already."""
    while name in fields and fields[name] != value:
        name = "." + name
    return name


def dump(fields: dict[str, Any]) -> bytes:
    """An object as JSON; bytes as base64, NaN and infinity as null. Raises ValueError for what UTF-8 cannot hold, RecursionError."""
    try:
        return orjson.dumps(fields, default=as_text)
    except orjson.JSONEncodeError:  # integers over 64 bits, more than 254 levels
        text = json.dumps(fields, ensure_ascii=False, default=as_text)
        plain = json.loads(text, parse_constant=_null) if "NaN" in text or "Infinity" in text else fields
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=as_text).encode()


def _null(_: str) -> None:
    return None
