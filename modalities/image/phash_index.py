"""Which of very many pictures to compare closely: a table of whole pictures by the signs of their lowest cosine terms.

Every window of every picture, and its mirror image, asks the table: first where its own signs point, then where they point with the
least certain ones turned, so that a sign that an edit flipped costs nothing (multi-probe hashing: Lv et al. 2007). What is near in
hash and in its 63 lowest terms is compared as `phash.similar_pairs` would. Clusters (IVF) found as many pairs for as many
comparisons, and need training; keys of bits without turning found fewer.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from os import sched_getaffinity
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import kernel, part, read_only
from ...curator.dedup.spill import Ascending, spacious
from ...curator.stage import Workspace
from . import phash
from .phash import HASHED, NEAR_BITS, SIDE, TERMS, WINDOWS, Floats, Ints, Thumbs, Words

Low = npt.NDArray[np.int8]
Small = npt.NDArray[np.int32]

EXACT_UP_TO = 50_000  # pictures that are each compared with all others: a CPU minute
CROWDED = 32  # close looks a picture, or in all _FEW: with more of them the index, which has bounds, is asked for fewer pictures, too
_FEW = 1 << 16
KEY_BITS = 18  # signs that make a key: those of the lowest frequencies
PROBES = 256  # buckets that a window asks, of the 262,144; as many again find three pairs more of 1,782
BUCKET = 1024  # pictures of a bucket that are looked at: the most preferred
ASKED = 256  # others that a picture may propose
GATE = 0.6  # least cosine of the 63 lowest terms

_TERMS = sorted(((u, v) for v in range(HASHED) for u in range(HASHED) if u + v > 0), key=lambda term: (term[0] ** 2 + term[1] ** 2, term))
_KEY = np.array([HASHED * v + u for u, v in _TERMS[:KEY_BITS]], np.int64)  # their places in a hash
_SCALE = np.sqrt(np.add.outer(np.arange(HASHED) ** 2, np.arange(HASHED) ** 2).astype(np.float64))
_BLOCK = 512  # pictures that ask at a time
_PAIRS = 1 << 13  # pairs compared at a time: their thumbnails are 20 MB at most


class Table(NamedTuple):
    """Whole pictures by key.

    starts  (2^18 + 1,) int32   where each key's pictures begin
    which   (n,) int32          their numbers, ascending within a key
    words   (n,) uint64         hashes of `which`
    low     (n, 64) int8        lowest terms of `which`, see `_lowest`
    capped  keys with more than BUCKET pictures
    """

    starts: Small
    which: Small
    words: Words
    low: Low
    capped: int


class Found(NamedTuple):
    """Pairs of pictures.

    a, b        (p,) int64     a < b, by b and a
    similarity  (p,) float64
    notes       counts for the summary
    """

    a: Ints
    b: Ints
    similarity: Floats
    notes: dict[str, int]


def way(count: int) -> str:
    """How so many pictures are compared, in words."""
    if count <= EXACT_UP_TO:
        return "pictures are each compared with all others"
    return f"pictures are each compared with those that an index of hashes proposes (above {EXACT_UP_TO:,})"


def near_pairs(thumbs: Thumbs, floor: float, space: Workspace) -> Found:
    """Each picture compared with all others, or, where pictures or likely pairs are too many, by the index; see `similar_pairs`."""
    if len(thumbs) <= EXACT_UP_TO:
        with contextlib.suppress(phash.CrowdedError):
            found = phash.similar_pairs(thumbs, floor, max(_FEW, CROWDED * len(thumbs)))
            return Found(*found, {"images_compared_with_all_others": len(thumbs)})
    return similar_pairs(thumbs, floor, space)


def similar_pairs(thumbs: Thumbs, floor: float, space: Workspace) -> Found:
    """Nearly all of the pairs that `phash.similar_pairs` finds, with the same similarities; see README for the share.

    thumbs  (n, 32, 32) uint8   the most preferred first: where look-alikes are too many, these are compared; may be a memory map

    Takes about 100 bytes a picture beside 192 that may lie on disk, and makes a few thousandths of all comparisons. Nothing depends on
    memory or cores; what was left out of crowded buckets is counted in the notes.
    """
    table = _table(thumbs)
    words = spacious((len(WINDOWS), len(thumbs)), np.uint64, space)
    pairs, asked, capped = Ascending(space.folder, max(1 << 16, space.memory // 32)), 0, 0
    for start, (hashes, found, most) in _by_blocks(len(thumbs), _BLOCK, lambda first, last: _asked(thumbs, table, first, last)):
        words[:, start : start + hashes.shape[1]] = hashes
        pairs.add(found)
        capped += most
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for portion in pairs.portions():
        asked += len(portion)
        for _, some in _by_blocks(len(portion), _PAIRS, lambda first, last, of=portion: _compare(thumbs, words, of[first:last], floor)):
            parts.append(some)
    a, b, similarity = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Found(a, b, similarity, {"compared_pairs": asked, "capped_buckets": table.capped, "images_with_capped_proposals": capped})


def _by_blocks(count: int, size: int, work: Any) -> Iterator[tuple[int, Any]]:
    """(start, work(start, end)) of each block in turn; kernels hold no lock, so all cores take part."""
    cores = len(sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as pool:
        waiting = []
        for start in range(0, count, size):
            waiting.append((start, pool.submit(work, start, min(start + size, count))))
            if len(waiting) > cores:
                first, done = waiting.pop(0)
                yield first, done.result()
        for first, done in waiting:
            yield first, done.result()


def _table(thumbs: Thumbs) -> Table:
    words, low = np.empty(len(thumbs), np.uint64), np.empty((len(thumbs), HASHED * HASHED), np.int8)
    for start, (some, terms) in _by_blocks(len(thumbs), _BLOCK, lambda first, last: _wholes(*_given(thumbs[first:last]), _SCALE)):
        words[start : start + len(some)], low[start : start + len(some)] = some, terms
    keys = _keys(words)
    which = np.argsort(keys, kind="stable").astype(np.int32)
    starts = np.searchsorted(keys[which], np.arange((1 << KEY_BITS) + 1)).astype(np.int32)
    return Table(starts, which, words[which], low[which], int((np.diff(starts) > BUCKET).sum()))


def _keys(words: Words) -> Ints:
    """(n,) int64: the key of each hash."""
    keys = np.zeros(len(words), np.int64)
    for place, bit in enumerate(_KEY.tolist()):
        keys |= ((words >> np.uint64(bit)) & np.uint64(1)).astype(np.int64) << place
    return keys


def _given(thumbs: Thumbs) -> tuple[Thumbs, Ints, Floats, Floats]:
    """What kernels that take spectra are given."""
    return phash.one_type(thumbs), WINDOWS, phash.cosines(), phash.WEIGHTS


def _asked(thumbs: Thumbs, table: Table, start: int, end: int) -> tuple[Words, Words, int]:
    before, turned = probes()
    places = (read_only(table.starts), read_only(table.which))
    return _ask(*_given(thumbs[start:end]), start, _KEY, before, turned, _SCALE, *places, read_only(table.words), read_only(table.low))


def _compare(thumbs: Thumbs, words: Words, pairs: Words, floor: float) -> tuple[Ints, Ints, Floats]:
    """Those of some proposed pairs that are at the floor or above; only their thumbnails are read."""
    both = np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)]).astype(np.int64)
    members, at = np.unique(both, return_inverse=True)
    a, b = at.reshape(both.shape)
    similarity = phash.similarities(thumbs[members], np.ascontiguousarray(words[:, members]), a, b, floor)
    near = similarity >= floor
    return both[1][near], both[0][near], similarity[near]


@cache
def probes() -> tuple[Small, Small]:
    """(before, turned): the PROBES likeliest sets of signs to turn, the likeliest first.

    Set k is set before[k] and the sign that is the turned[k]-th least certain; set 0 is empty. A set costs the sum of its signs'
    expected distances from zero, were the terms of a key 18 normal variables.
    """
    normal = NormalDist()
    costs = [normal.inv_cdf(0.5 + (rank + 0.5) / (2 * KEY_BITS)) for rank in range(KEY_BITS)]
    place, before, turned, heap = {0: 0}, [0], [0], [(costs[0], 1, 0)]
    while len(before) < PROBES:
        cost, signs, last = heapq.heappop(heap)
        place[signs] = len(before)
        before.append(place[signs ^ (1 << last)])
        turned.append(last)
        if last + 1 < KEY_BITS:
            heapq.heappush(heap, (cost + costs[last + 1], signs | (1 << (last + 1)), last + 1))
            heapq.heappush(heap, (cost - costs[last] + costs[last + 1], signs ^ (3 << last), last + 1))
    return np.array(before, np.int32), np.array(turned, np.int32)


# ------------------------------------------------------------------------------------------------- kernels


@part
def _lowest(spectrum: Floats, scale: Floats, low: Low) -> None:
    """The 63 lowest terms by frequency's weight, the largest made 127; the mean is left out."""
    most = 0.0
    for v in range(HASHED):
        for u in range(HASHED):
            most = max(most, abs(spectrum[v, u]) * scale[v, u])
    for v in range(HASHED):
        for u in range(HASHED):
            low[HASHED * v + u] = np.int8(np.rint(spectrum[v, u] * scale[v, u] * (127.0 / most))) if most > 0 else 0


@kernel
def _wholes(thumbs: Thumbs, windows: Ints, table: Floats, weights: Floats, scale: Floats) -> tuple[Words, Low]:
    """Hash and lowest terms of each whole picture."""
    words, low = np.empty(len(thumbs), np.uint64), np.empty((len(thumbs), HASHED * HASHED), np.int8)
    rows, spectrum = np.empty((SIDE, TERMS)), np.empty((TERMS, TERMS))
    for i in range(len(thumbs)):
        phash.transform(thumbs[i].astype(np.float64), windows[0], table, rows, spectrum)
        words[i] = phash.signs(spectrum)
        _lowest(spectrum, scale, low[i])
    return words, low


@part
def _alike(one: Low, other: Low, mirrored: bool) -> bool:
    """Whether the lowest terms of a window and of a whole picture have a cosine of GATE or more."""
    even, odd, own, its = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
    for k in range(0, HASHED * HASHED, 2):
        even += np.int32(one[k]) * np.int32(other[k])
        odd += np.int32(one[k + 1]) * np.int32(other[k + 1])
        own += np.int32(one[k]) * np.int32(one[k]) + np.int32(one[k + 1]) * np.int32(one[k + 1])
        its += np.int32(other[k]) * np.int32(other[k]) + np.int32(other[k + 1]) * np.int32(other[k + 1])
    product = float(even - odd if mirrored else even + odd)
    return product > 0 and product * product >= GATE * GATE * (float(own) * float(its))


@part
def _least_certain(spectrum: Floats, scale: Floats, key_bits: Ints, bits: Small) -> int:
    """The key of a spectrum; bits: its signs from the least certain to the surest, each as its bit of the key."""
    certainty, key = np.empty(len(key_bits)), 0
    for place in range(len(key_bits)):
        v, u = key_bits[place] // HASHED, key_bits[place] % HASHED
        key |= int(spectrum[v, u] > 0) << place
        value, at = abs(spectrum[v, u]) * scale[v, u], place
        while at > 0 and certainty[at - 1] > value:
            certainty[at], bits[at] = certainty[at - 1], bits[at - 1]
            at -= 1
        certainty[at], bits[at] = value, 1 << place
    return key


@kernel
def _ask(
    thumbs: Thumbs,
    windows: Ints,
    cosines: Floats,
    weights: Floats,
    first: int,
    key_bits: Ints,
    before: Small,
    turned: Small,
    scale: Floats,
    starts: Small,
    which: Small,
    words: Words,
    low: Low,
) -> tuple[Words, Words, int]:
    """Hashes of pictures from number `first` on, the pairs that they propose, larger number << 32 | smaller, and how many were capped."""
    hashes, pairs, count, capped = np.empty((len(windows), len(thumbs)), np.uint64), np.empty(4096, np.uint64), 0, 0
    rows, spectrum, own = np.empty((SIDE, TERMS)), np.empty((TERMS, TERMS)), np.empty(HASHED * HASHED, np.int8)
    bits, turns, asked = np.empty(len(key_bits), np.int32), np.empty(len(before), np.int32), np.empty(ASKED, np.int32)
    odd_places = 0
    for place in range(len(key_bits)):
        odd_places |= int(key_bits[place] % 2) << place
    for i in range(len(thumbs)):
        cells, whole, known = thumbs[i].astype(np.float64), 0.0, 0
        for w in range(len(windows)):
            phash.transform(cells, windows[w], cosines, rows, spectrum)
            energy = phash.product(spectrum, spectrum, False, weights)
            whole = energy if w == 0 else whole
            if energy < phash.FEWEST * whole:
                hashes[w, i] = hashes[0, i]
                continue
            hashes[w, i] = phash.signs(spectrum)
            _lowest(spectrum, scale, own)
            key = _least_certain(spectrum, scale, key_bits, bits)
            turns[0] = 0
            for probe in range(1, len(before)):
                turns[probe] = turns[before[probe]] | bits[turned[probe]]
            for mirrored in (False, True):
                word = hashes[w, i] ^ (phash.ODD if mirrored else np.uint64(0))
                base = key ^ (odd_places if mirrored else 0)
                for probe in range(len(before)):
                    bucket = base ^ turns[probe]
                    for j in range(starts[bucket], min(starts[bucket + 1], starts[bucket] + BUCKET)):
                        if phash.ones(word ^ words[j]) > NEAR_BITS or which[j] == first + i or not _alike(own, low[j], mirrored):
                            continue
                        if known <= ASKED:
                            known = _remember(which[j], asked, known)
        capped += known > ASKED
        known = min(known, ASKED)
        if count + known > len(pairs):
            pairs = np.concatenate((pairs, np.empty(len(pairs) + known, np.uint64)))
        for k in range(known):
            larger, smaller = max(asked[k], first + i), min(asked[k], first + i)
            pairs[count] = np.uint64(larger) << np.uint64(32) | np.uint64(smaller)
            count += 1
    return hashes, pairs[:count].copy(), capped


@part
def _remember(which: np.int32, asked: Small, known: int) -> int:
    """Add a number to those asked for, unless it is there; how many there would be with room for one more."""
    for k in range(known):
        if asked[k] == which:
            return known
    if known < ASKED:
        asked[known] = which
    return known + 1
