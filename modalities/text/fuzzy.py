"""text.dedup.fuzzy: texts that share most of their shingles.

Sketches propose (bands), exact Jaccard similarity of the shingle sets decides, so no drop rests on an estimate.
Texts with one and the same token list (copies that differ in case, spacing or punctuation) are searched
once for all, whatever their number. Edit distance would see the order of passages too, at a cost quadratic
in the length.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ...curator.backends.device import Backend
from ...curator.columns import fixed_column
from ...curator.dedup.bands import probability
from ...curator.dedup.near import Search, near_pairs
from ...curator.options import Options
from ...curator.stage import Columns, Dedup, Entered, Facts, Machine, Pairs, Value
from .fuzzy_options import FuzzyOptions
from .minhash import Permutations, nemo_permutations, own_permutations
from .normal_form import NormalForm
from .on_card import minhash_by, sketches_by, who_hashes, who_sketches
from .shingles import Shingling
from .tokens import tokens_of
from .verify import TEXT_BYTES, exact_similarity

_CHARACTER_BYTES = 8  # shingles of characters take so many times the memory of words


def _bits(options: FuzzyOptions) -> int:
    return options.bits or 32


def _values(options: FuzzyOptions) -> tuple[Value, ...]:
    made = "Fast Similarity Sketch" if options.scheme == "fss" else "MinHash signature"
    doc = f"{made} of the shingle set: {options.hashes} uint{_bits(options)}, little-endian."
    listed = "Hash of the list of words or characters; of the bytes where there is none."
    return (
        Value("signature", pa.binary(_bits(options) // 8 * options.hashes), doc, sketch=True),
        Value("fingerprint", pa.uint64(), listed, sketch=True),
        Value("tokens", pa.int64(), "Number of words or characters, in the sense of `shingle`, of the text that is compared."),
    )


class FuzzyText(Dedup):
    """Near-duplicate texts: signatures of shingle sets propose pairs, the exact similarity of the sets decides.

    Presets take shingles, number of hashes, bands and rows as published; pairs are verified and keepers chosen as d4a does it, where
    the originals verify nothing and drop what shares a band. In brackets the share of pairs that are found at the threshold.

    slimpajama: 13 characters of the lower-cased text without ASCII punctuation, white space collapsed; 128 hashes, 9 x 13, threshold
    0.8 (0.40).

    refinedweb: 5 words between spaces of the same without accents, in place of the paper's GPT-2 tokens; 9000 hashes, 450 x 20,
    threshold 0.8 (0.99). A signature has 36,000 bytes, more than most texts: give the flow a `partition_bytes` of 8MiB.

    redpajama-v2: 13 words between spaces of the same, in NFD; 128 hashes, 9 x 13 for its 0.8 (0.40). Its other levels are
    `bands: 5, rows: 25, threshold: 0.9` and `bands: 14, rows: 9, threshold: 0.7`.

    fineweb: 5 words without accents, numbers being 0; 112 hashes, 14 x 8, threshold 0.75 (0.77).

    zyda: 13 words between spaces of the text as for slimpajama; 128 hashes, 32 x 4, threshold 0.4 (0.56).

    zyda-2: 25 characters of the text as it is, 128 hashes, 8 x 16, threshold 0.85 (0.46). It dropped across sources only:
    `only_across_sources: true`.

    nemo: 24 characters of the text as it is, 260 hashes of NeMo Curator's permutations, 20 x 13; it has no threshold: 0.8 (0.68).
    """

    name: ClassVar[str] = "text.dedup.fuzzy"
    reason: ClassVar[str] = "near_duplicate"
    on_card: ClassVar[bool] = True
    Options: ClassVar[type[Options]] = FuzzyOptions
    options: FuzzyOptions
    values: ClassVar[tuple[Value, ...]] = _values(FuzzyOptions.model_validate({}))

    def __init__(self, options: FuzzyOptions) -> None:
        super().__init__(options)
        self.values = _values(options)  # type: ignore[misc]  # the width is that of the scheme
        self._backend: Backend = "cpu"

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def prepare(self, machine: Machine) -> Facts:
        """Who computes the signatures: never a part of keys, for they are the same bits."""
        options = self.options
        fss = options.scheme == "fss"
        who = who_sketches(machine.device) if fss else who_hashes(machine.device, options.shingle, options.ngram)
        return Facts(local=who.local())

    def open(self, facts: Facts) -> None:
        """As `prepare` found."""
        self._backend = "rapids" if facts.local.get("backend") == "rapids" else "cpu"

    @property
    def threshold(self) -> float:
        """The option."""
        return self.options.threshold

    @cached_property
    def shingling(self) -> Shingling:
        """How shingles are made."""
        form = self.options.normalise or NormalForm.model_validate({})
        if self.options.shingle == "spaced":
            form = form.model_copy(update={"white_space": "collapse"})
        return Shingling(self.options.shingle, self.options.ngram, form)

    def banding(self) -> tuple[int, int]:
        """By the options, or chosen for the threshold."""
        return self.options.banding()

    def found(self, similarity: float) -> float:
        """Probability that a pair of this similarity is compared at all."""
        return probability(similarity, *self.banding())

    def search_key(self) -> dict[str, Any]:
        """What the threshold implies, not the threshold: it moves without a new search while this stays the same."""
        bands, rows = self.banding()
        options = self.options
        floor = min(options.threshold, options.pairs_from)
        keep, across = options.of_kind("search")["keep"], options.only_across_sources
        most = options.max_candidates
        return {"bands": bands, "rows": rows, "floor": floor, "max_candidates": most, "only_across_sources": across, "keep": keep}

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """Signature, fingerprint and number of tokens of each text."""
        texts = self.shingling.prepare(batch.column("text"))
        tokens = tokens_of(texts) if self.shingling.units == "words" else self.shingling.tokens(texts)
        if self.options.scheme == "fss":
            rows = sketches_by(self._backend, tokens, self.options.ngram).astype("<u4", copy=False)
        else:
            rows = minhash_by(self._backend, texts, self.options.shingle, self.options.ngram, self._permutations)
            rows = rows.astype(rows.dtype.newbyteorder("<"), copy=False)
        return {
            "signature": fixed_column(rows),
            "fingerprint": pa.array(tokens.fingerprints),
            "tokens": pa.array(np.diff(tokens.offsets)),
        }

    @cached_property
    def _permutations(self) -> Permutations:
        options = self.options
        draw = nemo_permutations if options.permutations == "nemo" else own_permutations
        return draw(options.hashes, _bits(options), options.seed or 0)

    def pairs(self, entered: Entered) -> Pairs:
        """Every pair that shares a band and whose shingle sets are at least as similar as the floor of `search_key`."""
        key = self.search_key()
        search = Search(key["bands"], key["rows"], key["floor"], key["max_candidates"], key["only_across_sources"])
        room = TEXT_BYTES // _CHARACTER_BYTES if self.options.shingle == "characters" else TEXT_BYTES
        return near_pairs(
            entered,
            self.order(entered),
            f"<u{_bits(self.options) // 8}",
            search,
            lambda a, b: exact_similarity(entered, a, b, self.shingling.sets, "tokens", room),
        )
