"""Banding: from signatures to the few pairs worth comparing, for any kind of data.

A signature is cut into bands; records that agree in all rows of a band fall into one bucket. Buckets are
found by sorting, and inside one every record meets only the most preferred records, so a million
look-alikes cost a multiple of a million. A hash table would need no sort, but has no order to cap by.
Indyk, Motwani 1998; Broder 1997.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends.cpu import kernel, read_only
from ..stage import Bools, Floats, Ints

Keys = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.uint32]

_MIX = np.uint64(0x9E3779B97F4A7C15)
_START = np.uint64(0x243F6A8885A308D3)
_PAIRS_AT_ONCE = 1 << 22


class Candidates(NamedTuple):
    """Some of the pairs that share a band.

    a, b    (p,) int64   rows of the keys, a < b
    capped  number of buckets cut to `max_candidates`, not counted before
    """

    a: Ints
    b: Ints
    capped: int


def probability(similarity: float, bands: int, rows: int) -> float:
    """Probability that a pair of this similarity shares at least one band: 1 - (1 - s**rows)**bands."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def choose_bands(threshold: float, values: int = 256, least: float = 0.99) -> tuple[int, int]:
    """(bands, rows) that find a pair at `threshold` with probability `least` or more, in at most `values` values.

    Eight rows where that is enough, else the most rows that are: more rows bring fewer false candidates.
    Below the threshold where one row is not enough either, one row.
    """
    for rows in range(8, 0, -1):
        if probability(threshold, values // rows, rows) >= least:
            return values // rows, rows
    return values, 1


def band_keys(signatures: Signatures, order: Ints, bands: int, rows: int) -> Keys:
    """One key a band: equal where all rows of the band are equal.

    signatures  (n, values) uint32   values >= bands * rows
    order       (m,) int64           the records wanted, indices into signatures
    returns     (m, bands) uint64    in the order of `order`
    """
    keys = np.empty((len(order), bands), np.uint64)
    _band_keys(read_only(signatures), order, rows, keys)
    return keys


def candidate_pairs(keys: Keys, max_candidates: int) -> Iterator[Candidates]:
    """Pairs of records that share a key, each pair once, some million at a time.

    keys  (n, bands) uint64   row 0 belongs to the most preferred record

    In a bucket a record meets at most `max_candidates` others, the most preferred.
    """
    n, bands = keys.shape
    met = np.zeros((n, bands), np.bool_)  # is among the records that the rest of its bucket meets
    for band in range(bands):
        by_key = np.argsort(keys[:, band], kind="stable")
        depth = depths(keys[by_key, band])
        met[by_key, band] = depth < max_candidates
        capped = int(np.count_nonzero(depth == max_candidates + 1))
        pairs_before = np.concatenate([[0], np.cumsum(np.minimum(depth, max_candidates))])
        first = 0
        while first < n:
            last = max(first + 1, int(np.searchsorted(pairs_before, pairs_before[first] + _PAIRS_AT_ONCE, "right")) - 1)
            a = np.empty(pairs_before[last] - pairs_before[first], np.int64)
            b = np.empty_like(a)
            found = _meet(keys, met, band, by_key, depth, max_candidates, first, last, a, b)
            yield Candidates(a[:found], b[:found], capped)
            first, capped = last, 0


def estimate(signatures: Signatures, a: Ints, b: Ints) -> Floats:
    """(p,) float64: share of equal values in rows a[k] and b[k] of (n, values) signatures."""
    out = np.empty(len(a), np.float64)
    _estimate(read_only(signatures), a, b, out)
    return out


def depths(sorted_keys: npt.NDArray[Any]) -> Ints:
    """(n,) int64: how many equal values stand before each value of a sorted array."""
    place = np.arange(len(sorted_keys), dtype=np.int64)
    begins = np.ones(len(sorted_keys), np.bool_)
    begins[1:] = sorted_keys[1:] != sorted_keys[:-1]
    return place - np.maximum.accumulate(np.where(begins, place, 0))


@kernel
def _band_keys(signatures: Signatures, order: Ints, rows: int, keys: Keys) -> None:
    for k in range(order.size):
        for band in range(keys.shape[1]):
            state = _START
            for value in signatures[order[k], band * rows : (band + 1) * rows]:
                state = (state ^ value) * _MIX
                state ^= state >> np.uint64(29)
            keys[k, band] = state


@kernel
def _estimate(signatures: Signatures, a: Ints, b: Ints, out: Floats) -> None:
    for k in range(a.size):
        equal = 0
        for j in range(signatures.shape[1]):
            equal += signatures[a[k], j] == signatures[b[k], j]
        out[k] = equal / signatures.shape[1]


@kernel
def _meet(
    keys: Keys, met: Bools, band: int, by_key: Ints, depth: Ints, max_candidates: int, first: int, last: int, a: Ints, b: Ints
) -> int:
    """Pairs of the records by_key[first:last] with the head of their buckets, without those an earlier band gave."""
    found = 0
    for p in range(first, last):
        later = by_key[p]
        for q in range(p - depth[p], p - depth[p] + min(depth[p], max_candidates)):
            earlier = by_key[q]
            known = False
            for before in range(band):
                known |= keys[earlier, before] == keys[later, before] and met[earlier, before]
            if not known:
                a[found], b[found] = earlier, later
                found += 1
    return found
