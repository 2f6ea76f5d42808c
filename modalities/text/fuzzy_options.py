"""Options of text.dedup.fuzzy, and the shingles and bands that others published, by name."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator

from ...curator.dedup.bands import choose_bands
from ...curator.options import DedupOptions, OptionError, judge, measure, search
from .fss import BINS
from .minhash import Units
from .normal_form import NormalForm

MAX_HASHES = 2**14

_BARE = {"lower": True, "punctuation": "delete", "white_space": "collapse"}

# sketch and bands as published; the similarity of a pair is measured, and keepers are chosen, as d4a does it
PRESETS: dict[str, dict[str, Any]] = {
    "slimpajama": {
        "shingle": "characters", "ngram": 13, "normalise": _BARE,
        "hashes": 128, "bands": 9, "rows": 13, "threshold": 0.8,
    },
    "refinedweb": {
        "shingle": "spaced", "ngram": 5, "normalise": {**_BARE, "accents": "strip"},
        "hashes": 9000, "bands": 450, "rows": 20, "threshold": 0.8,
    },
    "redpajama-v2": {
        "shingle": "spaced", "ngram": 13, "normalise": {**_BARE, "accents": "decompose"},
        "hashes": 128, "bands": 9, "rows": 13, "threshold": 0.8,
    },
    "fineweb": {
        "shingle": "words", "ngram": 5, "normalise": {"numbers": "zero", "accents": "strip"},
        "hashes": 112, "bands": 14, "rows": 8, "threshold": 0.75,
    },
    "zyda": {
        "shingle": "spaced", "ngram": 13, "normalise": _BARE,
        "hashes": 128, "bands": 32, "rows": 4, "threshold": 0.4,
    },
    "zyda-2": {
        "shingle": "characters", "ngram": 25, "permutations": "nemo", "seed": 10,
        "hashes": 128, "bands": 8, "rows": 16, "threshold": 0.85,
    },
    "nemo": {
        "shingle": "characters", "ngram": 24, "permutations": "nemo", "seed": 42,
        "hashes": 260, "bands": 20, "rows": 13, "threshold": 0.8,
    },
}  # fmt: skip

_MINHASH = {"bits": 32, "permutations": "own", "seed": 42}


class FuzzyOptions(DedupOptions):
    """Options of text.dedup.fuzzy."""

    preset: Literal["slimpajama", "refinedweb", "redpajama-v2", "fineweb", "zyda", "zyda-2", "nemo"] | None = search(
        None,
        "MinHash with shingles, number of hashes, bands, rows and threshold as published; options that stand beside it override it."
        " What each one sets stands above; the normal form of `refinedweb` was not checked against its paper.",
    )
    scheme: Literal["fss", "minhash"] = measure(
        "fss",
        "How signatures are made. fss: Fast Similarity Sketching, 256 values in one pass. minhash: bit for bit what cuDF 26.08 gives"
        " (its minhash, minhash64 and minhash_ngrams), at a cost that grows with `hashes`.",
    )
    shingle: Units = measure(
        "words",
        "What a shingle has `ngram` of. words: runs of letters, marks and numbers, lower-cased; each Han, Kana, Thai, Lao, Khmer or Myanmar"
        " character is one. spaced: what stands between white space. characters: code points.",
    )
    ngram: int = measure(
        5, "Words or characters in a shingle; a text of fewer is one shingle, and so equals only a text of the same.", ge=1, le=64
    )
    normalise: NormalForm | None = measure(
        None, "What is done to a text before shingles are made from it, null: nothing; its record keeps the text as it is."
    )
    hashes: int = measure(BINS, f"Values in a signature; fss has always {BINS}.", ge=1, le=MAX_HASHES)
    bits: Literal[32, 64] | None = measure(None, "Width of a hash and of a value; minhash only, null: 32.")
    permutations: Literal["own", "nemo"] | None = measure(
        None,
        "The permutations h * a + b; minhash only, null: own. own: every a is odd, hence a bijection. nemo: NeMo Curator's, from NumPy's"
        " legacy generator.",
    )
    seed: int | None = measure(None, "Where permutations, and with `nemo` the hash too, begin; minhash only, null: 42.", ge=0, lt=2**31)
    threshold: float = judge(
        0.8,
        "Least Jaccard similarity of two texts' shingle sets that makes them duplicates. Bands are chosen for it: of 256 values, below"
        " 0.78 others are needed, and pairs are searched anew.",
        gt=0,
        le=1,
    )
    pairs_from: float = search(
        0.7, "Pairs down to this similarity are stored, so that the threshold moves above it without a new search.", gt=0, le=1
    )
    bands: int | None = search(
        None,
        "Bands of the signature that are searched for equals; null: chosen with `rows` so that a pair at the threshold is found"
        " with a probability of 0.99 or more (of 256 values 32 bands of 8 rows, from a threshold of 0.78 up).",
        ge=1,
        le=MAX_HASHES,
    )
    rows: int | None = search(None, "Values in a band; bands x rows is at most `hashes`. Given together with `bands`.", ge=1, le=MAX_HASHES)
    max_candidates: int = search(64, "Records that a record is compared with in one bucket of a band, the most preferred first.", ge=1)

    @model_validator(mode="before")
    @classmethod
    def _begin_with_the_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given  # what is wrong is said by the field
        preset = PRESETS.get(str(given.get("preset")), {})
        scheme = given.get("scheme", "minhash" if preset else "fss")
        if scheme == "fss":
            preset = {name: value for name, value in preset.items() if name not in ("hashes", *_MINHASH)}
        options = {"scheme": scheme, **preset, **given}
        return {**options, **{name: value for name, value in _MINHASH.items() if scheme == "minhash" and options.get(name) is None}}

    @model_validator(mode="after")
    def _belong_to_the_scheme(self) -> Self:
        if self.scheme == "fss" and self.hashes != BINS:
            raise OptionError(f"fss has always {BINS} values", "hashes", "leave it out, or write `scheme: minhash`")
        for option in _MINHASH if self.scheme == "fss" else ():
            if getattr(self, option) is not None:
                raise OptionError(f"fss has no choice of `{option}`", option, "leave it out, or write `scheme: minhash`")
        return self

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("give both bands and rows, or neither")
        if self.bands is not None and self.rows is not None and self.bands * self.rows > self.hashes:
            needed = self.bands * self.rows
            raise ValueError(f"{self.bands} bands x {self.rows} rows need {needed} values, a signature has {self.hashes}")
        return self

    def banding(self) -> tuple[int, int]:
        """(bands, rows) of the search."""
        if self.bands is not None and self.rows is not None:
            return self.bands, self.rows
        return choose_bands(self.threshold, self.hashes)
