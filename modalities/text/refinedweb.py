"""text.quality.refinedweb: the line-wise corrections of RefinedWeb (Penedo et al. 2023, appendix G.2).

The paper gives no code. The definitions are those of DCLM's replica (baselines_configs/dclm_baseline_refinedweb.yaml), which names
its patterns and limits, with the order of its rules. Its list of patterns is English; a longer one would not be RefinedWeb's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.options import Options, judge, measure
from ...curator.stage import Rule, Transform, Value
from .edited import edited
from .refinedweb_kernel import BEFORE, CAPITALS, CHARS, COUNTER, DIGITS, FEW_WORDS, PATTERN, REMOVED, Corrections, correct_lines


class RefinedWebOptions(Options):
    """Options of text.quality.refinedweb; null switches a rule off."""

    max_capitals: float | None = measure(0.5, "Greatest share of capitals among the characters of a line, or it goes.", ge=0, le=1)
    max_digits: float | None = measure(
        0.999999, "Greatest share of digits among the characters of a line, or it goes: lines of digits only.", ge=0, le=1
    )
    counters: bool = measure(
        True,
        "Take out lines such as `3 likes` or `1.2K views`: a number and one of likes, shares, comments, retweets, reposts, quotes,"
        " bookmarks, upvotes, downvotes, downloads, views, followers, with marks around.",
    )
    min_words_per_line: int | None = measure(2, "Fewest words of a line, or it goes.", ge=0)
    patterns: bool = measure(
        True,
        "Take out `items in cart`, `read more` with three characters at the end of a line (`Read more...`), and `sign-in` at its start.",
    )
    max_pattern_words: int = measure(10, "Most words of a line in which patterns are looked for.", ge=0)
    max_removed_words: float | None = judge(0.05, "Greatest share of a text's words that may go, or the text goes.", ge=0, le=1)


class RefinedWeb(Transform):
    """Take out or shorten lines that are no content, and refuse texts that lose much by it (Penedo et al. 2023).

    Lines are what U+000A separates. In this order, lines go that are mostly capitals, digits only, counters, or of one word; then patterns
    are taken out of short lines, and a line of which nothing is left goes. Empty lines stay, lines of white space alone go uncounted.
    White space around the text is taken off, also between the rules. A text of which nothing is left is refused as `empty`.

    Words of a line are what white space separates; each Han, Kana, Thai, Lao, Khmer or Myanmar character is one, where DCLM sees one word a
    line and takes it out. Those scripts have no capitals; their digits are digits.
    """

    name: ClassVar[str] = "text.quality.refinedweb"
    Options: ClassVar[type[Options]] = RefinedWebOptions
    options: RefinedWebOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("capitals", pa.int64(), "Number of lines taken out for a share of capitals above `max_capitals`.", total=True),
        Value("digits", pa.int64(), "Number of lines taken out for a share of digits (str.isdigit) above `max_digits`.", total=True),
        Value("counters", pa.int64(), "Number of lines taken out for being counters.", total=True),
        Value("too_few_words", pa.int64(), "Number of lines taken out for having fewer words than `min_words_per_line`.", total=True),
        Value("patterns", pa.int64(), "Number of lines from which a pattern was taken out, or that went with it.", total=True),
        Value(
            "removed_words",
            pa.float64(),
            "(Words before - words after) / words before; 1 for a text without words. Words are what ASCII white space and U+0000 separate"
            " (fastText's), or characters of scripts without spaces, that begin with a letter or a number.",
        ),
        Value("edited_chars", pa.int64(), "Characters (Unicode code points) as read minus characters of the text that stays."),
    )
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def rules(self) -> Sequence[Rule]:
        """`too_many_words_removed`: more than `max_removed_words`."""
        return (Rule("removed_words", "max", "max_removed_words", "too_many_words_removed"),)

    def change(self, batch: pa.RecordBatch, wanted: frozenset[str]) -> pa.RecordBatch:
        """The batch with corrected texts and the values; a text left empty becomes null, with the reason `empty`."""
        options = self.options
        rules = Corrections(
            max_capitals=2.0 if options.max_capitals is None else options.max_capitals,
            max_digits=2.0 if options.max_digits is None else options.max_digits,
            counters=options.counters,
            min_words=options.min_words_per_line or 0,
            patterns=options.patterns,
            pattern_words=options.max_pattern_words,
        )
        text, counts = correct_lines(batch.column("text"), rules)
        before = counts[:, BEFORE]
        measured = {
            "capitals": counts[:, CAPITALS],
            "digits": counts[:, DIGITS],
            "counters": counts[:, COUNTER],
            "too_few_words": counts[:, FEW_WORDS],
            "patterns": counts[:, PATTERN],
            "removed_words": np.where(before, counts[:, REMOVED] / np.maximum(before, 1), 1.0),
        }
        return edited(batch, pc.utf8_trim_whitespace(text), measured, counts[:, CHARS])
