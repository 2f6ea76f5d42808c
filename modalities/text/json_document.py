"""What a `.json` file holds: lines, a list, or one document; and the record that one document is.

Tables in a single object, by columns or below a field, are refused with what makes lines of them: to guess which field
holds the records would be to guess what the dataset is.
"""

from __future__ import annotations

import codecs
from typing import Any, Literal

import orjson
import pyarrow as pa

from ...curator.recipe import Source
from .fields import RecordError
from .json_list import SPACE
from .jsonl import diagnose, parse_record
from .lines import CHUNK_BYTES
from .rows import MAX_RECORD_BYTES, Rows
from .streams import Stream


def json_form(stream: Stream) -> Literal["list", "document", "lines"]:
    """What a stream of JSON is, by its first line and whether another follows; as much of it is read. Raises ReadError."""
    head = bytearray()
    pieces = iter(lambda: stream.read(CHUNK_BYTES) or b"", b"")
    for piece in pieces:
        head += piece if head else piece.removeprefix(codecs.BOM_UTF8).lstrip(SPACE)
        if head.startswith(b"["):
            return "list"
        if len(head) > MAX_RECORD_BYTES:
            return "lines"
        if head and b"\n" in piece and b"\n" in head:
            break
    first, _, rest = head.partition(b"\n")
    if first.rstrip(SPACE).endswith((b"{", b"[", b",", b":")):
        return "document"
    more = bool(rest.strip(SPACE)) or any(piece.strip(SPACE) for piece in pieces)
    return "lines" if more or not first else "document"


def read_json_document(data: bytes, source: Source) -> pa.RecordBatch:
    """The one record of a file."""
    rows = Rows()
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text, meta, ident, url, record = parse_record(data, source)
    except (ValueError, RecursionError) as error:
        rows.refuse(*diagnose(data, error))
    except RecordError as refused:
        table = _table(orjson.loads(data), source)
        rows.refuse(*(table or (refused.reason, refused.detail)), None, refused.ident)
    else:
        rows.add(text, meta, None, ident, len(data), url, record)
    return rows.take()


def _table(document: Any, source: Source) -> tuple[str, str] | None:
    """Reason and detail for an object that holds many records, in one of the ways that are common."""
    if type(document) is not dict:
        return None
    for name, value in document.items():
        if type(value) is list and value and type(value[0]) is dict:
            path = f".{name}" if name.isidentifier() and name.isascii() else f".[{orjson.dumps(name).decode()}]"
            return "nested_records", f"`{name}` is a list of {len(value)} objects; jq -c '{path}[]' makes lines of it"
    objects = [value for value in document.values() if type(value) is dict]
    if type(document.get(source.text_field)) in (list, dict):
        how = "pandas.read_json(FILE).to_json(NEW, orient='records', lines=True)"
    elif len(objects) == len(document) > 0 and source.text_field in objects[0]:
        return "nested_records", f"an object of {len(objects)} objects; jq -c '.[]' makes lines of it"
    elif type(document.get("columns")) is type(document.get("data")) is list:
        how = "pandas.read_json(FILE, orient='split').to_json(NEW, orient='records', lines=True)"
    else:
        return None
    return "table_of_columns", f"one object holds all records, by columns; {how} makes lines of it"
