"""text.dedup.contained: texts that are part of another text: its beginning, an excerpt, or the article without the page around it.

Samples propose, exact containment of the shingle sets decides. A text is dropped only for being contained in one that
is kept, never for containing one; a union of several texts that together hold it is not looked for, because no single
twin could be named.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from ...curator.dedup.bands import depths
from ...curator.dedup.heads import numbered
from ...curator.dedup.preference import KEEP_DOC, Keep
from ...curator.options import DedupOptions, OptionError, Options, judge, measure, search
from ...curator.stage import Columns, Dedup, Entered, Floats, Ints, Pairs, Value
from .containers import containment, find_containers, make_index, read_samples
from .fss import ShingleSets, shingle_sets
from .tokens import tokenise, tokens_of
from .verify import exact_similarity
from .winnow import winnow


class ContainedOptions(DedupOptions):
    """Options of text.dedup.contained."""

    ngram: int = measure(5, "Tokens in a shingle.", ge=1, le=64)
    window: int = measure(
        16,
        "Of every so many consecutive shingles one is sampled. A text of window + ngram - 1 tokens is the shortest that is sure to be"
        " met in another; a larger window makes sketches smaller.",
        ge=1,
        le=4096,
    )
    threshold: float = judge(0.9, "Least share of a text's shingle set that another text holds and that makes it contained.", gt=0, le=1)
    pairs_from: float = search(
        0.8, "Pairs down to this share are stored, so that the threshold moves above it without a new search.", gt=0, le=1
    )
    min_tokens: int = search(
        20,
        "Texts of fewer tokens are not looked at: a sentence stands in many texts without being taken from any, and below"
        " window + ngram - 1 tokens none is sampled. Repeated shingles count once.",
        ge=1,
    )
    max_candidates: int = search(
        16, "Texts that a text is compared with, those that share its rarest samples first, the most preferred first among equals.", ge=1
    )

    keep: Keep | None = search(
        None,
        KEEP_DOC + " null: the one of more distinct shingles, so that the container stays. A text goes only for being contained in a"
        " preferred one, never for containing one: where the part is preferred, both stay.",
    )

    @model_validator(mode="after")
    def _sampled(self) -> Self:
        least = self.window + self.ngram - 1
        if self.min_tokens < least:
            named = "min_tokens" if "min_tokens" in self.model_fields_set else "window"
            hint = f"min_tokens: {least}, or a smaller window"
            raise OptionError(f"texts of fewer than {least} tokens have no sample (window {self.window}, ngram {self.ngram})", named, hint)
        return self


class ContainedText(Dedup):
    """Match texts with longer ones that hold nearly all of them."""

    name: ClassVar[str] = "text.dedup.contained"
    reason: ClassVar[str] = "contained"
    Options: ClassVar[type[Options]] = ContainedOptions
    options: ContainedOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("sample", pa.large_binary(), "Hashes of the winnowed shingles: uint32, little-endian, ascending.", sketch=True),
        Value("fingerprint", pa.uint64(), "Hash of the list of lower-cased tokens; of the bytes where there is no token.", sketch=True),
        Value("shingles", pa.int64(), "Number of distinct shingles, each of `ngram` consecutive tokens.", sketch=True),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    @property
    def threshold(self) -> float:
        """The option."""
        return self.options.threshold

    def search_key(self) -> dict[str, Any]:
        """The floor instead of the two options that it comes from; whether candidates of the same source would take places in vain."""
        floor = min(self.options.threshold, self.options.pairs_from)
        return {**super().search_key(), "pairs_from": floor, "only_across_sources": self.options.only_across_sources}

    def preference(self, entered: Entered) -> Ints:
        """By `keep`; else the larger shingle set first, so that the container always stays, whatever white space either has."""
        if self.options.keep is not None:
            return super().preference(entered)
        return np.argsort(-entered.column("shingles").to_numpy(), kind="stable").astype(np.int64)

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """Winnowed shingles, fingerprint and number of distinct shingles of each text."""
        tokens = tokens_of(batch.column("text"))
        values, offsets, shingles = winnow(tokens, self.options.ngram, self.options.window)
        data = pa.py_buffer(values.astype("<u4", copy=False))
        sample = pa.Array.from_buffers(pa.large_binary(), len(shingles), [None, pa.py_buffer(4 * offsets), data])
        return {"sample": sample, "fingerprint": pa.array(tokens.fingerprints), "shingles": pa.array(shingles)}

    def details(self, entered: Entered, dropped: Ints, twins: Ints, similarity: Floats) -> list[str]:
        """How much of the text the twin holds, and how much of the twin that is."""
        shingles = entered.column("shingles").to_numpy()
        shares = similarity * shingles[dropped] / shingles[twins]
        return [f"{_percent(a)} of it, {_percent(b)} of the twin" for a, b in zip(similarity.tolist(), shares.tolist(), strict=True)]

    def pairs(self, entered: Entered) -> Pairs:
        """Pairs whose less preferred text is contained in the other one, with the share of its shingles that the other one has.

        Texts of equal token lists are contained in the first of them, which alone is searched for: with `only_across_sources` the
        first of each source.
        """
        order = self.order(entered)
        tokens = entered.column("shingles").to_numpy() + self.options.ngram - 1
        order = order[tokens[order] >= self.options.min_tokens]
        sources = self._sources(entered)[order]
        first = _first_copies(entered, order, sources)
        heads = first == np.arange(len(order))
        better, worse, notes = self._search(entered, order[heads], sources[heads])
        similarity = exact_similarity(entered, worse, better, self._sets, "shingles", compare=containment)
        enough = similarity >= self.search_key()["pairs_from"]
        notes["verified_pairs"] = len(better)
        return _with_copies(Pairs(better[enough], worse[enough], similarity[enough], notes), order, first)

    def _sets(self, texts: pa.Array) -> ShingleSets:
        return shingle_sets(tokenise(texts), self.options.ngram)

    def _sources(self, entered: Entered) -> Ints:
        """(n,) int64: records of one source are not compared; -1 with all."""
        if not self.options.only_across_sources:
            return np.full(entered.size, -1, np.int64)
        return numbered(entered.column("source_index").to_numpy())

    def _search(self, entered: Entered, order: Ints, sources: Ints) -> tuple[Ints, Ints, dict[str, int]]:
        """Candidates: better and worse records, and notes."""
        samples, space, most = read_samples(entered), entered.workspace, self.options.max_candidates
        index = make_index(samples, order, sources, most, space.folder, max(1, space.memory // 16))
        asking = int(np.count_nonzero(order < entered.settled))  # those before it, the settled ones, stay whatever holds them
        found = find_containers(samples, order, sources, asking, index, self.search_key()["pairs_from"], most)
        return order[found.better], order[found.worse], {"candidate_pairs": found.looked, "capped_texts": found.capped}


def _percent(share: float) -> str:
    """Rounded down, so that 100 % is all of it."""
    return f"{int(share * 1000) / 10:g} %"


def _first_copies(entered: Entered, order: Ints, sources: Ints) -> Ints:
    """(n,) int64: for each place in `order` the first place of the same token list and the same number in `sources`."""
    fingerprints, shingles = (entered.column(name).to_numpy()[order] for name in ("fingerprint", "shingles"))
    by = np.lexsort((sources, shingles, fingerprints))  # 64 bits alone would collide in a large corpus
    other = (np.diff(fingerprints[by], prepend=np.uint64(0)) != 0) | (np.diff(shingles[by], prepend=0) != 0)
    other |= np.diff(sources[by], prepend=-1) != 0
    first = np.empty(len(order), np.int64)
    first[by] = by[np.arange(len(by)) - depths(np.cumsum(other))]
    return first


def _with_copies(pairs: Pairs, order: Ints, first: Ints) -> Pairs:
    """Pairs of the copies too: wholly contained in the first of their kind, and in what that is contained in."""
    copy = np.flatnonzero(first != np.arange(len(order)))
    if not len(copy):
        return pairs
    by = np.argsort(pairs.b, kind="stable")
    heads = order[first[copy]]
    starts, ends = (np.searchsorted(pairs.b[by], heads, side) for side in ("left", "right"))
    counts = ends - starts
    inherited = by[np.repeat(starts, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)]
    a = np.concatenate([pairs.a, heads, pairs.a[inherited]])
    b = np.concatenate([pairs.b, order[copy], np.repeat(order[copy], counts)])
    similarity = np.concatenate([pairs.similarity, np.ones(len(copy)), pairs.similarity[inherited]])
    return Pairs(a, b, similarity, pairs.notes)
