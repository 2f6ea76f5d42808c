"""MinHash signatures, bit for bit those of cuDF 26.08 (`Series.str.minhash`, `minhash64`, `minhash_ngrams`), on the CPU.

A text is laid out as units (code points, or terms without what separated them) and each window of units is hashed once. Then
four hashes go through all permutations together, in a loop that the compiler makes wide; a loop over the hashes for
each permutation would need as long, and on short texts longer. Broder 1997; cuDF's cpp/src/text/minhash.cu.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import lean, lean_kernel, read_only, scratch
from ...curator.columns import Bytes, Offsets, buffers
from .murmur import BLOCK, Hashes32, Hashes64, Starts, hash_windows_32, hash_windows_64
from .tokens import fold
from .unicode import Entries, Index, table

Units = Literal["characters", "words", "spaced"]
UNITS: tuple[Units, ...] = ("characters", "words", "spaced")

_CHARACTERS, _WORDS = (np.uint64(UNITS.index(name)) for name in ("characters", "words"))
_0, _1, _2, _3, _4, _61 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 61))
_PRIME = np.uint64(2**61 - 1)
_ALL_32, _ALL_64 = np.uint32(2**32 - 1), np.uint64(2**64 - 1)
_SLACK = 32  # zeros behind a text, which windows at its end may read


class Permutations(NamedTuple):
    """K permutations h -> h * a + b of a hash, and the seed of the hash.

    a, b  (K,) uint32 or uint64   the width of the hash is theirs
    seed  int
    """

    a: npt.NDArray[Any]
    b: npt.NDArray[Any]
    seed: int


def nemo_permutations(count: int, bits: int, seed: int = 42) -> Permutations:
    """NeMo Curator's: a and b in turn from NumPy's legacy generator, which NumPy keeps as it is; a[0] is the seed of the hash too."""
    dtype = np.uint32 if bits == 32 else np.uint64
    prime = 2**31 - 1 if bits == 32 else 2**61 - 1
    draw = np.random.RandomState(seed)
    drawn = np.array([[draw.randint(low, prime, dtype=dtype) for low in (1, 0)] for _ in range(count)], dtype).reshape(count, 2)
    return Permutations(drawn[:, 0].copy(), drawn[:, 1].copy(), int(drawn[0, 0]))


def own_permutations(count: int, bits: int, seed: int = 42) -> Permutations:
    """From splitmix64, with every a odd: only then is h -> h * a + b a bijection modulo 2**bits."""
    word, drawn = seed, []
    for _ in range(2 * count):
        word = (word + 0x9E3779B97F4A7C15) % 2**64
        mixed = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        drawn.append((mixed ^ mixed >> 31) >> (64 - bits))
    dtype = np.uint32 if bits == 32 else np.uint64
    return Permutations(np.array([a | 1 for a in drawn[::2]], dtype), np.array(drawn[1::2], dtype), seed)


def minhash(texts: pa.Array, units: Units, window: int, permutations: Permutations) -> npt.NDArray[Any]:
    """Signatures of the sets of windows of a string column.

    units    characters: code points as they are. words: the tokens of tokens.py. spaced: what stands between ASCII spaces
    window   units in a window; cuDF calls `window` characters `width`, and `window` terms `ngrams = window - 1`
    returns  (n, K) uint32 or uint64: value k is the least of the permuted hashes of all windows: of 32 bits (h * a + b) mod 2**32, of
             64 bits that modulo 2**64 and then 2**61 - 1. A text of fewer units is one window; an empty one, or a null, is zeros

    A text without any word is one window too, its bytes.
    """
    offsets, data = buffers(texts)
    a, b, seed = permutations
    longest = int(np.diff(offsets).max(initial=0))
    room = longest * 5 // 3 + _SLACK  # `fold` puts a space on each side of a solo character of 3 bytes
    folded, text = scratch("minhash folded", room, np.uint8), scratch("minhash text", room, np.uint8)
    starts = scratch("minhash starts", room, np.uint32)
    out = np.empty((len(offsets) - 1, len(a)), a.dtype)
    places = (read_only(data), offsets, *table(), np.uint64(UNITS.index(units)), np.uint64(window), folded, text, starts)
    if a.dtype == np.uint32:
        mixed, hashes = scratch("minhash mixed", room + BLOCK, np.uint32), scratch("minhash hashes", BLOCK, np.uint32)
        _minhash_32(*places, np.uint32(seed), a, b, mixed, hashes, out)
    else:
        _minhash_64(*places, np.uint64(seed), a, b, scratch("minhash hashes 64", BLOCK, np.uint64), out)
    return out


@lean_kernel
def _minhash_32(
    data: Bytes, offsets: Offsets, index: Index, entries: Entries, kind: np.uint64, window: np.uint64, folded: Bytes, text: Bytes,
    starts: Starts, seed: np.uint32, a: Hashes32, b: Hashes32, mixed: Hashes32, hashes: Hashes32, out: Hashes32,
) -> None:  # fmt: skip
    for d in range(offsets.size - 1):
        count = _lay_out(data, np.uint64(offsets[d]), np.uint64(offsets[d + 1]), index, entries, kind, folded, text, starts)
        row = out[d]
        row[:] = _ALL_32 if count else np.uint32(0)
        windows, units = _windows(count, window)
        first = _0
        while first < windows:
            n = min(windows - first, np.uint64(BLOCK))
            hash_windows_32(text, starts[first:], n, units, seed, mixed, hashes)
            _permute_32(hashes, n, a, b, row)
            first += n


@lean_kernel
def _minhash_64(
    data: Bytes, offsets: Offsets, index: Index, entries: Entries, kind: np.uint64, window: np.uint64, folded: Bytes, text: Bytes,
    starts: Starts, seed: np.uint64, a: Hashes64, b: Hashes64, hashes: Hashes64, out: Hashes64,
) -> None:  # fmt: skip
    for d in range(offsets.size - 1):
        count = _lay_out(data, np.uint64(offsets[d]), np.uint64(offsets[d + 1]), index, entries, kind, folded, text, starts)
        row = out[d]
        row[:] = _ALL_64 if count else _0
        windows, units = _windows(count, window)
        first = _0
        while first < windows:
            n = min(windows - first, np.uint64(BLOCK))
            hash_windows_64(text, starts[first:], n, units, seed, hashes)
            _permute_64(hashes, n, a, b, row)
            first += n


@lean
def _windows(count: np.uint64, window: np.uint64) -> tuple[np.uint64, np.uint64]:
    """(windows of a text, units in each of them)."""
    if count < window:
        return (_1 if count else _0), count
    return count - window + _1, window


@lean
def _permute_32(hashes: Hashes32, n: np.uint64, a: Hashes32, b: Hashes32, row: Hashes32) -> None:
    i = _0
    while i + _4 <= n:
        h0, h1, h2, h3 = hashes[i], hashes[i + _1], hashes[i + _2], hashes[i + _3]
        for k in range(row.size):
            x = min(np.uint32(h0 * a[k] + b[k]), np.uint32(h1 * a[k] + b[k]))
            y = min(np.uint32(h2 * a[k] + b[k]), np.uint32(h3 * a[k] + b[k]))
            row[k] = min(row[k], min(x, y))
        i += _4
    while i < n:
        h0 = hashes[i]
        for k in range(row.size):
            row[k] = min(row[k], np.uint32(h0 * a[k] + b[k]))
        i += _1


@lean
def _permute_64(hashes: Hashes64, n: np.uint64, a: Hashes64, b: Hashes64, row: Hashes64) -> None:
    for i in range(n):
        h = hashes[i]
        for k in range(row.size):
            x = h * a[k] + b[k]
            x = (x & _PRIME) + (x >> _61)
            row[k] = min(row[k], min(x, x - _PRIME))  # below the prime, x - _PRIME wraps and is the greater one


@lean
def _lay_out(
    data: Bytes, start: np.uint64, end: np.uint64, index: Index, entries: Entries, kind: np.uint64, folded: Bytes, text: Bytes,
    starts: Starts,
) -> np.uint64:  # fmt: skip
    """Write a text's units one behind the other, and where each begins; returns their number. Behind the last stands the end."""
    if kind == _CHARACTERS:
        count, size = _lay_out_characters(data, start, end, text, starts)
    else:
        length = fold(data, start, end, index, entries, folded) if kind == _WORDS else _copy(data, start, end, folded)
        count, size = _lay_out_terms(folded, length, text, starts)
        if count == _0 and end > start:
            size, count = _copy(data, start, end, text) - _1, _1
            starts[0] = 0
    starts[count] = size
    for k in range(_SLACK):
        text[size + np.uint64(k)] = 0
    return count


@lean
def _lay_out_characters(data: Bytes, start: np.uint64, end: np.uint64, text: Bytes, starts: Starts) -> tuple[np.uint64, np.uint64]:
    size = end - start
    count = _0
    for k in range(size):
        byte = data[start + k]
        text[k] = byte
        starts[count] = k
        count += np.uint64(byte & 0xC0 != 0x80)
    return count, size


@lean
def _lay_out_terms(folded: Bytes, length: np.uint64, text: Bytes, starts: Starts) -> tuple[np.uint64, np.uint64]:
    count, size = _0, _0
    inside = _0
    for k in range(length):
        byte = folded[k]
        solid = _1 if byte != 0x20 else _0
        text[size] = byte
        starts[count] = size
        count += solid & ~inside
        size += solid
        inside = solid
    return count, size


@lean
def _copy(data: Bytes, start: np.uint64, end: np.uint64, out: Bytes) -> np.uint64:
    """Copy a text and put a space behind it; returns the length with it."""
    for k in range(end - start):
        out[k] = data[start + k]
    out[end - start] = 0x20
    return end - start + _1
