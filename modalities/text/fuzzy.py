"""text.dedup.fuzzy: texts that share most of their word shingles.

Sketches propose (bands), exact Jaccard similarity of the shingle sets decides, so no drop rests on an estimate.
Texts with one and the same token list (copies that differ in case, spacing or punctuation) are searched
once for all, whatever their number. Edit distance would see the order of passages too, at a cost quadratic
in the length.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from ...curator.columns import fixed_column, fixed_rows
from ...curator.dedup.bands import band_keys, candidate_pairs, choose_bands, depths, probability
from ...curator.stage import Columns, Dedup, Entered, Floats, Ints, Options, Pairs, Value, judge, measure, search
from .fss import BINS, Signatures, estimate, signatures
from .tokens import tokenise
from .verify import exact_similarity


class FuzzyOptions(Options):
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
    keep: Literal["longest", "first"] = search("longest", "Which twin is preferred: the one with more bytes of text, or the earlier one.")

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("give both bands and rows, or neither")
        if self.bands is not None and self.rows is not None and self.bands * self.rows > BINS:
            raise ValueError(f"{self.bands} bands x {self.rows} rows need {self.bands * self.rows} values, a signature has {BINS}")
        return self


class _Links(NamedTuple):
    """Pairs of records, numbered by preference; a < b."""

    a: Ints
    b: Ints
    similarity: Floats


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
        return {"bands": bands, "rows": rows, "floor": floor, "max_candidates": options.max_candidates, "keep": options.keep}

    def preference(self, entered: Entered) -> Ints:
        """By `keep`."""
        return np.arange(entered.size, dtype=np.int64) if self.options.keep == "first" else super().preference(entered)

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
        order = self.preference(entered)
        sketches = fixed_rows(entered.column("signature"), np.dtype("<u4"), (BINS,))
        copies = _group_copies(entered.column("fingerprint").to_numpy()[order], sketches, order)
        links, notes = self._search(entered, order, sketches, np.flatnonzero(copies.first == np.arange(len(order))))
        links = _with_copies(links, copies, self.options.max_candidates)
        return Pairs(order[links.a], order[links.b], links.similarity, notes)

    def _search(self, entered: Entered, order: Ints, sketches: Signatures, wanted: Ints) -> tuple[_Links, dict[str, int]]:
        """Verified links among the `wanted` records (ranks in `order`, ascending)."""
        key = self.search_key()
        floor = key["floor"]
        near = floor - 3 * np.sqrt(floor * (1 - floor) / BINS)  # three standard errors of an estimate at the floor
        keys = band_keys(sketches, order[wanted], key["bands"], key["rows"])
        kept: list[tuple[Ints, Ints]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        notes = {"candidate_pairs": 0, "verified_pairs": 0, "capped_bands": 0}
        for found in candidate_pairs(keys, self.options.max_candidates):
            a, b = wanted[found.a], wanted[found.b]
            close = estimate(sketches, order[a], order[b]) >= near
            kept.append((a[close], b[close]))
            notes["candidate_pairs"] += len(a)
            notes["capped_bands"] += found.capped
        a, b = (np.concatenate(side) for side in zip(*kept, strict=True))
        similarity = exact_similarity(entered, order[a], order[b], self.options.ngram)
        notes["verified_pairs"] = len(a)
        enough = similarity >= floor
        return _Links(a[enough], b[enough], similarity[enough]), notes


class _Copies(NamedTuple):
    """Records of equal token lists, numbered by preference.

    first   (n,) int64   the most preferred record of the same token list; itself where there is no other
    second  (n,) int64   the next one
    """

    first: Ints
    second: Ints


def _group_copies(fingerprints: Ints, sketches: Signatures, order: Ints) -> _Copies:
    """Records of equal fingerprint and equal signature: 64 bits alone would collide in a large corpus."""
    n = len(order)
    by_value = np.argsort(fingerprints, kind="stable")
    place = np.arange(n)
    head = place - depths(fingerprints[by_value])
    first, second = np.empty(n, np.int64), np.empty(n, np.int64)
    first[by_value] = by_value[head]
    second[by_value] = by_value[np.minimum(head + 1, n - 1)]
    copies = np.flatnonzero(first != place)
    collided = copies[estimate(sketches, order[copies], order[first[copies]]) < 1.0]
    first[collided] = collided
    return _Copies(first, second)


def _with_copies(links: _Links, copies: _Copies, most: int) -> _Links:
    """Links for the copies too: similarity 1 to the first two of their kind, and what links the first to better records.

    A copy inherits the `most` best of the latter. Should none of them stay and the first go all the same, the
    second stands in for it, so that of equal token lists one at most is kept.
    """
    n = len(copies.first)
    copy = np.flatnonzero(copies.first != np.arange(n))
    if not len(copy):
        return links
    first, second = copies.first[copy], copies.second[copy]
    later = (second < copy) & (copies.first[second] == first)
    by = np.lexsort((links.a, links.b))
    by = by[depths(links.b[by]) < most]
    starts = np.searchsorted(links.b[by], first)
    counts = np.searchsorted(links.b[by], first, "right") - starts
    into = np.repeat(starts, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    inherited = by[into]
    a = np.concatenate([links.a, first, second[later], links.a[inherited]])
    b = np.concatenate([links.b, copy, copy[later], np.repeat(copy, counts)])
    ones = np.ones(len(copy) + int(later.sum()))
    return _Links(a, b, np.concatenate([links.similarity, ones, links.similarity[inherited]]))
