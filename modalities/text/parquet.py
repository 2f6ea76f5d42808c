"""Parquet -> records, row group by row group; the batch size follows the size of the rows, so memory stays bounded.

Columns other than text and id go to `meta` as JSON. What JSON has no type for is written as text: times,
durations and decimals as Arrow prints them, binary as base64. Rows that are conversations become JSON as a whole.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...curator.recipe import Source
from .conversations import structure_of
from .fields import RecordError, id_text, take
from .parquet_limits import batch_rows, check_growth, joined
from .rows import MAX_RECORD_BYTES, SCHEMA, Rows, one_row
from .streams import ReadError

_PAGE_BUFFER_BYTES = 1 << 20


def read_parquet(path: str, source: Source) -> Iterator[pa.RecordBatch]:
    """All rows as reader batches; `line` is the row number. Damage costs the rest of its row group. Raises OSError."""
    with pa.OSFile(path) as file:
        try:
            table = open_table(file)
            _check_columns(table.schema_arrow, source)
        except _ColumnError as missing:
            yield one_row(*missing.args)
        except (pa.ArrowException, OSError) as error:
            yield one_row("broken_parquet", _damage(error))
        else:
            yield from _groups(file, table, source)


def _groups(file: Any, table: Any, source: Source) -> Iterator[pa.RecordBatch]:
    """The rows of all row groups; one row with a reason for what is lost of each."""
    first = decoded = 0
    for index in range(table.metadata.num_row_groups):
        row, end = first, first + table.metadata.row_group(index).num_rows
        try:
            for batch in group_batches(file, table, index):
                decoded += batch.nbytes
                check_growth(decoded, file.size())
                yield _convert(batch, row, source)
                row += batch.num_rows
        except ReadError as bomb:
            yield one_row(bomb.reason, f"{table.metadata.num_rows - row} rows are not read; {bomb.detail}", row)
            return
        except (pa.ArrowException, OSError) as error:
            yield one_row("broken_parquet", f"{end - row} rows are lost, the rest of a row group: {_damage(error)}", row)
        first = end
    if not first:
        yield one_row("empty_file", "no row")


def _damage(error: Exception) -> str:
    """What pyarrow found. Raises an OSError that is the machine's."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return first_line(error)


class _ColumnError(Exception):
    """Reason and detail for a table without a text column."""


def first_line(error: Exception) -> str:
    """What an error says, without the advice below it."""
    return str(error).strip().split("\n")[0]


def _check_columns(schema: pa.Schema, source: Source) -> None:
    """Raises _ColumnError unless there is text."""
    if _is_conversations(schema, source):
        return
    if source.text_field not in schema.names:
        raise _ColumnError("no_text_column", f"columns: {', '.join(schema.names)}")
    kind = schema.field(source.text_field).type
    if not _is_text(kind):
        raise _ColumnError("text_not_a_string", f"column {source.text_field}: {kind}")


def open_table(file: Any) -> Any:
    """The table in an open file, read without threads and in small pieces. Raises ArrowException, OSError."""
    return pq.ParquetFile(file, buffer_size=_PAGE_BUFFER_BYTES, pre_buffer=False)


def group_batches(file: Any, table: Any, index: int) -> Iterator[pa.RecordBatch]:
    """The rows of a row group in batches of bounded size, every value written out. Raises ArrowException, OSError."""
    rows = batch_rows(file, table.metadata.row_group(index))
    yield from joined(map(_without_dictionaries, table.iter_batches(rows, row_groups=[index], use_threads=False)))


def _without_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with every value written out, so that its size is what its rows hold."""
    columns = [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _is_conversations(schema: pa.Schema, source: Source) -> bool:
    """Whether the rows are read as instructions or conversations: as the source says, or by the columns where there is no text."""
    if source.structure != "auto" or source.text_field in schema.names:
        return source.structure not in ("auto", "text")
    kinds: dict[str, Any] = {field.name: [] if _is_list(field.type) else "" if _is_text(field.type) else None for field in schema}
    return structure_of(kinds) != ""


def _is_list(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_list, pa.types.is_large_list))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary))


def _convert(batch: pa.RecordBatch, first: int, source: Source) -> pa.RecordBatch:
    """A table's batch as a reader batch; rows that Arrow or JSON cannot take are looked for by halving."""
    try:
        return _conversations(batch, first, source) if _is_conversations(batch.schema, source) else _records(batch, first, source)
    except (pa.ArrowInvalid, ValueError, TypeError) as error:
        if batch.num_rows == 1:
            return _refused(batch, first, source, error)
    half = batch.num_rows // 2
    halves = [_convert(batch.slice(0, half), first, source), _convert(batch.slice(half), first + half, source)]
    return pa.Table.from_batches(halves).combine_chunks().to_batches()[0]


def _records(batch: pa.RecordBatch, first: int, source: Source) -> pa.RecordBatch:
    text = _text(batch.column(source.text_field))
    ident, url = _ids(batch, source), _urls(batch, source)
    taken = {source.text_field, *([] if ident is None else [source.id_field]), *([] if url is None else [source.url_field])}
    rest = [name for name in batch.schema.names if name not in taken]
    reason, detail = _problems(text)
    readable = reason.is_null()
    nothing, nothing_read = pa.scalar(None, pa.large_string()), pa.nulls(batch.num_rows, pa.large_string())
    columns = [
        pc.if_else(readable, text, nothing),
        nothing_read if url is None else pc.if_else(readable, url, nothing),
        pc.if_else(readable, _meta(batch.select(rest)), nothing),
        nothing_read,
        pa.array(range(first, first + batch.num_rows), pa.int64()),
        pa.nulls(batch.num_rows, pa.string()) if ident is None else ident,
        reason,
        detail,
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _conversations(batch: pa.RecordBatch, first: int, source: Source) -> pa.RecordBatch:
    rows = Rows()
    for line, fields in enumerate(rows_of(batch), first):
        try:
            text, ident, url, _ = take(fields, source)
            record = orjson.dumps(fields, default=as_text)
            if len(record) > MAX_RECORD_BYTES:
                raise RecordError("record_too_long", f"{len(record)} bytes of JSON; the limit is {MAX_RECORD_BYTES}", id_text(ident))
        except RecordError as refused:
            rows.refuse(refused.reason, refused.detail, line, refused.ident)
        else:
            rows.add(text, None, line, id_text(ident), len(record), url, record)
    return rows.take()


def rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows as they would be in JSON lines."""
    for row in zip(*(column.cast(_plain(column.type)).to_pylist() for column in batch.columns), strict=True):
        yield dict(zip(batch.schema.names, row, strict=True))


def _problems(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Reason and detail for cells that are null or over the limit; null for the others."""
    size = pc.binary_length(text)
    absent, long = text.is_null(), pc.greater(size, MAX_RECORD_BYTES).fill_null(False)
    fine = pa.scalar(None, pa.string())
    reason = pc.if_else(absent, "text_not_a_string", pc.if_else(long, "text_too_long", fine))
    length = pc.binary_join_element_wise(size.cast(pa.string()), f"bytes; the limit is {MAX_RECORD_BYTES}", " ")
    return reason, pc.if_else(absent, "null", pc.if_else(long, length, fine))


def _text(column: pa.Array) -> pa.Array:
    """A column as large_string. Raises ArrowInvalid where it is no UTF-8, which Parquet does not promise."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.large_binary()).cast(pa.large_string())


def _ids(batch: pa.RecordBatch, source: Source) -> pa.Array | None:
    """The id column as strings; None where there is none, or one of another type."""
    if source.id_field not in batch.schema.names or source.id_field == source.text_field:
        return None
    column = batch.column(source.id_field)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.cast(kind).cast(pa.string())
    return _text(column).cast(pa.string()) if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None


def _urls(batch: pa.RecordBatch, source: Source) -> pa.Array | None:
    """The url column; None where there is none, or one of another type."""
    if source.url_field not in batch.schema.names or source.url_field == source.text_field:
        return None
    column = batch.column(source.url_field)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return _text(column) if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None


def _meta(batch: pa.RecordBatch) -> pa.Array:
    """The columns as one column of JSON objects; null where there are none."""
    if batch.num_columns == 0:
        return pa.nulls(batch.num_rows, pa.large_string())
    objects = [orjson.dumps(row, default=as_text) for row in rows_of(batch)]
    return pa.array(objects, pa.large_binary()).view(pa.large_string())


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type with text for all that JSON has no type for: Arrow's own text does not depend on installed packages."""
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)) for field in kind])
    if _is_list(kind):
        return pa.list_(_plain(kind.value_type))
    return kind


def as_text(value: Any) -> str:
    """What JSON has no type for, as text; bytes as base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _refused(batch: pa.RecordBatch, line: int, source: Source, error: Exception) -> pa.RecordBatch:
    rows = Rows()
    if _is_conversations(batch.schema, source):
        rows.refuse("invalid_utf8" if isinstance(error, UnicodeDecodeError) else "unreadable_record", first_line(error), line)
        return rows.take()
    try:
        _text(batch.column(source.text_field))
        rows.refuse("unreadable_meta", first_line(error), line)
    except pa.ArrowInvalid:
        raw = batch.column(source.text_field).cast(pa.large_binary())[0].as_py()
        rows.refuse("invalid_utf8", f"byte {_first_bad_byte(raw)}", line)
    return rows.take()


def _first_bad_byte(raw: bytes) -> int:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(raw)
