"""Words of texts for the quality rules: where they are, how long, a hash and a kind of each, in arrays that kernels go on with.

What an implementation calls a word differs, so there are four ways to split; a tokeniser model would be a fifth, at a
thousandth of the speed. Words begin and end where bitmaps say so; only what has symbols in it is looked at by character.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean, lean_kernel, scratch, trailing_zeros
from ...curator.columns import Bytes
from ...curator.stage import Ints
from .bitmaps import ALONE, KINDS, LETTERED, TAIL, VISIBLE, Page
from .bitmaps import WORD as IN_WORD
from .unicode import LETTER, NUMERIC, RUN, SOLO, UPPER, Entries, Index, decode, entry
from .vectors import ones
from .windows import digits_at, folded_product, letters_at, number_at

TOKENS = 0  # words and symbols as text.quality.gopher defines them, after spaCy's English rules
SPLIT = 1  # str.split(): what stands between white space
SEGMENTS = 2  # what lies between Unicode's word boundaries (UAX 29) and begins with a letter or number
WORDPUNCT = 3  # NLTK's WordPunct: \w+ or [^\w\s]+

WORD = 1  # kinds: has a letter, mark or number
LETTERS = 2  # has a letter

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.uint32]

_0, _1, _6, _7, _8, _16, _56, _63, _64 = (np.uint64(k) for k in (0, 1, 6, 7, 8, 16, 56, 63, 64))
_29, _32 = np.uint64(29), np.uint64(32)
_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX, _END, _START = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0x243F6A8885A308D3)
_UNDERSCORE, _DOT, _HYPHEN = (ord(c) for c in "_.-")
_STICK_IN_FRONT, _STICK_BEHIND = 0, 1


def _members(symbols: str) -> tuple[np.uint64, np.uint64]:
    """A set of ASCII symbols as two words of bits."""
    bits = sum(1 << ord(symbol) for symbol in symbols)
    return np.uint64(bits & (1 << 64) - 1), np.uint64(bits >> 64)


_FRONT_LOW, _FRONT_HIGH = _members("-/\\@|~^")
_BEHIND_LOW, _BEHIND_HIGH = _members("-/\\@|~^=+")
_DIVIDE_LOW, _DIVIDE_HIGH = _members("-~,:/<=>.*+^")


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


def find_all_words(page: Page, start: Ints, size: Ints, mode: int) -> Words:
    """The words of the texts of a page, by one of the four ways; overwritten by the next ones found that way."""
    most = page.text.size  # a word has a byte at least; pages that are not touched cost nothing
    words = Words(
        np.zeros(len(start) + 1, np.int64),
        scratch(f"words.place.{mode}", most, np.uint32),
        scratch(f"words.end.{mode}", most, np.uint32),
        scratch(f"words.chars.{mode}", most, np.uint32),
        scratch(f"words.hashes.{mode}", most, np.uint64),
        scratch(f"words.kinds.{mode}", most, np.uint8),
    )
    _find_all(page, start, size, mode, words)
    return words


@lean_kernel
def _find_all(page: Page, start: Ints, size: Ints, mode: int, words: Words) -> None:
    words.chars[0] = 0
    count = _0
    for d in range(start.size):
        count = _find(page, np.uint64(start[d]), np.uint64(start[d] + size[d]), mode, words, count)
        words.offsets[d + 1] = count


@lean
def _find(page: Page, i: np.uint64, end: np.uint64, mode: int, words: Words, count: np.uint64) -> np.uint64:
    """Append the words of text[i:end]; returns the new count.

    A run is what stands between white space; for TOKENS each character of a script without spaces is one too. A run that goes
    on from one word of bits to the next leaves what it has seen in `symbols`, `wordlike`, `lettered` and `extra`.
    """
    text, bits = page.text, page.bits
    before = apart_before = symbols = wordlike = lettered = extra = _0
    begin = i
    for w in range(i >> _6, (end >> _6) + _1):
        at, row = w << _6, w * KINDS
        visible, tail, letters, alone = bits[row + VISIBLE], bits[row + TAIL], bits[row + LETTERED], bits[row + ALONE]
        known = bits[row + IN_WORD] | alone
        apart = alone if mode == TOKENS else _0
        border = ~tail & (apart | apart << _1 | apart_before)
        behind = visible << _1 | before
        starts, ends = visible & (~behind | border), behind & (~visible | border)
        s = _0  # where the run starts in this word of bits
        if not before:
            s = trailing_zeros(starts)
            starts &= starts - _1
            begin = at + s
        while ends:
            e = trailing_zeros(ends)
            ends &= ends - _1
            span = (_1 << e) - (_1 << s)
            last = (_1 << e) >> _1
            found = span & ~known
            wordlike |= span & known
            lettered |= span & letters
            extra += ones(span & tail)
            odd = symbols | (found & ~last) if mode != SPLIT else _0
            stays = found & last and stays_behind(text[at + e - _1])
            if mode > SPLIT:
                odd |= found | extra
            elif stays and wordlike and mode == TOKENS:
                odd = _1
            if odd and mode == TOKENS and not symbols and not extra and begin >= at:
                count = _ascii_tokens(text, begin, e - s, found >> s, (letters & span) >> s, words, count)
            elif odd:
                count = _odd_run(page, begin, at + e, mode, words, count)
            else:
                apart_behind = np.uint64(mode == TOKENS and found != _0 and wordlike != _0)
                size = at + e - begin - apart_behind
                kind = np.uint8((wordlike != _0) * WORD | (lettered != _0) * LETTERS)
                count = _push(text, begin, size, size - extra, kind, words, count)
                _push_symbol(text, begin + size, words, count)
                count += apart_behind
            s = trailing_zeros(starts)
            starts &= starts - _1
            begin = at + s
            symbols = wordlike = lettered = extra = _0
        before, apart_before = visible >> _63, apart >> _63
        if before:
            span = _ALL << s
            symbols |= span & ~known
            wordlike |= span & known
            lettered |= span & letters
            extra += ones(span & tail)
    return count


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


# ----------------------------------------------------------------------------------------------- appending words


@lean
def _mask(size: np.uint64) -> np.uint64:
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
    a = number_at(text, first) & _mask(min(size, _8))
    b = number_at(text, first + max(size, _8) - _8)
    state: np.uint64 = folded_product(a ^ (size * _START), (b if size > _8 else _0) ^ _MIX)
    k = _8
    while k + _8 < size:
        at = first + min(k, size - _16)
        state = folded_product(number_at(text, at) ^ state ^ _START, number_at(text, at + _8) ^ _MIX)
        k += _16
    return state


@lean
def tails(word: np.uint64) -> np.uint64:
    """How many of eight bytes are 10xxxxxx: not the first of a character."""
    return (((word & (~word << _1) & _HIGH) >> _7) * _ONES) >> _56


@lean
def _push(text: Bytes, first: np.uint64, size: np.uint64, chars: np.uint64, kind: np.uint8, words: Words, count: np.uint64) -> np.uint64:
    """Append text[first:first + size]."""
    words.hashes[count] = hash_bytes(text, first, size)
    words.place[count] = np.uint32(first)
    words.end[count] = np.uint32(first + size)
    words.kinds[count] = kind
    words.chars[count + _1] = words.chars[count] + np.uint32(chars)
    return count + _1


@lean
def _push_symbol(text: Bytes, i: np.uint64, words: Words, count: np.uint64) -> None:
    """Write the ASCII symbol at text[i] behind the words; it counts once `count` does."""
    words.hashes[count] = hash_number(np.uint64(text[i]), _1)
    words.place[count] = np.uint32(i)
    words.end[count] = np.uint32(i + _1)
    words.kinds[count] = np.uint8(0)
    words.chars[count + _1] = words.chars[count] + np.uint32(1)


@lean
def _push_symbols(text: Bytes, i: np.uint64, size: np.uint64, words: Words, count: np.uint64) -> np.uint64:
    """Append one symbol, or dots or hyphens in a row."""
    return _push(text, i, size, _chars(text, i, size), np.uint8(0), words, count)


@lean
def _chars(text: Bytes, i: np.uint64, size: np.uint64) -> np.uint64:
    """Characters of text[i:i + size]."""
    chars, k = size, _0
    while k < size:
        chars -= tails(number_at(text, i + k) & _mask(min(size - k, _8)))
        k += _8
    return chars


@lean
def _push_characters(text: Bytes, first: np.uint64, behind: np.uint64, kind: np.int32, words: Words, count: np.uint64) -> np.uint64:
    """Append text[first:behind], the properties of whose characters make up `kind`."""
    size = behind - first
    flags = np.uint8((kind & (RUN | SOLO) != 0) * WORD | (kind & LETTER != 0) * LETTERS)
    return _push(text, first, size, _chars(text, first, size), flags, words, count)


# ------------------------------------------------------------------------------------------- runs with symbols in them


@lean
def character(text: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries) -> tuple[np.uint32, np.int32, np.uint64]:
    """(code point, properties, bytes) of the character at text[i]."""
    if text[i] < 0x80:
        code, length = np.uint32(text[i]), _1
    else:
        code, length = decode(text, i, end)
    return code, entry(code, index, entries), length


@lean
def _odd_run(page: Page, i: np.uint64, end: np.uint64, mode: int, words: Words, count: np.uint64) -> np.uint64:
    """Append the words of text[i:end], which has no white space in it."""
    text, index, entries = page.text, page.blocks, page.entries
    if mode == TOKENS:
        return _tokens(text, i, end, index, entries, words, count)
    if mode == SEGMENTS:
        return _segments(text, i, end, index, entries, words, count)
    return _classes(text, i, end, index, entries, words, count)


@lean
def _classes(text: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries, words: Words, count: np.uint64) -> np.uint64:
    """Cut where characters that are \\w and others meet."""
    first, kind, inside = i, np.int32(0), np.int32(-1)
    while i < end:
        code, found, length = character(text, i, end, index, entries)
        wordlike = np.int32(found & (LETTER | NUMERIC) != 0 or code == _UNDERSCORE)
        if i > first and wordlike != inside:
            count = _push_characters(text, first, i, kind, words, count)
            first, kind = i, np.int32(0)
        inside, kind = wordlike, kind | found
        i += length
    return _push_characters(text, first, i, kind, words, count)


@lean
def is_alnum(byte: np.uint8) -> bool:
    """Whether a byte is an ASCII letter or digit."""
    small = byte | 0x20
    return bool((small >= 0x61 and small <= 0x7A) or (byte >= 0x30 and byte <= 0x39))


@lean
def _tokens(text: Bytes, first: np.uint64, end: np.uint64, index: Index, entries: Entries, words: Words, count: np.uint64) -> np.uint64:
    """Append the tokens of text[first:end]: symbols that come off in front and behind, between them the rest, which symbols may divide."""
    while first < end and not is_alnum(text[first]):
        size = _symbol(text, first, end, _STICK_IN_FRONT, index, entries)
        if size == _0:
            break
        count = _push_symbols(text, first, size, words, count)
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
        count = _push_symbols(text, last, size, words, count)
        last += size
    return count


@lean
def _ascii_tokens(
    text: Bytes, i: np.uint64, size: np.uint64, symbols: np.uint64, letters: np.uint64, words: Words, count: np.uint64
) -> np.uint64:
    """What `_tokens` appends, for ASCII of less than 64 bytes of which bits say what are symbols and letters."""
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
    return _push(text, i + first, end - first, end - first, kind, words, count)


@lean
def _push_row(text: Bytes, i: np.uint64, size: np.uint64, words: Words, count: np.uint64) -> np.uint64:
    """Append an ASCII symbol, or some in a row."""
    if size > _1:
        return _push(text, i, size, size, np.uint8(0), words, count)
    _push_symbol(text, i, words, count)
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
                count = _push_characters(text, first, i, kind, words, count)
                count = _push_symbols(text, i, length, words, count)
                first, kind = i + length, np.int32(0)
            last = np.int32(0)
        i += length
    return _push_characters(text, first, end, kind, words, count) if first < end else count


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
def _segments(text: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries, words: Words, count: np.uint64) -> np.uint64:
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
                count = _push_characters(text, first, i, kind, words, count)
            open_ = False
            if found & SOLO and found & (LETTER | NUMERIC):
                count = _push_characters(text, i, i + length, found, words, count)
        i += length
    if open_ and counted:
        count = _push_characters(text, first, i, kind, words, count)
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
