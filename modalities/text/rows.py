"""Records on their way into reader batches, and the one place that says what a text record consists of."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ...curator.modality import READER_TAIL

COLUMNS = pa.schema(
    [
        pa.field("text", pa.large_string()),  # what stages see
        pa.field("url", pa.large_string()),  # where it came from
        pa.field("meta", pa.large_string()),  # its other fields, a JSON object
        pa.field("record", pa.large_string()),  # a conversation's JSON as it came, which is packed instead of all of these
    ]
)
SCHEMA = pa.schema([*COLUMNS, *READER_TAIL])
_BYTES = frozenset({"text", "meta", "record"})
BATCH_BYTES = 4 << 20
BATCH_RECORDS = 2048
MAX_RECORD_BYTES = 64 << 20  # a longer line, file or cell is refused; memory stays bounded whatever the input
_DETAIL_CHARACTERS = 200
_EXCERPT_CHARACTERS = 600


def short(detail: str) -> str:
    """A detail that fits a table cell."""
    return detail if len(detail) <= _DETAIL_CHARACTERS else detail[: _DETAIL_CHARACTERS - 1] + "…"


def excerpt(text: bytes) -> bytes:
    """What a report shows of a text: its first 600 characters."""
    head = text[: 4 * _EXCERPT_CHARACTERS].decode("utf-8", "ignore")  # a character cut at the end
    return head[:_EXCERPT_CHARACTERS].encode()


class Rows:
    """Collects records of one file; `take` gives them as a batch of the reader schema."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []  # in the order of SCHEMA
        self._bytes = 0
        self._taken = 0

    def add(
        self,
        text: str,
        meta: bytes | None,
        line: int | None,
        ident: str | None,
        size: int,
        url: str | None = None,
        record: bytes | None = None,
    ) -> None:
        """A readable record; `size` is about its bytes, `meta` and `record` are JSON in valid UTF-8."""
        # a text is encoded while it is in the processor's cache
        self._rows.append((text.encode(), url, meta, record, line, ident, None, None))
        self._bytes += size

    def refuse(self, reason: str, detail: str = "", line: int | None = None, ident: str | None = None) -> None:
        """A record, a file or the rest of a file that cannot be read."""
        self._rows.append((None, None, None, None, line, ident, reason, short(detail) or None))

    @property
    def total(self) -> int:
        """Records and refusals so far, over all batches."""
        return self._taken + len(self._rows)

    @property
    def full(self) -> bool:
        """Whether a batch should be taken."""
        return self._bytes >= BATCH_BYTES or len(self._rows) >= BATCH_RECORDS

    def __len__(self) -> int:
        return len(self._rows)

    def take(self) -> pa.RecordBatch:
        """The rows collected since the last call."""
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(SCHEMA)
        arrays = [_array(list(values), field) for values, field in zip(columns, SCHEMA, strict=True)]
        self._taken += len(self._rows)
        self._rows, self._bytes = [], 0
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _array(values: list[Any], field: pa.Field) -> pa.Array:
    # what was encoded, parsed or written is valid UTF-8, so its bytes become a string column without being looked at again
    return pa.array(values, pa.large_binary()).view(field.type) if field.name in _BYTES else pa.array(values, field.type)


def one_row(reason: str, detail: str = "", line: int | None = None) -> pa.RecordBatch:
    """A batch of one row for a file that cannot be read at all, or not from a line on."""
    rows = Rows()
    rows.refuse(reason, detail, line)
    return rows.take()
