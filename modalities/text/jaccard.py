"""The exact Jaccard similarity of many pairs of shingle sets.

A pair is two sorted lists that are merged. Where many pairs are of few sets, as in a cluster of look-alikes, the shingles of
these sets are numbered and a pair is two bitmaps: 64 shingles in one step. For sets that share little, bitmaps are longer
than lists, so what is less work is chosen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import kernel
from ...curator.columns import Offsets
from ...curator.stage import Floats, Ints
from .fss import ShingleSets
from .tokens import Hashes
from .vectors import ones

_MANY = 64  # pairs that are worth a look
_SHINGLES, _BITMAP_WORDS = 1 << 21, 1 << 22  # at most, as 32 MB each
_NUMBERING = 16  # what numbering a shingle costs [steps of merging]

Numbers = npt.NDArray[np.uint32]


def jaccard(sets: ShingleSets, a: Ints, b: Ints) -> Floats:
    """(p,) float64: |A and B| / |A or B| of the documents a[k] and b[k]; exact but for collisions of 64-bit hashes.

    Fast where pairs of one connected group of documents stand side by side.
    """
    out = np.empty(len(a), np.float64)
    left = np.ones(len(a), np.bool_)
    for start, end in _long_runs(a, b, len(sets.offsets) - 1):
        left[start:end] = not _by_bitmaps(sets, a[start:end], b[start:end], out[start:end])
    rest = np.empty(int(left.sum()), np.float64)
    _merge(*sets, a[left], b[left], rest)
    out[left] = rest
    return out


def _long_runs(a: Ints, b: Ints, documents: int) -> list[tuple[int, int]]:
    """Runs of many pairs, start and end, whose documents are in no other pair."""
    last = np.zeros((2, documents), np.int64)
    place = np.arange(len(a))
    last[0, a] = last[1, b] = place  # the last assignment counts
    latest = last.max(0)
    ends = np.flatnonzero(np.maximum.accumulate(np.maximum(latest[a], latest[b])) == place) + 1
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    many = ends - starts >= _MANY
    return list(zip(starts[many].tolist(), ends[many].tolist(), strict=True))


def _by_bitmaps(sets: ShingleSets, a: Ints, b: Ints, out: Floats) -> bool:
    """Whether it was done so, being less work than to merge."""
    sizes = np.diff(sets.offsets)
    place = np.zeros(len(sizes), np.int64)
    place[a] = place[b] = 1
    used = np.flatnonzero(place)
    place[used] = np.arange(len(used))
    steps, held = int(sizes[a].sum() + sizes[b].sum()), int(sizes[used].sum())
    if steps < 2 * _NUMBERING * held or held > _SHINGLES:
        return False
    numbers = np.empty(held, np.uint32)
    count = _number(*sets, used, np.zeros(2 << held.bit_length(), np.uint32), np.empty(held, np.uint64), numbers)
    words = -(count // -64)
    if 2 * words * len(a) > steps or words * len(used) > _BITMAP_WORDS:
        return False
    bitmaps = np.zeros((len(used), words), np.uint64)
    _mark(numbers, sizes[used], bitmaps)
    _common_bits(bitmaps, sizes[used], place[a], place[b], out)
    return True


@kernel
def _merge(hashes: Hashes, offsets: Offsets, a: Ints, b: Ints, out: Floats) -> None:
    for k in range(a.size):
        x, y = hashes[offsets[a[k]] : offsets[a[k] + 1]], hashes[offsets[b[k]] : offsets[b[k] + 1]]
        i = j = common = 0
        while i < x.size and j < y.size:
            common += x[i] == y[j]
            p = x[i] <= y[j]
            j += x[i] >= y[j]
            i += p
        out[k] = common / (x.size + y.size - common)


@kernel
def _number(hashes: Hashes, offsets: Offsets, used: Ints, slots: Numbers, shingles: Hashes, numbers: Numbers) -> int:
    """Number the shingles of the sets `used` as they come; returns how many are distinct.

    slots     (s,) uint32 zeros   a hash table, s a power of two, at least twice as many as shingles
    shingles  what each number stands for
    numbers   written: of one set after the other
    """
    last, count, written = np.uint64(slots.size - 1), 0, 0
    for d in used:
        for x in hashes[offsets[d] : offsets[d + 1]]:
            slot = x >> np.uint64(32) & last
            while slots[slot] and shingles[slots[slot] - 1] != x:
                slot = (slot + np.uint64(1)) & last
            if not slots[slot]:
                shingles[count] = x
                count += 1
                slots[slot] = count
            numbers[written] = slots[slot] - 1
            written += 1
    return count


@kernel
def _mark(numbers: Numbers, sizes: Ints, bitmaps: Hashes) -> None:
    place = 0
    for d in range(sizes.size):
        for number in numbers[place : place + sizes[d]]:
            bitmaps[d, number >> np.uint32(6)] |= np.uint64(1) << np.uint64(number & np.uint32(63))
        place += sizes[d]


@kernel
def _common_bits(bitmaps: Hashes, sizes: Ints, a: Ints, b: Ints, out: Floats) -> None:
    for k in range(a.size):
        common = np.uint64(0)
        for w in range(bitmaps.shape[1]):
            common += ones(bitmaps[a[k], w] & bitmaps[b[k], w])
        out[k] = np.int64(common) / (sizes[a[k]] + sizes[b[k]] - np.int64(common))
