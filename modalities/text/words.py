"""Words of texts for the quality rules.

What an implementation calls a word differs, so there are four ways to split; a tokeniser model would be a fifth, at a
thousandth of the speed. Words begin and end where bitmaps say so; only runs with symbols in them are looked at more closely.
"""

from __future__ import annotations

import numpy as np

from ...curator.backends.cpu import lean, lean_kernel, scratch, trailing_zeros
from ...curator.stage import Ints
from .bitmaps import ALONE, KINDS, LETTERED, TAIL, VISIBLE, Page
from .bitmaps import WORD as IN_WORD
from .vectors import ones
from .word_list import LETTERS, WORD, Words, push, push_symbol
from .word_runs import append_ascii_tokens, append_classes, append_segments, append_tokens, stays_behind

TOKENS = 0  # words and symbols as text.quality.gopher defines them, after spaCy's English rules
SPLIT = 1  # str.split(): what stands between white space
SEGMENTS = 2  # what lies between Unicode's word boundaries (UAX 29) and begins with a letter or number
WORDPUNCT = 3  # NLTK's WordPunct: \w+ or [^\w\s]+

_0, _1, _6, _63 = (np.uint64(k) for k in (0, 1, 6, 63))
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


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
            odd = _0
            if mode == TOKENS:
                odd = symbols | (found & ~last)
                if found & last and wordlike and stays_behind(text[at + e - _1]):
                    odd = _1
            elif mode != SPLIT:
                odd = symbols | found | extra
            if odd and mode == TOKENS and not symbols and not extra and begin >= at:
                count = append_ascii_tokens(text, begin, e - s, found >> s, (letters & span) >> s, words, count)
            elif odd:
                count = _odd_run(page, begin, at + e, mode, words, count)
            else:
                apart_behind = np.uint64(mode == TOKENS and found != _0 and wordlike != _0)
                size = at + e - begin - apart_behind
                kind = np.uint8((wordlike != _0) * WORD | (lettered != _0) * LETTERS)
                count = push(text, begin, size, size - extra, kind, words, count)
                push_symbol(text, begin + size, words, count)
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
def _odd_run(page: Page, i: np.uint64, end: np.uint64, mode: int, words: Words, count: np.uint64) -> np.uint64:
    """Append the words of text[i:end], which has no white space in it."""
    text, index, entries = page.text, page.blocks, page.entries
    if mode == TOKENS:
        return append_tokens(text, i, end, index, entries, words, count)
    if mode == SEGMENTS:
        return append_segments(text, i, end, index, entries, words, count)
    return append_classes(text, i, end, index, entries, words, count)
