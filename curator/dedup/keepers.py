"""Which of many duplicates stays: one greedy pass in order of preference, the same for every kind of dedup.

A record is dropped only for a *kept* record that is similar enough, so every drop has a true twin in the
dataset of that stage and a chain A~B~C never removes C for being like B alone. The alternative, connected
components with one survivor each, is what chains too far (SlimPajama, NeMo Curator).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..backends.cpu import kernel, read_only

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kept:
    """Result of the keeper pass over n records.

    twin        (n,) int64    index of the most similar kept record, -1 for kept records
    similarity  (n,) float64  to that twin, NaN for kept records
    """

    twin: Ints
    similarity: Floats


def choose_keepers(a: Ints, b: Ints, similarity: Floats, order: Ints, threshold: float) -> Kept:
    """Greedy keepers.

    a, b        (p,) int64    indices of verified pairs
    similarity  (p,) float64  of each pair
    order       (n,) int64    all indices, the most preferred first
    threshold   pairs at or above it are duplicates
    """
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    a, b, similarity = read_only(a), read_only(b), read_only(similarity)
    starts = np.zeros(len(order) + 1, np.int64)
    _count(a, b, similarity, threshold, rank, starts)
    pairs = np.empty(starts[-1], np.int64)
    _list(a, b, similarity, threshold, rank, starts, pairs)
    return Kept(*_greedy(read_only(order), rank, starts, pairs, a, b, similarity))


@kernel
def _count(a: Ints, b: Ints, similarity: Floats, threshold: float, rank: Ints, starts: Ints) -> None:
    """starts[r]: pairs that are close enough and whose worse record has a rank less than r."""
    for k in range(a.size):
        if similarity[k] >= threshold:
            starts[max(rank[a[k]], rank[b[k]]) + 1] += 1
    for r in range(rank.size):
        starts[r + 1] += starts[r]


@kernel
def _list(a: Ints, b: Ints, similarity: Floats, threshold: float, rank: Ints, starts: Ints, pairs: Ints) -> None:
    """pairs[starts[r]:starts[r + 1]]: those whose worse record has rank r."""
    filled = starts[:-1].copy()
    for k in range(a.size):
        if similarity[k] >= threshold:
            worse = max(rank[a[k]], rank[b[k]])
            pairs[filled[worse]] = k
            filled[worse] += 1


@kernel
def _greedy(order: Ints, rank: Ints, starts: Ints, pairs: Ints, a: Ints, b: Ints, similarity: Floats) -> tuple[Ints, Floats]:
    """The most similar of the better records that are kept; of equally similar ones the most preferred."""
    n = len(order)
    twin = np.full(n, -1, np.int64)
    found = np.full(n, np.nan)
    for position in range(n):
        record = order[position]
        for k in pairs[starts[position] : starts[position + 1]]:
            better = a[k] if b[k] == record else b[k]
            if twin[better] >= 0:
                continue
            best = twin[record]
            if best < 0 or similarity[k] > found[record] or (similarity[k] == found[record] and rank[better] < rank[best]):
                twin[record] = better
                found[record] = similarity[k]
    return twin, found
