"""Texts as JSON strings, in the bytes that orjson writes: their sizes, and the strings themselves.

Shard borders are fixed before a byte is packed, so sizes are counted without writing. Both work on UTF-8 as it is
stored; by way of Python's strings, most of whose letters take two bytes where one is not ASCII, writing takes five times as long.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import lean, lean_kernel, read_only, trailing_zeros
from ...curator.columns import Bytes, Offsets, buffers
from .vectors import copy64, equal, ones, within

_0, _1, _4, _5, _64 = (np.uint64(k) for k in (0, 1, 4, 5, 64))
_QUOTE, _BACKSLASH, _NOUGHT, _U = (np.uint8(ord(c)) for c in '"\\0u')
# the letter behind the backslash, for bytes that have one; 0 for those that need six bytes or none
_LETTERS = np.zeros(256, np.uint8)
_LETTERS[list(b'\b\t\n\f\r"\\')] = list(b'btnfr"\\')
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def quoted_sizes(column: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes of each text as a JSON string, quotes included.

    column   (n,) large_string; null counts as empty
    returns  (n,) int64
    """
    offsets, data = buffers(column)
    sizes = np.diff(offsets) + 2
    _add_extra(read_only(offsets), read_only(data), sizes)
    return sizes


def quoted(column: pa.Array) -> pa.Array:
    """(n,) large_binary: each text as a JSON string, quotes included.

    column  (n,) large_string; null counts as empty
    """
    offsets, data = buffers(column)
    places = np.zeros(len(offsets), np.int64)
    np.cumsum(quoted_sizes(column), out=places[1:])
    out = np.empty(int(places[-1]) + 64, np.uint8)
    _write(read_only(offsets), read_only(data), places[:-1], out)
    return pa.Array.from_buffers(pa.large_binary(), len(column), [None, pa.py_buffer(places), pa.py_buffer(out)])


@lean_kernel
def _add_extra(offsets: Offsets, data: Bytes, sizes: npt.NDArray[np.int64]) -> None:
    """Adds to `sizes` (n,) what the bytes of each text grow by: \\n to 2 bytes, \\u0001 to 6, most not at all."""
    for i in range(sizes.size):
        at, end = np.uint64(offsets[i]), np.uint64(offsets[i + 1])
        grown = _0
        while at < end and at + _64 <= np.uint64(data.size):
            here = ~_0 >> (_64 - min(end - at, _64))
            control = within(data, at, 0, 32) & here
            if control:
                short = within(data, at, 8, 3) | within(data, at, 12, 2)  # \b \t \n, \f \r
                grown += _5 * ones(control) - _4 * ones(short & control)
            grown += ones((equal(data, at, 34) | equal(data, at, 92)) & here)  # quotation mark and backslash
            at += _64
        while at < end:
            grown += _growth(data[at])
            at += _1
        sizes[i] += np.int64(grown)


@lean
def _growth(byte: np.uint8) -> np.uint64:
    if byte < 32:
        return _1 if 8 <= byte <= 13 and byte != 11 else _5
    return np.uint64(byte == 34 or byte == 92)


@lean_kernel
def _write(offsets: Offsets, data: Bytes, places: npt.NDArray[np.int64], out: Bytes) -> None:
    """Texts as JSON strings from `places` on; `out` has room for 64 bytes more, because whole blocks are copied."""
    for i in range(places.size):
        at, end, place = np.uint64(offsets[i]), np.uint64(offsets[i + 1]), np.uint64(places[i])
        out[place] = _QUOTE
        place += _1
        while at < end:
            if at + _64 <= np.uint64(data.size):
                here = ~_0 >> (_64 - min(end - at, _64))
                escaped = (within(data, at, 0, 32) | equal(data, at, 34) | equal(data, at, 92)) & here
                copy64(data, at, out, place)
                plain = min(trailing_zeros(escaped), end - at)
                at += plain
                place += plain
                if not escaped:
                    continue
            if _growth(data[at]):
                place = _escape(data[at], out, place)
            else:
                out[place] = data[at]
                place += _1
            at += _1
        out[place] = _QUOTE


@lean
def _escape(byte: np.uint8, out: Bytes, place: np.uint64) -> np.uint64:
    """Write one escaped byte; returns the place behind it."""
    out[place] = _BACKSLASH
    if _LETTERS[byte]:
        out[place + _1] = _LETTERS[byte]
        return place + np.uint64(2)
    out[place + _1] = _U
    out[place + np.uint64(2)] = out[place + np.uint64(3)] = _NOUGHT
    out[place + _4] = _DIGITS[byte >> 4]
    out[place + _5] = _DIGITS[byte & 15]
    return place + np.uint64(6)
