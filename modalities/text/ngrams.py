"""Repeated n-grams of a text, counted exactly and fast: what cannot repeat is taken out before anything is counted.

A filter of byte-sized counters leaves the pairs of words that may occur twice; a table makes classes of equal ones. From
then on an n-gram is compared with the first of its class only, by one more word: nine tenths of the time it stays in
the class or leaves the count, and no table is asked. A table for every n took five times as long. Words are compared
by 64-bit hashes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...curator.backends.cpu import lean, scratch
from ...curator.columns import Bytes
from .hashing import mix
from .word_list import Hashes, Places, Words

_0, _1, _2, _8, _64 = (np.uint64(k) for k in (0, 1, 2, 8, 64))
TIE_FIRST, TIE_LONGEST = 0, 1
GREEDY = 0  # left to right: an n-gram met before counts and is jumped over, any other is remembered
MARKED = 1  # characters of all words that lie in some repeated n-gram
OCCURRENCES = 2  # characters of all occurrences of repeated n-grams, overlaps counted again
AGAIN = 3  # characters of second and later occurrences, each word once, spaces between words included
_LEAST_BITS = 4  # no table has fewer slots than 16


class Classes(NamedTuple):
    """Scratch memory for classes of equal n-grams, an n-gram known by the number of its first word.

    seen    (f,) uint8    counters of the filter, saturated at 2
    keys    (t,) uint64   the table: hash of a class, 0 where the slot is free
    roots   (t,) uint32   the first n-gram of the class in the slot
    alive   (w,) uint32   n-grams that repeat, ascending
    parted  (w,) uint32   n-grams that go on otherwise than the first of their class
    root    (w,) uint32   of an n-gram alive, the first of its class
    size    (w,) uint32   of a root, the n-grams in its class
    paired  (w,) uint64   hash of the pair of words at each word
    passed  (w,) uint8    of a root, the last n for which its class was met
    """

    seen: Bytes
    keys: Hashes
    roots: Places
    alive: Places
    parted: Places
    root: Places
    size: Places
    paired: Hashes
    passed: Bytes

    @classmethod
    def scratch(cls, most: int) -> Classes:
        """Room for a text of at most so many words."""
        table = max(1 << _LEAST_BITS, 1 << (2 * most).bit_length())
        return cls(
            scratch("ngrams.seen", 8 * table, np.uint8),
            scratch("ngrams.keys", table, np.uint64),
            scratch("ngrams.roots", table, np.uint32),
            scratch("ngrams.alive", most, np.uint32),
            scratch("ngrams.parted", most, np.uint32),
            scratch("ngrams.root", most, np.uint32),
            scratch("ngrams.size", most, np.uint32),
            scratch("ngrams.paired", most, np.uint64),
            scratch("ngrams.passed", most, np.uint8),
        )


class Top(NamedTuple):
    """The most frequent n-gram: how often it occurs, its characters (no spaces), and the word at which it first begins."""

    occurrences: np.uint64
    chars: np.uint64
    first: np.uint64


@lean
def table_for(size: np.uint64, room: np.uint64) -> tuple[np.uint64, np.uint64]:
    """(slots, shift): a power of two of at least `room` x `size` slots, and what shifts a hash to a slot."""
    bits = np.uint64(_LEAST_BITS)
    while (_1 << bits) < size * room:
        bits += _1
    return _1 << bits, _64 - bits


@lean
def find(keys: Hashes, roots: Places, key: np.uint64, i: np.uint64, mask: np.uint64, shift: np.uint64) -> np.uint64:
    """The root that the table holds for a key; `i` where it held none, and holds it now."""
    slot = key >> shift
    while keys[slot] != key:
        if keys[slot] == _0:
            keys[slot] = key
            roots[slot] = np.uint32(i)
            return i
        slot = (slot + _1) & mask
    return np.uint64(roots[slot])


@lean
def repeated_pairs(words: Words, first: np.uint64, count: np.uint64, classes: Classes) -> np.uint64:
    """Classes of pairs among words first to first + count that may occur twice or more; returns the number alive. Needs two words."""
    pairs = count - _1
    alive = _may_repeat(words, first, pairs, classes)
    size, shift = table_for(alive, _2)
    classes.keys[:size] = _0
    for k in range(_0, alive):
        i = np.uint64(classes.alive[k])
        _join(classes, i, find(classes.keys, classes.roots, classes.paired[i], i, size - _1, shift))
    return alive


@lean
def _may_repeat(words: Words, first: np.uint64, pairs: np.uint64, classes: Classes) -> np.uint64:
    size, shift = table_for(pairs, _8)
    classes.seen[:size] = 0
    for i in range(_0, pairs):
        key = mix(words.hashes[first + i], words.hashes[first + i + _1])
        classes.paired[i] = key
        classes.passed[i] = 0
        seen = classes.seen[key >> shift]
        classes.seen[key >> shift] = seen + (seen < 2)
    alive = _0
    for i in range(_0, pairs):
        classes.alive[alive] = np.uint32(i)
        alive += np.uint64(classes.seen[classes.paired[i] >> shift] == 2)
    return alive


@lean
def repeated_longer(words: Words, first: np.uint64, count: np.uint64, classes: Classes, alive: np.uint64, n: int) -> np.uint64:
    """From classes of (n-1)-grams, those with one member dropped, to classes of n-grams; returns the number of those alive."""
    last = np.uint64(n - 1)
    here, parted = _0, _0
    for k in range(_0, alive):
        i = np.uint64(classes.alive[k])
        if i + last >= count:
            break
        here += _1
        root = np.uint64(classes.root[i])
        same = words.hashes[first + i + last] == words.hashes[first + root + last]
        classes.size[root] = np.uint32(1) if root == i else classes.size[root] + np.uint32(same)
        classes.parted[parted] = np.uint32(i)
        parted += np.uint64(not same)
    size, shift = table_for(parted, _2)
    classes.keys[:size] = _0
    for k in range(_0, parted):
        i = np.uint64(classes.parted[k])
        key = mix(np.uint64(classes.root[i]), words.hashes[first + i + last])
        _join(classes, i, find(classes.keys, classes.roots, key, i, size - _1, shift))
    return here


@lean
def _join(classes: Classes, i: np.uint64, root: np.uint64) -> None:
    classes.root[i] = np.uint32(root)
    classes.size[root] = np.uint32(1) if root == i else classes.size[root] + np.uint32(1)


@lean
def top(words: Words, first: np.uint64, classes: Classes, alive: np.uint64, n: int, tie: int) -> tuple[np.uint64, Top]:
    """Drop n-grams that do not repeat; (the number alive, the most frequent one).

    Where none repeats it is the first n-gram of the text, once. Needs n words at least.
    """
    size, chars, best = _1, np.uint64(words.chars[first + np.uint64(n)] - words.chars[first]), _0
    least, kept = _2, _0
    for k in range(_0, alive):
        i = np.uint64(classes.alive[k])
        root = np.uint64(classes.root[i])
        found = np.uint64(classes.size[root])
        classes.alive[kept] = np.uint32(i)
        kept += np.uint64(found > _1)
        if found < least or root != i:
            continue
        length = np.uint64(words.chars[first + i + np.uint64(n)] - words.chars[first + i])
        if found > size or length > chars:
            size, chars, best = found, length, i
            least = found + np.uint64(tie == TIE_FIRST)
    return kept, Top(size, chars, best)


@lean
def duplicated(words: Words, base: np.uint64, classes: Classes, alive: np.uint64, n: int, how: int) -> tuple[np.uint64, np.uint64]:
    """Drop n-grams that do not repeat; (the number alive, characters of the repeated ones by GREEDY, MARKED, OCCURRENCES or AGAIN)."""
    if how == GREEDY:
        return _greedy(words, base, classes, alive, n)
    chars, behind, kept = _0, _0, _0
    for k in range(_0, alive):
        i = np.uint64(classes.alive[k])
        root, end = classes.root[i], i + np.uint64(n)
        classes.alive[kept] = np.uint32(i)
        kept += np.uint64(classes.size[root] > 1)
        if classes.size[root] == 1 or (how == AGAIN and root == i):
            continue
        first = max(i, behind) if how != OCCURRENCES else i
        chars += np.uint64(words.chars[base + end] - words.chars[base + first])
        if how == AGAIN:
            chars += min(end - first, np.uint64(n - 1))
        behind = end
    return kept, chars


@lean
def _greedy(words: Words, base: np.uint64, classes: Classes, alive: np.uint64, n: int) -> tuple[np.uint64, np.uint64]:
    chars, behind, kept = _0, _0, _0
    for k in range(_0, alive):
        i = np.uint64(classes.alive[k])
        root = classes.root[i]
        repeats = classes.size[root] > 1
        classes.alive[kept] = np.uint32(i)
        kept += np.uint64(repeats)
        if i < behind or not repeats:
            continue
        if classes.passed[root] == n:
            behind = i + np.uint64(n)
            chars += np.uint64(words.chars[base + behind] - words.chars[base + i])
        classes.passed[root] = n
    return kept, chars
