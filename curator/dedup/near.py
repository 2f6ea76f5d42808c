"""Near-duplicates by signatures: bands propose, an estimate thins out, the caller's exact similarity decides.

Signatures are streamed and spilled, so that memory holds a few words a record and what the workspace allows; to load
them all would be simpler and costs a kilobyte a record. Records of one and the same sketch are searched once for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..columns import fixed_rows
from ..errors import D4AError
from ..stage import Bools, Entered, Floats, Ints, Pairs
from .bands import Bands, Candidates, Keys, Signatures, depths, estimate, whole_keys
from .heads import numbered
from .spill import Spill

Exact = Callable[[Ints, Ints], Floats]  # the similarity of records a[k] and b[k]
_LATER = np.uint64(32)
_EARLIER = np.uint64(2**32 - 1)
MOST_RECORDS = 2**32
_SOURCE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Search:
    """What is looked for.

    bands, rows     pairs that agree in all rows of a band are candidates
    floor           least similarity of a pair
    max_candidates  records that a record is compared with in one bucket of a band, the most preferred first
    across          only records of different sources are compared: `entered` has the column `source_index`, too
    """

    bands: int
    rows: int
    floor: float
    max_candidates: int
    across: bool = False


def near_pairs(entered: Entered, order: Ints, value: npt.DTypeLike, search: Search, exact: Exact) -> Pairs:
    """Every pair of records that shares a band and is at least as similar as the floor.

    entered  has the columns `signature`, fixed-size binary, and `fingerprint` uint64: records equal in both are copies, of similarity 1
    order    (n,) int64   all records, the most preferred first
    value    dtype of a value of the signature

    Pairs come sorted by the later record's rank, then the earlier one's, those of copies behind; they are the same for any memory.
    Raises D4AError where there are more than MOST_RECORDS.
    """
    if len(order) > MOST_RECORDS:
        hint = "split the sources into several datasets, by language for example"
        raise D4AError(f"{len(order):,} records are too many for one search of near-duplicates: at most {MOST_RECORDS:,}", hint=hint)
    sketches = _Sketches(entered, order, np.dtype(value))
    fingerprints, sources = entered.column("fingerprint").to_numpy()[order], None
    if search.across:
        sources = numbered(entered.column("source_index").to_numpy()[order])
        fingerprints = fingerprints ^ sources.astype(np.uint64) * _SOURCE  # copies in different sources are candidates like others
    copies, candidates = _propose(sketches, fingerprints, sources, search)
    links, notes = _verify(sketches, candidates, search, exact)
    links = _with_copies(links, copies, search.max_candidates)
    return Pairs(order[links.pairs & _EARLIER], order[links.pairs >> _LATER], links.similarity, notes)


class _Links(NamedTuple):
    """Pairs of ranks, later << 32 | earlier, and their similarities."""

    pairs: Keys
    similarity: Floats


class _Sketches:
    """The signatures of all records, by rank."""

    def __init__(self, entered: Entered, order: Ints, value: np.dtype[Any]) -> None:
        self._entered, self.order, self._value = entered, order, value
        self.workspace, self.settled = entered.workspace, np.uint64(entered.settled)
        self.rank = np.empty(len(order), np.int64)
        self.rank[order] = np.arange(len(order))

    def of(self, wanted: Bools) -> Iterator[tuple[Ints, Signatures]]:
        """Ranks and signatures of the wanted ranks, some at a time, in the order of the evidence."""
        for indices, column in self._entered.chunks("signature"):
            ranks = self.rank[indices]
            chosen = wanted[ranks]
            rows = fixed_rows(column, self._value, (column.type.byte_width // self._value.itemsize,))
            yield ranks[chosen], rows[chosen]


# ------------------------------------------------------------------------------------------------------ candidates


def _propose(sketches: _Sketches, fingerprints: Keys, sources: Ints | None, search: Search) -> tuple[_Copies, Candidates]:
    """Copies, and candidate pairs of what is no copy.

    fingerprints  (n,) uint64 by rank
    sources       (n,) int64 by rank, None: all are compared
    """
    n, workspace = len(fingerprints), sketches.workspace
    copies = _group_copies(fingerprints)
    alone = copies.first == np.arange(n)
    bands = Bands(workspace.folder, search.bands, search.rows)
    repeated = np.zeros(n, np.bool_)
    repeated[copies.first[~alone]] = True
    repeated |= ~alone
    whole = np.zeros(n if repeated.any() else 0, np.uint64)
    for ranks, rows in sketches.of(np.ones(n, np.bool_)):
        bands.add(ranks[alone[ranks]], rows[alone[ranks]])
        again = repeated[ranks]
        if again.any():
            whole[ranks[again]] = whole_keys(rows[again])
    if len(whole):
        collided = np.flatnonzero(whole != whole[copies.first])  # 64 bits alone would collide in a large corpus
        copies.first[collided] = collided
        if len(collided):
            for ranks, rows in sketches.of(_mask(n, collided)):
                bands.add(ranks, rows)
    return copies, bands.candidates(n, search.max_candidates, workspace.folder, max(1, workspace.memory // 32), sources)


def _mask(n: int, where: Ints) -> Bools:
    found = np.zeros(n, np.bool_)
    found[where] = True
    return found


# ---------------------------------------------------------------------------------------------------- verification


def _verify(sketches: _Sketches, candidates: Candidates, search: Search, exact: Exact) -> tuple[_Links, dict[str, int]]:
    """Verified links among the candidates."""
    rows = _Rows(sketches, candidates.involved)
    floor = search.floor
    kept, count = [np.empty(0, np.uint64)], 0
    for found in candidates.pairs.portions():
        pairs = found[found >> _LATER >= sketches.settled]  # of two settled records both stay
        count += len(pairs)
        kept.append(pairs[rows.estimates(pairs) >= floor - 3 * np.sqrt(floor * (1 - floor) / rows.values)])  # three standard errors
    del rows
    pairs = np.concatenate(kept)
    del kept
    notes = {"candidate_pairs": count, "verified_pairs": len(pairs), "capped_bands": candidates.capped}
    similarity = np.empty(len(pairs))
    step = max(1, len(sketches.order) // 8, sketches.workspace.memory // 256)  # a part of n, for each may look at all records
    for start in range(0, len(pairs), step):
        a, b = _ranks(pairs[start : start + step])
        similarity[start : start + step] = exact(sketches.order[a], sketches.order[b])
    enough = similarity >= floor
    return _Links(pairs[enough], similarity[enough]), notes


def _ranks(pairs: Keys) -> tuple[Ints, Ints]:
    """The earlier and the later ranks of packed pairs."""
    return (pairs & _EARLIER).astype(np.int64), (pairs >> _LATER).astype(np.int64)


class _Rows:
    """The signatures of the records that are in a candidate pair, on disk."""

    def __init__(self, sketches: _Sketches, involved: Bools) -> None:
        self._value, self.values = np.dtype(np.uint8), 1
        self._spill = Spill(sketches.workspace.folder)
        self._place = np.zeros(len(involved), np.uint32)
        count = 0
        for ranks, rows in sketches.of(involved):
            self._place[ranks] = np.arange(count, count + len(ranks))
            self._spill.append(rows)
            self._value, self.values, count = rows.dtype, rows.shape[1], count + len(ranks)
        width = self._value.itemsize * self.values + 8 * self.values  # as it is and as estimate takes it
        self._step = max(1, sketches.workspace.memory // (4 * width))  # pairs have two records at most

    def estimates(self, pairs: Keys) -> Floats:
        """(p,) float64: share of equal values of pairs of ranks."""
        found = [np.empty(0)]
        for start in range(0, len(pairs), self._step):
            a, b = _ranks(pairs[start : start + self._step])
            ranks = np.unique(np.concatenate([a, b]))
            found.append(estimate(self._read(ranks), np.searchsorted(ranks, a), np.searchsorted(ranks, b)))
        return np.concatenate(found)

    def _read(self, ranks: Ints) -> Signatures:
        """The signatures of ranks, from the first byte to the last; neighbours at once."""
        places = self._place[ranks].astype(np.int64)
        by = np.argsort(places)
        places = places[by]
        sorted_rows = np.empty((len(ranks), self.values), self._value)
        ends = [*(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
        first = 0
        for end in ends:
            self._spill.read(int(places[first]) * sorted_rows.itemsize * self.values, sorted_rows[first:end])
            first = end
        rows = np.empty_like(sorted_rows)
        rows[by] = sorted_rows
        return rows


# ----------------------------------------------------------------------------------------------------------- copies


class _Copies(NamedTuple):
    """Records of equal token lists, numbered by preference.

    first   (n,) int64   the most preferred record of the same token list; itself where there is no other
    second  (n,) int64   the next one
    """

    first: Ints
    second: Ints


def _group_copies(fingerprints: Keys) -> _Copies:
    """Records of equal fingerprint."""
    n = len(fingerprints)
    by_value = np.argsort(fingerprints, kind="stable")
    head = np.arange(n) - depths(fingerprints[by_value])
    first, second = np.empty(n, np.int64), np.empty(n, np.int64)
    first[by_value] = by_value[head]
    second[by_value] = by_value[np.minimum(head + 1, n - 1)]
    return _Copies(first, second)


def _with_copies(links: _Links, copies: _Copies, most: int) -> _Links:
    """Links for the copies too: similarity 1 to the first two of their kind, and what links the first to better records.

    A copy inherits the `most` best of the latter. Should none of them stay and the first go all the same, the
    second stands in for it, so that of equal token lists one at most is kept.

    links  ascending
    """
    n = len(copies.first)
    copy = np.flatnonzero(copies.first != np.arange(n)).astype(np.uint64)
    if not len(copy):
        return links
    first, second = copies.first[copy].astype(np.uint64), copies.second[copy].astype(np.uint64)
    later = (second < copy) & (copies.first[second] == first)
    starts = np.searchsorted(links.pairs, first << _LATER)
    counts = np.minimum(np.searchsorted(links.pairs, (first + np.uint64(1)) << _LATER) - starts, most)
    inherited = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    behind = copy << _LATER
    more = [behind | first, (behind | second)[later], np.repeat(behind, counts) | links.pairs[inherited] & _EARLIER]
    ones = np.ones(len(copy) + int(later.sum()))
    return _Links(np.concatenate([links.pairs, *more]), np.concatenate([links.similarity, ones, links.similarity[inherited]]))
