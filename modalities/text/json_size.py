"""How long a string is as JSON, counted without writing it: shard borders are fixed before a byte is packed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import kernel, read_only
from ...curator.columns import buffers


def _extra_bytes() -> npt.NDArray[np.uint8]:
    """(256,) uint8: what each byte grows by as orjson writes it: \\n to 2 bytes, \\u0001 to 6, the rest as it is."""
    extra = np.zeros(256, np.uint8)
    extra[:32] = 5
    extra[[ord(c) for c in '"\\\b\t\n\f\r']] = 1
    return extra


_EXTRA = _extra_bytes()


def quoted_sizes(column: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes of each text as a JSON string, quotes included.

    column   (n,) large_string; null counts as empty
    returns  (n,) int64
    """
    offsets, data = buffers(column)
    sizes = np.diff(offsets) + 2
    _add_extra(read_only(offsets), read_only(data), _EXTRA, sizes)
    return sizes


@kernel
def _add_extra(
    offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], extra: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]
) -> None:
    for i in range(len(sizes)):
        grown = 0
        for j in range(offsets[i], offsets[i + 1]):
            grown += extra[data[j]]
        sizes[i] += grown
