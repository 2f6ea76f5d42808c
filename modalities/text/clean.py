"""text.clean: one way to write a text. What carries meaning stays: case, indentation, tables, zero-width joiners.

Like ftfy's last steps (line breaks, control characters, NFC), without its guesses about mojibake. All steps are
Arrow kernels over the texts in which a quick look finds anything; cleaning twice gives what cleaning once gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.options import Options, judge, measure
from ...curator.stage import Bools, Rule, Transform, Value
from .clean_kernel import may_change
from .normalise import normalise, rewrite
from .padded import lay_out

_LINE_ENDS = r"\r\n?|[\v\f\x{85}\x{2028}\x{2029}]"
_CONTROLS = r"[\x00-\x08\x0e-\x1f\x7f-\x{9f}\x{feff}]"
_LOOSE = r"[\t\p{Zs}]\n|\n\n\n"
_BLANKS = r"\t\x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}"  # the tab and Zs, but for the space


class CleanOptions(Options):
    """What text.clean may change, and how short a text may end up."""

    unicode: Literal["NFC", "NFKC", "none"] = measure(
        "NFC",
        "Unicode normal form. NFC keeps what characters mean; NFKC also replaces ligatures, full-width letters and superscripts.",
    )
    collapse_spaces: bool = measure(
        False,
        "Write each run of spaces and tabs inside a line as one space. Costs the indentation of code and the columns of tables.",
    )
    one_line: bool = measure(
        False, "Write each run of white space, line ends among it, as one space, as COYO does with captions. Costs lines and paragraphs."
    )
    min_chars: int | None = judge(1, "Fewest characters after cleaning; null: no limit.", ge=0)


class Clean(Transform):
    r"""Normalise line ends, control characters, white space and Unicode form.

    In this order: \r\n, \r, \v, \f, U+0085, U+2028 and U+2029 become \n; other control characters but \t, and U+FEFF, go; the
    normal form; white space at line ends goes; three or more \n become two; white space around the text goes. A text of which nothing
    is left is refused as `empty`.
    """

    name: ClassVar[str] = "text.clean"
    Options: ClassVar[type[Options]] = CleanOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("chars", pa.int64(), "Characters (Unicode code points) of the cleaned text."),
        Value("edited_chars", pa.int64(), "Characters as read minus `chars`; negative where NFKC made the text longer."),
    )
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    options: CleanOptions

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def rules(self) -> Sequence[Rule]:
        """`too_short`: fewer than `min_chars`."""
        return (Rule("chars", "min", "min_chars", "too_short"),)

    def change(self, batch: pa.RecordBatch, wanted: frozenset[str]) -> pa.RecordBatch:
        """The batch with cleaned text and the two values; a text left empty becomes null, with the reason `empty`."""
        before = batch.column("text")
        chars_before = pa.array(lay_out(before).padded.chars, mask=before.is_null().to_numpy(zero_copy_only=False))
        dirty = pa.array(self._may_change(before))
        text, chars = before, chars_before
        if pc.any(dirty).as_py():
            cleaned = self._clean(before.filter(dirty))
            text = pc.replace_with_mask(before, dirty, cleaned)
            chars = pc.replace_with_mask(chars, dirty, pc.utf8_length(cleaned).cast(pa.int64()))
        empty = pc.equal(chars, 0).fill_null(False)
        if pc.any(empty).as_py():
            text = pc.if_else(empty, pa.scalar(None, text.type), text)
            chars = pc.if_else(empty, pa.scalar(None, chars.type), chars)
        changed = {
            "text": text,
            "reason": pc.if_else(empty, "empty", batch.column("reason")),
            "chars": chars,
            "edited_chars": pc.subtract(chars_before, chars),
        }
        kept = {name: batch.column(name) for name in batch.schema.names}
        return pa.RecordBatch.from_pydict({**kept, **changed})

    def _may_change(self, text: pa.Array) -> Bools:
        """Which texts are worth cleaning; with options that the quick look does not know, all."""
        if self.options.unicode == "NFC" and not self.options.collapse_spaces and not self.options.one_line:
            return may_change(text)
        return np.ones(len(text), np.bool_)

    def _clean(self, text: pa.Array) -> pa.Array:
        text = rewrite(text, f"{_LINE_ENDS}|{_CONTROLS}", _drop_controls)
        if self.options.unicode != "none":
            text = normalise(text, self.options.unicode)
        if self.options.collapse_spaces:  # a lone space is no match: words are what most spaces lie between
            text = pc.replace_substring_regex(text, f"[{_BLANKS}][ {_BLANKS}]*| [ {_BLANKS}]+", " ")
        text = pc.utf8_trim_whitespace(rewrite(text, _LOOSE, _tidy_lines))
        return pc.replace_substring_regex(text, f"[\\n {_BLANKS}]+", " ") if self.options.one_line else text


def _drop_controls(text: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(pc.replace_substring_regex(text, _LINE_ENDS, "\n"), _CONTROLS, "")


def _tidy_lines(text: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(text, r"[\t\p{Zs}]+\n", "\n")
    return pc.replace_substring_regex(text, r"\n\n\n+", "\n\n")
