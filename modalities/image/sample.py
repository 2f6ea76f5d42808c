"""image.sample: at most N pictures of a kind: of an owner, of what is on them, of a cluster of embeddings.

Every picture is in one group, so that N is a promise. MetaCLIP's balancing, where a record has many entries and one that is not yet
full keeps it, would promise a share instead.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import orjson
import pyarrow as pa
from pydantic import field_validator

from ...curator.chance import keyed_hashes
from ...curator.dedup.clusters import assign, centroids
from ...curator.dedup.embeddings import LEAST_IN_CLUSTER, clusters_for, vectors_of
from ...curator.dedup.preference import KEEP_DOC, Keep, order_by
from ...curator.options import Options, judge
from ...curator.stage import Columns, Entered, Ints, Judgement, Sampling, Value

_META = "meta."
_ITERATIONS = 10


class SampleOptions(Options):
    """What a group is, how many of it stay, and which."""

    by: str = judge(
        "meta.owner",
        "What makes a group. meta.NAME: a field of what came with the picture, dots lead into mappings; `meta.owner` is the first folder of"
        " its path where nothing else is said; another field is measured anew. LABEL.boxes of image.detect, and meta.boxes: the class of"
        " the surest box. LABEL.embedding: clusters. Any other value that a stage measured before: equal ones, for instance"
        " `image.decode.format`.",
    )
    at_most: int = judge(100, "Pictures of a group that stay.", ge=1)
    keep: Keep | None = judge(None, f"Which of a group stay; null: drawn by a hash of seed and content. Else as for duplicates: {KEEP_DOC}")
    clusters: int | None = judge(
        None,
        f"Clusters of embeddings; null: 2 sqrt(n), and at most one for {LEAST_IN_CLUSTER} pictures. Spherical k-means of {_ITERATIONS}"
        " rounds, as for image.dedup.semantic.",
        ge=1,
    )
    seed: int = judge(0, "Seed of the draw, and of k-means.", ge=0, lt=2**32)

    @field_validator("by")
    @classmethod
    def _two_parts(cls, by: str) -> str:
        if not all(by.partition(".")):
            raise ValueError(f"{by!r} is neither meta.NAME nor LABEL.VALUE; pictures of an owner: {_META}owner")
        return by

    @property
    def field(self) -> str | None:
        """The field of `meta` that is measured."""
        return self.by.removeprefix(_META) if self.by.startswith(_META) else None

    def of_kind(self, kind: str) -> dict[str, Any]:
        """As for every stage, but of `by` only a field has to be measured."""
        return {"field": self.field} if kind == "measure" else super().of_kind(kind)


class Sample(Sampling):
    """Keep at most so many pictures of a group: of an owner, a class, a cluster or any measured value.

    Groups are formed of the pictures that reach this stage. A picture without the value is in no group and stays; one on which image.detect
    found nothing is in the group `nothing`. The same pictures are drawn for any number of workers and on every machine; of more pictures
    those drawn before stay or make room for others of their group, never for those of another.
    """

    name = "image.sample"
    Options = SampleOptions
    options: SampleOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("group", pa.string(), "The field of `by: meta.NAME`, a text as it is, others as JSON; null where there is none."),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """What came with the picture, where a field of it makes the groups."""
        return () if self.options.field is None else ("meta",)

    @property
    def asks(self) -> tuple[str, ...]:
        """The value that makes the groups."""
        return () if self.options.field is not None else (self.options.by,)

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """The field of `meta`."""
        if self.options.field is None:
            return {"group": pa.nulls(batch.num_rows, pa.string())}
        path = self.options.field.split(".")
        found = [_field(meta, path) for meta in batch.column("meta").to_pylist()]
        return {"group": pa.array(map(_surest, found) if self._of_boxes else found, pa.string())}

    @property
    def _of_boxes(self) -> bool:
        return self.options.by.endswith(".boxes")

    def choose(self, entered: Entered) -> Judgement:
        """Drop what comes behind the first `at_most` of its group, as `group_full`; the value is its place in the group."""
        verdict = Judgement.keep_all(entered.size)
        groups = self._groups(entered)
        codes = groups.indices.fill_null(-1).to_numpy()
        place = _places(codes, self._order(entered))
        out = (codes >= 0) & (place > self.options.at_most)
        verdict.drop(out, "group_full", place.astype(np.float64), self.options.at_most)
        verdict.detail = np.full(entered.size, None, np.object_)
        verdict.detail[out] = groups.filter(pa.array(out)).to_pylist()
        return verdict

    def _order(self, entered: Entered) -> Ints:
        """(n,) int64: the most preferred first."""
        if self.options.keep is not None:
            return order_by(entered, self.options.keep)
        drawn = keyed_hashes("sample", self.options.seed, entered.column("digest").to_numpy().tolist())
        return np.argsort(drawn, kind="stable")

    def _groups(self, entered: Entered) -> pa.DictionaryArray:
        """(n,) the group of each picture, null where it has none."""
        by = self.options.by
        if self.options.field is not None:
            found = entered.column("group")
        elif by.endswith(".embedding"):
            return self._clusters(entered)
        else:
            measured = entered.foreign(by)
            assert measured is not None, by  # the plan has seen to it
            found = pa.array(map(_surest, measured.to_pylist()), pa.string()) if self._of_boxes else measured.cast(pa.string())
        return (found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found).dictionary_encode()

    def _clusters(self, entered: Entered) -> pa.DictionaryArray:
        home, count = np.full(entered.size, -1, np.int64), 0
        if entered.size:
            _, first = next(entered.chunks(self.options.by))
            vectors, known = vectors_of(entered, self.options.by, first.type.byte_width // 2)
            backend = entered.workspace.backend
            if len(vectors):
                count = min(self.options.clusters or clusters_for(len(vectors), None), len(vectors))
                learnt = centroids(vectors, count, _ITERATIONS, self.options.seed, backend)
                home[known] = assign(vectors, learnt, 1.0, 0, backend).home
        return pa.DictionaryArray.from_arrays(pa.array(home, mask=home < 0), [f"cluster {number}" for number in range(count)])


def _places(groups: Ints, order: Ints) -> Ints:
    """(n,) int64: place of each record in its group, from 1 on, where `order` has the most preferred first."""
    order = order[np.argsort(groups[order], kind="stable")]
    sorted_groups = groups[order]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(1, len(order) + 1) - np.searchsorted(sorted_groups, sorted_groups)
    return place


def _field(meta: bytes | None, path: list[str]) -> str | None:
    found = orjson.loads(meta) if meta else None
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if found is None or isinstance(found, str) else orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()


def _surest(boxes: str | None) -> str | None:
    """Class of the most confident of boxes in JSON, of equals the first; `nothing` where there is none; None for what are no boxes."""
    found = orjson.loads(boxes) if boxes is not None and boxes[:1] == "[" else None
    if not isinstance(found, list) or not all(isinstance(box, dict) for box in found):
        return None
    best = max(found, key=_confidence, default={"class": "nothing"})
    return str(best["class"]) if "class" in best else None


def _confidence(box: dict[str, Any]) -> float:
    given = box.get("confidence")
    return given if isinstance(given, int | float) else 0.0
