"""Whom the records of a bucket meet: the most preferred ones, so that a million look-alikes cost a multiple of a million."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends.cpu import part
from ..stage import Ints


@part
def list_heads(ranks: npt.NDArray[np.uint32], sources: Ints, counts: Ints, most: int, heads: npt.NDArray[np.uint32], held: int) -> int:
    """Append the first `most` of ascending ranks to `heads`, which holds `held`; returns how many it holds then.

    Where sources matter, for each source the first `most` of other sources; together these are 2 * most at most.

    sources  of each rank, from 0 on; only looked at where they matter
    counts   zero for each source, before and after; empty where sources do not matter
    """
    if not counts.size:
        for k in range(min(ranks.size, most)):
            heads[held + k] = ranks[k]
        return held + min(ranks.size, most)
    first, second = -1, -1  # the two sources met most often
    for k in range(ranks.size):
        source = sources[ranks[k]]
        other = second if source == first else first  # of the sources that are not its own the one that passed over most so far
        if k - (counts[other] if other >= 0 else 0) < most:
            heads[held] = ranks[k]
            held += 1
        counts[source] += 1
        if source != first and (first < 0 or counts[source] > counts[first]):
            first, second = source, first
        elif source != first and (second < 0 or counts[source] > counts[second]):
            second = source
    for rank in ranks:
        counts[sources[rank]] = 0
    return held


def numbered(sources: npt.NDArray[Any]) -> Ints:
    """(n,) int64: sources as numbers from 0 on."""
    return np.unique(sources, return_inverse=True)[1].astype(np.int64)
