"""Finds personal data in texts, and writes texts with masks in their place: two passes over the bytes.

A table says which bytes may belong to a find; almost all bytes are only looked up. Regular expressions one after the other,
as peers have them, read a text once a kind and backtrack. Telephone numbers, which few look for, have a kernel of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.backends.cpu import lean, lean_kernel, read_only
from ...curator.columns import Bytes, Offsets, buffers
from ...curator.stage import Ints
from .pii_borders import BY_COLON, BY_DASH_DIGIT, BY_DASH_LETTER, BY_DOT, IN_WORD, Flag, Int, after, before, digits_from
from .pii_numbers import card, iban, ipv4, ipv6
from .pii_phone import find_phones
from .pii_words import PREFIXES, email, jwt, pem_label, token

KINDS = ("secret", "iban", "card", "ip", "email", "phone")  # the first of two that begin and end together counts
SECRET, IBAN, CARD, IP, EMAIL, PHONE = range(len(KINDS))
START, END, KIND = range(3)

# what a byte may call for; digits call for all from _IPV6 to _IBAN
_TOKEN, _JWT, _KEY_BEGIN, _KEY_END, _EMAIL, _IPV6, _IPV4, _CARD, _IBAN = _FORMS = range(9)
_DIGITS = len(_FORMS)
_KIND_OF = np.array([SECRET, SECRET, SECRET, SECRET, EMAIL, IP, IP, CARD, IBAN], np.int64)
# what must not stand before and behind
_BEFORE, _BEHIND = np.zeros(len(_FORMS), np.int64), np.zeros(len(_FORMS), np.int64)
_BEFORE[_IPV6], _BEHIND[_IPV6] = IN_WORD | BY_DOT | BY_COLON, IN_WORD | BY_DOT
_BEFORE[_IPV4] = _BEHIND[_IPV4] = IN_WORD | BY_DOT | BY_DASH_LETTER
_BEFORE[_CARD] = _BEHIND[_CARD] = IN_WORD | BY_DOT | BY_DASH_LETTER | BY_DASH_DIGIT
_BEFORE[_IBAN] = _BEHIND[_IBAN] = IN_WORD
_NOTHING = 255
_LEAST_KEY, _MOST_KEY = 64, 32_768  # bytes between the two lines of a private key
_ROOM = 1024


def find(texts: pa.Array, kinds: Sequence[str], private_ips: bool) -> tuple[Ints, Offsets]:
    """Places of personal data, joined where they overlap.

    texts    (n,) large_string; null counts as empty
    kinds    of KINDS: those that are looked for
    returns  (m, 3) int64: START and END, byte offsets into the column's data, and KIND; and (n + 1,) int64: the finds of text i are
             rows offsets[i]:offsets[i + 1]
    """
    offsets, data = buffers(texts)
    callers, wanted = _callers(kinds, private_ips)
    room = _ROOM + int(offsets[-1] - offsets[0]) // 1024
    found, needed = np.empty((0, 3), np.int64), room if wanted else 0
    while needed > len(found):
        found = np.empty((needed, 3), np.int64)
        needed = int(_find(read_only(data), offsets, callers, wanted, private_ips, found))
    found = found[:needed]
    if "phone" in kinds:
        phones = find_phones(data, offsets)
        found = np.concatenate([found, np.insert(phones, 2, PHONE, axis=1)])
    found = _joined(found)
    return found, np.searchsorted(found[:, START], offsets).astype(np.int64)


def _callers(kinds: Sequence[str], private_ips: bool) -> tuple[Bytes, int]:
    """(256,) uint8: what a byte calls for, _NOTHING for most; and the wanted kinds as bits."""
    table = np.full(256, _NOTHING, np.uint8)
    if "ip" in kinds and private_ips:
        table[list(b":fF")] = _IPV6
    if {"ip", "card", "iban"} & set(kinds):
        table[list(b"0123456789")] = _DIGITS
    if "email" in kinds:
        table[ord("@")] = _EMAIL
    if "secret" in kinds:
        table[[ord(prefix[caller]) for prefix, caller, *_ in PREFIXES]] = _TOKEN
        table[list(b"JBE")] = _JWT, _KEY_BEGIN, _KEY_END
    return table, sum(1 << k for k, kind in enumerate(KINDS) if kind in kinds and kind != "phone")


def _joined(found: Ints) -> Ints:
    """Finds in order of start, longest first, then kind; those that overlap are one, of the first one's kind."""
    found = found[np.lexsort((found[:, KIND], -found[:, END], found[:, START]))]
    reach = np.maximum.accumulate(found[:, END])
    first = np.flatnonzero(np.concatenate([np.ones(min(1, len(found)), bool), found[1:, START] >= reach[:-1]]))
    found, ends = found[first], reach[np.append(first[1:], len(reach))[: len(first)] - 1]
    found[:, END] = ends
    return found


@lean_kernel
def _find(data: Bytes, offsets: Offsets, callers: Bytes, wanted: int, private: bool, found: Ints) -> Int:
    """Fill `found` with all there is, overlapping or not; returns how many there are, which may be more than there is room for."""
    count: Int = 0
    for d in range(offsets.size - 1):
        first, end = offsets[d], offsets[d + 1]
        key: Int = 0
        key_behind: Int = 0  # the last line that begins a private key
        i = first
        while i < end:
            caller = np.int64(callers[data[i]])
            if caller == _NOTHING:
                i += 1
                continue
            lowest, highest = (_IPV6, _IBAN) if caller == _DIGITS else (caller, caller)
            for form in range(lowest, highest + 1):
                kind = _KIND_OF[form]
                if not wanted >> kind & 1:
                    continue
                start, behind = _verify(form, data, i, first, end, private)
                if not behind:
                    continue
                if form == _KEY_BEGIN:
                    key, key_behind = start, behind
                    continue
                if form == _KEY_END:
                    size = start - key_behind if key_behind else 0
                    start, key_behind = key, 0
                    if not _LEAST_KEY <= size <= _MOST_KEY:
                        continue
                if before(data, start, first) & _BEFORE[form] or after(data, behind, end) & _BEHIND[form]:
                    continue
                if count < found.shape[0]:
                    found[count, START], found[count, END], found[count, KIND] = start, behind, kind
                count += 1
            i = digits_from(data, i, end) if caller == _DIGITS else i + 1
    return count


@lean
def _verify(form: Int, data: Bytes, i: Int, first: Int, end: Int, private: Flag) -> tuple[Int, Int]:
    """(start, behind) of what byte i calls for; behind is 0 where there is none."""
    if form == _IPV4:
        return i, ipv4(data, i, end, private)
    if form == _IPV6:
        return i, ipv6(data, i, end, private)
    if form == _CARD:
        return i, card(data, i, end)
    if form == _IBAN:
        return i - 2, iban(data, i - 2, first, end)
    if form == _EMAIL:
        return email(data, i, first, end)
    if form == _TOKEN:
        return token(data, i, first, end)
    if form == _JWT:
        return jwt(data, i, first, end)
    begins = form == _KEY_BEGIN
    return pem_label(data, i, first, end, 3 if begins else 4, 6 if begins else 4)


# ---------------------------------------------------------------------------------------------- masking


def mask(texts: pa.Array, found: Ints, bounds: Offsets, masks: Sequence[str]) -> tuple[pa.Array, Ints]:
    """The texts with masks[kind] in the place of each find, null where they were; and the characters taken out of each.

    texts   (n,) large_string; found, bounds: what `find` gave for them
    """
    offsets, data = buffers(texts)
    pieces = [text.encode() for text in masks]
    ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    removed = found[:, END] - found[:, START]
    total = int(offsets[-1] - offsets[0] - removed.sum() + np.diff(ends)[found[:, KIND]].sum())
    out, out_offsets, characters = np.empty(total, np.uint8), np.zeros(len(offsets), np.int64), np.zeros(len(texts), np.int64)
    whole = np.frombuffer(b"".join(pieces), np.uint8)
    _write(read_only(data), offsets, found, bounds, read_only(whole), ends, out, out_offsets, characters)
    masked = pa.Array.from_buffers(pa.large_string(), len(texts), [None, pa.py_buffer(out_offsets), pa.py_buffer(out)])
    return pc.if_else(texts.is_valid(), masked, pa.scalar(None, masked.type)) if texts.null_count else masked, characters


@lean_kernel
def _write(
    data: Bytes,
    offsets: Offsets,
    found: Ints,
    bounds: Offsets,
    masks: Bytes,
    ends: Offsets,
    out: Bytes,
    out_offsets: Offsets,
    characters: Ints,
) -> None:
    o: Int = 0
    for d in range(offsets.size - 1):
        i = offsets[d]
        for k in range(bounds[d], bounds[d + 1]):
            o = _copy(data, i, found[k, START], out, o)
            o = _copy(masks, ends[found[k, KIND]], ends[found[k, KIND] + 1], out, o)
            for j in range(found[k, START], found[k, END]):
                characters[d] += data[j] & 0xC0 != 0x80
            i = found[k, END]
        o = _copy(data, i, offsets[d + 1], out, o)
        out_offsets[d + 1] = o


@lean
def _copy(data: Bytes, i: Int, end: Int, out: Bytes, o: Int) -> Int:
    for k in range(end - i):
        out[o + k] = data[i + k]
    return o + end - i
