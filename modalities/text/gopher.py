"""text.quality.gopher: the document rules of Gopher (Rae et al. 2021, table A1), in datatrove's reading.

One pass over the bytes, with words that need no tokeniser model. datatrove counts spaCy's words, which differ by
language and version. The definition of a word was chosen, among a dozen, on 1,051 English, German, French and
Spanish pages close to the rule on letters; on those same pages 94-97 % get datatrove 0.10.1's verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import kernel, part, read_only
from ...curator.columns import Bytes, Offsets, buffers
from ...curator.stage import Columns, Filter, Ints, Options, Rule, Value, judge
from .tokens import bytes_below, load8
from .unicode import BREAK, LETTER, RUN, SOLO, SPACE, Entries, Index, decode, entry, table

_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_STOP = np.array([int.from_bytes(word.encode(), "little") for word in _STOP_WORDS], np.uint64)


class GopherOptions(Options):
    """Options of text.quality.gopher; null switches a rule off."""

    min_words: int | None = judge(50, "Least number of words.", ge=0)
    max_words: int | None = judge(100_000, "Greatest number of words.", ge=0)
    min_mean_word_length: float | None = judge(3, "Least mean length of words, in characters; null for Chinese, Japanese, Thai.", ge=0)
    max_mean_word_length: float | None = judge(10, "Greatest mean length of words, in characters.", ge=0)
    max_hashes_per_word: float | None = judge(0.1, "Greatest number of # for each word or symbol.", ge=0)
    max_ellipses_per_word: float | None = judge(0.1, "Greatest number of ... and … for each word or symbol.", ge=0)
    max_bullet_lines: float | None = judge(0.9, "Greatest share of lines that begin with • or -.", ge=0, le=1)
    max_ellipsis_lines: float | None = judge(0.3, "Greatest share of lines that end with ... or ….", ge=0, le=1)
    min_alpha_words: float | None = judge(0.8, "Least share of words and symbols that have a letter.", ge=0, le=1)
    min_stop_words: int | None = judge(
        2,
        f"Least number of different words among {', '.join(_STOP_WORDS)}; null for languages other than English.",
        ge=0,
        le=len(_STOP_WORDS),
    )


class GopherQuality(Filter):
    """Gopher's quality rules.

    A word begins with the first and ends with the last letter, mark or number in a run of characters without
    white space (`don't`, `e.g`, `a/b` are one word each); a Han, Kana, Thai, Lao, Khmer or Myanmar character is a word of
    its own and ends the run. Every other character that is not white space and not inside a word is a symbol; dots in a row are
    one. Lines are those of `str.splitlines`, stripped of white space before they are looked at.
    """

    name: ClassVar[str] = "text.quality.gopher"
    Options: ClassVar[type[Options]] = GopherOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("words", pa.int64(), "Number of words: runs of letters, marks and numbers with what joins them; a Chinese character is one."),
        Value("mean_word_length", pa.float64(), "Characters in words / words; null without words."),
        Value("hashes_per_word", pa.float64(), "Number of # / (words + symbols); null without either."),
        Value("ellipses_per_word", pa.float64(), "Number of ... (not overlapping) and … / (words + symbols); null without either."),
        Value("bullet_lines", pa.float64(), "Lines that begin with • or - / lines; null without lines."),
        Value("ellipsis_lines", pa.float64(), "Lines that end with ... or … / lines; null without lines."),
        Value("alpha_words", pa.float64(), "Words with at least one letter / (words + symbols); null without either."),
        Value("stop_words", pa.int64(), f"How many of {', '.join(_STOP_WORDS)} occur as words, in small letters."),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """Counts of each text, and their ratios."""
        words, characters, symbols, hashes, ellipses, alpha, lines, bullets, trailing, stops = count(batch.column("text")).T
        return {
            "words": pa.array(words),
            "mean_word_length": _ratio(characters, words),
            "hashes_per_word": _ratio(hashes, words + symbols),
            "ellipses_per_word": _ratio(ellipses, words + symbols),
            "bullet_lines": _ratio(bullets, lines),
            "ellipsis_lines": _ratio(trailing, lines),
            "alpha_words": _ratio(alpha, words + symbols),
            "stop_words": pa.array(np.bitwise_count(stops).astype(np.int64)),
        }

    def rules(self) -> Sequence[Rule]:
        """In datatrove's order."""
        return (
            Rule("words", "min", "min_words", "too_few_words"),
            Rule("words", "max", "max_words", "too_many_words"),
            Rule("mean_word_length", "min", "min_mean_word_length", "words_too_short"),
            Rule("mean_word_length", "max", "max_mean_word_length", "words_too_long"),
            Rule("hashes_per_word", "max", "max_hashes_per_word", "too_many_hashes"),
            Rule("ellipses_per_word", "max", "max_ellipses_per_word", "too_many_ellipses"),
            Rule("bullet_lines", "max", "max_bullet_lines", "too_many_bullet_lines"),
            Rule("ellipsis_lines", "max", "max_ellipsis_lines", "too_many_ellipsis_lines"),
            Rule("alpha_words", "min", "min_alpha_words", "too_few_alpha_words"),
            Rule("stop_words", "min", "min_stop_words", "too_few_stop_words"),
        )


def _ratio(part: Ints, whole: Ints) -> pa.Array:
    return pa.array(part / np.maximum(whole, 1), pa.float64(), mask=whole == 0)


WORDS, CHARACTERS, SYMBOLS, HASHES, ELLIPSES, ALPHA, LINES, BULLETS, TRAILING, STOPS = range(10)


def count(texts: pa.Array) -> Ints:
    """(n, 10) int64: what each text has of WORDS, CHARACTERS in words, SYMBOLS and so on; STOPS has one bit a stop word found."""
    offsets, data = buffers(texts)
    counts = np.zeros((len(offsets) - 1, 10), np.int64)
    _count(read_only(data), offsets, *table(), counts)
    return counts


_ZERO, _ONE = np.int64(0), np.int64(1)
_0, _1, _2, _3, _4, _8 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 8))
_HIGH = np.uint64(0x8080808080808080)
_SMALL = np.uint64(0x2020202020202020)
_AT_LEAST_A = np.uint64((0x80 - ord("a")) * 0x0101010101010101)
_ABOVE_Z = np.uint64((0x7F - ord("z")) * 0x0101010101010101)
_AT_LEAST_0 = np.uint64((0x80 - ord("0")) * 0x0101010101010101)
_ABOVE_9 = np.uint64((0x7F - ord("9")) * 0x0101010101010101)
_HASH, _DOT, _DASH, _CARRIAGE_RETURN, _NEW_LINE = (ord(c) for c in "#.-\r\n")
_BULLET, _ELLIPSIS = 0x2022, 0x2026


class _Word(NamedTuple):
    """The word that is open.

    open             whether there is one; without one, nothing else counts
    first, behind    its first byte, and the byte behind its last letter, mark or number
    length           its characters
    letter           whether one of them is a letter
    held             symbols since then, which are part of it if it goes on; dots in a row are one
    held_characters  characters of those
    """

    open: bool
    first: np.uint64
    behind: np.uint64
    length: np.int64
    letter: bool
    held: np.int64
    held_characters: np.int64


@kernel
def _count(data: Bytes, offsets: Offsets, index: Index, entries: Entries, counts: Ints) -> None:
    for d in range(offsets.size - 1):
        _count_document(data, np.uint64(offsets[d]), np.uint64(offsets[d + 1]), index, entries, counts[d])


@part
def _count_document(data: Bytes, i: np.uint64, end: np.uint64, index: Index, entries: Entries, row: Ints) -> None:
    line, behind, blank = i, i, True  # the line's first byte, the byte behind its last visible character, none seen yet
    word = _Word(False, i, i, _ZERO, False, _ZERO, _ZERO)
    while i < end:
        size, letters = _ascii_run(data, i, end)
        if size:
            word = _extend(word, i, i + size, np.int64(size), letters)
            i += size
            behind, blank = i, False
            if size == _8:
                continue
        code, length = decode(data, i, end) if data[i] >= 0x80 else (np.uint32(data[i]), _1)
        properties = entry(code, index, entries)
        if properties & SPACE:
            word = _close(data, row, word)
            i += length
            if properties & BREAK:
                if code == _CARRIAGE_RETURN and i < end and data[i] == _NEW_LINE:
                    i += _1
                _end_line(data, line, behind, row)
                line, behind, blank = i, i, True
            continue
        if blank:
            row[BULLETS] += code in (_DASH, _BULLET)
            blank = False
        if properties & RUN:
            word = _extend(word, i, i + length, _ONE, properties & LETTER != 0)
            i += length
        elif properties & SOLO:
            word = _close(data, row, word)
            word = _close(data, row, _extend(word, i, i + length, _ONE, properties & LETTER != 0))
            i += length
        else:
            i, word = _symbol(data, i, end, code, length, row, word)
        behind = i
    _close(data, row, word)
    if line < end:
        _end_line(data, line, behind, row)


@part
def _ascii_run(data: Bytes, i: np.uint64, end: np.uint64) -> tuple[np.uint64, bool]:
    """(number of ASCII letters and digits at data[i], up to 8; whether a letter is among them); 0 near the end."""
    if i + _8 > end:
        return np.uint64(0), False
    text = load8(data, i)
    plain = text & ~_HIGH
    small = plain | _SMALL
    letter = (small + _AT_LEAST_A) & ~(small + _ABOVE_Z) & ~text & _HIGH
    digit = (plain + _AT_LEAST_0) & ~(plain + _ABOVE_9) & ~text & _HIGH
    below, size = bytes_below(~(letter | digit) & _HIGH)
    return size, letter & below != 0


@part
def _extend(word: _Word, i: np.uint64, behind: np.uint64, characters: np.int64, letter: bool) -> _Word:
    """Open a word, or go on with the one that is open and take in the symbols held since."""
    if word.open:
        return _Word(True, word.first, behind, word.length + word.held_characters + characters, word.letter or letter, _ZERO, _ZERO)
    return _Word(True, i, behind, characters, letter, _ZERO, _ZERO)


@part
def _close(data: Bytes, row: Ints, word: _Word) -> _Word:
    """Count the open word, and the symbols behind it."""
    if word.open:
        row[WORDS] += 1
        row[CHARACTERS] += word.length
        row[ALPHA] += word.letter
        row[SYMBOLS] += word.held
        size = word.behind - word.first
        if size in (_2, _3, _4):
            letters = np.uint64(0)
            for k in range(_0, size):
                letters |= np.uint64(data[word.first + k]) << (_8 * k)
            for k in range(_STOP.size):
                if letters == _STOP[k]:
                    row[STOPS] |= 1 << k
    return _Word(False, word.first, word.behind, _ZERO, False, _ZERO, _ZERO)


@part
def _symbol(
    data: Bytes, i: np.uint64, end: np.uint64, code: np.uint32, length: np.uint64, row: Ints, word: _Word
) -> tuple[np.uint64, _Word]:
    """Count one symbol, or dots in a row; returns the place behind it."""
    characters = _ONE
    i += length
    if code == _DOT:
        while i < end and data[i] == _DOT:
            i += _1
            characters += _ONE
        row[ELLIPSES] += characters // 3
    elif code == _HASH:
        row[HASHES] += 1
    elif code == _ELLIPSIS:
        row[ELLIPSES] += 1
    if not word.open:
        row[SYMBOLS] += 1
        return i, word
    return i, _Word(True, word.first, word.behind, word.length, word.letter, word.held + _ONE, word.held_characters + characters)


@part
def _end_line(data: Bytes, line: np.uint64, behind: np.uint64, row: Ints) -> None:
    row[LINES] += 1
    if behind >= line + _3:
        a, b, c = data[behind - _3], data[behind - _2], data[behind - _1]
        row[TRAILING] += (a == _DOT and b == _DOT and c == _DOT) or (a == 0xE2 and b == 0x80 and c == 0xA6)
