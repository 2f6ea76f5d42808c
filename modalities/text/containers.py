"""Which texts may contain which: an inverted index over sampled shingles, asked with the rarest ones first.

A text that is contained shares nearly all of its samples with the container, hence one of its rarest at least (prefix
filtering); boilerplate is never among these as long as the text has anything of its own. What is frequent all the same
is met through the most preferred texts that hold it, so a template in every text costs a multiple of the texts. An
index of all shingles would need no estimate, and would be larger than the texts.
Chaudhuri, Ganti, Kaushik, "A primitive operator for similarity joins in data cleaning", ICDE 2006.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import kernel, part, read_only
from ...curator.columns import Offsets, buffers
from ...curator.dedup.heads import list_heads
from ...curator.dedup.spill import Spill
from ...curator.stage import Entered, Floats, Ints
from .fss import ShingleSets
from .tokens import Hashes
from .winnow import Values

_32 = np.uint64(32)
_BUCKET = 16  # bits of a value that lead to its place in the index
_PAIRS_AT_ONCE = 1 << 22
_SHARE = 0.85  # of the containment is the share of common samples, on average and at least: edits change the neighbours' choice too


class Sampled(NamedTuple):
    """The samples of n records, in a file.

    values      (m,) uint32   ascending within a record
    begin, end  (n,) int64    record i has values[begin[i]:end[i]]
    """

    values: Values
    begin: Ints
    end: Ints


class Index(NamedTuple):
    """The sampled values that two texts or more hold.

    values   (m,) uint32    ascending
    buckets  (65537,) int64 values of highest bits k lie from buckets[k] to buckets[k + 1]
    texts    (m,) int64     number of texts that hold the value
    ends     (m,) int64     it is held by heads[ends[i - 1]:ends[i]], of many by the most preferred ones only: see list_heads
    heads    (h,) uint32    ranks, ascending for each value
    """

    values: Values
    buckets: Ints
    texts: Ints
    ends: Ints
    heads: Values


class Found(NamedTuple):
    """Pairs of ranks, `better` < `worse`, whose samples allow that `better` contains `worse`.

    capped  texts that met more than `max_candidates`
    looked  pairs whose samples were compared
    """

    better: Ints
    worse: Ints
    capped: int
    looked: int


def read_samples(entered: Entered) -> Sampled:
    """The column `sample` of all records."""
    spill, begin, size = Spill(entered.workspace.folder), np.zeros(entered.size, np.int64), np.zeros(entered.size, np.int64)
    for indices, column in entered.chunks("sample"):
        offsets, data = buffers(column)
        begin[indices] = (spill.append(data[offsets[0] : offsets[-1]]) + offsets[:-1] - offsets[0]) // 4
        size[indices] = np.diff(offsets) // 4
    return Sampled(read_only(spill.mapped("<u4")), begin, begin + size)


def make_index(samples: Sampled, order: Ints, sources: Ints, max_candidates: int, folder: Path, at_once: int) -> Index:
    """Index of the samples of the records in `order`, in files.

    order    (n,) int64  records, the most preferred first: a record's place in it is its rank
    sources  (n,) int64  of each rank, from 0 on: ranks of one source are not compared; -1 is compared with all
    at_once  samples that are sorted at a time, 8 bytes each: a range of values
    """
    total = int((samples.end - samples.begin)[order].sum())
    ranges = max(1, -(-total // at_once))
    read = samples.begin.copy()  # how far each record has been read
    columns, counts = [Spill(folder) for _ in range(4)], np.zeros(int(sources.max(initial=-1)) + 1, np.int64)
    for k in range(1, ranges + 1):
        end = (k << 32) // ranges
        postings = np.empty(_count_below(*samples, order, read, end), np.uint64)
        _collect(*samples, order, read, end, postings)
        postings.sort()
        groups, room = _count_groups(postings, max_candidates)
        found: tuple[npt.NDArray[Any], ...] = (
            np.empty(groups, np.uint32),
            np.empty(groups, np.int64),
            np.empty(groups, np.int64),
            np.empty(room, np.uint32),
        )
        held = _groups(postings, sources, counts, max_candidates, len(columns[3]) // 4, *found)
        for spill, column in zip(columns, (*found[:3], found[3][:held]), strict=True):
            spill.append(column)
    values, texts, ends, heads = (spill.mapped(dtype) for spill, dtype in zip(columns, ("u4", "i8", "i8", "u4"), strict=True))
    buckets = np.searchsorted(values, np.arange(1 << _BUCKET, dtype=np.uint32) << np.uint32(32 - _BUCKET))
    return Index(*map(read_only, (values, np.append(buckets, len(values)), texts, ends, heads)))


def find_containers(samples: Sampled, order: Ints, sources: Ints, asking: int, index: Index, floor: float, max_candidates: int) -> Found:
    """Pairs that may be contained at `floor` or more, at most `max_candidates` a record, those of its rarest values first.

    order, sources  as the index was made with
    asking          the first rank for which containers are looked for
    """
    seen = np.full(len(order), -1, np.int64)
    at_once = max(1, _PAIRS_AT_ONCE // max_candidates)
    room = min(at_once, len(order)) * max_candidates
    better, worse = np.empty(room, np.int64), np.empty(room, np.int64)
    probes = np.empty(int((samples.end - samples.begin)[order].max(initial=0)), np.uint64)
    parts: list[tuple[Ints, Ints]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    capped = looked = 0
    for first in range(asking, len(order), at_once):
        last = min(first + at_once, len(order))
        found, more, compared = _find(samples, order, sources, first, last, index, floor, max_candidates, seen, probes, better, worse)
        parts.append((better[:found].copy(), worse[:found].copy()))
        capped, looked = capped + more, looked + compared
    all_better, all_worse = (np.concatenate(side) for side in zip(*parts, strict=True))
    return Found(all_better, all_worse, capped, looked)


def containment(sets: ShingleSets, inner: Ints, outer: Ints) -> Floats:
    """(p,) float64: |A and B| / |A| of the sets A of `inner[k]` and B of `outer[k]`; exact but for collisions of 64-bit hashes."""
    out = np.empty(len(inner), np.float64)
    _containment(*sets, inner, outer, out)
    return out


# --------------------------------------------------------------------------------------------------- index


@kernel
def _count_below(values: Values, begin: Ints, end: Ints, order: Ints, read: Ints, bound: int) -> int:
    count = 0
    for record in order:
        k = read[record]
        while k < end[record] and np.int64(values[k]) < bound:
            k += 1
        count += k - read[record]
    return count


@kernel
def _collect(values: Values, begin: Ints, end: Ints, order: Ints, read: Ints, bound: int, postings: Hashes) -> None:
    """`value << 32 | rank` of all values below `bound` that were not read before."""
    count = 0
    for rank in range(order.size):
        record = order[rank]
        k = read[record]
        while k < end[record] and np.int64(values[k]) < bound:
            postings[count] = np.uint64(values[k]) << _32 | np.uint64(rank)
            count += 1
            k += 1
        read[record] = k


@kernel
def _count_groups(postings: Hashes, most: int) -> tuple[int, int]:
    """Values that two texts or more hold, and the most ranks that may be kept of them."""
    groups, held, start = 0, 0, 0
    for k in range(1, postings.size + 1):
        if k == postings.size or postings[k] >> _32 != postings[start] >> _32:
            if k - start > 1:
                groups += 1
                held += min(k - start, 2 * most)
            start = k
    return groups, held


@kernel
def _groups(
    postings: Hashes, sources: Ints, counts: Ints, most: int, before: int, values: Values, texts: Ints, ends: Ints, heads: Values
) -> int:
    """Fill a part of the index and return its number of ranks; `before` were written in the parts before. counts: see list_heads."""
    group, held, start = 0, 0, 0
    for k in range(1, postings.size + 1):
        if k == postings.size or postings[k] >> _32 != postings[start] >> _32:
            if k - start > 1:
                values[group], texts[group] = np.uint32(postings[start] >> _32), k - start
                held = list_heads(postings[start:k].astype(np.uint32), sources, counts, most, heads, held)
                ends[group] = before + held
                group += 1
            start = k
    return held


# -------------------------------------------------------------------------------------------------- search


@kernel
def _find(
    samples: Sampled,
    order: Ints,
    sources: Ints,
    first: int,
    last: int,
    index: Index,
    floor: float,
    most: int,
    seen: Ints,
    probes: Hashes,
    better: Ints,
    worse: Ints,
) -> tuple[int, int, int]:
    """Returns the number of pairs, of texts that were capped, and of pairs whose samples were compared."""
    found, capped, looked = 0, 0, 0
    for rank in range(first, last):
        mine = samples.values[samples.begin[order[rank]] : samples.end[order[rank]]]
        need = _least_shared(mine.size, floor)
        asked = _rarest(mine, need, index, probes)
        before, over = found, False
        for k in range(asked):
            if found - before == most:
                over = True
                break
            group = np.int64(probes[k] & np.uint64(0xFFFFFFFF))
            start, end = index.ends[group - 1] if group else 0, index.ends[group]
            over |= index.texts[group] > end - start and rank > index.heads[end - 1]
            for other in index.heads[start:end]:
                if other >= rank:
                    break
                if seen[other] == rank or 0 <= sources[other] == sources[rank]:
                    continue
                seen[other] = rank
                looked += 1
                record = order[other]
                if _share_enough(mine, samples.values[samples.begin[record] : samples.end[record]], need):
                    if found - before == most:
                        break
                    better[found], worse[found] = np.int64(other), rank
                    found += 1
        capped += over
    return found, capped, looked


@part
def _least_shared(size: int, floor: float) -> int:
    """Common samples, of `size`, below which a containment of `floor` is more than three standard errors away."""
    near = _SHARE * floor - 3 * np.sqrt(floor * (1 - floor) / max(size, 1))
    return max(1, int(np.ceil(near * size)))


@part
def _rarest(mine: Values, need: int, index: Index, probes: Hashes) -> int:
    """Write `texts << 32 | group` of the values to ask for, the rarest first: who shares `need` values shares one of these."""
    asked = mine.size - need + 1
    known = 0
    for k in range(mine.size):
        group = _place(mine[k], index.values, index.buckets)
        if group < 0:
            asked -= 1  # nobody else has it: the rarest of all
        else:
            probes[known] = np.uint64(index.texts[group]) << _32 | np.uint64(group)
            known += 1
    if asked <= 0:
        return 0
    probes[:known].sort()
    return min(asked, known)


@part
def _place(value: np.uint32, values: Values, buckets: Ints) -> int:
    """Where a value stands in the index, -1 where it does not."""
    low, end = buckets[value >> np.uint32(32 - _BUCKET)], buckets[(value >> np.uint32(32 - _BUCKET)) + 1]
    low = _not_below(values, low, end, value)
    return low if low < end and values[low] == value else -1


@part
def _share_enough(mine: Values, theirs: Values, need: int) -> bool:
    """Whether at least `need` values of `mine` are among `theirs`; gives up as soon as they cannot be."""
    spare, place = mine.size - need, 0
    for k in range(mine.size):
        place = _advance(theirs, place, mine[k])
        if place == theirs.size or theirs[place] != mine[k]:
            spare -= 1
            if spare < 0:
                return False
    return True


@part
def _advance(values: npt.NDArray[np.generic], place: int, value: np.generic) -> int:
    """The first place from `place` on whose value is at least `value`: in ever longer steps, then by halving."""
    step = 1
    while place + step <= values.size and values[place + step - 1] < value:
        place += step
        step <<= 1
    return _not_below(values, place, min(place + step - 1, values.size), value)


@part
def _not_below(values: npt.NDArray[np.generic], low: int, high: int, value: np.generic) -> int:
    """The first of sorted values[low:high] that is at least `value`, by halving; `high` where none is."""
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _containment(hashes: Hashes, offsets: Offsets, inner: Ints, outer: Ints, out: Floats) -> None:
    for p in range(inner.size):
        mine, theirs = hashes[offsets[inner[p]] : offsets[inner[p] + 1]], hashes[offsets[outer[p]] : offsets[outer[p] + 1]]
        common, place = 0, 0
        for k in range(mine.size):
            place = _advance(theirs, place, mine[k])
            common += place < theirs.size and theirs[place] == mine[k]
        out[p] = common / mine.size
