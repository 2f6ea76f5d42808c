"""What has no white space in it, but symbols: cut into words, and symbols between them, as an implementation does.

spaCy's tokeniser is regular expressions and lists of exceptions; here its rules are said of single symbols. Most runs have none and never
come here. ASCII is cut with bits, all else character by character.
"""

from __future__ import annotations

import numpy as np

from ...curator.backends.cpu import lean, trailing_zeros
from ...curator.columns import Bytes
from .unicode import LETTER, NUMERIC, RUN, SOLO, UPPER, Entries, Index, character
from .windows import digits_at, letters_at
from .word_list import LETTERS, WORD, Words, push, push_characters, push_symbol, push_symbols

_0, _1, _63 = (np.uint64(k) for k in (0, 1, 63))
_UNDERSCORE, _DOT, _HYPHEN = (ord(c) for c in "_.-")
_STICK_IN_FRONT, _STICK_BEHIND = 0, 1


def _members(symbols: str) -> tuple[np.uint64, np.uint64]:
    """A set of ASCII symbols as two words of bits."""
    bits = sum(1 << ord(symbol) for symbol in symbols)
    return np.uint64(bits & (1 << 64) - 1), np.uint64(bits >> 64)


_FRONT_LOW, _FRONT_HIGH = _members("-/\\@|~^")
_BEHIND_LOW, _BEHIND_HIGH = _members("-/\\@|~^=+")
_DIVIDE_LOW, _DIVIDE_HIGH = _members("-~,:/<=>.*+^")


@lean
def stays_in_front(byte: np.uint8) -> bool:
    """Whether an ASCII symbol stays with the word that it begins."""
    return bool((_FRONT_LOW if byte < 64 else _FRONT_HIGH) >> (np.uint64(byte) & _63) & _1)


@lean
def stays_behind(byte: np.uint8) -> bool:
    """Whether an ASCII symbol stays with the word that it ends."""
    return bool((_BEHIND_LOW if byte < 64 else _BEHIND_HIGH) >> (np.uint64(byte) & _63) & _1)


@lean
def may_divide(byte: np.uint8) -> bool:
    """Whether an ASCII symbol may divide a word; `_is_border` says when."""
    return bool((_DIVIDE_LOW if byte < 64 else _DIVIDE_HIGH) >> (np.uint64(byte) & _63) & _1)


@lean
def append_classes(text: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries, words: Words, count: np.uint64) -> np.uint64:
    """Cut where characters that are \\w and others meet."""
    first, kind, inside = i, np.int32(0), np.int32(-1)
    while i < end:
        code, found, length = character(text, i, end, index, entries)
        wordlike = np.int32(found & (LETTER | NUMERIC) != 0 or code == _UNDERSCORE)
        if i > first and wordlike != inside:
            count = push_characters(text, first, i, kind, words, count)
            first, kind = i, np.int32(0)
        inside, kind = wordlike, kind | found
        i += length
    return push_characters(text, first, i, kind, words, count)


@lean
def is_alnum(byte: np.uint8) -> bool:
    """Whether a byte is an ASCII letter or digit."""
    small = byte | 0x20
    return bool((small >= 0x61 and small <= 0x7A) or (byte >= 0x30 and byte <= 0x39))


@lean
def append_tokens(
    text: Bytes, first: np.uint64, end: np.uint64, index: Index, entries: Entries, words: Words, count: np.uint64
) -> np.uint64:
    """Append the tokens of text[first:end]: symbols that come off in front and behind, between them the rest, divided or not."""
    while first < end and not is_alnum(text[first]):
        size = _symbol(text, first, end, _STICK_IN_FRONT, index, entries)
        if size == _0:
            break
        count = push_symbols(text, first, size, words, count)
        first += size
    last = end
    while first < last and not is_alnum(text[last - _1]):
        before = _before(text, first, last)
        if _symbol(text, before, last, _STICK_BEHIND, index, entries) == _0:
            break
        last = before
    count = _divided(text, first, last, index, entries, words, count)
    while last < end:
        size = _symbol(text, last, end, _STICK_BEHIND, index, entries)
        count = push_symbols(text, last, size, words, count)
        last += size
    return count


@lean
def append_ascii_tokens(
    text: Bytes, i: np.uint64, size: np.uint64, symbols: np.uint64, letters: np.uint64, words: Words, count: np.uint64
) -> np.uint64:
    """What `append_tokens` appends, for ASCII of less than 64 bytes of which bits say what are symbols and letters."""
    first, last = _0, size
    while first < last and symbols >> first & _1 and not stays_in_front(text[i + first]):
        behind = _dots(text, i + first, i + last) - i
        if behind == first + _1 and behind < last and text[i + first] == _DOT:
            break
        count = _push_row(text, i + first, behind - first, words, count)
        first = behind
    while first < last and symbols >> (last - _1) & _1 and not stays_behind(text[i + last - _1]):
        last = _before(text, i + first, i + last) - i
    inner = symbols & ((_1 << last) - (_1 << first))
    while inner:
        at = trailing_zeros(inner)
        behind = at + _row(text, i + at, i + last)
        inner &= ~((_1 << behind) - _1)
        if at == first or symbols >> (at - _1) & _1 or not may_divide(text[i + at]):
            continue
        following = _ascii_kind(text[i + behind]) if behind < last and not symbols >> behind & _1 else np.int32(0)
        if _is_border(np.uint32(text[i + at]), behind - at, _ascii_kind(text[i + at - _1]), following):
            count = _push_piece(text, i, first, at, symbols, letters, words, count)
            count = _push_row(text, i + at, behind - at, words, count)
            first = behind
    if first < last:
        count = _push_piece(text, i, first, last, symbols, letters, words, count)
    while last < size:
        behind = _dots(text, i + last, i + size) - i
        count = _push_row(text, i + last, behind - last, words, count)
        last = behind
    return count


@lean
def _push_piece(
    text: Bytes,
    i: np.uint64,
    first: np.uint64,
    end: np.uint64,
    symbols: np.uint64,
    letters: np.uint64,
    words: Words,
    count: np.uint64,
) -> np.uint64:
    """Append text[i + first:i + end], a word where not all of it is symbols."""
    inside = (_1 << end) - (_1 << first)
    kind = np.uint8((symbols & inside != inside) * WORD | (letters & inside != _0) * LETTERS)
    return push(text, i + first, end - first, end - first, kind, words, count)


@lean
def _push_row(text: Bytes, i: np.uint64, size: np.uint64, words: Words, count: np.uint64) -> np.uint64:
    """Append an ASCII symbol, or some in a row."""
    if size > _1:
        return push(text, i, size, size, np.uint8(0), words, count)
    push_symbol(text, i, words, count)
    return count + _1


@lean
def _dots(text: Bytes, i: np.uint64, end: np.uint64) -> np.uint64:
    """The place behind the symbol at text[i], or behind the dots in a row there."""
    behind = i + _1
    while text[i] == _DOT and behind < end and text[behind] == _DOT:
        behind += _1
    return behind


@lean
def _symbol(text: Bytes, i: np.uint64, end: np.uint64, sticks: int, index: Index, entries: Entries) -> np.uint64:
    """The bytes of the symbol at text[i] that comes off a word, two dots or more being one; 0 where none does."""
    code, found, length = character(text, i, end, index, entries)
    if found & RUN:
        return _0
    if code == _DOT:
        behind = _dots(text, i, end)
        return _0 if behind == i + _1 and sticks == _STICK_IN_FRONT and behind < end else behind - i
    stays = stays_in_front(text[i]) if sticks == _STICK_IN_FRONT else stays_behind(text[i])
    return _0 if code < 0x80 and stays else length


@lean
def _before(text: Bytes, first: np.uint64, i: np.uint64) -> np.uint64:
    """Where the character, or the dots in a row, before text[i] begin."""
    i -= _1
    while i > first and (text[i] & 0xC0 == 0x80 or (text[i] == _DOT and text[i - _1] == _DOT)):
        i -= _1
    return i


@lean
def _divided(text: Bytes, first: np.uint64, end: np.uint64, index: Index, entries: Entries, words: Words, count: np.uint64) -> np.uint64:
    """Append text[first:end], divided where symbols stand between letters or numbers as spaCy's English rules have it."""
    i, kind, last = first, np.int32(0), np.int32(0)
    while i < end:
        if is_alnum(text[i]):
            letters = letters_at(text, i)
            length = min(trailing_zeros(~(letters | digits_at(text, i))), end - i)
            kind |= np.int32(RUN | (LETTER if letters & ((_1 << length) - _1) else 0))
            i += length
            last = _ascii_kind(text[i - _1])
            continue
        code, found, length = character(text, i, end, index, entries)
        if found & RUN:
            kind, last = kind | found, found
        elif last:
            length = max(length, _row(text, i, end))
            following = np.int32(0)
            if i + length < end:
                _, following, _ = character(text, i + length, end, index, entries)
            if _is_border(code, length, last, following):
                count = push_characters(text, first, i, kind, words, count)
                count = push_symbols(text, i, length, words, count)
                first, kind = i + length, np.int32(0)
            last = np.int32(0)
        i += length
    return push_characters(text, first, end, kind, words, count) if first < end else count


@lean
def _row(text: Bytes, i: np.uint64, end: np.uint64) -> np.uint64:
    """How many dots or hyphens stand in a row at text[i]; 1 for other bytes."""
    behind = i + _1
    while (text[i] == _DOT or text[i] == _HYPHEN) and behind < end and text[behind] == text[i]:
        behind += _1
    return behind - i


@lean
def _ascii_kind(byte: np.uint8) -> np.int32:
    """The properties of an ASCII letter or digit."""
    return np.int32(RUN | (NUMERIC if byte <= 0x39 else LETTER | (UPPER if byte <= 0x5A else 0)))


@lean
def _is_border(code: np.uint32, size: np.uint64, last: np.int32, following: np.int32) -> bool:
    """Whether a symbol, so many bytes with those in a row, divides what stands before it from what follows."""
    letters, numbers = last & following & LETTER, last & following & NUMERIC
    if code == 0x2D or code == 0x7E or code == 0x2013 or code == 0x2014 or code == 0x2C:  # - ~ – — ,
        return bool(letters or (code == 0x2D and numbers))
    if code == 0x3A or code == 0x2F or (code >= 0x3C and code <= 0x3E):  # : / < = >
        return bool(last & (LETTER | NUMERIC) and following & LETTER)
    if code == _DOT:  # two dots; the end of a sentence without a blank
        return bool(size > _1 or (letters and not last & UPPER and following & UPPER))
    return bool(code == 0x2026 or (numbers and (code == 0x2A or code == 0x2B or code == 0x5E)))  # … * + ^


@lean
def append_segments(text: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries, words: Words, count: np.uint64) -> np.uint64:
    """UAX 29 without its tables: a mark between two letters (' . : · ’) or two numbers (' . , ; ’) joins them, as _ does anywhere."""
    open_, counted, first, kind, last = False, False, i, np.int32(0), np.int32(0)
    while i < end:
        code, found, length = character(text, i, end, index, entries)
        joins = found & RUN != 0 or code == _UNDERSCORE
        if not joins and open_ and i + length < end:
            _, behind, _ = character(text, i + length, end, index, entries)
            joins = _is_between(code, last, behind)
        if joins:
            if not open_:
                open_, counted, first, kind, last = True, found & (LETTER | NUMERIC) != 0, i, np.int32(0), np.int32(0)
            kind, last = kind | found, found if found & (LETTER | NUMERIC) else last
        else:
            if open_ and counted:
                count = push_characters(text, first, i, kind, words, count)
            open_ = False
            if found & SOLO and found & (LETTER | NUMERIC):
                count = push_characters(text, i, i + length, found, words, count)
        i += length
    if open_ and counted:
        count = push_characters(text, first, i, kind, words, count)
    return count


@lean
def _is_between(code: np.uint32, before: np.int32, behind: np.int32) -> bool:
    """Whether a mark joins what stands on its two sides (WB6, WB7, WB11 and WB12)."""
    either = code == 0x27 or code == 0x2E or code == 0x2019
    letters = either or code == 0x3A or code == 0xB7
    numbers = either or code == 0x2C or code == 0x3B
    if behind & SOLO:
        return False
    both = before & behind
    return bool((letters and both & LETTER) or (numbers and both & NUMERIC))
