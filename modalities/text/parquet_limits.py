"""How many rows of a Parquet file may be read at once: a dictionary can hold a long text that millions of rows share.

Arrow decodes a whole batch before anyone sees its size, so the size of the dictionary is read from its page header
before; pyarrow does not tell it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from .rows import BATCH_BYTES, BATCH_RECORDS
from .streams import FREE_BYTES, MAX_RATIO, ReadError

_DECODED_BYTES = 256 << 20  # of one batch in the worst case: every row holds the longest text of every dictionary
_DICTIONARY_PAGE, _I32_FIELD = 2, 0x15  # PageHeader of parquet.thrift, in the compact protocol: type, uncompressed size
_HEADER_BYTES = 16


def batch_rows(file: Any, group: Any) -> int:
    """Rows of one batch of a row group: about BATCH_BYTES where rows are alike, and never over _DECODED_BYTES.

    file   the file, as pyarrow opens it
    group  its metadata of the row group
    """
    even: int = BATCH_BYTES // max(1, group.total_byte_size // max(1, group.num_rows))
    longest = sum(_longest_shared(file, group.column(index)) for index in range(group.num_columns))
    return max(1, min(BATCH_RECORDS, even, _DECODED_BYTES // max(1, longest)))


def joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches that had to be small for what they might have held, put together to about BATCH_BYTES; what came before an error too."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    problem = None
    batches = iter(batches)
    while problem is None:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            batch, problem = None, error
        if waiting and (batch is None or size + batch.nbytes > BATCH_BYTES or rows + batch.num_rows > BATCH_RECORDS):
            yield waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
            waiting, rows, size = [], 0, 0
        if batch is None:
            break
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
    if problem is not None:
        raise problem


def check_growth(decoded: int, size: int) -> None:
    """Raises ReadError when a file has become so much more than its bytes that it is a bomb.

    decoded  bytes of its rows so far
    size     bytes of the file
    """
    if decoded > FREE_BYTES + MAX_RATIO * size:
        raise ReadError("decompression_bomb", f"more than {MAX_RATIO} bytes from each of the file behind the first {FREE_BYTES >> 20} MiB")


def _longest_shared(file: Any, column: Any) -> int:
    """Bytes of a cell of this column chunk, at most, that many rows can share."""
    if column.physical_type != "BYTE_ARRAY":
        return 0
    encoded: int = column.total_uncompressed_size
    if "DELTA_BYTE_ARRAY" in column.encodings:  # every cell may begin as the one before it
        return encoded
    start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
    try:
        return min(encoded, _dictionary_bytes(file.read_at(_HEADER_BYTES, start)))
    except (IndexError, ValueError, OSError):
        return encoded  # the reader will say what is wrong with it


def _dictionary_bytes(header: bytes) -> int:
    """Size of the dictionary that a page holds, 0 for a page of another type. Raises IndexError, ValueError."""
    found, at = [], 0
    for _ in range(2):
        if header[at] != _I32_FIELD:
            raise ValueError("no page header")
        value = shift = 0
        while True:
            at += 1
            value |= (header[at] & 0x7F) << shift
            shift += 7
            if header[at] < 0x80:
                break
        found.append(value >> 1)  # zigzag
        at += 1
    kind, size = found
    return size if kind == _DICTIONARY_PAGE else 0
