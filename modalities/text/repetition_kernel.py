"""The kernel behind text.quality.repetition: words, n-grams, lines and paragraphs of every text, as integers.

One row of counts a text; ratios are made of them outside, because implementations differ in what they divide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import lean, lean_kernel
from ...curator.columns import Bytes
from ...curator.stage import Ints
from .bitmaps import Page, stripped
from .ngrams import OCCURRENCES, Classes, duplicated, repeated_longer, repeated_pairs, top
from .padded import Padded, lay_out
from .segments import repeated_segments
from .word_list import Words

TOP, DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)
TEXT_CHARS, WORDS, WORD_CHARS = range(3)
LINES, PARAGRAPHS = 3, 9  # six each, as in segments.Repeated
TOP_GRAMS = 15  # for n = 2, 3, 4: occurrences of the top n-gram, its characters, characters that go with it in the text
DUPLICATE_GRAMS = 24  # for n = 5 to 10: characters of repeated n-grams, characters of all n-grams
COLUMNS = 36

_0, _1, _2 = (np.uint64(k) for k in (0, 1, 2))
_BLANK = 0x20


class Style(NamedTuple):
    """How an implementation reads a text; the constants of words.py, ngrams.py, segments.py and above."""

    words: int
    tie: int
    duplicates: int
    lines: int
    paragraphs: int
    strip: int
    replace: int


def repetitions(texts: pa.Array, style: Style) -> Ints:
    """(n, COLUMNS) int64: the counts of each text of a string column; null counts as empty."""
    layout = lay_out(texts)
    rows = np.zeros((len(texts), COLUMNS), np.int64)
    most = int(layout.padded.size.max(initial=0)) + 2
    _repetitions(layout.padded, layout.page, layout.words(style.words), style, Classes.scratch(most), rows)
    return rows


@lean_kernel
def _repetitions(padded: Padded, page: Page, words: Words, style: Style, classes: Classes, rows: Ints) -> None:
    for d in range(padded.start.size):
        row = rows[d]
        start, end = np.uint64(padded.start[d]), np.uint64(padded.start[d] + padded.size[d])
        first, behind = words.offsets[d], words.offsets[d + 1]
        row[TEXT_CHARS] = padded.chars[d]
        row[WORDS] = behind - first
        row[WORD_CHARS] = words.chars[behind] - words.chars[first]
        _segments(page, start, end, np.uint64(padded.feeds[d]) + _1, style, classes, row)
        _n_grams(page.text, start, end, style, words, np.uint64(first), np.uint64(behind - first), classes, row)


@lean
def _segments(
    page: Page,
    start: np.uint64,
    end: np.uint64,
    most: np.uint64,
    style: Style,
    classes: Classes,
    row: Ints,
) -> None:
    """Lines, then paragraphs: split like lines, they can only repeat where lines do, unless white space is taken off around the text."""
    lines = repeated_segments(page, start, end, _1, style.lines, most, classes)
    first, last = stripped(page.bits, start, end) if style.strip else (start, end)
    paragraphs = lines
    if lines.again or style.paragraphs != style.lines or first > start or last < end:
        paragraphs = repeated_segments(page, first, last, _2, style.paragraphs, most, classes)
    for k in range(6):
        row[LINES + k] = lines[k]
        row[PARAGRAPHS + k] = paragraphs[k]


@lean
def _n_grams(
    text: Bytes,
    start: np.uint64,
    end: np.uint64,
    style: Style,
    words: Words,
    first: np.uint64,
    count: np.uint64,
    classes: Classes,
    row: Ints,
) -> None:
    """Top and duplicate n-grams of the words first to first + count."""
    alive = _0
    for n in range(2, 11):
        if count < np.uint64(n):
            return
        alive = repeated_longer(words, first, count, classes, alive, n) if n > 2 else repeated_pairs(words, first, count, classes)
        if n < 5:
            alive, best = top(words, first, classes, alive, n, style.tie)
            row[TOP_GRAMS + 3 * (n - 2)] = best.occurrences
            row[TOP_GRAMS + 3 * (n - 2) + 1] = best.chars
            if style.replace:
                row[TOP_GRAMS + 3 * (n - 2) + 2] = _replaced(text, start, end, words, first + best.first, np.uint64(n))
        else:
            alive, chars = duplicated(words, first, classes, alive, n, style.duplicates)
            row[DUPLICATE_GRAMS + 2 * (n - 5)] = chars
            if style.duplicates == OCCURRENCES:
                row[DUPLICATE_GRAMS + 2 * (n - 5) + 1] = _all_chars(words, first, count, np.uint64(n))


@lean
def _all_chars(words: Words, first: np.uint64, count: np.uint64, n: np.uint64) -> np.uint64:
    chars = _0
    for i in range(first, first + count - n + _1):
        chars += np.uint64(words.chars[i + n] - words.chars[i])
    return chars


@lean
def _replaced(text: Bytes, i: np.uint64, end: np.uint64, words: Words, first: np.uint64, n: np.uint64) -> np.uint64:
    """Characters that go when the n-gram, single blanks between its words, is replaced by nothing wherever text[i:end] has it."""
    found = _0
    head = text[words.place[first]]
    while i < end:
        behind = _behind(text, i, end, words, first, n) if text[i] == head else i
        found += np.uint64(behind > i)
        i = max(behind, i + _1)
    return found * (np.uint64(words.chars[first + n] - words.chars[first]) + n - _1)


@lean
def _behind(text: Bytes, i: np.uint64, end: np.uint64, words: Words, first: np.uint64, n: np.uint64) -> np.uint64:
    """The place behind the n-gram where it stands at text[i], else i."""
    j = i
    for k in range(first, first + n):
        if k > first:
            if text[j] != _BLANK:
                return i
            j += _1
        for b in range(np.uint64(words.place[k]), np.uint64(words.end[k])):
            if j == end or text[j] != text[b]:
                return i
            j += _1
    return j
