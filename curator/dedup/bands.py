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
from .heads import list_heads
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

    def candidates(self, size: int, max_candidates: int, folder: Path, room: int, sources: Ints | None = None) -> Candidates:
        """Pairs of records that share a key, each pair once; at most `room` of them in memory.

        size     number of ranks
        sources  (size,) int64 from 0 on: ranks of one source do not meet; None: all do

        In a bucket a record meets at most `max_candidates` others, the most preferred.
        """
        ranks = np.concatenate([np.empty(0, np.uint32), *self._ranks])
        pairs, involved, capped = Ascending(folder, room), np.zeros(size, np.bool_), 0
        some = np.empty(min(room, _PAIRS_AT_ONCE), np.uint64)
        across = sources if sources is not None else np.empty(0, np.int64)
        counts = np.zeros(int(across.max(initial=-1)) + 1, np.int64)
        for band in range(self._bands):
            keys, later = _buckets(self._read(band), ranks)
            ends, heads = np.empty(len(keys), np.int64), np.empty(len(keys), np.uint32)
            capped += _heads(keys, later, across, counts, max_candidates, ends, heads)
            state = np.zeros(4, np.int64)
            while state[0] < len(keys):
                found = _meet(keys, later, across, ends, heads, max_candidates, state, some, involved)
                pairs.add(some[:found])
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
def _heads(
    keys: Keys, ranks: npt.NDArray[np.uint32], sources: Ints, counts: Ints, most: int, ends: Ints, heads: npt.NDArray[np.uint32]
) -> int:
    """Whom the records of each bucket meet: of bucket b those from heads[ends[b - 1]] to heads[ends[b]]. Returns the buckets cut."""
    bucket = held = first = cut = 0
    for k in range(1, keys.size + 1):
        if k == keys.size or keys[k] != keys[first]:
            before = held
            held = list_heads(ranks[first:k], sources, counts, most, heads, held)
            cut += k - first > held - before + 1  # the last one meets all the others
            ends[bucket] = held
            bucket, first = bucket + 1, k
    return cut


@kernel
def _meet(
    keys: Keys,
    ranks: npt.NDArray[np.uint32],
    sources: Ints,
    ends: Ints,
    heads: npt.NDArray[np.uint32],
    most: int,
    state: Ints,
    out: Keys,
    involved: Bools,
) -> int:
    """Write pairs of every record with heads of its bucket, until `out` is full; returns their number.

    state  where to go on: the record, its bucket, the head it meets next, how many it has met
    """
    at, bucket, head, met, found = state[0], state[1], state[2], state[3], 0
    while at < keys.size:
        rank = ranks[at]
        while head < ends[bucket] and heads[head] < rank and met < most and found < out.size:
            other = heads[head]
            head += 1
            if sources.size and sources[other] == sources[rank]:
                continue
            out[found] = np.uint64(rank) << np.uint64(32) | np.uint64(other)
            involved[rank] = involved[other] = True
            found += 1
            met += 1
        if found == out.size:  # perhaps there is more
            break
        at += 1
        bucket += at < keys.size and keys[at] != keys[at - 1]
        head, met = ends[bucket - 1] if bucket else 0, 0
    state[0], state[1], state[2], state[3] = at, bucket, head, met
    return found
