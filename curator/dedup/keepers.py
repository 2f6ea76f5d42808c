"""Which of many duplicates stays: one greedy pass in order of preference, the same for every kind of dedup.

A record is dropped only for a *kept* record that is similar enough, so every drop has a true twin in the
dataset of that stage and a chain A~B~C never removes C for being like B alone. The alternative, connected
components with one survivor each, is what chains too far (SlimPajama, NeMo Curator).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..backends.cpu import kernel

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
    close = similarity >= threshold
    a, b, similarity = a[close], b[close], similarity[close]
    better = np.where(rank[a] < rank[b], a, b)
    worse = np.where(rank[a] < rank[b], b, a)
    # for every record its better neighbours, the most similar first, ties by preference
    by = np.lexsort((rank[better], -similarity, rank[worse]))
    starts = np.searchsorted(rank[worse][by], np.arange(len(order) + 1))
    return Kept(*_greedy(order, starts, better[by], similarity[by]))


@kernel
def _greedy(order: Ints, starts: Ints, better: Ints, similarity: Floats) -> tuple[Ints, Floats]:
    n = len(order)
    twin = np.full(n, -1, np.int64)
    found = np.full(n, np.nan)
    for position in range(n):
        record = order[position]
        for k in range(starts[position], starts[position + 1]):
            if twin[better[k]] < 0:
                twin[record] = better[k]
                found[record] = similarity[k]
                break
    return twin, found
