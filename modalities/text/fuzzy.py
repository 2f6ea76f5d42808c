"""text.dedup.fuzzy: texts that share most of their word shingles.

Sketches propose (bands), exact Jaccard similarity of the shingle sets decides, so no drop rests on an estimate.
Texts with one and the same token list (copies that differ in case, spacing or punctuation) are searched
once for all, whatever their number. Edit distance would see the order of passages too, at a cost quadratic
in the length.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from ...curator.columns import fixed_column
from ...curator.dedup.bands import choose_bands, probability
from ...curator.dedup.near import Search, near_pairs
from ...curator.stage import Columns, Dedup, DedupOptions, Entered, Options, Pairs, Value, judge, measure, search
from .fss import BINS, ShingleSets, shingle_sets, signatures
from .tokens import tokenise
from .verify import exact_similarity


class FuzzyOptions(DedupOptions):
    """Options of text.dedup.fuzzy."""

    ngram: int = measure(5, "Tokens in a shingle; a text of fewer tokens equals only a text of the same tokens.", ge=1, le=64)
    threshold: float = judge(
        0.8,
        "Least Jaccard similarity of two texts' shingle sets that makes them duplicates. Bands are chosen for it: below 0.78 others"
        " are needed, and pairs are searched anew.",
        gt=0,
        le=1,
    )
    pairs_from: float = search(
        0.7, "Pairs down to this similarity are stored, so that the threshold moves above it without a new search.", gt=0, le=1
    )
    bands: int | None = search(
        None,
        "Bands of the signature that are searched for equals; null: chosen with `rows` so that a pair at the threshold is found"
        " with a probability of 0.99 or more (32 bands of 8 rows from a threshold of 0.78 up).",
        ge=1,
        le=BINS,
    )
    rows: int | None = search(None, f"Values in a band; bands x rows is at most {BINS}. Given together with `bands`.", ge=1, le=BINS)
    max_candidates: int = search(64, "Records that a record is compared with in one bucket of a band, the most preferred first.", ge=1)

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("give both bands and rows, or neither")
        if self.bands is not None and self.rows is not None and self.bands * self.rows > BINS:
            raise ValueError(f"{self.bands} bands x {self.rows} rows need {self.bands * self.rows} values, a signature has {BINS}")
        return self


class FuzzyText(Dedup):
    """Near-duplicate texts, by Fast Similarity Sketching over token shingles and exact verification."""

    name: ClassVar[str] = "text.dedup.fuzzy"
    reason: ClassVar[str] = "near_duplicate"
    Options: ClassVar[type[Options]] = FuzzyOptions
    options: FuzzyOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("signature", pa.binary(4 * BINS), "Fast Similarity Sketch of the shingle set: 256 uint32, little-endian.", sketch=True),
        Value("fingerprint", pa.uint64(), "Hash of the list of lower-cased tokens; of the bytes where there is no token.", sketch=True),
        Value(
            "tokens",
            pa.int64(),
            "Number of tokens: runs of letters, marks and numbers; each Han, Kana, Thai, Lao, Khmer or Myanmar character is one.",
        ),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    @property
    def threshold(self) -> float:
        """The option."""
        return self.options.threshold

    def banding(self) -> tuple[int, int]:
        """(bands, rows) of the search."""
        options = self.options
        if options.bands is not None and options.rows is not None:
            return options.bands, options.rows
        return choose_bands(options.threshold, BINS)

    def found(self, similarity: float) -> float:
        """Probability that a pair of this similarity is compared at all."""
        return probability(similarity, *self.banding())

    def search_key(self) -> dict[str, Any]:
        """What the threshold implies, not the threshold: it moves without a new search while this stays the same."""
        bands, rows = self.banding()
        options = self.options
        floor = min(options.threshold, options.pairs_from)
        keep = options.of_kind("search")["keep"]
        return {"bands": bands, "rows": rows, "floor": floor, "max_candidates": options.max_candidates, "keep": keep}

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """Signature, fingerprint and number of tokens of each text."""
        tokens = tokenise(batch.column("text"))
        return {
            "signature": fixed_column(signatures(tokens, self.options.ngram).astype("<u4", copy=False)),
            "fingerprint": pa.array(tokens.fingerprints),
            "tokens": pa.array(np.diff(tokens.offsets)),
        }

    def pairs(self, entered: Entered) -> Pairs:
        """Every pair that shares a band and whose shingle sets are at least as similar as the floor of `search_key`."""
        key = self.search_key()
        search = Search(key["bands"], key["rows"], key["floor"], key["max_candidates"])
        return near_pairs(entered, self.preference(entered), "<u4", search, lambda a, b: exact_similarity(entered, a, b, self._sets))

    def _sets(self, texts: pa.Array) -> ShingleSets:
        return shingle_sets(tokenise(texts), self.options.ngram)
