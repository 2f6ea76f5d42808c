"""Which texts have anything to clean: one pass over the bytes, 64 at a time, so that Arrow's slower functions see only those.

The answer may be yes for a text that is clean already, and is no only for one that cleaning leaves as it is.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import lean, lean_kernel
from ...curator.columns import Bytes
from ...curator.stage import Bools
from .padded import Padded, lay_out
from .vectors import equal, within

_0, _1, _2, _63, _64 = (np.uint64(k) for k in (0, 1, 2, 63, 64))
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_LINE_FEED, _BLANK, _TAB = 0x0A, 0x20, 0x09


def may_change(texts: pa.Array) -> Bools:
    """(n,) bool: whether text.clean, in NFC and without `collapse_spaces`, may change the text; false for null and empty."""
    padded = lay_out(texts).padded
    found = np.zeros(len(texts), np.bool_)
    _look(padded, found)
    return found


@lean_kernel
def _look(padded: Padded, found: Bools) -> None:
    for d in range(padded.start.size):
        start, size = np.uint64(padded.start[d]), np.uint64(padded.size[d])
        found[d] = size > _0 and _may_change(padded.data, start, start + size)


@lean
def _may_change(data: Bytes, start: np.uint64, end: np.uint64) -> bool:
    if data[start] <= _BLANK or data[end - _1] <= _BLANK:
        return True
    blank, feed, feed_before = _0, _0, _0  # of the 64 bytes before: whether the last one is a blank or a line feed, and the one before it
    i = start
    while i < end:
        inside = _ALL if end - i >= _64 else (_1 << (end - i)) - _1
        # control characters but tab and line feed; lead bytes of C1 controls, of special spaces and of what normalisation may touch
        suspects = within(data, i, 0x00, 9) | within(data, i, 0x0B, 21) | within(data, i, 0x7F, 1) | equal(data, i, 0xC2)
        suspects |= within(data, i, 0xCC, 4) | within(data, i, 0xD2, 18) | within(data, i, 0xEA, 22)
        if suspects & inside:
            return True
        feeds = equal(data, i, _LINE_FEED) & inside
        blanks = (equal(data, i, _BLANK) | equal(data, i, _TAB)) & inside
        one_back = feeds << _1 | feed
        two_back = feeds << _2 | feed << _1 | feed_before
        if feeds & ((blanks << _1 | blank) | (one_back & two_back)):
            return True
        blank, feed, feed_before = blanks >> _63, feeds >> _63, feeds >> np.uint64(62) & _1
        i += _64
    return False
