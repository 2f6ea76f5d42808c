"""CSV and TSV -> records: a kernel finds where rows end, Python's csv takes each apart, so a bad row costs only itself.

pyarrow's reader is faster, but gives up a whole block for one cell that is no UTF-8 or one quote that is not closed.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from ...curator.backends.cpu import kernel
from ...curator.recipe import Source
from .conversations import structure_of
from .fields import RecordError, id_text, take
from .lines import CHUNK_BYTES, Begun, TooLong
from .rows import MAX_RECORD_BYTES, Rows
from .streams import ReadError, Stream

DELIMITERS = {"csv": ",", "tsv": "\t"}
_RESCANNED_BYTES = 4 * MAX_RECORD_BYTES  # looked at again behind quotes that are not closed: a file of them takes no square time
_BLANKS = re.compile(rb"[\r\n]*")
_MAX_ENDS = 1 << 16  # of one call
_AT_START, _IN_CELL, _QUOTED, _BEHIND_QUOTE, _BEHIND_RETURN, _MISQUOTED, _SKIPPING = range(7)
_Bytes = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]


class Misquoted(bytes):
    """The first line of a row with a quote that is not closed where a cell ends."""


def read_delimited(stream: Stream, source: Source, delimiter: str) -> Iterator[pa.RecordBatch]:
    """Rows of a table as reader batches; `line` is the line on which a row begins, the header's being 0.

    Cells are strings; an empty id or address is none. Quotes as in RFC 4180.
    """
    rows, line = Rows(), 0
    table: _Table | None = None
    try:
        for block in row_blocks(stream, delimiter):
            for line, raw in block:
                if table is None:
                    table = _Table(raw, source, delimiter)
                else:
                    table.add(rows, raw, line)
                if rows.full:
                    yield rows.take()
    except ReadError as error:
        rows.refuse(error.reason, f"{error.detail}, {rows.total} records" if table else error.detail, line + 1 if table else None)
    if rows.total == 0:
        rows.refuse("empty_file", "" if table is None else "a header and no row")
    if len(rows):
        yield rows.take()


class Header:
    """The first row of a table, and the fields that rows below it hold.

    names  of its columns
    """

    def __init__(self, raw: bytes | TooLong, delimiter: str) -> None:
        """Raises ReadError for a header that names no columns."""
        self._delimiter = delimiter
        csv.field_size_limit(MAX_RECORD_BYTES)  # the length of a row is limited already
        try:
            self.names = self._cells(raw)
        except RecordError as wrong:
            raise ReadError("broken_header", f"{wrong.reason}: {wrong.detail}") from wrong
        twice = next((name for name, count in Counter(self.names).items() if count > 1), None)
        if twice is not None:
            raise ReadError("broken_header", f"two columns {twice}")

    def fields(self, raw: bytes | TooLong) -> dict[str, Any] | None:
        """The cells of a row by column; None for a blank line, which is no row. Raises RecordError."""
        if isinstance(raw, bytes) and not raw.strip(b" \r"):
            return None
        cells = self._cells(raw)
        if len(cells) != len(self.names):
            raise RecordError("wrong_cell_count", f"{len(cells)} cells below a header of {len(self.names)}")
        return dict(zip(self.names, cells, strict=True))

    def _cells(self, raw: bytes | TooLong) -> list[str]:
        if isinstance(raw, TooLong):
            raise RecordError("row_too_long", f"{raw} bytes; the limit is {MAX_RECORD_BYTES}")
        if isinstance(raw, Misquoted):
            raise RecordError("broken_row", "a quote is not closed where its cell ends")
        if (nul := raw.find(b"\0")) >= 0:
            raise RecordError("nul_byte", f"byte {nul} of the row")
        try:
            return next(csv.reader((raw.decode(),), delimiter=self._delimiter, strict=True))
        except UnicodeDecodeError as error:
            raise RecordError("invalid_utf8", f"{error.reason}: byte {error.start} of the row") from error
        except csv.Error as error:
            lone = str(error).startswith("new-line character")  # Python adds advice for programmers
            raise RecordError("broken_row", "a carriage return that ends no line" if lone else str(error)) from error


class _Table:
    """A header that names the text, and the records that rows below it are."""

    def __init__(self, raw: bytes | TooLong, source: Source, delimiter: str) -> None:
        """Raises ReadError for a header that names no columns, or not the text."""
        self._source, self._header = source, Header(raw, delimiter)
        fields: dict[str, Any] = dict.fromkeys(self._header.names, "")
        known = source.text_field in fields or (source.structure == "auto" and structure_of(fields) != "")
        if source.structure in ("auto", "text") and not known:
            raise ReadError("no_text_column", f"columns: {', '.join(self._header.names)}")

    def add(self, rows: Rows, raw: bytes | TooLong, line: int) -> None:
        """Add the record of a row, or what is wrong with it; a blank line is no row."""
        try:
            fields = self._header.fields(raw)
            if fields is not None:
                self._add(rows, fields, line, len(raw) if isinstance(raw, bytes) else 0)
        except RecordError as wrong:
            rows.refuse(wrong.reason, wrong.detail, line, wrong.ident)

    def _add(self, rows: Rows, fields: dict[str, Any], line: int, size: int) -> None:
        source = self._source
        empty = [name for name in (source.id_field, source.url_field) if fields.get(name) == "" and name != source.text_field]
        absent = {name: fields.pop(name, "") for name in empty}
        text, ident, url, whole = take(fields, source)
        rest = orjson.dumps({**fields, **absent} if whole else fields) if fields else None
        rows.add(text, None if whole else rest, line, id_text(ident), size, url, rest if whole else None)


def row_blocks(stream: Stream, delimiter: str) -> Iterator[list[tuple[int, bytes | TooLong]]]:
    """Rows of a table in blocks, each with the line it begins on, without the end of its last line; no blank ones.

    Of a row with a quote that is not closed, only the first line comes, Misquoted; the next line begins another row.
    Raises ReadError where that happens so often that it would take too long.
    """
    splitter = _Splitter(ord(delimiter))
    chunk = (stream.read(CHUNK_BYTES) or b"").removeprefix(codecs.BOM_UTF8)
    while chunk:
        yield splitter.rows(chunk)
        splitter.check()
        chunk = stream.read(CHUNK_BYTES) or b""
    yield splitter.last()
    splitter.check()


class _Splitter:
    """Cuts a table into rows, chunk by chunk; a row that is not finished waits for the next."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._state, self._ends = np.array([_AT_START, 0, 1]), np.empty(_MAX_ENDS, np.int64)
        self._begun = Begun()
        self._misquoted = False  # what was begun
        self._line = self._inner_lines = self._rescanned = 0

    def rows(self, data: bytes) -> list[tuple[int, bytes | TooLong]]:
        """Rows that end in this chunk."""
        block: list[tuple[int, bytes | TooLong]] = []
        start = 0
        while start < len(data):
            count = _find_rows(np.frombuffer(data, np.uint8), start, self._sign, self._state, self._ends)
            for end in self._ends[:count].tolist():
                self._add(data[start:end])
                self._finish(block)
                start = end + 1
            now, stop, _ = self._state.tolist()
            if now == _MISQUOTED:
                data, start = self._go_back(block, data, start, stop)
            elif stop == len(data):
                self._add(data[start:])
                break
        return block

    def last(self) -> list[tuple[int, bytes | TooLong]]:
        """The row that the end of the file ends, or the rows behind its quote that is not closed."""
        block: list[tuple[int, bytes | TooLong]] = []
        while self._begun.size and self._state[0] == _QUOTED:
            data, start = self._go_back(block, b"", 0, 0)
            block += self.rows(data[start:])
        if self._begun.size:
            self._finish(block)
        return block

    def check(self) -> None:
        """Raises ReadError when too much was looked at again."""
        if self._rescanned > _RESCANNED_BYTES:
            raise ReadError("unclosed_quotes", f"{self._rescanned} bytes looked at again behind quotes that are not closed")

    def _add(self, piece: bytes) -> None:
        if not self._begun.size:
            piece = piece[self._blank_lines(piece, 0) :]
        self._begun.add(piece)
        self._inner_lines += piece.count(b"\n")

    def _blank_lines(self, data: bytes, start: int) -> int:
        """Where the row begins that blank lines at `start` come before."""
        match = _BLANKS.match(data, start)
        assert match is not None
        self._line += match[0].count(b"\n")
        return match.end()

    def _finish(self, block: list[tuple[int, bytes | TooLong]]) -> None:
        raw = self._begun.finish()
        block.append((self._line, Misquoted(raw) if self._misquoted and isinstance(raw, bytes) else raw))
        self._line += 1 + self._inner_lines
        self._misquoted, self._inner_lines = False, 0

    def _go_back(self, block: list[tuple[int, bytes | TooLong]], data: bytes, start: int, stop: int) -> tuple[bytes, int]:
        """Ends the row that begins at `start`, whose quote proved wrong at `stop`, at its first line: where to go on, in which bytes."""
        if begun := self._begun.size:
            if begun + stop - start > MAX_RECORD_BYTES:  # gone already
                return self._skip(data, start, stop)
            waiting = self._begun.finish()
            assert isinstance(waiting, bytes)
            data, start, stop = waiting + data[start:], 0, begun + stop - start
            self._inner_lines = 0
        start = self._blank_lines(data, start)
        feed = data.find(b"\n", start, stop)
        if feed < 0:
            self._misquoted = True
            return self._skip(data, start, stop)
        self._rescanned += stop - feed
        if self._rescanned > _RESCANNED_BYTES:
            return b"", 0
        block.append((self._line, Misquoted(data[start:feed])))
        self._line += 1
        self._state[0], self._state[2] = _AT_START, 1
        return data, feed + 1

    def _skip(self, data: bytes, start: int, stop: int) -> tuple[bytes, int]:
        self._add(data[start:stop])
        self._state[0] = _SKIPPING
        return data, stop


@kernel
def _find_rows(data: _Bytes, start: int, sign: int, state: _Ints, ends: _Ints) -> int:
    """Where rows end; returns how many do. Stops where `ends` is full, or a quote is not closed where its cell ends.

    data    (n,) uint8       the next piece, looked at from `start`
    sign    the delimiter
    state   (3,) int64       one of the states above; where it stopped; whether the row has been blank so far
    ends    (m,) int64       offsets of line feeds into data, but for those of blank lines
    """
    now, blank, count, stop = state[0], state[2], 0, len(data)
    for j in range(start, len(data)):
        byte = data[j]
        if byte != 10 and byte != 13:
            blank = 0
        if now == _QUOTED:
            if byte == 34:
                now = _BEHIND_QUOTE
        elif byte == 10:
            now = _AT_START
            if blank:
                continue
            blank = 1
            ends[count] = j
            count += 1
            if count == len(ends):
                stop = j + 1
                break
        elif now < _QUOTED:
            now = _AT_START if byte == sign else _QUOTED if byte == 34 and now == _AT_START else _IN_CELL
        elif now == _BEHIND_QUOTE and byte == 34:
            now = _QUOTED
        elif now == _BEHIND_QUOTE and byte == sign:
            now = _AT_START
        elif now == _BEHIND_QUOTE and byte == 13:
            now = _BEHIND_RETURN
        elif now != _SKIPPING:
            now, stop = _MISQUOTED, j
            break
    state[0], state[1], state[2] = now, stop, blank
    return count
