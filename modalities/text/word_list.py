"""Lists of words that kernels append to, and go on with: where a word is, how long, a hash and a kind of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes
from ...curator.stage import Ints
from .hashing import hash_bytes, hash_number, mask
from .unicode import LETTER, RUN, SOLO
from .windows import number_at

WORD = 1  # kinds: has a letter, mark or number
LETTERS = 2  # has a letter

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.uint32]

_0, _1, _7, _8, _56 = (np.uint64(k) for k in (0, 1, 7, 8, 56))
_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)


class Words(NamedTuple):
    """The words of n texts.

    offsets  (n + 1,) int64     text i has words offsets[i] to offsets[i + 1]
    place    (w,) uint32        where a word begins in the padded bytes
    end      (w,) uint32        the place behind it
    chars    (w + 1,) uint32    characters in all words before it
    hashes   (w,) uint64        equal words have equal hashes
    kinds    (w,) uint8         WORD and LETTERS
    """

    offsets: Ints
    place: Places
    end: Places
    chars: Places
    hashes: Hashes
    kinds: Bytes


@lean
def _tails(word: np.uint64) -> np.uint64:
    """How many of eight bytes are 10xxxxxx: not the first of a character."""
    return (((word & (~word << _1) & _HIGH) >> _7) * _ONES) >> _56


@lean
def push(text: Bytes, first: np.uint64, size: np.uint64, chars: np.uint64, kind: np.uint8, words: Words, count: np.uint64) -> np.uint64:
    """Append text[first:first + size]."""
    words.hashes[count] = hash_bytes(text, first, size)
    words.place[count] = np.uint32(first)
    words.end[count] = np.uint32(first + size)
    words.kinds[count] = kind
    words.chars[count + _1] = words.chars[count] + np.uint32(chars)
    return count + _1


@lean
def push_symbol(text: Bytes, i: np.uint64, words: Words, count: np.uint64) -> None:
    """Write the ASCII symbol at text[i] behind the words; it counts once `count` does."""
    words.hashes[count] = hash_number(np.uint64(text[i]), _1)
    words.place[count] = np.uint32(i)
    words.end[count] = np.uint32(i + _1)
    words.kinds[count] = np.uint8(0)
    words.chars[count + _1] = words.chars[count] + np.uint32(1)


@lean
def push_symbols(text: Bytes, i: np.uint64, size: np.uint64, words: Words, count: np.uint64) -> np.uint64:
    """Append one symbol, or dots or hyphens in a row."""
    return push(text, i, size, count_characters(text, i, size), np.uint8(0), words, count)


@lean
def count_characters(text: Bytes, i: np.uint64, size: np.uint64) -> np.uint64:
    """Characters of text[i:i + size]."""
    chars, k = size, _0
    while k < size:
        chars -= _tails(number_at(text, i + k) & mask(min(size - k, _8)))
        k += _8
    return chars


@lean
def push_characters(text: Bytes, first: np.uint64, behind: np.uint64, kind: np.int32, words: Words, count: np.uint64) -> np.uint64:
    """Append text[first:behind], the properties of whose characters make up `kind`."""
    size = behind - first
    flags = np.uint8((kind & (RUN | SOLO) != 0) * WORD | (kind & LETTER != 0) * LETTERS)
    return push(text, first, size, count_characters(text, first, size), flags, words, count)
