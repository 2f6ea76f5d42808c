"""Shingles of tokens, and their Fast Similarity Sketch.

One pass over a long text fills a sketch: one multiplication a shingle, where MinHash needs one for each of
256 hashes; and on short texts its error is smaller than MinHash's. The price is that only whole sketches
compare: 128 values cannot be cut from 256.
Dahlgaard, Knudsen, Thorup, "Fast Similarity Sketching", FOCS 2017.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import kernel, part
from ...curator.columns import Offsets
from .tokens import Hashes, Tokens

BINS = 256
Signatures = npt.NDArray[np.uint32]

BASE = np.uint64(0xD1342543DE82EF95)  # order within a shingle: a polynomial in this odd number, modulo 2**64
MIX = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_TO_BIN, _TO_VALUE, _32 = np.uint64(56), np.uint64(24), np.uint64(32)
_VALUE = np.uint64(0xFFFFFFFF)
_RECENT = 4096
_TO_RECENT = np.uint64(64 - 12)


def _round_multipliers() -> Hashes:
    """(512,) uint64 odd: one hash function a round, from the sequence of splitmix64."""
    word, found = 0, []
    for _ in range(2 * BINS):
        word = (word + 0x9E3779B97F4A7C15) % 2**64
        mixed = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        found.append((mixed ^ mixed >> 31) | 1)
    return np.array(found, np.uint64)


ROUNDS = _round_multipliers()


class ShingleSets(NamedTuple):
    """The distinct shingles of n documents.

    hashes   (m,) uint64     sorted within a document
    offsets  (n + 1,) int64  document i has hashes[offsets[i]:offsets[i + 1]]
    """

    hashes: Hashes
    offsets: Offsets


def signatures(tokens: Tokens, ngram: int) -> Signatures:
    """Sketches of the sets of shingles, `ngram` consecutive tokens each.

    returns  (n, 256) uint32   the share of equal values in two rows estimates the Jaccard similarity of the
                               two sets, with a standard error of at most 0.031 and less on small sets

    A text of fewer tokens than `ngram` is one shingle, its whole token list; a text of none is its bytes.
    """
    out = np.empty((len(tokens.fingerprints), BINS), np.uint32)
    shingles = np.empty(_longest(tokens.offsets), np.uint64)
    _signatures(*tokens, ngram, shingles, out)
    return out


def shingle_sets(tokens: Tokens, ngram: int) -> ShingleSets:
    """The sets that `signatures` sketches, as sorted distinct hashes."""
    hashes = np.empty(len(tokens.hashes) + len(tokens.fingerprints), np.uint64)
    offsets = np.zeros(len(tokens.offsets), np.int64)
    _shingle_lists(*tokens, ngram, hashes, offsets)
    for start, end in pairwise(offsets.tolist()):
        hashes[start:end].sort()  # NumPy sorts several times faster than Numba
    _drop_repeats(hashes, offsets)
    return ShingleSets(hashes[: offsets[-1]], offsets)


def _longest(offsets: Offsets) -> int:
    return max(1, int(np.diff(offsets).max(initial=0)))


@part
def shingle(hashes: Hashes, fingerprint: np.uint64, ngram: int, out: Hashes) -> int:
    """Write the shingles of one document's tokens; returns their number, at least one."""
    if hashes.size < ngram or hashes.size == 0:
        out[0] = fingerprint
        return 1
    leaving = np.uint64(1)
    for _ in range(ngram):
        leaving *= BASE
    state = np.uint64(0)
    for k in range(ngram - 1):
        state = state * BASE + hashes[k]
    before = np.uint64(0)  # the token that leaves the window
    for k in range(hashes.size - ngram + 1):
        state = state * BASE + hashes[k + ngram - 1] - before * leaving
        before = hashes[k]
        out[k] = (state ^ (state >> _32)) * MIX
    return hashes.size - ngram + 1


@kernel
def _signatures(hashes: Hashes, offsets: Offsets, fingerprints: Hashes, ngram: int, shingles: Hashes, out: Signatures) -> None:
    bins = np.empty(BINS, np.uint64)
    for d in range(fingerprints.size):
        count = shingle(hashes[offsets[d] : offsets[d + 1]], fingerprints[d], ngram, shingles)
        _sketch(shingles[:count], bins)
        for b in range(BINS):
            out[d, b] = np.uint32(bins[b] & _VALUE)


@part
def _sketch(shingles: Hashes, bins: Hashes) -> None:
    """Fill each bin with the least (round << 32 | hash) that falls into it; a round is run only while bins are empty."""
    bins[:] = _EMPTY
    _throw(shingles, np.uint64(0), bins)
    empty = _next_empty(bins, 0)
    if empty == BINS:
        return
    if shingles.size > _RECENT:  # bins stay empty after so many shingles where few are distinct
        shingles = _drop_recent(shingles)
    for r in range(1, BINS):
        _throw(shingles, np.uint64(r), bins)
        empty = _next_empty(bins, empty)
        if empty == BINS:
            return
    for b in range(BINS):  # rounds 256 .. 511: everything into one bin
        if bins[b] == _EMPTY:
            for x in shingles:
                bins[b] = min(bins[b], (x * ROUNDS[BINS + b]) >> _TO_VALUE & _VALUE)


@part
def _next_empty(bins: Hashes, b: int) -> int:
    """The first empty bin from `b` on: a short text needs a hundred rounds, and to look at all bins each time took longer than they."""
    while b < BINS and bins[b] != _EMPTY:
        b += 1
    return b


@part
def _drop_recent(shingles: Hashes) -> Hashes:
    """Drop most repeats, in place, so that a long text of few distinct shingles does not cost 512 passes over it."""
    recent = np.zeros(_RECENT, np.uint64)  # by the highest bits, so 0 can be met at place 0 only
    recent[0] = _EMPTY
    count = 0
    for x in shingles:
        slot = x >> _TO_RECENT
        if recent[slot] != x:
            recent[slot] = x
            shingles[count] = x
            count += 1
    return shingles[:count]


@part
def _throw(shingles: Hashes, r: np.uint64, bins: Hashes) -> None:
    multiplier, mark = ROUNDS[r], r << _32
    for x in shingles:
        y = x * multiplier
        b = y >> _TO_BIN
        bins[b] = min(bins[b], mark | (y >> _TO_VALUE & _VALUE))


@kernel
def _shingle_lists(hashes: Hashes, offsets: Offsets, fingerprints: Hashes, ngram: int, out: Hashes, bounds: Offsets) -> None:
    for d in range(fingerprints.size):
        bounds[d + 1] = bounds[d] + shingle(hashes[offsets[d] : offsets[d + 1]], fingerprints[d], ngram, out[bounds[d] :])


@kernel
def _drop_repeats(hashes: Hashes, offsets: Offsets) -> None:
    """Compact sorted lists to sets, in place."""
    start, count = 0, 0
    for d in range(offsets.size - 1):
        end = offsets[d + 1]
        for k in range(start, end):
            if k == start or hashes[k] != hashes[k - 1]:
                hashes[count] = hashes[k]
                count += 1
        offsets[d + 1] = count
        start = end
