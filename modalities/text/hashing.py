"""64-bit hashes of words, lines and n-grams: for tables in memory, never stored.

16 bytes go into one product of 128 bits; a hash that resists whoever writes the texts would cost ten times as much, and what is at
stake is the share of repetition in the writer's own text.
"""

from __future__ import annotations

import numpy as np

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes
from .windows import folded_product, number_at

_0, _1, _8, _16, _64 = (np.uint64(k) for k in (0, 1, 8, 16, 64))
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX, _END, _START = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0x243F6A8885A308D3)


@lean
def mask(size: np.uint64) -> np.uint64:
    """One bits for the first `size` of eight bytes."""
    return _ALL >> (_64 - _8 * size) if size else _0


@lean
def hash_number(letters: np.uint64, size: np.uint64) -> np.uint64:
    """`hash_bytes` of at most eight bytes, as one number."""
    state: np.uint64 = folded_product(letters ^ (size * _START), _MIX)
    return state


@lean
def hash_bytes(text: Bytes, first: np.uint64, size: np.uint64) -> np.uint64:
    """A hash of text[first:first + size]; reads up to seven bytes behind. Bytes mixed in twice cost less than masks."""
    a = number_at(text, first) & mask(min(size, _8))
    b = number_at(text, first + max(size, _8) - _8)
    state: np.uint64 = folded_product(a ^ (size * _START), (b if size > _8 else _0) ^ _MIX)
    k = _8
    while k + _8 < size:
        at = first + min(k, size - _16)
        state = folded_product(number_at(text, at) ^ state ^ _START, number_at(text, at + _8) ^ _MIX)
        k += _16
    return state


@lean
def mix(a: np.uint64, b: np.uint64) -> np.uint64:
    """A hash of two numbers in this order; never 0, which means free in a table."""
    mixed: np.uint64 = folded_product(a ^ _MIX, b ^ _END) | _1
    return mixed
