"""text.dedup.substring: passages that occur again anywhere are cut out of every text but the first.

After Lee et al. 2021 (exact substring deduplication), who cut every copy and know tokens of a model's vocabulary; here tokens are words,
so case, spacing and punctuation do not matter, and one copy stays.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from ...curator.options import OptionError, Options, measure, search
from ...curator.stage import Columns, Cut, Cutter, Entered, Spans, Value
from .passages import Winnow, fingerprints
from .repeats import repeats
from .seams import without
from .tokens import tokens_of

_SKETCHED = 50  # Lee et al.'s length


class SubstringOptions(Options):
    """How long a passage must be."""

    min_tokens: int = search(
        50,
        "Fewest tokens of a passage that is cut where it occurs again. Tokens are runs of letters, marks and numbers; each Han, Kana, Thai,"
        " Lao, Khmer or Myanmar character is one.",
        ge=2,
        le=10_000,
    )
    sketch_tokens: int = measure(
        None,
        f"Fewest tokens of a passage that sketches can find, at most min_tokens; null: min_tokens, {_SKETCHED} at most. While this stays"
        " the same, min_tokens moves above it without a new scan.",
        ge=2,
    )

    @model_validator(mode="before")
    @classmethod
    def _sketch_what_is_asked_for(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("sketch_tokens") is not None:
            return given
        least = given.get("min_tokens", _SKETCHED)
        return {**given, "sketch_tokens": min(_SKETCHED, least) if isinstance(least, int) and least >= 2 else _SKETCHED}

    @model_validator(mode="after")
    def _find_what_is_asked_for(self) -> Self:
        if self.sketch_tokens > self.min_tokens:
            what = f"sketches find passages of {self.sketch_tokens} tokens and more, not those of {self.min_tokens}"
            raise OptionError(what, "sketch_tokens", "sketch_tokens is at most min_tokens")
        return self


class CutPassages(Cutter):
    """Cut passages out of texts and join the rest; see seams.py for how."""

    Options: ClassVar[type[Options]] = SubstringOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("cuts", pa.int64(), "Passages cut; with `mode: annotate` those that would be.", total=True),
        Value("cut_chars", pa.int64(), "Characters of these passages, from the first token to the last.", total=True),
        Value("edited_chars", pa.int64(), "Characters that the text lost: `cut_chars`, and marks and white space at the seams."),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The text, and the passages."""
        return ("text", self.column)

    def change(self, batch: pa.RecordBatch, wanted: frozenset[str]) -> pa.RecordBatch:
        """The batch without the passages; a text without a token left becomes null, with the reason `empty`."""
        passages = batch.column(self.column)
        counts = pc.fill_null(pc.list_value_length(passages), 0).to_numpy().astype(np.int64)
        hit = np.flatnonzero(counts)
        bounds = np.concatenate([[0], np.cumsum(counts[hit])])
        flat = pc.list_flatten(passages)
        start, end = (pc.struct_field(flat, name).to_numpy() for name in ("start", "end"))
        rest = without(batch.column("text").take(pa.array(hit)), bounds, start, end)
        cut, edited = np.zeros(batch.num_rows, np.int64), np.zeros(batch.num_rows, np.int64)
        cut[hit] = rest.cut
        columns = {name: batch.column(name) for name in batch.schema.names}
        if self.cuts and len(hit):
            edited[hit] = rest.before - pc.utf8_length(rest.text).to_numpy()
            mask = np.zeros(batch.num_rows, np.bool_)
            mask[hit] = True
            empty = mask.copy()
            empty[hit] = pc.equal(pc.binary_length(rest.text), 0).to_numpy(zero_copy_only=False)
            text = pc.replace_with_mask(columns["text"], pa.array(mask), rest.text)
            columns["text"] = pc.if_else(pa.array(empty), pa.scalar(None, text.type), text)
            columns["reason"] = pc.if_else(pa.array(empty), "empty", columns["reason"])
        columns |= {"cuts": pa.array(counts), "cut_chars": pa.array(cut), "edited_chars": pa.array(edited)}
        return pa.RecordBatch.from_pydict(columns)


class Substring(Cut):
    """Cut passages that occur again out of every text but the first (Lee et al. 2021).

    Texts are taken in input order, each from its begin to its end. A window of `min_tokens` tokens goes where the same tokens stand before
    it, without overlap and with none of them cut; longer passages are runs of such windows, so of all copies the first stays. Nothing is
    missed: fingerprints find every repeat, and windows are compared by 128 bits of hash.

    Marks that stand directly at a passage go with it; of the white space on both sides one run stays. A text of which no token is left is
    refused as `empty`. Conversations stay as they came: the passages go from the text that rules see.
    """

    name: ClassVar[str] = "text.dedup.substring"
    Options: ClassVar[type[Options]] = SubstringOptions
    options: SubstringOptions
    cutter: ClassVar[type[Cutter]] = CutPassages
    values: ClassVar[tuple[Value, ...]] = (
        Value("fingerprints", pa.large_binary(), "Winnowed hashes of runs of tokens, uint32, little-endian.", working=True),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """The fingerprints of each text."""
        selected, bounds = fingerprints(tokens_of(batch.column("text")), Winnow.of(self.options.sketch_tokens))
        data = pa.py_buffer(selected.astype("<u4", copy=False).tobytes())
        return {"fingerprints": pa.LargeBinaryArray.from_buffers(pa.large_binary(), batch.num_rows, [None, pa.py_buffer(bounds * 4), data])}

    def spans(self, entered: Entered) -> Spans:
        """Every passage of `min_tokens` tokens and more that stands before."""
        return repeats(entered, Winnow.of(self.options.sketch_tokens), self.options.min_tokens)
