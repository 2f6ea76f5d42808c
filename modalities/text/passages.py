"""Kernels of text.dedup.substring: which windows of tokens could occur again, and which of those that do are cut.

A window of `least` tokens is known by the least of the hashes of its runs of k tokens (winnowing; Schleimer, Wilkerson, Aiken 2003), so
equal windows share it wherever they stand. A suffix array would find the same passages; it needs the whole corpus in one order at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean, lean_kernel, scratch
from ...curator.columns import Offsets
from ...curator.stage import Bools, Ints
from .tokens import Hashes, Tokens

Fingerprints = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.uint64]

PLACE_BITS = 32  # a place is record << PLACE_BITS | token

_0, _1, _3, _6, _29, _32, _63 = (np.uint64(k) for k in (0, 1, 3, 6, 29, 32, 63))
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
# odd, and 5 and 3 modulo 8: their powers take the most values modulo 2**64
_BASE, _OTHER_BASE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


class Winnow(NamedTuple):
    """How windows of `least` tokens are known: by the least hash of their `width` runs of k = least - width + 1 tokens.

    The fewer runs, the more fingerprints, 2 in width + 1 tokens; the more runs, the shorter they are and the oftener found by chance.
    """

    least: int
    width: int

    @classmethod
    def of(cls, least: int) -> Winnow:
        """Runs of three fifths of a window: sketches of half the size of four fifths, and a few more texts that are read in vain."""
        return cls(least, least - 3 * least // 5 + 1)


class _Job(NamedTuple):
    """What the kernels have in common.

    k, power       tokens in a run, and _BASE to the power of k
    values, chosen  room for what _select finds in the longest text
    """

    tokens: Hashes
    offsets: Offsets
    k: np.uint64
    width: np.uint64
    power: np.uint64
    values: Hashes
    chosen: Hashes


def fingerprints(tokens: Tokens, winnow: Winnow) -> tuple[Fingerprints, Offsets]:
    """Selected hashes of n texts, one after the other, and (n + 1,) where those of each begin; fewer tokens than a window give none."""
    selected = np.empty(tokens.hashes.size, np.uint32)  # untouched pages cost nothing
    bounds = np.zeros(len(tokens.offsets), np.int64)
    _fingerprint(_job(tokens, winnow), selected, bounds)
    return selected[: bounds[-1]], bounds


def repeated_windows(tokens: Tokens, records: Ints, winnow: Winnow, size: int, again: Rows, shift: int) -> Rows:
    """Windows of `size` tokens of which every part is known by a fingerprint that occurs again.

    records  (n,) int64             the record that each text is
    again    (2**(32 - shift) / 64,) uint64   one bit for all fingerprints of the same upper bits: may occur again
    returns  (m, 3) uint64          two hashes of the window, and its place; in order of place
    """
    rows = np.empty((tokens.hashes.size, 3), np.uint64)
    powers = _power(_BASE, size), _power(_OTHER_BASE, size)
    found = _emit(_job(tokens, winnow), records.astype(np.uint64), np.uint64(size), *powers, again, np.uint64(shift), rows)
    return rows[:found]


def _power(base: np.uint64, exponent: int) -> np.uint64:
    return np.uint64(pow(int(base), exponent, 2**64))


def _job(tokens: Tokens, winnow: Winnow) -> _Job:
    longest = int(np.diff(tokens.offsets).max(initial=0)) + 1
    k = winnow.least - winnow.width + 1
    values, chosen = scratch("passages.values", longest, np.uint64), scratch("passages.chosen", longest, np.uint64)
    return _Job(tokens.hashes, tokens.offsets, np.uint64(k), np.uint64(winnow.width), _power(_BASE, k), values, chosen)


@lean
def _mixed(state: np.uint64) -> np.uint64:
    state = (state ^ (state >> _32)) * _MIX
    return state ^ (state >> _29)


@lean
def _select(job: _Job, first: np.uint64, n: np.uint64) -> None:
    """values[j]: hash of the k tokens from first + j on, of n; chosen[x]: place of the last least one of values[x:x + width]."""
    tokens, k, width, power, values, chosen = job.tokens, job.k, job.width, job.power, job.values, job.chosen
    state = _0
    for j in range(_0, k - _1):
        state = state * _BASE + tokens[first + j]
    gone, best = _0, _0
    for j in range(_0, n - k + _1):
        state = state * _BASE + tokens[first + j + k - _1] - gone * power
        gone = tokens[first + j]
        value = _mixed(state)
        values[j] = value
        if value <= values[best]:
            best = np.uint64(j)
        elif best + width <= j:
            best = np.uint64(j) - width + _1
            for q in range(best + _1, j + _1):
                if values[q] <= values[best]:
                    best = np.uint64(q)
        if j + _1 >= width:
            chosen[j + _1 - width] = best


@lean_kernel
def _fingerprint(job: _Job, selected: Fingerprints, bounds: Offsets) -> None:
    offsets, chosen, count = job.offsets, job.chosen, _0
    least = job.k + job.width - _1
    for d in range(_0, np.uint64(offsets.size) - _1):
        first = np.uint64(offsets[d])
        n = np.uint64(offsets[d + _1]) - first
        if n >= least:
            _select(job, first, n)
            last = _NONE
            for x in range(_0, n + _1 - least):
                if chosen[x] != last:
                    last = chosen[x]
                    selected[count] = np.uint32(job.values[last])  # the lower half: the upper one is small, having been the least
                    count += _1
        bounds[d + _1] = np.int64(count)


@lean_kernel
def mark(found: Fingerprints, shift: np.uint64, seen: Rows, again: Rows) -> None:
    """Set the bit of each fingerprint in `seen`, and in `again` where it was set before."""
    for k in range(_0, np.uint64(found.size)):
        slot = np.uint64(found[k]) >> shift
        bit = _1 << (slot & _63)
        again[slot >> _6] |= seen[slot >> _6] & bit
        seen[slot >> _6] |= bit


@lean_kernel
def with_marked(found: Fingerprints, bounds: Offsets, shift: np.uint64, again: Rows, marked: Bools) -> None:
    """Which texts have a fingerprint whose bit is set."""
    for d in range(_0, np.uint64(bounds.size) - _1):
        marked[d] = False
        for k in range(np.uint64(bounds[d]), np.uint64(bounds[d + _1])):
            slot = np.uint64(found[k]) >> shift
            if (again[slot >> _6] >> (slot & _63)) & _1:
                marked[d] = True
                break


@lean_kernel
def _emit(
    job: _Job,
    records: Rows,
    size: np.uint64,
    size_power: np.uint64,
    other_power: np.uint64,
    again: Rows,
    shift: np.uint64,
    rows: Rows,
) -> np.uint64:
    tokens, offsets, values, chosen, count = job.tokens, job.offsets, job.values, job.chosen, _0
    least = job.k + job.width - _1
    for d in range(_0, np.uint64(offsets.size) - _1):
        first = np.uint64(offsets[d])
        n = np.uint64(offsets[d + _1]) - first
        if n < size:
            continue
        _select(job, first, n)
        one, other, run = _0, _0, _0
        for j in range(_0, size - _1):
            one = one * _BASE + tokens[first + j]
            other = other * _OTHER_BASE + tokens[first + j]
        for x in range(_0, size - least):
            run = run + _1 if _is_marked(values[chosen[x]], shift, again) else _0
        gone = _0
        for i in range(_0, n - size + _1):
            new = tokens[first + i + size - _1]
            one = one * _BASE + new - gone * size_power
            other = other * _OTHER_BASE + new - gone * other_power
            gone = tokens[first + i]
            run = run + _1 if _is_marked(values[chosen[i + size - least]], shift, again) else _0
            if run > size - least:
                rows[count, _0] = _mixed(one)
                rows[count, _1] = other
                rows[count, np.uint64(2)] = records[d] << _32 | i
                count += _1
    return count


@lean
def _is_marked(value: np.uint64, shift: np.uint64, again: Rows) -> np.uint64:
    slot = np.uint64(np.uint32(value)) >> shift
    marked: np.uint64 = (again[slot >> _6] >> (slot & _63)) & _1
    return marked


@lean_kernel
def group(windows: Rows, slots: Rows, groups: np.uint64, number: Rows, found: Rows) -> tuple[np.uint64, np.uint64]:
    """Find the windows that are equal to another one; returns how many, and the next free number of a group.

    windows  (m, 3) uint64  two hashes and a place
    slots    (2**b,) uint64, more than m zeros: a table of the windows met
    groups   the first free number
    number   (m,) uint64    room for what is known of each window
    found    (m, 2) uint64  filled with place and group, in the order of the windows
    """
    last, two, many = np.uint64(slots.size) - _1, np.uint64(2), _1 << _63
    for i in range(_0, np.uint64(windows.shape[0])):
        slot = windows[i, _0] & last
        while slots[slot] and (windows[slots[slot] - _1, _0] != windows[i, _0] or windows[slots[slot] - _1, _1] != windows[i, _1]):
            slot = (slot + _1) & last
        if slots[slot]:
            head = slots[slot] - _1
            number[i] = head
            number[head] = many  # the highest bit: first of several
        else:
            slots[slot] = np.uint64(i) + _1
            number[i] = _NONE
    count = _0
    for i in range(_0, np.uint64(windows.shape[0])):
        if number[i] == _NONE:
            continue
        if number[i] == many:
            number[i] = many | groups
            groups += _1
            found[count, _1] = groups - _1
        else:
            found[count, _1] = number[number[i]] & ~many
        found[count, _0] = windows[i, two]
        count += _1
    return count, groups


@lean_kernel
def resolve(places: Rows, groups: Rows, size: np.uint64, kept: Rows, spans: Rows) -> np.uint64:
    """Go through repeated windows in order and decide which are cut; returns how many spans were found.

    places  (m,) uint64   of the windows, ascending; records are whole
    groups  (m,) uint64   equal for equal windows
    kept    (g,) uint64   place of the first window of a group that stays, all ones where none was met; grows from call to call
    spans   (m, 4) uint64 filled with record, first token, token behind the last, and the place where the longest part of it was kept
    """
    count, begin = _0, _0
    total = np.uint64(places.size)
    while begin < total:
        record = places[begin] >> _32
        end = begin
        while end < total and places[end] >> _32 == record:
            end += _1
        count = _resolve_text(places, groups, begin, end, size, kept, spans, count)
        begin = end
    return count


@lean
def _resolve_text(
    places: Rows, groups: Rows, begin: np.uint64, end: np.uint64, size: np.uint64, kept: Rows, spans: Rows, count: np.uint64
) -> np.uint64:
    """The same for the windows [begin, end) of one record; the spans so far are `count`."""
    mine = near = count  # the record's first span; the first that may reach the next window to be kept
    waiting = begin  # windows before it are kept or cut for good: nothing that is still to come overlaps them
    longest, part, source = _0, _0, _0
    for x in range(begin, end):
        place = places[x]
        while waiting < x and places[waiting] + size <= place:
            near = _keep(places[waiting], groups[waiting], size, kept, spans, near, count)
            waiting += _1
        twin = kept[groups[x]]
        if twin == _NONE:
            continue
        token = place & np.uint64(0xFFFFFFFF)
        last = count - _1
        three, two = _3, np.uint64(2)
        if count > mine and spans[last, two] >= token:
            # a part is a run of windows copied from one place; of parts of equal length the first counts
            part = part + token + size - spans[last, two] if twin - token == source else size
            spans[last, two] = token + size
            if part > longest:
                longest = part
                spans[last, three] = twin
        else:
            spans[count, _0], spans[count, _1], spans[count, two], spans[count, three] = place >> _32, token, token + size, twin
            count += _1
            longest = part = size
        source = twin - token
    for x in range(waiting, end):
        near = _keep(places[x], groups[x], size, kept, spans, near, count)
    return count


@lean
def _keep(place: np.uint64, group: np.uint64, size: np.uint64, kept: Rows, spans: Rows, near: np.uint64, count: np.uint64) -> np.uint64:
    """Note the window as the one that stays of its group, unless there is one or a span cuts into it; returns the new `near`."""
    token = place & np.uint64(0xFFFFFFFF)
    two = np.uint64(2)
    while near < count and spans[near, two] <= token:
        near += _1
    if kept[group] == _NONE and (near == count or spans[near, _1] >= token + size):
        kept[group] = place
    return near
