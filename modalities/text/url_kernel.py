"""Hosts of addresses, and look-ups of hosts, addresses and words in lists of millions, without a Python object a record.

A list is a table of 64-bit hashes with open addressing: 4.6 million entries take 67 MB and one cache miss a look-up. A false hit is as
likely as 1 in 10^12; a set of strings would be exact, ten times as large and a hundred times as slow to ask.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean, lean_kernel, read_only
from ...curator.columns import Bytes, Offsets
from ...curator.stage import Ints

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]

LONGEST_HOST = 253  # bytes; RFC 1035

_LETTER, _DIGIT, _FOREIGN, _SCHEME, _FORBIDDEN, _AUTHORITY_END = (1 << k for k in range(6))
_WORD = _LETTER | _DIGIT | _FOREIGN


def _classes() -> Bytes:
    found = np.zeros(256, np.uint8)
    found[[*range(0x21), *b'"#%*/:<>?@[\\]^`{|}\x7f']] |= _FORBIDDEN  # WHATWG's forbidden code points of a host, and * " ` { }
    found[[*b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]] |= _LETTER | _SCHEME
    found[[*b"0123456789"]] |= _DIGIT | _SCHEME
    found[[*b"+-."]] |= _SCHEME
    found[[*b"/?\\"]] |= _AUTHORITY_END
    found[0x80:] |= _FOREIGN
    return found


_CLASS = _classes()
_SPACE, _HASH, _STAR, _DASH, _DOT, _SLASH, _COLON, _AT, _OPEN, _CLOSE = (ord(c) for c in " #*-./:@[]")
_WWW = np.frombuffer(b"www.", np.uint8)
_PRIME, _MIX = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)  # FNV-1a's, and odd bits of the golden ratio
_DOMAIN, _ADDRESS, _TOKEN = np.uint64(0xCBF29CE484222325), np.uint64(0x84222325CBF29CE4), np.uint64(0x243F6A8885A308D3)
_32 = np.uint64(32)


class Parts(NamedTuple):
    """n addresses, taken apart.

    hosts    (m,) uint8      bytes of all hosts, ASCII letters small
    offsets  (n + 1,) int32  host i is hosts[offsets[i]:offsets[i + 1]]; none where it is malformed
    rest     (n, 2) int64    begin and end of path and query in the bytes given, without a / at the end
    """

    hosts: Bytes
    offsets: Numbers
    rest: Ints


def split(data: Bytes, offsets: Offsets, listed: bool = False) -> Parts:
    """Take addresses apart; `listed`: they are lines of a list, where `*.` and dots may stand before a domain."""
    n = len(offsets) - 1
    parts = Parts(np.empty(int(offsets[-1] - offsets[0]), np.uint8), np.zeros(n + 1, np.int32), np.zeros((n, 2), np.int64))
    _split(read_only(data), offsets, listed, *parts)
    return Parts(parts.hosts[: parts.offsets[-1]], parts.offsets, parts.rest)


@lean_kernel
def _split(data: Bytes, offsets: Offsets, listed: bool, hosts: Bytes, host_offsets: Numbers, rest: Ints) -> None:
    o = 0
    for d in range(offsets.size - 1):
        start, behind, begin, end = _parse(data, offsets[d], offsets[d + 1], listed)
        rest[d, 0], rest[d, 1] = begin, end
        for i in range(start, behind):
            c = data[i]
            hosts[o] = c | 0x20 if _CLASS[c] & _LETTER else c
            o += 1
        host_offsets[d + 1] = o


@lean
def _parse(data: Bytes, i: int, end: int, listed: bool) -> tuple[int, int, int, int]:
    """(begin and end of the host, begin and end of path and query); an empty host where the address is malformed."""
    while i < end and data[i] <= _SPACE:
        i += 1
    stop = i
    while stop < end and data[stop] != _HASH:
        stop += 1
    while stop > i and data[stop - 1] <= _SPACE:
        stop -= 1
    a = i
    while a < stop and _CLASS[data[a]] & _SCHEME:
        a += 1
    bare = False
    if a > i and a + 2 < stop and data[a] == _COLON and data[a + 1] == _SLASH and data[a + 2] == _SLASH:
        a += 3
    elif i + 1 < stop and data[i] == _SLASH and data[i + 1] == _SLASH:
        a = i + 2
    else:
        a, bare = i, True
    b = a
    while b < stop and not _CLASS[data[b]] & _AUTHORITY_END:
        if data[b] == _AT:
            if bare:
                return 0, 0, 0, 0
            a = b + 1
        b += 1
    while listed and a < b and (data[a] == _STAR or data[a] == _DOT):
        a += 1
    host = _host_end(data, a, b, bare)
    rest = stop - 1 if stop > b and data[stop - 1] == _SLASH else stop
    return (a, host, b, rest) if host > a else (0, 0, 0, 0)


@lean
def _host_end(data: Bytes, a: int, b: int, bare: bool) -> int:
    """Where the host that begins at a ends, without port and trailing dot; 0 where it is malformed."""
    if a >= b:
        return 0
    j = a
    if data[a] == _OPEN:
        while j < b and data[j] != _CLOSE:
            j += 1
        if j >= b or j < a + 3:
            return 0
        for k in range(a + 1, j):
            c = data[k] | 0x20
            if not (_CLASS[data[k]] & _DIGIT or 97 <= c <= 102 or data[k] == _COLON or data[k] == _DOT):
                return 0
        j += 1
        host = j
    else:
        labels = a
        while j < b and data[j] != _COLON:
            if data[j] == _DOT:
                if j == labels:
                    return 0  # an empty label
                labels = j + 1
            elif _CLASS[data[j]] & _FORBIDDEN:
                return 0
            j += 1
        host = j - 1 if j > a and data[j - 1] == _DOT else j
    if j < b and (data[j] != _COLON or (bare and j + 1 == b)):
        return 0
    for k in range(j + 1, b):
        if not _CLASS[data[k]] & _DIGIT:
            return 0
    return host if a < host <= a + LONGEST_HOST else 0


# ------------------------------------------------------------------------------------- domains, addresses


def entry_table(data: Bytes, lines: list[Offsets]) -> tuple[Hashes, int, int]:
    """A list's entries as a table to look up in, how many are domains, and how many are addresses; lines without a host are none."""
    pieces = []
    domains = addresses = 0
    for offsets in lines:
        parts = split(data, offsets, listed=True)
        hashes = np.zeros(len(offsets) - 1, np.uint64)
        domain = parts.rest[:, 0] == parts.rest[:, 1]
        _hash_entries(*parts, read_only(data), hashes)
        domains += int(np.count_nonzero(hashes[domain]))
        addresses += int(np.count_nonzero(hashes[~domain]))
        pieces.append(hashes)
    return hash_table(np.concatenate(pieces)), domains, addresses


def hash_table(hashes: Hashes) -> Hashes:
    """(2^k,) uint64: at most two thirds full of the hashes, 0 where free."""
    table = np.zeros(1 << max(3 * len(hashes) // 2, 1).bit_length(), np.uint64)
    _fill(hashes, table)
    return table


@lean_kernel
def _fill(hashes: Hashes, table: Hashes) -> None:
    for k in range(hashes.size):
        if hashes[k]:
            slot = _slot(hashes[k], table)
            table[slot] = hashes[k]


@lean
def _slot(wanted: np.uint64, table: Hashes) -> np.uint64:
    """Where a hash is, or would be put."""
    last = np.uint64(table.size - 1)
    slot = wanted & last
    while table[slot] != wanted and table[slot] != np.uint64(0):
        slot = (slot + np.uint64(1)) & last
    return slot


@lean
def _finish(state: np.uint64) -> np.uint64:
    state = (state ^ (state >> _32)) * _MIX
    state ^= state >> _32
    return state if state else _MIX  # 0 is a free slot


@lean
def _backwards(state: np.uint64, data: Bytes, i: int, end: int) -> np.uint64:
    """Hash bytes from the last to the first."""
    for k in range(end - 1, i - 1, -1):
        state = (state ^ np.uint64(data[k])) * _PRIME
    return state


@lean
def _address(hosts: Bytes, i: int, end: int, data: Bytes, rest: int, stop: int) -> np.uint64:
    """Hash of an address: host without `www.`, path and query."""
    www = end - i > 4 and hosts[i] == _WWW[0] and hosts[i + 1] == _WWW[1] and hosts[i + 2] == _WWW[2] and hosts[i + 3] == _WWW[3]
    return _finish(_backwards(_backwards(_ADDRESS, data, rest, stop), hosts, i + 4 if www else i, end))


@lean_kernel
def _hash_entries(hosts: Bytes, offsets: Numbers, rest: Ints, data: Bytes, hashes: Hashes) -> None:
    for d in range(hashes.size):
        i, end = offsets[d], offsets[d + 1]
        if i < end and rest[d, 0] == rest[d, 1]:
            hashes[d] = _finish(_backwards(_DOMAIN, hosts, i, end))
        elif i < end:
            hashes[d] = _address(hosts, i, end, data, rest[d, 0], rest[d, 1])


NOT_LISTED, LISTED_ADDRESS = -1, -2


def look_up(parts: Parts, data: Bytes, table: Hashes, addresses: bool) -> Ints:
    """(n,) int64: where in its host the longest listed domain begins, NOT_LISTED, or LISTED_ADDRESS where only the address is listed."""
    found = np.full(len(parts.rest), NOT_LISTED, np.int64)
    _look_up(*parts, read_only(data), table, addresses, found)
    return found


@lean_kernel
def _look_up(hosts: Bytes, offsets: Numbers, rest: Ints, data: Bytes, table: Hashes, addresses: bool, found: Ints) -> None:
    for d in range(found.size):
        i, end = offsets[d], offsets[d + 1]
        if i == end:
            continue
        state, number = _DOMAIN, hosts[i] != _OPEN  # of an IP address no part is a domain
        only_digits = True
        for k in range(i, end):
            only_digits = only_digits and (hosts[k] == _DOT or _CLASS[hosts[k]] & _DIGIT != 0)
        parents = number and not only_digits
        for k in range(end - 1, i - 1, -1):
            state = (state ^ np.uint64(hosts[k])) * _PRIME
            if k == i or (parents and hosts[k - 1] == _DOT):
                wanted = _finish(state)
                if table[_slot(wanted, table)] == wanted:
                    found[d] = k - i
        if addresses and found[d] == NOT_LISTED and rest[d, 0] < rest[d, 1]:
            wanted = _address(hosts, i, end, data, rest[d, 0], rest[d, 1])
            if table[_slot(wanted, table)] == wanted:
                found[d] = LISTED_ADDRESS


# -------------------------------------------------------------------------------------------------- words


class Words(NamedTuple):
    """Three lists of words, ready for `score`; word k of all is `words[k]`.

    words     all of them, those of the first list first
    lists     (w,) uint8     bit k: the word is in list k (STRICT, HARD, SOFT)
    classes   (256,) uint8   class of a byte in the automaton; 0 for bytes that no strict word has
    following (states, classes) int32   Aho and Corasick's automaton of the strict words
    reported  (states,) int32   the state with the longest word that ends where this one does, 0: none
    ending    (states,) int32   that word
    shorter   (states,) int32   the state of the longest proper suffix
    table     (2^k,) uint64  hashes of the whole words; numbers (2^k,) int32 their words
    """

    words: list[str]
    lists: Bytes
    classes: Bytes
    following: Numbers
    reported: Numbers
    ending: Numbers
    shorter: Numbers
    table: Hashes
    numbers: Numbers


STRICT, HARD, SOFT = range(3)


def word_hashes(words: list[str]) -> Hashes:
    """Hashes of words of small letters, as `score` forms them."""
    found = np.zeros(len(words), np.uint64)
    data = b"".join(word.encode() for word in words)
    _hash_words(read_only(np.frombuffer(data, np.uint8)), np.cumsum([0, *(len(w.encode()) for w in words)], dtype=np.int64), found)
    return found


@lean_kernel
def _hash_words(data: Bytes, offsets: Offsets, hashes: Hashes) -> None:
    for d in range(hashes.size):
        state = _TOKEN
        for k in range(offsets[d], offsets[d + 1]):
            state = (state ^ np.uint64(data[k])) * _PRIME
        hashes[d] = _finish(state)


def numbered_table(hashes: Hashes) -> tuple[Hashes, Numbers]:
    """The table of some hashes, and for each of its slots the index of the hash."""
    table = hash_table(hashes)
    numbers = np.full(len(table), -1, np.int32)
    order = np.argsort(hashes)
    filled = np.flatnonzero(table)
    numbers[filled] = order[np.searchsorted(hashes[order], table[filled])]
    return table, numbers


def score(data: Bytes, offsets: Offsets, words: Words) -> tuple[Ints, Ints]:
    """Listed words in addresses.

    returns  (n, 3) int64: how many different words of each list; and (m, 3) int64: address, list and word of each of them, in
             order of the address
    """
    counts = np.zeros((len(offsets) - 1, 3), np.int64)
    hits, needed = np.empty((0, 3), np.int64), 1024 + len(counts)
    while needed > len(hits):
        hits = np.empty((needed, 3), np.int64)
        seen = np.full((len(words.lists), 3), -1, np.int64)
        needed = int(_score(read_only(data), offsets, *words[1:], seen, counts, hits))
    return counts, hits[:needed]


@lean_kernel
def _score(
    data: Bytes,
    offsets: Offsets,
    lists: Bytes,
    classes: Bytes,
    following: Numbers,
    reported: Numbers,
    ending: Numbers,
    shorter: Numbers,
    table: Hashes,
    numbers: Numbers,
    seen: Ints,
    counts: Ints,
    hits: Ints,
) -> int:
    """Fill `counts` and `hits`; returns how many hits there are, which may be more than there is room for."""
    count = 0
    for d in range(offsets.size - 1):
        for which in range(3):
            counts[d, which] = 0
        state, word = np.int32(0), _TOKEN
        for i in range(offsets[d], offsets[d + 1] + 1):
            c = data[i] if i < offsets[d + 1] else np.uint8(_SPACE)
            kind = _CLASS[c]
            c = c | np.uint8(0x20) if kind & _LETTER else c
            if c != _DASH and c != _DOT:
                state = following[state, classes[c]]
                at = reported[state]
                while at:
                    count = _hit(d, STRICT, ending[at], seen, counts, hits, count)
                    at = reported[shorter[at]]
            if kind & _WORD:
                word = (word ^ np.uint64(c)) * _PRIME
            elif word != _TOKEN:
                wanted = _finish(word)
                slot = _slot(wanted, table)
                if table[slot] == wanted:
                    number = numbers[slot]
                    if lists[number] & (1 << HARD):
                        count = _hit(d, HARD, number, seen, counts, hits, count)
                    if lists[number] & (1 << SOFT):
                        count = _hit(d, SOFT, number, seen, counts, hits, count)
                word = _TOKEN
    return count


@lean
def _hit(d: int, which: int, word: int, seen: Ints, counts: Ints, hits: Ints, count: int) -> int:
    """Note a word once an address."""
    if seen[word, which] == d:
        return count
    seen[word, which] = d
    counts[d, which] += 1
    if count < hits.shape[0]:
        hits[count, 0], hits[count, 1], hits[count, 2] = d, which, word
    return count + 1
