"""Banding: from signatures to the few pairs worth comparing, for any kind of data.

A signature is cut into bands; records that agree in all rows of a band fall into one bucket. Keys go to disk by band;
then buckets are found by sorting, and inside one every record meets only the most preferred records, so a million
look-alikes cost a multiple of a million. A hash table would need no sort, but has no order to cap by.
Indyk, Motwani 1998; Broder 1997.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends.cpu import kernel, read_only
from ..stage import Bools, Floats, Ints
from .spill import Ascending, Spill

Keys = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.unsignedinteger[Any]]

_MIX = np.uint64(0x9E3779B97F4A7C15)
_START = np.uint64(0x243F6A8885A308D3)
_PAIRS_AT_ONCE = 1 << 20
_FEW = 32  # are sorted fastest by insertion


class Candidates(NamedTuple):
    """The pairs that share a band.

    pairs     later << 32 | earlier, ranks of preference
    involved  (n,) bool   the ranks that are in a pair
    capped    buckets cut to `max_candidates`
    """

    pairs: Ascending
    involved: Bools
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

    signatures  (n, values) unsigned   values >= bands * rows
    order       (m,) int64             the records wanted, indices into signatures
    returns     (m, bands) uint64      in the order of `order`; of one band they lie side by side
    """
    keys = np.empty((bands, len(order)), np.uint64)
    _band_keys(_wide(signatures), order, rows, keys)
    return keys.T


def whole_keys(signatures: Signatures) -> Keys:
    """(n,) uint64: equal where two of (n, values) signatures are."""
    return band_keys(signatures, np.arange(len(signatures)), 1, signatures.shape[1])[:, 0]


class Bands:
    """The band keys of records, on disk by band."""

    def __init__(self, folder: Path, bands: int, rows: int) -> None:
        self._spill, self._bands, self._rows = Spill(folder), bands, rows
        self._starts: list[int] = []
        self._ranks: list[npt.NDArray[np.uint32]] = []

    def add(self, ranks: Ints, signatures: Signatures) -> None:
        """Some records: (m,) ranks of preference and (m, values) signatures."""
        keys = band_keys(signatures, np.arange(len(ranks)), self._bands, self._rows)
        self._starts.append(self._spill.append(keys.T))
        self._ranks.append(ranks.astype(np.uint32))

    def candidates(self, size: int, max_candidates: int, folder: Path, room: int) -> Candidates:
        """Pairs of records that share a key, each pair once; at most `room` of them in memory.

        size  number of ranks

        In a bucket a record meets at most `max_candidates` others, the most preferred.
        """
        ranks = np.concatenate([np.empty(0, np.uint32), *self._ranks])
        pairs, involved, capped = Ascending(folder, room), np.zeros(size, np.bool_), 0
        some = np.empty(min(room, _PAIRS_AT_ONCE), np.uint64)
        for band in range(self._bands):
            keys, later = _buckets(self._read(band), ranks)
            state = np.zeros(4, np.int64)
            while state[0] < len(keys):
                found = _meet(keys, later, max_candidates, state, some, involved)
                pairs.add(some[:found])
            capped += int(state[3])
        return Candidates(pairs, involved, capped)

    def _read(self, band: int) -> Keys:
        """The keys of a band, in the order in which records came."""
        keys = np.empty(sum(map(len, self._ranks)), np.uint64)
        place = 0
        for start, ranks in zip(self._starts, self._ranks, strict=True):
            self._spill.read(start + 8 * band * len(ranks), keys[place : place + len(ranks)])
            place += len(ranks)
        return keys


def _buckets(keys: Keys, ranks: npt.NDArray[np.uint32]) -> tuple[Keys, npt.NDArray[np.uint32]]:
    """Keys and ranks of the records that share their key with another one, by key and rank; perhaps a few more."""
    slots = max(64, 1 << (2 * len(keys)).bit_length())
    shared = np.empty(len(keys), np.bool_)
    _shared(keys, np.uint64(65 - slots.bit_length()), np.zeros(slots >> 5, np.uint64), shared)
    keys, ranks = keys[shared], ranks[shared]
    by = np.argsort(keys)
    keys, ranks = keys[by], ranks[by]
    _sort_within(keys, ranks)
    return keys, ranks


def estimate(signatures: Signatures, a: Ints, b: Ints) -> Floats:
    """(p,) float64: share of equal values in rows a[k] and b[k] of (n, values) signatures."""
    out = np.empty(len(a), np.float64)
    _estimate(_wide(signatures), a, b, out)
    return out


def _wide(signatures: Signatures) -> Keys:
    """As uint64, for kernels are compiled for one type."""
    return read_only(signatures.astype(np.uint64, copy=False))


def depths(sorted_keys: npt.NDArray[Any]) -> Ints:
    """(n,) int64: how many equal values stand before each value of a sorted array."""
    place = np.arange(len(sorted_keys), dtype=np.int64)
    begins = np.ones(len(sorted_keys), np.bool_)
    begins[1:] = sorted_keys[1:] != sorted_keys[:-1]
    return place - np.maximum.accumulate(np.where(begins, place, 0))


@kernel
def _band_keys(signatures: Keys, order: Ints, rows: int, keys: Keys) -> None:
    for k in range(order.size):
        for band in range(keys.shape[0]):
            state = _START
            for value in signatures[order[k], band * rows : (band + 1) * rows]:
                state = (state ^ value) * _MIX
                state ^= state >> np.uint64(29)
            keys[band, k] = state


@kernel
def _estimate(signatures: Keys, a: Ints, b: Ints, out: Floats) -> None:
    for k in range(a.size):
        equal = 0
        for j in range(signatures.shape[1]):
            equal += signatures[a[k], j] == signatures[b[k], j]
        out[k] = equal / signatures.shape[1]


@kernel
def _shared(keys: Keys, shift: np.uint64, counts: Keys, shared: Bools) -> None:
    """Whether the slot of a key, its highest bits, is that of another record's key too; two bits count to two."""
    one, two, low = np.uint64(1), np.uint64(2), np.uint64(31)
    for key in keys:
        slot = key >> shift
        place = (slot & low) * two
        if not counts[slot >> np.uint64(5)] >> place & two:
            counts[slot >> np.uint64(5)] += one << place
    for k in range(keys.size):
        slot = keys[k] >> shift
        shared[k] = counts[slot >> np.uint64(5)] >> (slot & low) * two & two != 0


@kernel
def _sort_within(keys: Keys, ranks: npt.NDArray[np.uint32]) -> None:
    """Sort the ranks of equal keys, which stand side by side."""
    first = 0
    for k in range(1, keys.size + 1):
        if k == keys.size or keys[k] != keys[first]:
            if k - first > _FEW:
                ranks[first:k] = np.sort(ranks[first:k])
            for i in range(first + 1, k if k - first <= _FEW else 0):
                rank, j = ranks[i], i
                while j > first and ranks[j - 1] > rank:
                    ranks[j] = ranks[j - 1]
                    j -= 1
                ranks[j] = rank
            first = k


@kernel
def _meet(keys: Keys, ranks: npt.NDArray[np.uint32], max_candidates: int, state: Ints, out: Keys, involved: Bools) -> int:
    """Write pairs of every record with the head of its bucket, until `out` is full; returns their number.

    state  where to go on: the record, its first bucket mate, how many of the bucket it has met; and buckets cut so far
    """
    at, head, met, found = state[0], state[1], state[2], 0
    while at < keys.size:
        if keys[at] != keys[head]:
            head = at
        most = min(at - head, max_candidates)
        while met < most and found < out.size:
            out[found] = np.uint64(ranks[at]) << np.uint64(32) | np.uint64(ranks[head + met])
            involved[ranks[at]] = involved[ranks[head + met]] = True
            found += 1
            met += 1
        if met < most:
            break
        state[3] += at - head == max_candidates + 1
        at += 1
        met = 0
    state[0], state[1], state[2] = at, head, met
    return found
