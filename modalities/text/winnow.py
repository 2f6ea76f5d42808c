"""Winnowing: a sample of a text's shingles that surely meets every copy of a piece of it.

Of every `window` consecutive shingles the one of the least hash is taken, so two texts that share a run of that many
share a sampled one, however long the rest of either is: certain, where a sample of all hashes below a bound misses a
short text with the chance that it has none there. The k least hashes of a text would be no sample of the text around
it at all. The price is a bias: the share of common samples lies somewhat below the share of common shingles.
Schleimer, Wilkerson, Aiken, "Winnowing", SIGMOD 2003.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import kernel, part, scratch
from ...curator.columns import Offsets
from ...curator.stage import Ints
from .fss import shingle
from .tokens import Hashes, Tokens

Values = npt.NDArray[np.uint32]

_NONE, _1, _32, _64 = (np.uint64(k) for k in (0, 1, 32, 64))
_LARGEST = np.uint64(0xFFFFFFFFFFFFFFFF)
_VALUE = np.uint64(0xA0761D6478BD642F)  # odd: what is stored of a hash must not be the part that was the least of many
_SLOT = np.uint64(0x9E3779B97F4A7C15)


class Samples(NamedTuple):
    """Sampled shingles of n texts.

    values    (m,) uint32     sorted and distinct within a text; a text of fewer shingles than the window has none
    offsets   (n + 1,) int64  text i has values[offsets[i]:offsets[i + 1]]
    shingles  (n,) int64      number of distinct shingles, 0 where a text has fewer tokens than one takes
    """

    values: Values
    offsets: Offsets
    shingles: Ints


def winnow(tokens: Tokens, ngram: int, window: int) -> Samples:
    """Samples of the sets of shingles, `ngram` consecutive tokens each: about 2 / (window + 1) of them, 4 bytes a sample."""
    n = len(tokens.fingerprints)
    longest = max(1, int(np.diff(tokens.offsets).max(initial=0)))
    shingles = np.zeros(n, np.int64)
    found = scratch("winnow: samples", len(tokens.hashes) + n, np.uint64)
    table = scratch("winnow: table", _slots(longest), np.uint64)
    count = _winnow(*tokens, ngram, window, scratch("winnow: shingles", longest, np.uint64), table, found, shingles)
    found[:count].sort()  # the text is in the high half
    values, offsets = np.empty(count, np.uint32), np.zeros(n + 1, np.int64)
    kept = _drop_repeats(found[:count], values, offsets)
    return Samples(values[:kept], offsets, shingles)


def _slots(shingles: int) -> int:
    """A power of two, at least twice as many."""
    return 1 << max(4, (2 * shingles - 1).bit_length())


@kernel
def _winnow(
    hashes: Hashes,
    offsets: Offsets,
    fingerprints: Hashes,
    ngram: int,
    window: int,
    shingles: Hashes,
    table: Hashes,
    found: Hashes,
    distinct: Ints,
) -> int:
    total = 0
    for d in range(fingerprints.size):
        if offsets[d + 1] - offsets[d] < ngram:
            continue
        count = shingle(hashes[offsets[d] : offsets[d + 1]], fingerprints[d], ngram, shingles)
        distinct[d] = _distinct(shingles[:count], table)
        total = _least(shingles[:count], window, np.uint64(d) << _32, found, total)
    return total


@part
def _least(shingles: Hashes, window: int, text: np.uint64, found: Hashes, total: int) -> int:
    """Append `text | value` of the least hash of every window, once while it stays the least."""
    if shingles.size < window:
        return total
    least, at = _LARGEST, 0
    for k in range(window):
        if shingles[k] <= least:
            least, at = shingles[k], k
    found[total] = text | (least * _VALUE) >> _32
    total += 1
    for k in range(window, shingles.size):
        x = shingles[k]
        if x > least and at > k - window:
            continue
        if x <= least:
            repeated = x == least
            least, at = x, k
            if repeated:
                continue
        else:  # the least one has left the window
            least = x
            at = k
            for before in range(k - window + 1, k):
                if shingles[before] < least:
                    least, at = shingles[before], before
        found[total] = text | (least * _VALUE) >> _32
        total += 1
    return total


@part
def _distinct(shingles: Hashes, table: Hashes) -> int:
    """The number of different hashes, by a table of open addresses with room for twice as many; 0 marks a free slot."""
    bits = np.uint64(4)
    while (_1 << bits) < np.uint64(2 * shingles.size):
        bits += _1
    slots = table[: _1 << bits]
    slots[:] = _NONE
    count, last, down = 0, np.uint64(slots.size - 1), _64 - bits
    for x in shingles:
        x += np.uint64(x == _NONE)
        slot = (x * _SLOT) >> down
        while slots[slot] != _NONE and slots[slot] != x:
            slot = (slot + _1) & last
        count += slots[slot] == _NONE
        slots[slot] = x
    return count


@kernel
def _drop_repeats(found: Hashes, values: Values, offsets: Offsets) -> int:
    """Sorted `text << 32 | value` -> values without repeats, and where those of each text begin."""
    count = 0
    for k in range(found.size):
        if k == 0 or found[k] != found[k - 1]:
            values[count] = np.uint32(found[k])
            count += 1
            offsets[np.int64(found[k] >> _32) + 1] = count
    for d in range(1, offsets.size):
        offsets[d] = max(offsets[d], offsets[d - 1])
    return count
