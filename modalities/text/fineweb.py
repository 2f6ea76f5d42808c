"""text.quality.fineweb: the four line rules that FineWeb adds to Gopher's and C4's (Penedo et al. 2024, section 3.6).

The definitions are those of datatrove's FineWebQualityFilter. Only its words differ: spaCy's are a model's, these can be counted with
bitmaps. One rule asks for their number, so it matters little: of 1,392 English pages, 1,389 get datatrove 0.10.1's verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import inlined, lean, lean_kernel, scratch, trailing_zeros
from ...curator.options import Options, judge, measure
from ...curator.stage import Bools, Columns, Filter, Ints, Rule, Value
from .bitmaps import (
    ALONE,
    END,
    FEED,
    KINDS,
    TAIL,
    VISIBLE,
    WORD,
    Bits,
    Page,
    characters,
    inside,
    is_set,
    next_of,
)
from .padded import Padded, lay_out
from .segments import hash_line
from .vectors import equal, ones


class FineWebOptions(Options):
    """Options of text.quality.fineweb; null switches a rule off. Defaults are those of the published dataset."""

    short_line_chars: int = measure(30, "Characters up to which a line is short.", ge=0)
    min_lines: int | None = judge(1, "Fewest lines with something in them; an empty text has none.", ge=0)
    min_line_punctuation: float | None = judge(
        0.12, "Least share of lines that end with a sentence-terminal mark. FineWeb-2 sets its own for each language.", ge=0, le=1
    )
    max_short_lines: float | None = judge(0.67, "Greatest share of short lines.", ge=0, le=1)
    max_duplicate_line_chars: float | None = judge(
        0.01,
        "Greatest share of characters in repeated lines: 0.01 in datatrove's code, which made the dataset; 0.1 in the paper.",
        ge=0,
        le=1,
    )
    max_newlines_per_word: float | None = judge(0.3, "Greatest number of newlines for each word or symbol: lists have many.", ge=0)


class FineWeb(Filter):
    """FineWeb's line rules (Penedo et al. 2024; constants of datatrove's FineWebQualityFilter).

    Lines are what U+000A separates; lines of white space alone do not count. A line ends well when its last character has Unicode's
    property Sentence_Terminal (in any script, 。 too) or is one of the Khmer marks U+17D4-17D6, U+17D9, U+17DA; white space behind it
    spoils that, as in datatrove. A line is a repetition when an earlier one of the text has the same bytes, compared by length and a 64-bit
    hash. A word begins with the first and ends with the last letter, mark or number in a run of characters without white space; each
    Han, Kana, Thai, Lao, Khmer or Myanmar character is a word and ends the run. Every other visible character outside of words is a symbol,
    dots in a row are one. In scripts without spaces lines are short in characters: FineWeb-2 switches `max_short_lines` off.
    """

    name: ClassVar[str] = "text.quality.fineweb"
    Options: ClassVar[type[Options]] = FineWebOptions
    options: FineWebOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("lines", pa.int64(), "Number of lines that are not white space alone."),
        Value("line_punctuation", pa.float64(), "Lines that end with a sentence-terminal mark / lines; null without lines."),
        Value("short_lines", pa.float64(), "Lines of at most `short_line_chars` characters / lines; null without lines."),
        Value(
            "duplicate_line_chars",
            pa.float64(),
            "Characters in lines that repeat an earlier line of the text / characters of the text but U+000A; null without lines.",
        ),
        Value(
            "newlines_per_word",
            pa.float64(),
            "Number of U+000A / (words + symbols); null without lines.",
        ),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """Counts of each text, and their ratios."""
        lines, ended, short, repeated, total, newlines, tokens = count_lines(batch.column("text"), self.options.short_line_chars).T
        some = lines > 0
        return {
            "lines": pa.array(lines),
            "line_punctuation": _ratio(ended, lines, some),
            "short_lines": _ratio(short, lines, some),
            "duplicate_line_chars": _ratio(repeated, total, some),
            "newlines_per_word": _ratio(newlines, tokens, some),
        }

    def rules(self) -> Sequence[Rule]:
        """In datatrove's order."""
        return (
            Rule("lines", "min", "min_lines", "empty"),
            Rule("line_punctuation", "min", "min_line_punctuation", "too_little_line_punctuation"),
            Rule("short_lines", "max", "max_short_lines", "too_many_short_lines"),
            Rule("duplicate_line_chars", "max", "max_duplicate_line_chars", "too_many_duplicate_line_chars"),
            Rule("newlines_per_word", "max", "max_newlines_per_word", "too_many_newlines"),
        )


def _ratio(part: Ints, whole: Ints, where: Bools) -> pa.Array:
    return pa.array(part / np.maximum(whole, 1), pa.float64(), mask=~where)


LINES, ENDED, SHORT, REPEATED, TOTAL, NEWLINES, TOKENS = range(7)


def count_lines(texts: pa.Array, short: int) -> Ints:
    """(n, 7) int64: what each text has of LINES, ENDED with a mark, SHORT, characters REPEATED and in TOTAL, NEWLINES, TOKENS.

    texts  (n,) large_string; null counts as empty
    short  characters up to which a line is short
    """
    layout = lay_out(texts)
    padded = layout.padded
    counts = np.zeros((len(texts), 7), np.int64)
    counts[:, NEWLINES], counts[:, TOTAL] = padded.feeds, padded.chars - padded.feeds
    seen = scratch("fineweb.seen", 4 * int(padded.feeds.max(initial=0)) + 16, np.uint64)
    _count(padded, layout.page, short, seen, counts)
    return counts


_0, _1, _6, _63 = (np.uint64(k) for k in (0, 1, 6, 63))


@lean_kernel
def _count(padded: Padded, page: Page, short: int, seen: Bits, counts: Ints) -> None:
    for d in range(padded.start.size):
        start, stop = np.uint64(padded.start[d]), np.uint64(padded.start[d] + padded.size[d])
        counts[d, TOKENS] = _tokens(page, start, stop)
        places = np.uint64(8)  # a hash table for the lines of one text, twice their number at least
        while places < np.uint64(2 * padded.feeds[d] + 4):
            places <<= _1
        seen[:places] = _0
        _count_lines(page, start, stop, short, seen, places - _1, counts, d)


@inlined
def _count_lines(page: Page, i: np.uint64, stop: np.uint64, short: int, seen: Bits, last: np.uint64, counts: Ints, d: int) -> None:
    bits = page.bits
    while i < stop:
        end = next_of(bits, i, stop, FEED)
        if next_of(bits, i, end, VISIBLE) < end:
            length = characters(bits, i, end)
            counts[d, LINES] += 1
            counts[d, SHORT] += length <= short
            final = end - _1
            while is_set(bits, final, TAIL):
                final -= _1
            counts[d, ENDED] += is_set(bits, final, END)
            if _again(hash_line(page.text, i, end), seen, last):
                counts[d, REPEATED] += length
        i = end + _1


@lean
def _again(found: np.uint64, seen: Bits, last: np.uint64) -> bool:
    """Whether the hash was seen before; remembers it."""
    place = found & last
    while seen[place] != _0:
        if seen[place] == found:
            return True
        place = (place + _1) & last
    seen[place] = found
    return False


@lean
def _tokens(page: Page, start: np.uint64, stop: np.uint64) -> np.int64:
    """Words + symbols.

    Letters that follow each other are a word, a symbol is one token, dots in a row are one symbol. Symbols between two letters join
    them: then they do not count, and the letters are one word less.
    """
    bits = page.bits
    total, dots_before, word_before = np.int64(0), _0, _0
    for w in range(start >> _6, (stop + _63) >> _6):
        row, mask = w * KINDS, inside(start, stop, np.uint64(w))
        word, head, symbol = bits[row + WORD], ~bits[row + TAIL] & mask, _symbols(bits, np.uint64(row)) & mask
        dots = equal(page.text, w << _6, 46) & mask
        follows = (word << _1) | word_before
        total += np.int64(ones(word & ~follows & mask) + ones(bits[row + ALONE] & head))
        total += np.int64(ones(symbol & head & ~(dots & ((dots << _1) | dots_before))))
        first = symbol & follows
        next_word = _0 if (w + _1) << _6 >= stop else bits[row + KINDS + WORD] << _63
        joined = first & ((word >> _1) | next_word)  # one byte between two letters
        total -= np.int64(ones(joined)) * 2
        first &= ~joined
        while first:
            total -= _joining(page, (w << _6) + trailing_zeros(first), stop)
            first &= first - _1
        dots_before, word_before = dots >> _63, word >> _63
    return total


@lean
def _symbols(bits: Bits, row: np.uint64) -> np.uint64:
    """Which bytes are neither words nor white space."""
    return np.uint64(bits[row + VISIBLE] & ~(bits[row + WORD] | bits[row + ALONE]))


@lean
def _joining(page: Page, i: np.uint64, stop: np.uint64) -> np.int64:
    """What the symbols from i on, behind a letter, take off: themselves and a word where a letter follows them, else nothing."""
    symbols, first = np.int64(0), i
    while i < stop and is_set(page.bits, i, VISIBLE) and not (is_set(page.bits, i, WORD) or is_set(page.bits, i, ALONE)):
        again = i > first and page.text[i] == 46 and page.text[i - _1] == 46
        symbols += not (again or is_set(page.bits, i, TAIL))
        i += _1
    return symbols + 1 if i < stop and is_set(page.bits, i, WORD) else np.int64(0)
