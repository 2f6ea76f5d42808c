"""text.dedup.exact: texts that are equal, byte for byte or but for case and white space.

The hash is taken here although the core keeps a digest of every payload: a stored sketch lets a later run find the
duplicates of this one, and one path serves both settings.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.columns import buffers, fixed_rows
from ...curator.options import DedupOptions, Options, measure
from ...curator.stage import Columns, Dedup, Entered, Pairs, Value

_WHITE = r"[\t-\r\x{85}\p{Z}]+"


class ExactTextOptions(DedupOptions):
    """What two texts may differ in and still be equal."""

    ignore: Literal["nothing", "case_and_space"] = measure(
        "nothing",
        "What is not compared. case_and_space: letters are lower-cased, and white space, line ends included, is left out.",
    )


class ExactText(Dedup):
    """Match texts that are equal; of each group the most preferred stays."""

    name: ClassVar[str] = "text.dedup.exact"
    Options: ClassVar[type[Options]] = ExactTextOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("hash", pa.binary(16), "blake2b-16 of the text in UTF-8, after `ignore` is applied.", sketch=True),
    )
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    reason: ClassVar[str] = "exact_duplicate"
    options: ExactTextOptions

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    @property
    def threshold(self) -> float:
        """Equal texts only."""
        return 1.0

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """The hash of each text; null where there is none."""
        text = batch.column("text")
        if self.options.ignore == "case_and_space":
            # most white space is single spaces, which are out five times as fast without a regular expression
            text = pc.utf8_lower(pc.replace_substring_regex(pc.replace_substring(text, " ", ""), _WHITE, ""))
        offsets, data = buffers(text)
        view = data.data
        hashes = [hashlib.blake2b(view[a:b], digest_size=16).digest() for a, b in pairwise(offsets.tolist())]
        return {"hash": pa.array(hashes, pa.binary(16), mask=text.is_null().to_numpy(zero_copy_only=False))}

    def pairs(self, entered: Entered) -> Pairs:
        """Every member of a group of equal hashes with the group's most preferred one."""
        words = fixed_rows(entered.column("hash"), "<u8", (2,))
        rank = np.empty(entered.size, np.int64)
        rank[self.order(entered)] = np.arange(entered.size)
        order = np.lexsort((rank, words[:, 1], words[:, 0]))
        words = words[order]
        opens = np.ones(entered.size, bool)  # the first of each group
        opens[1:] = (words[1:] != words[:-1]).any(axis=1)
        firsts = order[np.flatnonzero(opens)][np.cumsum(opens) - 1]
        return Pairs(firsts[~opens], order[~opens].astype(np.int64), np.ones(int((~opens).sum())))
