"""MurmurHash3 of many windows of one text: MurmurHash3_x86_32, and the first word of MurmurHash3_x64_128 (Appleby, public domain).

What a step does to four bytes before it meets the state depends on the four bytes alone: it is done once for every
place of the text, not once for every window. Where windows are of one length, one byte apart (ASCII), all else is a loop
over windows that the compiler makes wide.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes

Hashes32 = npt.NDArray[np.uint32]
Hashes64 = npt.NDArray[np.uint64]
Starts = npt.NDArray[np.uint32]

BLOCK = 128  # windows that are hashed at a time: among so many there are often ASCII characters only

_0, _1, _2, _3, _4, _8, _16 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 8, 16))
_C1, _C2, _ADD = np.uint32(0xCC9E2D51), np.uint32(0x1B873593), np.uint32(0xE6546B64)
_END_1, _END_2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_K1, _K2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_ADD_1, _ADD_2 = np.uint64(0x52DCE729), np.uint64(0x38495AB5)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)


@lean
def load_4(text: Bytes, i: np.uint64) -> np.uint32:
    """Four bytes as one word, the first byte lowest."""
    return np.uint32(
        np.uint32(text[i]) | np.uint32(text[i + _1]) << np.uint32(8) | np.uint32(text[i + _2]) << np.uint32(16)
        | np.uint32(text[i + _3]) << np.uint32(24)
    )  # fmt: skip


@lean
def _mix(word: np.uint32) -> np.uint32:
    """What is done to four bytes of the text."""
    x = np.uint32(word * _C1)
    return np.uint32(np.uint32(x << np.uint32(15) | x >> np.uint32(17)) * _C2)


@lean
def _step(h: np.uint32, mixed: np.uint32) -> np.uint32:
    x = np.uint32(h ^ mixed)
    return np.uint32(np.uint32(x << np.uint32(13) | x >> np.uint32(19)) * np.uint32(5) + _ADD)


@lean
def _finish(h: np.uint32) -> np.uint32:
    h = np.uint32(np.uint32(h ^ h >> np.uint32(16)) * _END_1)
    h = np.uint32(np.uint32(h ^ h >> np.uint32(13)) * _END_2)
    return max(np.uint32(h ^ h >> np.uint32(16)), np.uint32(1))  # cuDF keeps 0 for empty texts


@lean
def hash_windows_32(
    text: Bytes, starts: Starts, n: np.uint64, units: np.uint64, seed: np.uint32, mixed: Hashes32, hashes: Hashes32
) -> None:
    """Hash n windows of `units` units each into `hashes`; text holds 3 bytes more than the last window ends at."""
    first = np.uint64(starts[0])
    size = np.uint64(starts[n - _1 + units]) - first
    here = text[first:]
    for place in range(size):
        mixed[place] = _mix(load_4(here, np.uint64(place)))
    if size == n - _1 + units:
        _hash_even(here, n, units, seed, mixed, hashes)
        return
    for k in range(n):
        i, end = np.uint64(starts[k]) - first, np.uint64(starts[k + units]) - first
        length, h = np.uint32(end - i), seed
        while i + _4 <= end:
            h = _step(h, mixed[i])
            i += _4
        tail = _mix(load_4(here, i) & _low_bytes(end - i))  # of no bytes the mix is 0
        hashes[k] = _finish(np.uint32(h ^ tail ^ length))


@lean
def _hash_even(here: Bytes, n: np.uint64, size: np.uint64, seed: np.uint32, mixed: Hashes32, hashes: Hashes32) -> None:
    """The windows here[k : k + size] for k < n."""
    hashes[:n] = seed
    i = _0
    while i + _4 <= size:
        there = mixed[i:]
        for k in range(n):
            hashes[k] = _step(hashes[k], there[k])
        i += _4
    mask, tail, length = _low_bytes(size - i), here[i:], np.uint32(size)
    for k in range(n):
        hashes[k] = _finish(np.uint32(hashes[k] ^ _mix(load_4(tail, np.uint64(k)) & mask) ^ length))


@lean
def _low_bytes(count: np.uint64) -> np.uint32:
    return np.uint32((_1 << (count * _8)) - _1)


@lean
def _load_8(text: Bytes, i: np.uint64) -> np.uint64:
    word = _0
    for k in range(8):
        word |= np.uint64(text[i + np.uint64(k)]) << (np.uint64(k) * _8)
    return word


@lean
def _rotate(x: np.uint64, by: int) -> np.uint64:
    return x << np.uint64(by) | x >> np.uint64(64 - by)


@lean
def _mix_low(word: np.uint64) -> np.uint64:
    return _rotate(word * _K1, 31) * _K2


@lean
def _mix_high(word: np.uint64) -> np.uint64:
    return _rotate(word * _K2, 33) * _K1


@lean
def _finish_64(x: np.uint64) -> np.uint64:
    x = (x ^ x >> np.uint64(33)) * _MIX_1
    x = (x ^ x >> np.uint64(33)) * _MIX_2
    return x ^ x >> np.uint64(33)


@lean
def _first_bytes(word: np.uint64, count: np.uint64) -> np.uint64:
    return word if count >= _8 else word & ((_1 << (count * _8)) - _1)


@lean
def hash_windows_64(text: Bytes, starts: Starts, n: np.uint64, units: np.uint64, seed: np.uint64, hashes: Hashes64) -> None:
    """The same with the first word of MurmurHash3_x64_128, its two words both begun with the seed; 15 bytes more are read."""
    for k in range(n):
        i, end = np.uint64(starts[k]), np.uint64(starts[k + units])
        length = end - i
        low = high = seed
        while i + _16 <= end:
            low = (_rotate(low ^ _mix_low(_load_8(text, i)), 27) + high) * np.uint64(5) + _ADD_1
            high = (_rotate(high ^ _mix_high(_load_8(text, i + _8)), 31) + low) * np.uint64(5) + _ADD_2
            i += _16
        rest = end - i
        if rest:
            low ^= _mix_low(_first_bytes(_load_8(text, i), rest))
        if rest > _8:
            high ^= _mix_high(_first_bytes(_load_8(text, i + _8), rest - _8))
        low ^= length
        high ^= length
        low += high
        high += low
        hashes[k] = max(_finish_64(low) + _finish_64(high), _1)
