"""Tables of images: Parquet, JSON lines, JSON lists, CSV and TSV, with the limits and the parsers of text.

JSON lines are cut by bytes, Parquet by row groups. Of a list or a CSV a range is found by parsing what comes before it without
reading an image: milliseconds beside the images that a range stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...curator.modality import Entry
from ...curator.recipe import Source
from ..text.delimited import DELIMITERS, Header, row_blocks
from ..text.fields import RecordError
from ..text.json_list import SPACE, element_blocks
from ..text.jsonl import diagnose
from ..text.lines import TooLong, line_blocks
from ..text.parquet import first_line, group_batches, open_table, rows_of
from ..text.parquet_limits import check_growth
from ..text.rows import MAX_RECORD_BYTES
from ..text.streams import ReadError, open_stream
from .beside import load_json
from .records import Record, refused
from .table_rows import TableRows, image_column


def read_table(entry: Entry, source: Source, kind: str) -> Iterator[Record]:
    """The rows of a range; kind: parquet, jsonl, list, csv or tsv. Raises OSError."""
    path, rows = str(Path(entry.root, entry.path)), TableRows(entry, source)
    found, whole = False, entry.start == 0 and entry.end == entry.size
    try:
        for record in _parquet(path, entry, source, rows) if kind == "parquet" else _lines(path, entry, source, rows, kind):
            found = True
            yield record
    except ReadError as error:
        yield refused(error.reason, error.detail)
        return
    if not found and whole:
        yield refused("empty_file", "no row")


def _lines(path: str, entry: Entry, source: Source, rows: TableRows, kind: str) -> Iterator[Record]:
    with closing(open_stream(path, max(entry.start - 1, 0) if kind == "jsonl" else 0)) as stream:
        if kind == "jsonl":
            end = None if entry.end == entry.size else entry.end
            lines = (raw for block in line_blocks(stream, entry.start, end) for raw in block)
            yield from (_json_record(raw, line, rows) for line, raw in enumerate(lines) if isinstance(raw, TooLong) or raw.strip())
        elif kind == "list":
            elements = (raw for block in element_blocks(stream) for raw in block)
            yield from (_json_record(raw, index, rows) for index, raw in _range(enumerate(elements), entry))
        else:
            yield from _delimited((row for block in row_blocks(stream, DELIMITERS[kind]) for row in block), entry, source, rows, kind)


def _range(pieces: Iterable[tuple[int, bytes | TooLong]], entry: Entry) -> Iterator[tuple[int, bytes | TooLong]]:
    """The pieces of a file that belong to a range: by the bytes of those before them, which are fewer than the file has.

    Raises ReadError in the range that the damage lies in.
    """
    at = 0
    try:
        for number, raw in pieces:
            if at >= entry.end and entry.end < entry.size:
                return
            if at >= entry.start:
                yield number, raw
            at += int(raw) if isinstance(raw, TooLong) else len(raw) + 1
    except ReadError:
        if entry.start <= at < entry.end or entry.end == entry.size <= at:
            raise


def _json_record(raw: bytes | TooLong, line: int, rows: TableRows) -> Record:
    if isinstance(raw, TooLong):
        return refused("line_too_long", f"{raw} bytes; the limit is {MAX_RECORD_BYTES}", line)
    try:
        fields = load_json(raw.strip(SPACE))
    except (ValueError, RecursionError) as error:
        return refused(*diagnose(raw, error), line)
    return rows.record(fields, line)


def _delimited(lines: Iterator[tuple[int, bytes | TooLong]], entry: Entry, source: Source, rows: TableRows, kind: str) -> Iterator[Record]:
    first = next(lines, None)
    if first is None:
        return
    try:
        header = Header(first[1], DELIMITERS[kind])
        if image_column(header.names, source) is None:
            raise ReadError("no_image_column", f"columns: {', '.join(header.names)}")
    except ReadError:
        if entry.start == 0:
            raise
        return  # told in the first range
    for line, raw in _range(lines, entry):
        try:
            fields = header.fields(raw)
        except RecordError as wrong:
            yield refused(wrong.reason, wrong.detail, line)
        else:
            if fields is not None:
                yield rows.record(fields, line)


def _parquet(path: str, entry: Entry, source: Source, rows: TableRows) -> Iterator[Record]:
    first = 0
    with pa.OSFile(path) as file:
        try:
            table = open_table(file)
            if image_column(table.schema_arrow.names, source) is None:
                raise ReadError("no_image_column", f"columns: {', '.join(table.schema_arrow.names)}")
            groups = [table.metadata.row_group(index) for index in range(table.metadata.num_row_groups)]
        except ReadError:
            if entry.start == 0:
                raise
            return  # told in the first range
        except (pa.ArrowException, OSError) as error:
            if entry.start == 0:
                raise _damage(error) from error
            return
        for index, group in enumerate(groups):
            if entry.start <= min(_begins(group), entry.size - 1) < entry.end:
                yield from _group(group_batches(file, table, index), first, file.size(), rows)
            first += group.num_rows


def _group(batches: Iterator[pa.RecordBatch], row: int, size: int, rows: TableRows) -> Iterator[Record]:
    """The records of a row group, `row` its first; damage costs the rest of it and no other, whichever ranges they are read in."""
    decoded = 0
    try:
        for batch in batches:
            decoded += batch.nbytes
            check_growth(decoded, size)
            yield from _rows(batch, row, rows)
            row += batch.num_rows
    except ReadError as error:
        yield refused(error.reason, error.detail, row)
    except (pa.ArrowException, OSError) as error:
        yield refused(_damage(error).reason, f"the rest of a row group: {first_line(error)}", row)


def _damage(error: Exception) -> ReadError:
    """What pyarrow found. Raises an OSError that is the machine's."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return ReadError("broken_parquet", first_line(error))


def _begins(group: Any) -> int:
    """The first byte of a row group."""
    columns = [group.column(index) for index in range(group.num_columns)]
    begins = [c.dictionary_page_offset if c.has_dictionary_page else c.data_page_offset for c in columns]
    return max(0, min(begins, default=0))


def _rows(batch: pa.RecordBatch, first: int, rows: TableRows) -> Iterator[Record]:
    """The records of a batch; a row that Arrow or JSON cannot take is looked for by halving."""
    try:
        fields = list(rows_of(batch))
    except (pa.ArrowInvalid, ValueError, TypeError) as error:
        if batch.num_rows == 1:
            yield refused("invalid_utf8" if isinstance(error, UnicodeDecodeError) else "unreadable_record", first_line(error), first)
            return
        half = batch.num_rows // 2
        yield from _rows(batch.slice(0, half), first, rows)
        yield from _rows(batch.slice(half), first + half, rows)
        return
    yield from (rows.record(each, first + number) for number, each in enumerate(fields))
