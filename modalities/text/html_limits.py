"""What makes an HTML parser take quadratic time, counted before it is asked: a run must not hang on one page.

A clock would be simpler, but would judge by the machine. Comments and scripts are not told apart from the rest of a
page, and tags that do not match stay open, so that counts are rather too high than too low.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean, lean_kernel, read_only, trailing_zeros
from ...curator.columns import Bytes
from .streams import ReadError
from .vectors import equal, leading_zeros, within
from .windows import number_at

Codes = npt.NDArray[np.uint64]

_MAX_ATTRIBUTES = 5_000  # of one tag, or of all <html> and <body> tags, which are merged; 10,000 take 0.2 s
_MAX_OPTIONS = 20_000  # <option> and <optgroup>; 20,000 in one list take 1 s
_STACK = np.uint64(256)
_open_tags = np.zeros(_STACK, np.uint64)  # written over by every page
_0, _1, _2, _4, _8, _16, _32, _64 = (np.uint64(k) for k in (0, 1, 2, 4, 8, 16, 32, 64))
_LESS, _GREATER, _SLASH, _EQUALS, _DOUBLE, _SINGLE, _SPACE = (np.uint8(ord(c)) for c in "<>/=\"' ")
_BEFORE, _NAME, _AFTER, _EQUAL, _VALUE = range(5)  # where in a tag: before a name, in it, behind it, behind its =, in the value
_PRIME = np.uint64(0x100000001B3)  # of FNV-1a


def _code(name: str) -> np.uint64:
    """A name of up to 8 bytes as one number, the first byte lowest."""
    return np.uint64(int.from_bytes(name.encode(), "little"))


_VOID_NAMES = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
_VOID = np.array([_code(name) for name in _VOID_NAMES], np.uint64)
_OPTION, _OPTGROUP, _HTML, _BODY = (_code(name) for name in ("option", "optgroup", "html", "body"))


def check_cost(page: bytes) -> int:
    """How deep the elements of a page, in UTF-8, are nested at most, up to 256. Raises ReadError for one that would hold up the parser."""
    attributes, options, depth = _count(read_only(np.frombuffer(page, np.uint8)), _open_tags)
    if attributes > _MAX_ATTRIBUTES:
        raise ReadError("html_too_costly", f"more than {_MAX_ATTRIBUTES} attributes in a tag")
    if options > _MAX_OPTIONS:
        raise ReadError("html_too_costly", f"more than {_MAX_OPTIONS} options of lists")
    return int(depth)


@lean_kernel
def _count(data: Bytes, open_tags: Codes) -> tuple[np.uint64, np.uint64, np.uint64]:
    """What a page has; data (n,) uint8; open_tags (_STACK,) uint64 is written over.

    returns  attributes of the tag with most of them, or of all html and body tags (0 in short tags);
             option and optgroup tags; elements inside one another, at most
    """
    most = merged = options = depth = deepest = at = _0
    size = np.uint64(data.size)
    while True:
        at = _next(data, at, size, _LESS) + _1
        if at >= size:
            return max(most, merged), options, deepest
        closing = data[at] == _SLASH
        at += np.uint64(closing)
        if at >= size or not 97 <= data[at] | 32 <= 122:
            continue
        name, at = _name(data, at, size)
        if closing:
            depth -= np.uint64(_0 < depth <= _STACK and open_tags[depth - _1] == name)
            continue
        start = at
        at = _tag_end(data, at, size)
        if name in (_HTML, _BODY):
            merged += _attributes(data, start, at)
        elif at - start > 2 * _MAX_ATTRIBUTES:
            most = max(most, _attributes(data, start, at))
        options += np.uint64(name in (_OPTION, _OPTGROUP))
        void = False
        for k in range(_VOID.size):
            void |= _VOID[k] == name
        if not void:
            if depth < _STACK:
                open_tags[depth] = name
            depth += _1
            deepest = max(deepest, min(depth, _STACK))


@lean
def _name(data: Bytes, at: np.uint64, size: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The code of the name that begins here, in small letters, and where it ends."""
    if at + _64 <= size:
        ends = within(data, at, 0, 33) | equal(data, at, _SLASH) | equal(data, at, _GREATER)
        length = trailing_zeros(ends)
        if length <= _8 and not within(data, at, 65, 26) & ends - _1 & ~ends:
            return number_at(data, at) & ~_0 >> _64 - _8 * length, at + length
    name, bits = _0, _0
    while at < size and data[at] > _SPACE and data[at] != _SLASH and data[at] != _GREATER:
        small = np.uint64(data[at]) | np.uint64(65 <= data[at] <= 90) << np.uint64(5)
        name = name | small << bits if bits < _64 else (name ^ small) * _PRIME
        bits += _8
        at += _1
    return name, at


@lean
def _next(data: Bytes, at: np.uint64, size: np.uint64, byte: np.uint8) -> np.uint64:
    """Where a byte stands next, from `at` on; the end of the page where it does not."""
    while at + _64 <= size:
        found = equal(data, at, byte)
        if found:
            return at + trailing_zeros(found)
        at += _64
    while at < size and data[at] != byte:
        at += _1
    return min(at, size)


@lean
def _tag_end(data: Bytes, at: np.uint64, size: np.uint64) -> np.uint64:
    """Where the > of a tag stands that is not in a quoted value; the end of the page where it has none."""
    while at < size and data[at] != _GREATER:
        if at + _64 <= size:
            quotes, after_equals = equal(data, at, _DOUBLE), equal(data, at, _EQUALS) << _1
            inside = _parity(quotes)
            end = equal(data, at, _GREATER) & ~inside
            stop = trailing_zeros(end) if end else _64 - leading_zeros(quotes & ~inside)  # the end, or behind the last value
            odd = quotes & inside & ~after_equals | equal(data, at, _SINGLE)  # not only `name="value"`
            if stop and trailing_zeros(odd) >= stop:
                at += stop
                continue
        equals = data[at] == _EQUALS
        at += _1
        while equals and at < size and data[at] <= _SPACE:
            at += _1
        if equals and at < size and (data[at] == _DOUBLE or data[at] == _SINGLE):
            at = _next(data, at + _1, size, data[at]) + _1
    return min(at, size)


@lean
def _parity(bits: np.uint64) -> np.uint64:
    """Bit k says whether a number of bits up to k is odd: with quotes, whether a byte is inside of them."""
    bits ^= bits << _1
    bits ^= bits << _2
    bits ^= bits << _4
    bits ^= bits << _8
    bits ^= bits << _16
    return bits ^ bits << _32


@lean
def _attributes(data: Bytes, start: np.uint64, end: np.uint64) -> np.uint64:
    """How many attributes there are in a tag, from behind its name to its end."""
    found, state, quote = _0, _BEFORE, np.uint8(0)
    for k in range(start, end):
        byte = data[k]
        if quote:
            if byte == quote:
                state, quote = _BEFORE, np.uint8(0)
        elif byte <= _SPACE:
            state = _AFTER if state == _NAME else _BEFORE if state == _VALUE else state
        elif byte == _EQUALS and (state in (_NAME, _AFTER)):
            state = _EQUAL
        elif state == _EQUAL:
            quote = byte if byte in (_DOUBLE, _SINGLE) else np.uint8(0)
            state = _VALUE
        elif byte == _SLASH and state != _VALUE:
            state = _BEFORE
        elif state in (_BEFORE, _AFTER):
            found += _1
            state = _NAME
    return found
