"""Dedups that compare embeddings by cosine: options, pair search and keys, the same for every modality; who embeds is the subclass's.

All pairs are compared where that takes seconds, clusters are searched where it would take hours. The choice rests on the number
of vectors alone, so a pair search has one answer, and the summary says which way it went.
"""

from __future__ import annotations

import os
import tempfile
from abc import abstractmethod
from math import isqrt
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import model_validator

from ..columns import fixed_rows
from ..options import DedupOptions, OptionError, judge
from ..options import search as searching  # an option is called search
from ..stage import Dedup, Entered, Pairs, Value
from ..store import write_error
from .clusters import assign, centroids, cluster_pairs
from .neighbours import Ints, neighbours

EXACT_UP_TO = 50_000
_MOVED = 4096  # vectors at a time
LEAST_IN_CLUSTER = 39  # faiss's min_points_per_centroid: it warns below
PRESETS: dict[str, dict[str, Any]] = {
    # facebookresearch/SemDeDup 6b41945, clustering_configs.yaml and advance_semdedup.py; made for 440 M images
    "semdedup": {"search": "clusters", "clusters": 50_000, "visits": 0, "iterations": 100, "seed": 1234},
}


class EmbeddingOptions(DedupOptions):
    """How alike is a duplicate, and which pairs are looked at."""

    threshold: float = judge(0.95, "Cosine of two embeddings at or above which they are duplicates.", ge=0, le=1)
    pairs_from: float = searching(
        0.9, "Pairs are kept from this cosine on, so that the threshold can move above it without a new search.", ge=0, le=1
    )
    preset: Literal["semdedup"] | None = searching(
        None,
        "`semdedup`: the search as Meta published it for LAION: clusters 50000, visits 0 (pairs within a cluster only), iterations 100,"
        " seed 1234. Options given beside it count. The threshold is SemDeDup's 1 - eps, and keepers stay d4a's: SemDeDup drops a"
        " record for an earlier one of its cluster that may be dropped itself.",
    )
    search: Literal["auto", "exact", "clusters"] = searching(
        "auto",
        "`exact`: all pairs, in quadratic time. `clusters`: spherical k-means, in about n^1.5. `auto`: exact up to"
        f" {EXACT_UP_TO:,} vectors. Measured on 100,000 vectors of 512 numbers: 68 CPU seconds or 9, of 400,000 of 256 by clusters 20."
        " Whichever it is, a pair that is reported has the cosine that is said.",
    )
    clusters: int | None = searching(
        None,
        f"Number of clusters; null: 2 sqrt(n). In any case at most one for {LEAST_IN_CLUSTER} vectors. Training looks at 64 vectors a"
        " cluster.",
        ge=1,
    )
    visits: int | None = searching(
        8,
        "Clusters beside its own in which a vector is compared, at most: those of the nearest borders, and only where a neighbour at"
        " pairs_from may lie behind. null: all of these, which misses no pair. Measured on embeddings of 1,861 pictures and 5,000"
        " passages: of the pairs from 0.8 on, 8 find 1.000, 4 find 0.9998 and more, 0 finds 0.987 and 0.995.",
        ge=0,
    )
    iterations: int = searching(10, "Rounds of k-means, at most.", ge=0, le=1000)
    seed: int = searching(0, "Chooses the vectors that k-means begins with and learns from.", ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _by_preset(cls, given: Any) -> Any:
        return {**PRESETS.get(str(given.get("preset")), {}), **given} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _of_one_search(self) -> Self:
        fields = type(self).model_fields
        for name in ("clusters", "visits", "iterations", "seed") if self.search == "exact" else ():
            if getattr(self, name) != fields[name].default:
                raise OptionError(f"{name} belongs to search: clusters, and search is exact", name, "leave one of the two out")
        return self


def embedding(what: str, width: int) -> tuple[Value, ...]:
    """The one value of such a stage: `what` in words, and how many numbers it has."""
    return (Value("embedding", pa.binary(2 * width), f"{what}, divided by its length: {width} float16 numbers.", sketch=True),)


class EmbeddingDedup(Dedup):
    """A Dedup whose one value is an embedding; a subclass finds the network, and makes the embedding in `sketch`."""

    reason = "semantic_duplicate"
    cost = "model"
    Options = EmbeddingOptions
    options: EmbeddingOptions
    what: ClassVar[str]

    def __init__(self, options: EmbeddingOptions) -> None:
        super().__init__(options)
        self.values = embedding(self.what, self.width)  # type: ignore[misc]  # the width is the model's

    @property
    @abstractmethod
    def width(self) -> int:
        """Numbers in an embedding."""

    @property
    def threshold(self) -> float:
        """Pairs at or above this cosine are duplicates."""
        return self.options.threshold

    def search_key(self) -> dict[str, Any]:
        """Floor and search, whose choice follows from the number of vectors; only a threshold under `pairs_from` asks for a new search."""
        names = () if self.options.search == "exact" else ("clusters", "visits", "iterations", "seed")
        limit = EXACT_UP_TO if self.options.search == "auto" else None
        return {"floor": self._floor, "search": self.options.search, "limit": limit, **{n: getattr(self.options, n) for n in names}}

    @property
    def _floor(self) -> float:
        return min(self.options.threshold, self.options.pairs_from)

    def way(self, count: int) -> str:
        """All pairs, or clusters and how many."""
        if not self._by_clusters(count):
            return "each is compared with all others"
        return f"each is compared within {self._clusters(count):,} clusters and across their borders" + (
            f" (search: auto, above {EXACT_UP_TO:,})" if self.options.search == "auto" else ""
        )

    def _by_clusters(self, count: int) -> bool:
        return count > 1 and (self.options.search == "clusters" or (self.options.search == "auto" and count > EXACT_UP_TO))

    def _clusters(self, count: int) -> int:
        return clusters_for(count, self.options.clusters)

    def pairs(self, entered: Entered) -> Pairs:
        """Pairs at or above the floor: all of them, or those that clusters show; see `search`."""
        vectors, known = vectors_of(entered, "embedding", self.width)
        n, backend = len(vectors), entered.workspace.backend
        if not self._by_clusters(n):
            found, notes = neighbours(vectors, self._floor, backend=backend), {"vectors_compared_with_all_others": n}
        else:
            count = self._clusters(n)
            learnt = centroids(vectors, count, self.options.iterations, self.options.seed, backend)
            clusters = assign(vectors, learnt, self._floor, self.options.visits, backend)
            found, compared = cluster_pairs(vectors, clusters, self._floor, backend=backend)
            notes = {
                "vectors_compared_in_clusters": n,
                "k-means_clusters": count,
                "visits": len(clusters.visitor),
                "compared_pairs": compared,
            }
        if n < entered.size:
            notes["records_unknown_to_the_model"] = entered.size - n
        return Pairs(known[found.a], known[found.b], np.maximum(found.similarity, 0.0), notes)


def vectors_of(entered: Entered, name: str, width: int) -> tuple[npt.NDArray[np.float16], Ints]:
    """Embeddings of the records that a model knows.

    name     of the value, as `Entered.chunks` takes it
    returns  (m, width) float16, in a temporary file where they would take more than half of the memory; and (m,) whose they are

    A vector of zeros is like nothing, and is left out.
    """
    shape, space = (entered.size, width), entered.workspace
    if 4 * entered.size * width <= space.memory:
        return _without_zeros(_fill(np.empty(shape, np.float16), entered, name))
    try:
        with tempfile.TemporaryFile(dir=space.folder) as file:  # the map holds it open
            os.posix_fallocate(file.fileno(), 0, 2 * entered.size * width)  # to write into a map on a full disk would be the end
            vectors = np.memmap(file, np.float16, "r+", 0, shape)
    except OSError as error:
        raise write_error(error, space.folder) from error
    return _without_zeros(_fill(vectors, entered, name))


def clusters_for(count: int, asked: int | None) -> int:
    """How many clusters so many vectors get: as many as asked for, else 2 sqrt(n), and at most one for 39 vectors."""
    return max(1, min(asked or 2 * isqrt(count), count // LEAST_IN_CLUSTER))


def _without_zeros(vectors: npt.NDArray[np.float16]) -> tuple[npt.NDArray[np.float16], Ints]:
    """The vectors that are not zero, moved to the front, and which they are: zeros are like nothing, and would fill one cluster."""
    known = np.flatnonzero(vectors.any(axis=1))
    for start in range(0, len(known) if len(known) < len(vectors) else 0, _MOVED):
        some = known[start : start + _MOVED]
        vectors[start : start + len(some)] = vectors[some]
    return vectors[: len(known)], known


def _fill(vectors: npt.NDArray[np.float16], entered: Entered, name: str) -> npt.NDArray[np.float16]:
    for at, values in entered.chunks(name):
        vectors[at] = fixed_rows(values, np.float16, vectors.shape[1:])
    return vectors
