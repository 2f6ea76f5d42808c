"""Near-duplicates by signatures: bands propose, an estimate thins out, the caller's exact similarity decides.

Records of one and the same sketch are searched once for all, whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..columns import fixed_rows
from ..stage import Entered, Floats, Ints, Pairs
from .bands import Signatures, band_keys, candidate_pairs, depths, estimate

Exact = Callable[[Ints, Ints], Floats]  # the similarity of records a[k] and b[k]


@dataclass(frozen=True)
class Search:
    """What is looked for.

    bands, rows     pairs that agree in all rows of a band are candidates
    floor           least similarity of a pair
    max_candidates  records that a record is compared with in one bucket of a band, the most preferred first
    """

    bands: int
    rows: int
    floor: float
    max_candidates: int


class _Links(NamedTuple):
    """Pairs of records, numbered by preference; a < b."""

    a: Ints
    b: Ints
    similarity: Floats


def near_pairs(entered: Entered, order: Ints, value: npt.DTypeLike, search: Search, exact: Exact) -> Pairs:
    """Every pair of records that shares a band and is at least as similar as the floor.

    entered  has the columns `signature`, fixed-size binary, and `fingerprint` uint64: records equal in both are copies, of similarity 1
    order    (n,) int64   all records, the most preferred first
    value    dtype of a value of the signature
    """
    column = entered.column("signature")
    dtype = np.dtype(value)
    sketches = fixed_rows(column, dtype, (column.type.byte_width // dtype.itemsize,))
    copies = _group_copies(entered.column("fingerprint").to_numpy()[order], sketches, order)
    links, notes = _search(sketches, order, np.flatnonzero(copies.first == np.arange(len(order))), search, exact)
    links = _with_copies(links, copies, search.max_candidates)
    return Pairs(order[links.a], order[links.b], links.similarity, notes)


def _search(sketches: Signatures, order: Ints, wanted: Ints, search: Search, exact: Exact) -> tuple[_Links, dict[str, int]]:
    """Verified links among the `wanted` records (ranks in `order`, ascending)."""
    floor = search.floor
    near = floor - 3 * np.sqrt(floor * (1 - floor) / sketches.shape[1])  # three standard errors of an estimate at the floor
    keys = band_keys(sketches, order[wanted], search.bands, search.rows)
    kept: list[tuple[Ints, Ints]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    notes = {"candidate_pairs": 0, "verified_pairs": 0, "capped_bands": 0}
    for found in candidate_pairs(keys, search.max_candidates):
        a, b = wanted[found.a], wanted[found.b]
        close = estimate(sketches, order[a], order[b]) >= near
        kept.append((a[close], b[close]))
        notes["candidate_pairs"] += len(a)
        notes["capped_bands"] += found.capped
    a, b = (np.concatenate(side) for side in zip(*kept, strict=True))
    similarity = exact(order[a], order[b])
    notes["verified_pairs"] = len(a)
    enough = similarity >= floor
    return _Links(a[enough], b[enough], similarity[enough]), notes


class _Copies(NamedTuple):
    """Records of equal token lists, numbered by preference.

    first   (n,) int64   the most preferred record of the same token list; itself where there is no other
    second  (n,) int64   the next one
    """

    first: Ints
    second: Ints


def _group_copies(fingerprints: Ints, sketches: Signatures, order: Ints) -> _Copies:
    """Records of equal fingerprint and equal signature: 64 bits alone would collide in a large corpus."""
    n = len(order)
    by_value = np.argsort(fingerprints, kind="stable")
    place = np.arange(n)
    head = place - depths(fingerprints[by_value])
    first, second = np.empty(n, np.int64), np.empty(n, np.int64)
    first[by_value] = by_value[head]
    second[by_value] = by_value[np.minimum(head + 1, n - 1)]
    copies = np.flatnonzero(first != place)
    collided = copies[estimate(sketches, order[copies], order[first[copies]]) < 1.0]
    first[collided] = collided
    return _Copies(first, second)


def _with_copies(links: _Links, copies: _Copies, most: int) -> _Links:
    """Links for the copies too: similarity 1 to the first two of their kind, and what links the first to better records.

    A copy inherits the `most` best of the latter. Should none of them stay and the first go all the same, the
    second stands in for it, so that of equal token lists one at most is kept.
    """
    n = len(copies.first)
    copy = np.flatnonzero(copies.first != np.arange(n))
    if not len(copy):
        return links
    first, second = copies.first[copy], copies.second[copy]
    later = (second < copy) & (copies.first[second] == first)
    by = np.lexsort((links.a, links.b))
    by = by[depths(links.b[by]) < most]
    starts = np.searchsorted(links.b[by], first)
    counts = np.searchsorted(links.b[by], first, "right") - starts
    into = np.repeat(starts, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    inherited = by[into]
    a = np.concatenate([links.a, first, second[later], links.a[inherited]])
    b = np.concatenate([links.b, copy, copy[later], np.repeat(copy, counts)])
    ones = np.ones(len(copy) + int(later.sum()))
    return _Links(a, b, np.concatenate([links.similarity, ones, links.similarity[inherited]]))
