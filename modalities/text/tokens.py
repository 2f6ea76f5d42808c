"""Text -> hashed tokens: the words that dedup compares.

A token is a run of letters, marks and numbers, lower-cased; a Han, Kana, Thai, Lao, Khmer or Myanmar
character is a token of its own; everything else only separates. Two kernels, one a document after the other:
`fold` writes the lower-cased tokens with spaces between them, 64 ASCII bytes at a time and eight beside other
characters; `hash_words` finds the spaces 64 bytes at a time, and hashes what stands between them. One loop over
bytes was six times slower.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import lean, lean_kernel, read_only, trailing_zeros
from ...curator.columns import Bytes, Offsets, buffers, same_rows
from .unicode import CASE_SHIFT, RUN, SOLO, Entries, Index, decode, entry, table
from .vectors import equal, words64

Hashes = npt.NDArray[np.uint64]

_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_SPACES = np.uint64(0x2020202020202020)  # also the bit that makes an ASCII letter small, and that digits have
_AT_LEAST_A = np.uint64((0x80 - ord("a")) * 0x0101010101010101)
_ABOVE_Z = np.uint64((0x7F - ord("z")) * 0x0101010101010101)
_AT_LEAST_0 = np.uint64((0x80 - ord("0")) * 0x0101010101010101)
_ABOVE_9 = np.uint64((0x7F - ord("9")) * 0x0101010101010101)
_1, _3, _7, _8, _32, _63, _64, _255 = (np.uint64(k) for k in (1, 3, 7, 8, 32, 63, 64, 255))
_NONE, _ALL = np.uint64(0), np.uint64(0xFFFF_FFFF_FFFF_FFFF)
SLACK = 72  # bytes behind folded text that are read

# multipliers and start values: odd words from the fraction of pi and of the golden ratio
MIX = np.uint64(0x9E3779B97F4A7C15)
END = np.uint64(0xD6E8FEB86659FD93)
START = np.uint64(0x243F6A8885A308D3)
LIST = np.uint64(0x13198A2E03707345)


class Tokens(NamedTuple):
    """The tokens of n documents, hashed.

    hashes        (m,) uint64     one a token, in order of the text
    offsets       (n + 1,) int64  document i has hashes[offsets[i]:offsets[i + 1]]
    fingerprints  (n,) uint64     hash of the token list; of the bytes where a text has no token at all
    """

    hashes: Hashes
    offsets: Offsets
    fingerprints: Hashes


def tokenise(texts: pa.Array) -> Tokens:
    """Hashed tokens of a string column; null counts as empty."""
    offsets, data = buffers(texts)
    longest = int(np.diff(offsets).max(initial=0))
    folded = np.empty(longest * 5 // 3 + 16 + SLACK, np.uint8)  # a solo character of 3 bytes gets a space on each side
    hashes = np.empty((int(offsets[-1] - offsets[0]) + len(offsets)) // 2 + 1, np.uint64)  # untouched pages cost nothing
    bounds = np.zeros(len(offsets), np.int64)
    fingerprints = np.empty(len(offsets) - 1, np.uint64)
    _tokenise(read_only(data), offsets, *table(), folded, hashes, bounds, fingerprints)
    return Tokens(hashes[: bounds[-1]], bounds, fingerprints)


def tokens_of(column: pa.Array) -> Tokens:
    """`tokenise` for a column that several stages sketch one after the other: the last one's tokens are kept, a thread."""
    if _last.found is None or not same_rows(_last.found[0], column):
        _last.found = column, tokenise(column)
    return _last.found[1]


class _Last(threading.local):
    found: tuple[pa.Array, Tokens] | None = None


_last = _Last()


@lean_kernel
def _tokenise(
    data: Bytes, offsets: Offsets, index: Index, entries: Entries, folded: Bytes, hashes: Hashes, bounds: Offsets, fingerprints: Hashes
) -> None:
    count = np.uint64(0)
    for d in range(offsets.size - 1):
        start, end = np.uint64(offsets[d]), np.uint64(offsets[d + 1])
        length = fold(data, start, end, index, entries, folded)
        before = count
        count, listed = hash_words(folded, length, hashes, count)
        fingerprints[d] = listed if count > before else _hash_bytes(data, start, end)
        bounds[d + 1] = count


@lean
def load8(data: Bytes, i: np.uint64) -> np.uint64:
    """Eight bytes as one word, the first byte lowest; LLVM makes it one load."""
    word = np.uint64(data[i])
    for k in range(_1, _8):
        word |= np.uint64(data[i + k]) << (k * _8)
    return word


@lean
def _store8(data: Bytes, i: np.uint64, word: np.uint64) -> None:
    for k in range(_NONE, _8):
        data[i + k] = np.uint8(word >> (k * _8) & _255)


@lean
def bytes_below(marks: np.uint64) -> tuple[np.uint64, np.uint64]:
    """(mask of the bytes before the first marked one, their number); `marks` has the high bit of marked bytes."""
    mask = ((marks & (_NONE - marks)) >> _7) - _1
    return mask, trailing_zeros(marks) >> _3


@lean
def _fold8(word: np.uint64) -> np.uint64:
    """Eight ASCII bytes: letters made small, digits as they are, everything else a space."""
    small = word | _SPACES
    letter = (small + _AT_LEAST_A) & ~(small + _ABOVE_Z)
    digit = (word + _AT_LEAST_0) & ~(word + _ABOVE_9)
    keep = (((letter | digit) & _HIGH) >> _7) * _255
    return (small & keep) | (_SPACES & ~keep)


@lean
def fold(data: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries, out: Bytes) -> np.uint64:
    """Write the lower-cased tokens of data[i:end] into `out`, a space at least behind each; returns the length."""
    o = np.uint64(0)
    while i < end:
        if i + _8 <= end:
            word = load8(data, i)
        else:
            word = np.uint64(0)
            for k in range(_NONE, end - i):
                word |= np.uint64(data[i + k]) << (k * _8)
        high = word & _HIGH
        _store8(out, o, _fold8(word & ~_HIGH))
        if high == _NONE:
            step = min(_8, end - i)
            i += step
            o += step
            while high == _NONE and i + _64 <= end:
                high = words64(data, i, out, o)
                i += trailing_zeros(high)
                o += trailing_zeros(high)
            continue
        _, ascii_bytes = bytes_below(high)
        i += ascii_bytes
        o += ascii_bytes
        while i < end and data[i] >= 0x80:
            code, length = decode(data, i, end)
            i += length
            o = _fold_character(code, entry(code, index, entries), out, o)
    _store8(out, o, _SPACES)  # ends the last word
    return o + _1


@lean
def _fold_character(code: np.uint32, properties: np.int32, out: Bytes, o: np.uint64) -> np.uint64:
    if properties & RUN:
        return encode(np.uint32(np.int32(code) + (properties >> CASE_SHIFT)), out, o)
    if properties & SOLO:
        if o and out[o - _1] != 0x20:
            out[o] = 0x20
            o += _1
        o = encode(code, out, o)
    out[o] = 0x20
    return o + _1


@lean
def encode(code: np.uint32, out: Bytes, o: np.uint64) -> np.uint64:
    """Write a code point as UTF-8 at out[o]; returns the place behind it."""
    if code < 0x80:
        out[o] = np.uint8(code)
        return o + _1
    if code < 0x800:
        out[o] = np.uint8(0xC0 | code >> 6)
        return _encode_tail(code, out, o + _1)
    if code < 0x10000:
        out[o] = np.uint8(0xE0 | code >> 12)
    else:
        out[o] = np.uint8(0xF0 | code >> 18)
        o = _encode_tail(code >> 12, out, o + _1) - _1
    return _encode_tail(code, out, _encode_tail(code >> 6, out, o + _1))


@lean
def _encode_tail(code: np.uint32, out: Bytes, o: np.uint64) -> np.uint64:
    out[o] = np.uint8(0x80 | code & 0x3F)
    return o + _1


@lean
def hash_words(folded: Bytes, length: np.uint64, out: Hashes, count: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Hash what stands between the spaces of `folded` into out[count:]; returns the new count and a hash of the list.

    folded  ends with a space, and SLACK bytes lie behind it

    A word is hashed over its bytes, eight to a step, the last step padded with zeros (no token holds U+0000). Where words begin and
    end is read off a bitmap of 64 bytes, so that hashing one does not wait for where the last one ended: three times the speed.
    """
    p, begin, inside, listed = _NONE, _NONE, _NONE, LIST
    while p < length:
        word = ~equal(folded, p, 0x20)
        if length - p < _64:
            word &= (_1 << (length - p)) - _1
        before = word << _1 | inside
        starts, ends = word & ~before, ~word & before
        if not inside:
            begin = p + trailing_zeros(starts)
            starts &= starts - _1
        inside = word >> _63
        while ends:
            token = _hash_word(folded, begin, p + trailing_zeros(ends))
            ends &= ends - _1
            begin = p + trailing_zeros(starts)
            starts &= starts - _1
            out[count] = token
            count += _1
            listed = mix_in(listed, token)
        p += _64
    return count, listed * END


@lean
def _hash_word(folded: Bytes, begin: np.uint64, end: np.uint64) -> np.uint64:
    size = end - begin
    state = mix_in(START, load8(folded, begin) & _first_bytes(size))
    begin += _8
    longer = mix_in(state, load8(folded, begin) & _first_bytes(size - _8))  # of most words not needed, but a branch costs more
    state = longer if size > _8 else state
    while begin + _8 < end:
        begin += _8
        state = mix_in(state, load8(folded, begin) & _first_bytes(end - begin))
    token = state * END
    return token ^ token >> _32


@lean
def _first_bytes(count: np.uint64) -> np.uint64:
    """The mask of the first `count` bytes of eight, at most all of them; of none it is not asked for."""
    return _ALL >> ((_64 - count * _8) & _63 if count < _8 else _NONE)


@lean
def mix_in(state: np.uint64, word: np.uint64) -> np.uint64:
    """A state with one more word in it; which words came, and in which order, decides it."""
    state = (state ^ word) * MIX
    return state ^ (state >> np.uint64(29))


@lean
def _hash_bytes(data: Bytes, start: np.uint64, end: np.uint64) -> np.uint64:
    state = ~LIST
    for k in range(start, end):
        state = mix_in(state, np.uint64(data[k]))
    return state * END
