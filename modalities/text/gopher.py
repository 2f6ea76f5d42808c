"""text.quality.gopher: the document rules of Gopher (Rae et al. 2021, table A1), as five implementations read them.

Words need no tokeniser model: datatrove's are spaCy's, whose English rules on symbols are restated. Of 623 English pages
of manuals that were not looked at while doing so, 99.7 % get datatrove 0.10.1's verdict (99.3 % of the 700 that were).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from ...curator.options import Options, VariantOptions, judge, measure
from ...curator.stage import Columns, Filter, Ints, Rule, Value
from .gopher_kernel import (
    ALL,
    BULLETS,
    DATATROVE,
    DCLM,
    DOLMA,
    ELLIPSES,
    HASHES,
    LETTERED,
    LINES,
    MEDIAN_TWICE,
    NEMO,
    RPV2,
    SPACED_ELLIPSES,
    STOP_WORDS,
    STOPS,
    STOPS_FOUND,
    SYMBOL_WORDS,
    TRAILING,
    WORD_CHARS,
    WORDS,
    gopher_counts,
)
from .padded import lay_out
from .rpv2 import normalised
from .words import SPLIT

# options on values that a variant does not have
_ONLY_DATATROVE = ("max_hashes_per_word", "max_ellipses_per_word")
_WITHOUT = {
    "datatrove": ("max_symbols_per_word",),
    "rpv2": (*_ONLY_DATATROVE, "min_stop_words"),
    **dict.fromkeys(("dclm", "dolma", "nemo"), _ONLY_DATATROVE),
}
_VARIANTS = {"datatrove": DATATROVE, "dclm": DCLM, "dolma": DOLMA, "nemo": NEMO, "rpv2": RPV2}


class GopherOptions(VariantOptions):
    """Options of text.quality.gopher; null switches a rule off."""

    without = _WITHOUT

    variant: Literal["datatrove", "dclm", "dolma", "nemo", "rpv2"] = measure(
        "datatrove",
        "Whose reading of the rules: datatrove 0.10 (FineWeb), dclm (DCLM-Baseline), dolma 1.2 (gopher_v2), nemo (NeMo Curator 1.4),"
        " rpv2 (RedPajama-V2). What a value then means stands with the values.",
    )
    min_words: int | None = judge(50, "Least number of words.", ge=0)
    max_words: int | None = judge(100_000, "Greatest number of words.", ge=0)
    min_mean_word_length: float | None = judge(3, "Least mean length of words, in characters; null for Chinese, Japanese, Thai.", ge=0)
    max_mean_word_length: float | None = judge(10, "Greatest mean length of words, in characters.", ge=0)
    max_hashes_per_word: float | None = judge(0.1, "Greatest number of # for each word or symbol; datatrove only.", ge=0)
    max_ellipses_per_word: float | None = judge(0.1, "Greatest number of ... and … for each word or symbol; datatrove only.", ge=0)
    max_symbols_per_word: float | None = judge(0.1, "Greatest number of # and ellipses together for each word; not for datatrove.", ge=0)
    max_bullet_lines: float | None = judge(0.9, "Greatest share of lines that begin with a bullet.", ge=0, le=1)
    max_ellipsis_lines: float | None = judge(0.3, "Greatest share of lines that end with an ellipsis.", ge=0, le=1)
    min_alpha_words: float | None = judge(0.8, "Least share of words (datatrove, rpv2: and symbols) that have a letter.", ge=0, le=1)
    min_stop_words: int | None = judge(
        2,
        f"Least number of words among {', '.join(STOP_WORDS)} (datatrove: of different ones); null for languages other than English;"
        " not for rpv2.",
        ge=0,
    )


class GopherQuality(Filter):
    """Gopher's quality rules (Rae et al. 2021, table A1).

    Words of datatrove, in place of spaCy's tokens: of a run of characters without white space, symbols come off in front and behind
    (- / \\ @ | ~ ^ stay, in front a single dot too, behind = and +; dots in a row are one), and what is left is one token, divided
    where spaCy's English rules do: at - ~ – — , between letters, : / < = > before a letter, - * + ^ between numbers, a dot between a
    small and a capital letter, two dots or more, …. A token with a letter, mark or number is a word (`don't`, `3.14`, `--all`), any
    other a symbol. A Han, Kana, Thai, Lao, Khmer or Myanmar character is a word of its own and ends the run. Lines are those of
    `str.splitlines`, stripped of white space before they are looked at.

    dclm, dolma and nemo split at white space (dclm counts its words at Unicode's word boundaries, those that begin with a letter or
    number), rpv2 splits at white space after ASCII punctuation is taken out and the text is lower-cased and decomposed; its ratios
    refer to NLTK's WordPunct tokens (`\\w+|[^\\w\\s]+`). Their lines end at line feeds: stripped and without empty ones for
    dclm and nemo, runs of line feeds being one for dolma, as they are for rpv2.
    """

    name: ClassVar[str] = "text.quality.gopher"
    version: ClassVar[int] = 2
    Options: ClassVar[type[Options]] = GopherOptions
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    options: GopherOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("words", pa.int64(), "Number of words, as above; symbols are none."),
        Value("mean_word_length", pa.float64(), "Characters in words / words; dolma: the median; null without words."),
        Value("hashes_per_word", pa.float64(), "datatrove: number of # / (words + symbols); null without either. Null for the others."),
        Value("ellipses_per_word", pa.float64(), "datatrove: number of ... (no overlaps) and … / (words + symbols). Null for the others."),
        Value(
            "symbols_per_word",
            pa.float64(),
            "dclm: number of #, ..., `. . .` and … / words split at white space. dolma: words with # or … / words. nemo: words that are"
            " an ellipsis (... … [...] (...) […] -»), or of more than half #, / words. rpv2: number of #, ... and … / tokens. Null for"
            " datatrove.",
        ),
        Value(
            "bullet_lines",
            pa.float64(),
            "Lines that begin with a bullet / lines; null without lines. Bullets: datatrove • -, dclm ● • * -, dolma * -, nemo twelve marks"
            " (• ‣ ⁃ ⁌ ⁍ ∙ ○ ● ◘ ◦ ⦾ ⦿), rpv2 ten (• ‣ ▶ ◀ ◦ ■ □ ▪ ▫ –).",
        ),
        Value(
            "ellipsis_lines",
            pa.float64(),
            "Lines that end with an ellipsis / lines; null without lines. datatrove and rpv2: ... or …; dclm also `. . .`; dolma: … alone;"
            " nemo also [...] (...) […] -» and `read more` in any case.",
        ),
        Value(
            "alpha_words",
            pa.float64(),
            "Words with a letter (rpv2: a to z, in any case) / words (datatrove, rpv2: and symbols); null without any.",
        ),
        Value(
            "stop_words",
            pa.int64(),
            f"How many of {', '.join(STOP_WORDS)} occur as words, in small letters; dolma, nemo: how often they do; dclm: in any case."
            " Null for rpv2, which counts another list.",
        ),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """Counts of each text, and their ratios."""
        text, variant = batch.column("text"), _VARIANTS[self.options.variant]
        rows = gopher_counts(text, variant)
        if variant == RPV2:
            counted = lay_out(normalised(text)).words(SPLIT)
            rows[:, WORDS], rows[:, WORD_CHARS] = np.diff(counted.offsets), np.diff(counted.chars[counted.offsets].astype(np.int64))
        return _values(rows, variant)

    def rules(self) -> Sequence[Rule]:
        """In datatrove's order."""
        return (
            Rule("words", "min", "min_words", "too_few_words"),
            Rule("words", "max", "max_words", "too_many_words"),
            Rule("mean_word_length", "min", "min_mean_word_length", "words_too_short"),
            Rule("mean_word_length", "max", "max_mean_word_length", "words_too_long"),
            Rule("hashes_per_word", "max", "max_hashes_per_word", "too_many_hashes"),
            Rule("ellipses_per_word", "max", "max_ellipses_per_word", "too_many_ellipses"),
            Rule("symbols_per_word", "max", "max_symbols_per_word", "too_many_symbols"),
            Rule("bullet_lines", "max", "max_bullet_lines", "too_many_bullet_lines"),
            Rule("ellipsis_lines", "max", "max_ellipsis_lines", "too_many_ellipsis_lines"),
            Rule("alpha_words", "min", "min_alpha_words", "too_few_alpha_words"),
            Rule("stop_words", "min", "min_stop_words", "too_few_stop_words"),
        )


def _values(rows: Ints, variant: int) -> Columns:
    """The stage's values from the kernel's counts."""
    every, words, lines = rows[:, ALL], rows[:, WORDS], rows[:, LINES]
    of_datatrove, nothing = variant == DATATROVE, np.zeros(len(rows), np.int64)
    symbols = rows[:, HASHES] + rows[:, ELLIPSES] + rows[:, SPACED_ELLIPSES] if variant in (DCLM, RPV2) else rows[:, SYMBOL_WORDS]
    characters, counted = rows[:, WORD_CHARS], every if variant == DCLM else words
    if variant == DOLMA:
        characters, counted = rows[:, MEDIAN_TWICE], np.where(words > 0, 2, 0)
    stops = np.bitwise_count(rows[:, STOPS_FOUND]).astype(np.int64) if of_datatrove else rows[:, STOPS]
    return {
        "words": pa.array(words),
        "mean_word_length": _ratio(characters, counted),
        "hashes_per_word": _ratio(rows[:, HASHES], every if of_datatrove else nothing),
        "ellipses_per_word": _ratio(rows[:, ELLIPSES], every if of_datatrove else nothing),
        "symbols_per_word": _ratio(symbols, nothing if of_datatrove else every),
        "bullet_lines": _ratio(rows[:, BULLETS], lines),
        "ellipsis_lines": _ratio(rows[:, TRAILING], lines),
        "alpha_words": _ratio(rows[:, LETTERED], every),
        "stop_words": pa.array(stops, mask=np.full(len(rows), variant == RPV2)),
    }


def _ratio(part: Ints, whole: Ints) -> pa.Array:
    return pa.array(part / np.maximum(whole, 1), pa.float64(), mask=whole == 0)
