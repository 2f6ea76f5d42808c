"""How long a string is as JSON, counted without writing it: shard borders are fixed before a byte is packed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import lean, lean_kernel, read_only
from ...curator.columns import Bytes, Offsets, buffers
from .vectors import equal, ones, within

_0, _4, _5, _64 = (np.uint64(k) for k in (0, 4, 5, 64))


def quoted_sizes(column: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes of each text as a JSON string, quotes included.

    column   (n,) large_string; null counts as empty
    returns  (n,) int64
    """
    offsets, data = buffers(column)
    sizes = np.diff(offsets) + 2
    _add_extra(read_only(offsets), read_only(data), sizes)
    return sizes


@lean_kernel
def _add_extra(offsets: Offsets, data: Bytes, sizes: npt.NDArray[np.int64]) -> None:
    """Adds to `sizes` (n,) what the bytes of each text grow by as orjson writes them: \\n to 2 bytes, \\u0001 to 6, most not at all."""
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
            at += np.uint64(1)
        sizes[i] += np.int64(grown)


@lean
def _growth(byte: np.uint8) -> np.uint64:
    if byte < 32:
        return np.uint64(1) if 8 <= byte <= 13 and byte != 11 else _5
    return np.uint64(byte == 34 or byte == 92)
