"""Records on their way into reader batches, and the one place that says what a text record consists of."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ...curator.stage import READER_TAIL

COLUMNS = pa.schema(
    [
        pa.field("text", pa.large_string()),  # what stages see
        pa.field("url", pa.large_string()),  # where it came from
        pa.field("meta", pa.large_string()),  # its other fields, a JSON object
        pa.field("record", pa.large_string()),  # a conversation's JSON as it came, which is packed instead of all of these
    ]
)
SCHEMA = pa.schema([*COLUMNS, *READER_TAIL])
BATCH_BYTES = 4 << 20
BATCH_RECORDS = 2048
MAX_RECORD_BYTES = 64 << 20  # a longer line, file or cell is refused; memory stays bounded whatever the input
_DETAIL_CHARACTERS = 200


def short(detail: str) -> str:
    """A detail that fits a table cell."""
    return detail if len(detail) <= _DETAIL_CHARACTERS else detail[: _DETAIL_CHARACTERS - 1] + "…"


class Rows:
    """Collects records of one file; `take` gives them as a batch of the reader schema."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
        self._bytes = 0
        self.total = 0  # records and refusals so far, over all batches

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
        self._append(text, url, meta, record, line, ident, None, None)
        self._bytes += size

    def refuse(self, reason: str, detail: str = "", line: int | None = None, ident: str | None = None) -> None:
        """A record, a file or the rest of a file that cannot be read."""
        self._append(None, None, None, None, line, ident, reason, short(detail) or None)

    def _append(self, *values: Any) -> None:
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        self.total += 1

    @property
    def full(self) -> bool:
        """Whether a batch should be taken."""
        return self._bytes >= BATCH_BYTES or len(self) >= BATCH_RECORDS

    def __len__(self) -> int:
        return len(self._columns["text"])

    def take(self) -> pa.RecordBatch:
        """The rows collected since the last call."""
        arrays = []
        for field in SCHEMA:
            values = self._columns[field.name]
            # JSON that was parsed or written is valid UTF-8, so its bytes become a string column without being looked at again
            raw = field.name in ("meta", "record")
            arrays.append(pa.array(values, pa.large_binary()).view(field.type) if raw else pa.array(values, field.type))
            self._columns[field.name] = []
        self._bytes = 0
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def one_row(reason: str, detail: str = "") -> pa.RecordBatch:
    """A batch of one row for a file that cannot be read at all."""
    rows = Rows()
    rows.refuse(reason, detail)
    return rows.take()
