"""What makes an HTML parser take quadratic time, counted before it is asked: a run must not hang on one page.

A clock would be simpler, but would judge by the machine. Comments and scripts are not told apart from the rest of a
page, and tags that do not match stay open, so that counts are rather too high than too low.
"""

from __future__ import annotations

import numpy as np

from ...curator.backends.cpu import kernel, part, read_only
from ...curator.columns import Bytes
from .streams import ReadError

_MAX_ATTRIBUTES = 5_000  # of one tag, or of all <html> and <body> tags, which are merged; 10,000 take 0.2 s
_MAX_OPTIONS = 20_000  # <option> and <optgroup>; 20,000 in one list take 1 s
_STACK = 256
_LESS, _GREATER, _SLASH, _EQUALS, _DOUBLE, _SINGLE, _SPACE = (ord(c) for c in "<>/=\"' ")
_BEFORE, _NAME, _AFTER, _EQUAL, _VALUE = range(5)  # where in a tag: before a name, in it, behind it, behind its =, in the value
_SEED, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a


def _code(name: str) -> int:
    code = int(_SEED)
    for byte in name.encode():
        code = (code ^ byte) * int(_PRIME) % 2**64
    return code


_VOID_NAMES = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
_VOID = np.array([_code(name) for name in _VOID_NAMES], np.uint64)
_OPTION, _OPTGROUP, _HTML, _BODY = (np.uint64(_code(name)) for name in ("option", "optgroup", "html", "body"))


def check_cost(page: bytes) -> int:
    """How deep the elements of a page, in UTF-8, are nested at most, up to 256. Raises ReadError for one that would hold up the parser."""
    attributes, options, depth = _count(read_only(np.frombuffer(page, np.uint8)))
    if attributes > _MAX_ATTRIBUTES:
        raise ReadError("html_too_costly", f"more than {_MAX_ATTRIBUTES} attributes in a tag")
    if options > _MAX_OPTIONS:
        raise ReadError("html_too_costly", f"more than {_MAX_OPTIONS} options of lists")
    return depth


@kernel
def _count(data: Bytes) -> tuple[int, int, int]:
    """What a page has; data (n,) uint8.

    returns  attributes of the tag with most of them, or of all html and body tags (0 in short tags);
             option and optgroup tags; elements inside one another, at most
    """
    most = merged = options = depth = deepest = 0
    open_tags = np.zeros(_STACK, np.uint64)
    at, size = 0, len(data)
    while at + 1 < size:
        if data[at] != _LESS:
            at += 1
            continue
        closing = data[at + 1] == _SLASH
        at += 2 if closing else 1
        if at >= size or not 97 <= data[at] | 32 <= 122:
            continue
        name = _SEED
        while at < size and data[at] > _SPACE and data[at] != _SLASH and data[at] != _GREATER:
            letter = data[at] | 32 if 65 <= data[at] <= 90 else data[at]
            name = (name ^ np.uint64(letter)) * _PRIME
            at += 1
        if closing:
            if 0 < depth <= _STACK and open_tags[depth - 1] == name:
                depth -= 1
            continue
        start = at
        at = _tag_end(data, at)
        if name in (_HTML, _BODY):
            merged += _attributes(data[start:at])
        elif at - start > 2 * _MAX_ATTRIBUTES:
            most = max(most, _attributes(data[start:at]))
        options += name in (_OPTION, _OPTGROUP)
        void = False
        for one in _VOID:
            void |= one == name
        if not void:
            if depth < _STACK:
                open_tags[depth] = name
            depth += 1
            deepest = max(deepest, min(depth, _STACK))
    return max(most, merged), options, deepest


@part
def _tag_end(data: Bytes, at: int) -> int:
    """Where the > of a tag stands that is not in a quoted value; the end of the page where it has none."""
    size = len(data)
    while at < size and data[at] != _GREATER:
        if data[at] == _EQUALS:
            at += 1
            while at < size and data[at] <= _SPACE:
                at += 1
            if at < size and (data[at] == _DOUBLE or data[at] == _SINGLE):
                quote = data[at]
                at += 1
                while at < size and data[at] != quote:
                    at += 1
                at += 1
            continue
        at += 1
    return min(at, size)


@part
def _attributes(tag: Bytes) -> int:
    """How many attributes there are behind the name of a tag."""
    found, state, quote = 0, _BEFORE, 0
    for byte in tag:
        if quote:
            if byte == quote:
                state, quote = _BEFORE, 0
        elif byte <= _SPACE:
            state = _AFTER if state == _NAME else _BEFORE if state == _VALUE else state
        elif byte == _EQUALS and state in (_NAME, _AFTER):
            state = _EQUAL
        elif state == _EQUAL:
            quote = byte if byte in (_DOUBLE, _SINGLE) else 0
            state = _VALUE
        elif byte == _SLASH and state != _VALUE:
            state = _BEFORE
        elif state in (_BEFORE, _AFTER):
            found += 1
            state = _NAME
    return found
