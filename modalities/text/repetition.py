"""text.quality.repetition: Gopher's rules on repetition (Rae et al. 2021, table A1), as five implementations read them.

The paper leaves open what a word is, what a repeated n-gram's characters are and what they are divided by; published
data sets rest on one reading each, so a recipe names it. On `the cat sat on the mat the cat sat on the mat` the share
of characters in repeated 5-grams is .31, .49, .50 or 1. Of 623 English pages of manuals that were not looked at while words were
defined, 99.5 % get datatrove 0.10.1's verdict (99.9 % of the 700 that were).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.options import Options, VariantOptions, judge, measure
from ...curator.stage import Columns, Filter, Ints, Rule, Value
from .ngrams import AGAIN, GREEDY, MARKED, OCCURRENCES, TIE_FIRST, TIE_LONGEST
from .repetition_kernel import (
    DUPLICATE,
    DUPLICATE_GRAMS,
    LINES,
    PARAGRAPHS,
    TEXT_CHARS,
    TOP,
    TOP_GRAMS,
    WORD_CHARS,
    WORDS,
    Style,
    repetitions,
)
from .rpv2 import normalised
from .segments import EACH, NOT_BLANK, RUNS, STRIPPED, Repeated
from .words import SEGMENTS, SPLIT, TOKENS

Variant = Literal["datatrove", "dclm", "dolma", "nemo", "rpv2"]
_STYLES = {
    "datatrove": Style(TOKENS, TIE_FIRST, GREEDY, RUNS, RUNS, strip=1, replace=0),
    "dclm": Style(SEGMENTS, TIE_LONGEST, MARKED, STRIPPED, STRIPPED, strip=0, replace=0),
    "dolma": Style(SPLIT, TIE_FIRST, OCCURRENCES, RUNS, RUNS, strip=0, replace=0),
    "nemo": Style(SPLIT, TIE_FIRST, AGAIN, NOT_BLANK, EACH, strip=0, replace=1),
    "rpv2": Style(SPLIT, TIE_FIRST, MARKED, RUNS, RUNS, strip=0, replace=0),
}
# options on values that a variant does not have
_PARAGRAPHS = ("max_duplicate_paragraphs", "max_duplicate_paragraph_chars")
_WITHOUT = {"dolma": _PARAGRAPHS, "rpv2": ("max_duplicate_lines", "max_duplicate_line_chars", *_PARAGRAPHS)}


def _share(share: float, what: str, but: str = "") -> float | None:
    limit: float | None = judge(share, f"Greatest {what}; null: no rule{but}.", ge=0)
    return limit


class RepetitionOptions(VariantOptions):
    """Options of text.quality.repetition. The shares are those of Gopher's table A1; null switches a rule off."""

    without = _WITHOUT

    variant: Variant = measure(
        "datatrove",
        "Whose reading of the rules: datatrove 0.10 (FineWeb), dclm (DCLM-Baseline), dolma 1.2 (gopher_v2), nemo (NeMo Curator 1.4),"
        " rpv2 (RedPajama-V2). What a value then means stands with the values.",
    )
    max_duplicate_lines: float | None = _share(0.3, "share of lines that repeat", "; not for rpv2")
    max_duplicate_paragraphs: float | None = _share(0.3, "share of paragraphs that repeat", "; not for dolma and rpv2")
    max_duplicate_line_chars: float | None = _share(0.2, "share of characters in lines that repeat", "; not for rpv2")
    max_duplicate_paragraph_chars: float | None = _share(0.2, "share of characters in paragraphs that repeat", "; not for dolma and rpv2")
    max_top_2gram: float | None = _share(0.2, "share of characters in the most frequent pair of words")
    max_top_3gram: float | None = _share(0.18, "share of characters in the most frequent 3-gram of words")
    max_top_4gram: float | None = _share(0.16, "share of characters in the most frequent 4-gram of words")
    max_duplicate_5grams: float | None = _share(0.15, "share of characters in repeated 5-grams of words")
    max_duplicate_6grams: float | None = _share(0.14, "share of characters in repeated 6-grams of words")
    max_duplicate_7grams: float | None = _share(0.13, "share of characters in repeated 7-grams of words")
    max_duplicate_8grams: float | None = _share(0.12, "share of characters in repeated 8-grams of words")
    max_duplicate_9grams: float | None = _share(0.11, "share of characters in repeated 9-grams of words")
    max_duplicate_10grams: float | None = _share(0.1, "share of characters in repeated 10-grams of words")


_TOP_DOC = (
    "t = the most frequent {n}-gram, c = how often it occurs. datatrove: c * characters of t with spaces / characters of the text, also"
    " where c is 1. dolma: c * characters of t without spaces / characters of all words, also where c is 1. rpv2: the same, 0 where"
    " c is 1. dclm: the same, the longest of equally frequent ones. nemo: characters that go when t is replaced by nothing in the text /"
    " characters of the text; 1 with fewer than {n} words. Null without a {n}-gram, but for nemo."
)
_DUPLICATE_DOC = (
    "datatrove: from left to right, characters (without spaces) of {n}-grams that were met before, {n} words being jumped over after each /"
    " characters of the text. dclm, rpv2: characters of words that lie in some repeated {n}-gram / characters of all words. dolma:"
    " characters of all occurrences of repeated {n}-grams / characters of all {n}-grams. nemo: characters of second and later occurrences,"
    " each word once, with spaces / characters of the text; 1 with fewer than {n} words. Null without a {n}-gram, but for nemo."
)
_LINES_DOC = (
    "datatrove: lines equal to an earlier one / lines, which runs of line feeds separate. dclm: lines that occur more than once / lines,"
    " white space around them taken off, empty ones left out. dolma: lines that occur more than once / lines, which runs of line feeds"
    " separate. nemo: lines equal to an earlier one / lines that are not blank. Null for rpv2, and without a line."
)
_PARAGRAPHS_DOC = (
    "As `duplicate_lines`, for paragraphs. datatrove: what two line feeds or more separate, white space around the text taken off. dclm,"
    " nemo: what two line feeds separate, for nemo also where nothing lies between. Null for dolma and rpv2."
)
_CHARS_DOC = (
    "Characters of the {0} that repeat, as counted above / characters of the text for datatrove, of all words for dolma, else of all {0}."
    " Null where that value is."
)


class Repetition(Filter):
    """Gopher's rules on repetition (Rae et al. 2021, table A1).

    Words by variant: datatrove: words and symbols of text.quality.gopher, in place of spaCy's tokens. dclm: what lies between
    Unicode's word boundaries and begins with a letter or number, without their tables. dolma, nemo: what stands between white
    space. rpv2: the same, after ASCII punctuation is taken out and the text is lower-cased and decomposed (NFD). A Han, Kana, Thai,
    Lao, Khmer or Myanmar character is a word of its own for datatrove and dclm. n-grams are compared word by word, by 64-bit hashes
    (datatrove joins the words of its 5- to 10-grams without spaces, so that `ab c` equals `a bc` there); of equally frequent ones
    the first counts (nemo draws one).
    """

    name: ClassVar[str] = "text.quality.repetition"
    Options: ClassVar[type[Options]] = RepetitionOptions
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    values: ClassVar[tuple[Value, ...]] = (
        Value("duplicate_lines", pa.float64(), _LINES_DOC),
        Value("duplicate_paragraphs", pa.float64(), _PARAGRAPHS_DOC),
        Value("duplicate_line_chars", pa.float64(), _CHARS_DOC.format("lines")),
        Value("duplicate_paragraph_chars", pa.float64(), _CHARS_DOC.format("paragraphs")),
        *(Value(f"top_{n}gram", pa.float64(), _TOP_DOC.format(n=n)) for n in TOP),
        *(Value(f"duplicate_{n}grams", pa.float64(), _DUPLICATE_DOC.format(n=n)) for n in DUPLICATE),
    )
    options: RepetitionOptions

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def rules(self) -> Sequence[Rule]:
        """Every value has its greatest share."""
        return tuple(
            Rule(value.name, "max", f"max_{value.name}", f"repeated_{value.name.removeprefix('duplicate_')}") for value in self.values
        )

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """The shares of each text."""
        variant = self.options.variant
        text = batch.column("text")
        rows = repetitions(normalised(text) if variant == "rpv2" else text, _STYLES[variant])
        shares = {**_segment_shares(variant, rows), **_gram_shares(variant, rows)}
        return {value.name: shares[value.name] for value in self.values}


def _segment_shares(variant: Variant, rows: Ints) -> Columns:
    found = {}
    for name, first in (("line", LINES), ("paragraph", PARAGRAPHS)):
        counts = dict(zip(Repeated._fields, rows[:, first : first + len(Repeated._fields)].T, strict=True))
        which = "copied" if variant in ("dclm", "dolma") else "again"
        whole = {"datatrove": rows[:, TEXT_CHARS], "dolma": np.maximum(rows[:, WORD_CHARS], 1)}.get(variant, counts["all_chars"])
        measured = f"max_duplicate_{name}s" not in _WITHOUT.get(variant, ())
        found[f"duplicate_{name}s"] = _ratio(counts[which], counts["all"], measured)
        found[f"duplicate_{name}_chars"] = _ratio(counts[f"{which}_chars"], whole, measured)
    return found


def _gram_shares(variant: Variant, rows: Ints) -> Columns:
    text_chars, words, word_chars = rows[:, TEXT_CHARS], rows[:, WORDS], rows[:, WORD_CHARS]
    whole = text_chars if variant in ("datatrove", "nemo") else word_chars
    found = {}
    for n in TOP:
        count, chars, replaced = rows[:, TOP_GRAMS + 3 * (n - 2) : TOP_GRAMS + 3 * (n - 1)].T
        if variant in ("rpv2", "dclm"):
            count = np.where(count > 1, count, 0)
        top = replaced if variant == "nemo" else count * (chars + (n - 1) * (variant == "datatrove"))
        found[f"top_{n}gram"] = _ratio(top, whole, words >= n, variant == "nemo")
    for n in DUPLICATE:
        chars, all_chars = rows[:, DUPLICATE_GRAMS + 2 * (n - 5) : DUPLICATE_GRAMS + 2 * (n - 4)].T
        found[f"duplicate_{n}grams"] = _ratio(chars, all_chars if variant == "dolma" else whole, words >= n, variant == "nemo")
    return found


def _ratio(part: Ints, whole: Ints, measured: npt.NDArray[np.bool_] | bool, one_where_not: bool = False) -> pa.Array:
    """part / whole; where it was not measured, or there is nothing to divide by: null, or 1."""
    missing = (whole == 0) | np.logical_not(measured)
    shares = part / np.maximum(whole, 1)
    return pa.array(np.where(missing, 1.0, shares)) if one_where_not else pa.array(shares, pa.float64(), mask=missing)
