"""The line rules of C4 as one kernel: a text in, its lines that stay and the counts that its page is judged by out.

Lines are looked at in the reference's order, each on the text's bitmaps. A line with a citation is written anew behind all texts,
where it gets bitmaps of its own, so that no rule exists twice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import inlined, lean, lean_kernel
from ...curator.columns import Bytes, Offsets
from ...curator.stage import Ints
from .bitmaps import (
    ALONE,
    END,
    KINDS,
    TAIL,
    VISIBLE,
    Page,
    behind_last,
    break_size,
    count_words,
    inside,
    is_decimal,
    is_set,
    mark_line,
    next_of,
)
from .edited import rewritten
from .padded import Padded
from .phrases import occurrences, phrases
from .unicode import decode
from .vectors import equal, letter, ones, paste

NO_END, FEW_WORDS, LONG_WORD, JAVASCRIPT, POLICY, SENTENCES, LOREM, CURLY, CHARS = (np.int64(k) for k in range(9))
STAYS, BLANK = np.int64(9), np.int64(10)
COUNTS = 9


class LineRules(NamedTuple):
    """What the kernel does with a line.

    whole        Dolma's reading: pages are counted whole, and a line stays as it is with its line end; else lines are stripped
    breaks       what lines end with: bitmaps.BREAK, as for str.splitlines, or bitmaps.FEED, U+000A only
    terminal     lines without an end mark go
    apostrophe   ' is an end mark too
    any_script   so is every sentence-terminal mark, and closing quotes and brackets may follow it
    ellipsis     ... is no end mark
    citations    [1], [edit] and [citation needed] are taken out
    words_first  words are counted before that
    min_words    fewest words of a line; 0: any number
    max_word     longest word, in characters; 0: any length
    javascript, policy   lines with these phrases go
    """

    whole: bool
    breaks: np.uint64
    terminal: bool
    apostrophe: bool
    any_script: bool
    ellipsis: bool
    citations: bool
    words_first: bool
    min_words: int
    max_word: int
    javascript: bool
    policy: bool


def filter_lines(texts: pa.Array, rules: LineRules) -> tuple[pa.Array, Ints]:
    """The texts without the lines that go, and (n, COUNTS) int64: lines gone by reason, and what pages are judged by.

    texts    (n,) large_string; null counts as empty
    returns  (n,) large_string without nulls; white space around a text is left
    """
    return rewritten(_filter, texts, rules, COUNTS, int(CHARS))


_PHRASES = phrases(
    "lorem ipsum", "javascript", "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"
)
_LOREM, _JAVASCRIPT, _FIRST_POLICY = np.int64(0), np.int64(1), 2
_CITATIONS = phrases("[edit]", "[citation needed]")
_OPEN, _CLOSE, _CURLY, _DOT, _QUOTE, _APOSTROPHE = (ord(c) for c in "[]{.\"'")

_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_0, _1, _2, _3, _4, _5, _6, _63, _64 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 5, 6, 63, 64))


class _State(NamedTuple):
    """How far the kernel is in a text.

    i       where the next line begins
    o       the place in `out`
    behind  0, or the place behind that line as it was written anew
    words   the words it had before
    first   whether no line of the text stayed so far
    """

    i: np.uint64
    o: np.uint64
    behind: np.uint64
    words: np.int64
    first: bool


@lean_kernel
def _filter(padded: Padded, page: Page, rules: LineRules, out: Bytes, bounds: Offsets, counts: Ints) -> None:
    o = _0
    for d in range(padded.start.size):
        start, end = np.uint64(padded.start[d]), np.uint64(padded.start[d] + padded.size[d])
        if rules.whole:
            counts[d, LOREM] = occurrences(page.text, start, end, _PHRASES, _LOREM)
            counts[d, JAVASCRIPT] = occurrences(page.text, start, end, _PHRASES, _JAVASCRIPT)
            counts[d, CURLY] = _curly(page, start, end)
        state = _State(start, o, _0, np.int64(0), True)
        while state.i < end:
            state = _lines(page, end, state, rules, out, counts, d)
            if state.behind:
                mark_line(page, state.behind)
        o = state.o
        bounds[d + 1] = o


@inlined
def _lines(page: Page, stop: np.uint64, state: _State, rules: LineRules, out: Bytes, counts: Ints, d: int) -> _State:
    """Write the lines that stay, with U+000A between them, up to the end or to a line that was written anew and lacks its bitmaps."""
    i, o, behind, words, first = state
    while i < stop:
        end = next_of(page.bits, i, stop, rules.breaks)
        a = next_of(page.bits, i, end, VISIBLE)
        z = behind_last(page.bits, a, end, VISIBLE) if a < end else end
        if behind:
            a, z = page.margin, behind
            words = words if rules.words_first else count_words(page.bits, a, z)
            why, suspect = STAYS, True
        else:
            why = _judge(page, a, z, rules)
            words = count_words(page.bits, a, z) if why == STAYS else np.int64(0)
            suspect = why == STAYS and _suspect(page, a, z)
            if suspect and rules.citations:
                behind = _without_citations(page, a, z)
                if behind:
                    return _State(i, o, behind, words, first)
        if why == STAYS:
            why = _look_closely(page, a, z, words, suspect, rules, counts, d)
        i, start, behind = end + break_size(page, end, stop), i, _0
        if why == STAYS:
            if rules.whole:
                a, z = start, i
            elif not first:
                out[o] = np.uint8(10)
                o += _1
            paste(page.text, a, z - a, out, o)
            o += z - a
            first = False
        elif why != BLANK:
            counts[d, why] += 1
    return _State(i, o, _0, words, first)


@lean
def _judge(page: Page, a: np.uint64, z: np.uint64, rules: LineRules) -> np.int64:
    """Whether the line text[a:z] STAYS, is BLANK and goes, or why it goes; with a citation at its end it STAYS until that is gone."""
    if a >= z:
        return STAYS if not rules.terminal and rules.min_words <= 0 else BLANK
    if rules.max_word and _long_word(page, a, z, rules.max_word):
        return LONG_WORD
    if rules.terminal and not _ends(page, a, z, rules):
        if rules.citations and (rules.any_script or page.text[z - _1] == _CLOSE):  # it may end well without one
            return STAYS
        return NO_END
    return STAYS


@lean
def _look_closely(
    page: Page, a: np.uint64, z: np.uint64, words: np.int64, suspect: bool, rules: LineRules, counts: Ints, d: int
) -> np.int64:
    """Whether the line stays or why it goes; counts what its page is judged by."""
    if rules.terminal and not _ends(page, a, z, rules):
        return NO_END
    if words < rules.min_words:
        return FEW_WORDS
    if suspect and not rules.whole:
        counts[d, LOREM] += occurrences(page.text, a, z, _PHRASES, _LOREM)
        if rules.javascript and occurrences(page.text, a, z, _PHRASES, _JAVASCRIPT):
            return JAVASCRIPT
        counts[d, CURLY] += _curly(page, a, z)
        if rules.policy:
            for which in range(_FIRST_POLICY, _PHRASES.shape[0]):
                if occurrences(page.text, a, z, _PHRASES, np.int64(which)):
                    return POLICY
    counts[d, SENTENCES] += _sentences(page, a, z)
    return STAYS


# --------------------------------------------------------------------------------------------------- rules


@lean
def _long_word(page: Page, i: np.uint64, end: np.uint64, most: int) -> bool:
    """Whether text[i:end] has a word of more than `most` characters."""
    if end - i <= np.uint64(most) or not _long_run(page, i, end, (most - 62) // 64):
        return False
    length = np.int64(0)
    while i < end:
        if not is_set(page.bits, i, VISIBLE) or is_set(page.bits, i, ALONE):
            length = np.int64(0)
        elif not is_set(page.bits, i, TAIL):
            length += 1
            if length > most:
                return True
        i += _1
    return False


@lean
def _long_run(page: Page, i: np.uint64, end: np.uint64, least: int) -> bool:
    """Whether so many whole words of bits in a row have neither white space nor characters that are words: a long word must have them."""
    run = np.int64(0)
    for w in range(i >> _6, end >> _6):
        row = w * KINDS
        run = run + 1 if page.bits[row + VISIBLE] & ~page.bits[row + ALONE] == _ALL else np.int64(0)
        if run >= least:
            return True
    return least <= 0


@lean
def _ends(page: Page, a: np.uint64, z: np.uint64, rules: LineRules) -> bool:
    """Whether the line ends with an end mark."""
    if a >= z:
        return False
    last = page.text[z - _1]
    if last == _DOT:
        return not (rules.ellipsis and z >= a + _3 and page.text[z - _2] == _DOT and page.text[z - _3] == _DOT)
    if last in (33, 63, _QUOTE) or (rules.apostrophe and last == _APOSTROPHE):
        return True
    while rules.any_script and z > a:
        z -= _1
        while z > a and is_set(page.bits, z, TAIL):
            z -= _1
        if is_set(page.bits, z, END):
            return True
        if not _closes(page, z)[0]:
            return False
    return False


@lean
def _closes(page: Page, i: np.uint64) -> tuple[bool, np.uint64]:
    """(whether the character at text[i] is a closing quote or bracket, its bytes)."""
    byte = page.text[i]
    if byte < 0x80:
        return byte in (34, 39, 41, 93, 125), _1
    code, size = decode(page.text, i, i + _4)
    if code < 0x3000:
        return code in (0xAB, 0xBB, 0x2018, 0x2019, 0x201C, 0x201D, 0x2039, 0x203A), size
    if code <= 0x301F:
        return (code >= 0x3009 and code & 1 == 1 and code != 0x3013 and code != 0x301D) or code == 0x301E, size
    return code in (0xFF02, 0xFF07, 0xFF09, 0xFF3D, 0xFF5D, 0xFF63), size


@lean
def _sentences(page: Page, a: np.uint64, z: np.uint64) -> np.int64:
    """Sentences of a line: what ends behind terminal marks and closing quotes or brackets, with white space or nothing behind those
    or a mark that is not ASCII among them; and the rest. Marks alone are none."""
    found = np.int64(0)
    begin = i = a
    while True:
        i = first = next_of(page.bits, i, z, END)
        if i >= z:
            break
        wide = False
        while i < z:
            closing, size = _closes(page, i)
            if is_set(page.bits, i, END):
                wide |= page.text[i] >= 0x80
            elif not closing:
                break
            i += size
        if wide or i >= z or not is_set(page.bits, i, VISIBLE):
            found += next_of(page.bits, begin, z, VISIBLE) < first
            begin = i
    return found + (next_of(page.bits, begin, z, VISIBLE) < z)


# ----------------------------------------------------------------------------------------------- phrases


@lean
def _suspect(page: Page, a: np.uint64, z: np.uint64) -> bool:
    """Whether the line may have a bracket or one of the phrases: a few letters of each, in their places."""
    i = a
    while i < z:
        brackets = letter(page.text, i, _CURLY)  # and [, which lacks the bit 0x20
        script = letter(page.text, i, 106) & letter(page.text, i + _2, 118) & letter(page.text, i + _4, 115)  # j-v-s
        lorem = letter(page.text, i, 108) & letter(page.text, i + _4, 109) & equal(page.text, i + _5, 32)  # l---m_
        terms = letter(page.text, i, 109) & letter(page.text, i + _4, 102) & letter(page.text, i + _6, 117)  # m---f-u
        private = letter(page.text, i, 118) & letter(page.text, i + _2, 99) & letter(page.text, i + _5, 112)  # v-c--p
        cookie = letter(page.text, i, 99) & letter(page.text, i + _1, 111) & letter(page.text, i + _2, 111)  # coo
        if brackets | script | lorem | terms | private | cookie:
            return True
        i += _64
    return False


@lean
def _curly(page: Page, a: np.uint64, z: np.uint64) -> np.int64:
    found = _0
    for w in range(a >> _6, (z + _63) >> _6):
        found += ones(equal(page.text, w << _6, _CURLY) & inside(a, z, np.uint64(w)))
    return np.int64(found)


@lean
def _without_citations(page: Page, a: np.uint64, z: np.uint64) -> np.uint64:
    """Write the line anew without citations; returns the place behind it, 0 where it has none."""
    o = page.margin
    found = False
    while a < z:
        behind = _citation(page, a, z) if page.text[a] == _OPEN else a
        if behind > a:
            found = True
            a = behind
        else:
            page.text[o] = page.text[a]
            a += _1
            o += _1
    return o if found else _0


@lean
def _citation(page: Page, i: np.uint64, end: np.uint64) -> np.uint64:
    """The place behind the citation that begins at text[i], or i."""
    k = i + _1
    while k < end:
        code, size = (np.uint32(page.text[k]), _1) if page.text[k] < 0x80 else decode(page.text, k, end)
        if not (code - np.uint32(48) < np.uint32(10) or (code >= 0x80 and is_decimal(code))):
            break
        k += size
    if k < end and page.text[k] == _CLOSE:
        return k + _1
    for which in range(_CITATIONS.shape[0]):
        k = i
        for c in range(_CITATIONS.shape[1]):
            if _CITATIONS[which, c] == 0:
                return k
            if k >= end or page.text[k] != _CITATIONS[which, c]:
                break
            k += _1
    return i
