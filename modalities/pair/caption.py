"""pair.caption: captions that are too short, too long, or stand under too many pictures.

Language is left to text.language, and what a caption says of its picture to pair.clip_score. The same rules in three published forms
are presets; a rule on parts of speech, as COYO has one, would need a tagger for every language.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from ...curator.backends.cpu import lean_kernel, read_only
from ...curator.columns import Bytes, Offsets, buffers, fixed_rows
from ...curator.options import Options, judge
from ...curator.stage import Columns, Filter, Ints, Judgement, Rule, Value, judge_rules
from ..text.exact import ExactText, ExactTextOptions
from ..text.unicode import RUN, SOLO, SPACE, Entries, Index, character, table

_NONE: dict[str, int | None] = dict.fromkeys(("min_words", "max_words", "min_chars", "max_chars", "max_repeats"))
PRESETS: dict[str, dict[str, int | None]] = {
    "datacomp": {**_NONE, "min_words": 3, "min_chars": 6},  # mlfoundations/datacomp 4a8df19, baselines/apply_filter.py: > 2, > 5
    "laion": {**_NONE, "min_chars": 5},  # Schuhmann et al. 2021
    # kakaobrain/coyo-dataset, README.md
    "coyo": {"min_words": 3, "max_words": 256, "min_chars": 6, "max_chars": 1000, "max_repeats": 10},
}

_BETWEEN, _INSIDE, _BEHIND = range(3)  # words, a word, a character that is one (marks that follow it begin none)


class CaptionOptions(Options):
    """How short, how long and how frequent a caption may be."""

    preset: Literal["datacomp", "laion", "coyo"] | None = judge(
        None,
        "Rules as published; options given beside it count. `datacomp`: 3 words and 6 characters at least (its basic filter). `laion`: 5"
        " characters at least (LAION-400M). `coyo`: 3 to 256 words, 6 to 1,000 characters, and no caption of more than 10 pairs.",
    )
    min_words: int | None = judge(3, "Fewest words; null: any.", ge=0)
    max_words: int | None = judge(None, "Most words; null: any.", ge=1)
    min_chars: int | None = judge(6, "Fewest characters (Unicode code points); null: any.", ge=0)
    max_chars: int | None = judge(None, "Most characters; null: any.", ge=1)
    max_repeats: int | None = judge(
        None,
        "Most pairs that may have one caption, of those that reach this stage; all pairs of a more frequent one go (`thumbnail for`). Case"
        " and white space do not count. null: any number.",
        ge=1,
    )

    @model_validator(mode="before")
    @classmethod
    def _by_preset(cls, given: Any) -> Any:
        return {**PRESETS.get(str(given.get("preset")), {}), **given} if isinstance(given, dict) else given


class Caption(Filter):
    """Drop pairs by the length of their caption, and by how many others have the same one.

    Words are what stands between white space, as in DataComp and COYO; in scripts without spaces (Han, Kana, Thai, Lao, Khmer,
    Myanmar) each character is one. Pairs of a caption that more than `max_repeats` have go as `repeated_caption`, after the rules below.
    """

    name: ClassVar[str] = "pair.caption"
    Options: ClassVar[type[Options]] = CaptionOptions
    options: CaptionOptions
    libraries: ClassVar[tuple[str, ...]] = ExactText.libraries
    values: ClassVar[tuple[Value, ...]] = (
        Value("words", pa.int64(), "Words of the caption."),
        Value("chars", pa.int64(), "Characters (Unicode code points) of the caption."),
        Value("hash", pa.binary(16), "blake2b-16 of the lower-cased caption without white space.", working=True),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The caption."""
        return ("text",)

    def rules(self) -> Sequence[Rule]:
        """`too_few_words`, `too_many_words`, `too_short`, `too_long`."""
        return (
            Rule("words", "min", "min_words", "too_few_words"),
            Rule("words", "max", "max_words", "too_many_words"),
            Rule("chars", "min", "min_chars", "too_short"),
            Rule("chars", "max", "max_chars", "too_long"),
        )

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """Words, characters, and what tells one caption from another."""
        caption = batch.column("text")
        offsets, data = buffers(caption)
        words, chars = np.zeros((2, len(caption)), np.int64)
        _count(read_only(data), offsets, *table(), words, chars)
        missing = caption.is_null().to_numpy(zero_copy_only=False)
        same = ExactText(ExactTextOptions.model_validate({"ignore": "case_and_space"})).sketch(batch)
        return {"words": pa.array(words, mask=missing), "chars": pa.array(chars, mask=missing), **same}

    def judge(self, values: pa.Table) -> Judgement:
        """By the rules, then `repeated_caption`: its value is the number of pairs that have the caption."""
        verdict = judge_rules(self.rules(), self.options, values)
        if self.options.max_repeats is not None and values.num_rows:
            known = values.column("hash").is_valid().to_numpy()
            hashes = fixed_rows(values.column("hash").filter(pa.array(known)), "<u8", (2,))
            seen = np.zeros(values.num_rows)
            _, caption, count = np.unique(hashes, axis=0, return_inverse=True, return_counts=True)
            seen[known] = count[caption.reshape(-1)]
            verdict.drop(seen > self.options.max_repeats, "repeated_caption", seen, self.options.max_repeats)
        return verdict


@lean_kernel
def _count(data: Bytes, offsets: Offsets, index: Index, entries: Entries, words: Ints, chars: Ints) -> None:
    """Words and characters of each caption."""
    for d in range(words.size):
        i, end = np.uint64(offsets[d]), np.uint64(offsets[d + 1])
        place = _BETWEEN
        while i < end:
            _, kind, length = character(data, i, end, index, entries)
            i += length
            chars[d] += 1
            if kind & SPACE:
                place = _BETWEEN
            elif kind & SOLO:
                words[d] += 1
                place = _BEHIND
            elif place == _BETWEEN or (place == _BEHIND and kind & RUN):
                words[d] += 1
                place = _INSIDE
