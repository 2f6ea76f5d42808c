"""Between Arrow columns and NumPy arrays: the few conversions that every stage needs, without copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]


def buffers(array: pa.Array) -> tuple[Offsets, Bytes]:
    """Offsets and bytes of a string or binary column.

    array    (n,) string, large_string, binary or large_binary; null counts as empty
    returns  (n + 1,) int64 offsets into data, and data (m,) uint8: record i is data[offsets[i]:offsets[i + 1]]
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()  # which copies a single one too
    if array.null_count:
        array = array.fill_null("" if pa.types.is_large_string(array.type) or pa.types.is_string(array.type) else b"")
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offset_buffer, data_buffer = array.buffers()
    if len(array) == 0 or offset_buffer is None:
        return np.zeros(len(array) + 1, np.int64), np.zeros(0, np.uint8)
    raw = np.frombuffer(offset_buffer, np.int64 if wide else np.int32)
    offsets = raw[array.offset : array.offset + len(array) + 1].astype(np.int64)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return offsets, data


def same_rows(a: pa.Array, b: pa.Array) -> bool:
    """Whether two arrays are the same rows of the same memory; neither must have been freed."""
    if a is b:
        return True
    places = [[buffer and buffer.address for buffer in array.buffers()] for array in (a, b)]
    return a.type == b.type and (a.offset, len(a)) == (b.offset, len(b)) and places[0] == places[1]


def fixed_column(rows: npt.NDArray[Any]) -> pa.Array:
    """(n, w) array of any dtype -> fixed_size_binary column, one row of memory a record."""
    rows = np.ascontiguousarray(rows)
    width = rows.itemsize * int(np.prod(rows.shape[1:], dtype=np.int64))
    return pa.Array.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(rows)])


def fixed_rows(column: pa.Array | pa.ChunkedArray, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """fixed_size_binary column without nulls -> (n, *shape) array of dtype; the inverse of `fixed_column`."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if len(column) == 0:
        return np.zeros((0, *shape), dtype)
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], np.uint8)[column.offset * width : (column.offset + len(column)) * width]
    rows: npt.NDArray[Any] = data.view(dtype).reshape(len(column), *shape)
    return rows
