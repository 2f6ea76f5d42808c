"""text.field: one field of the source's records as a number: stars, a score, a date.

Published corpora carry scores (FineWeb-Edu's, CCNet's perplexity) and dates in fields. As a measured value one can drop by it, see
it in the report, and prefer by it among duplicates: the newest, the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import orjson
import pyarrow as pa

from ...curator.options import Options, judge, measure
from ...curator.stage import Columns, Filter, Rule, Value


class FieldOptions(Options):
    """Which field, and how much of it."""

    name: str = measure(..., "Name of the field; dots lead into mappings: `meta.stars`.", min_length=1)
    type: Literal["number", "date"] = measure(
        "number",
        "number: as it is, or a string that is one. date: an ISO 8601 date or time as a string, UTC where it names no zone, or seconds"
        " since 1970 as a number; measured in seconds since 1970.",
    )
    min_value: float | None = judge(None, "Least value of a record that stays; null: any. A record without the field stays.")
    max_value: float | None = judge(None, "Greatest value of a record that stays; null: any. A record without the field stays.")


class Field(Filter):
    """Measure a field of each record; optionally drop what has too little or too much of it.

    Fields are what a record of JSON lines, JSON lists, Parquet or CSV has beside its text, id and address, and what a WARC record says of
    itself (`date`, `status`). A field that is missing, of another type or no finite number is null, and null passes.
    """

    name: ClassVar[str] = "text.field"
    Options: ClassVar[type[Options]] = FieldOptions
    options: FieldOptions
    values: ClassVar[tuple[Value, ...]] = (Value("value", pa.float64(), "The field as a number; a date in seconds since 1970, UTC."),)

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields."""
        return ("meta",)

    def rules(self) -> Sequence[Rule]:
        """Too low, too high."""
        return (Rule("value", "min", "min_value", "too_low"), Rule("value", "max", "max_value", "too_high"))

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """One number a record."""
        path, read = self.options.name.split("."), _date if self.options.type == "date" else _number
        return {"value": pa.array([read(_at(meta, path)) for meta in batch.column("meta").to_pylist()], pa.float64())}


def _at(meta: str | bytes | None, path: list[str]) -> Any:
    found = orjson.loads(meta) if meta else None
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def _date(value: Any) -> float | None:
    if not isinstance(value, str):
        return _number(value)
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
