"""image.dedup.perceptual: copies that were re-encoded, resized, brightened, mirrored, watermarked or cropped.

Works on a grey thumbnail of 32 x 32 cells and the ranks of its grey levels (phash.py), so copies that differ in colour alone count as one.
A semantic embedding finds other takes of a scene as well; that is another stage with another reason, and here, on request, it only
lifts pairs whose pictures nearly agree (lifted.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from ...curator.columns import fixed_column, fixed_rows
from ...curator.dedup.embeddings import embedding
from ...curator.dedup.spill import spacious
from ...curator.options import DedupOptions, OptionError, judge, measure, search
from ...curator.stage import Columns, Dedup, Entered, Floats, Ints, Pairs, Value
from ...models import embed
from ...models.embed import Spec
from . import phash, phash_index
from .lifted import meanings, with_lifted
from .network import WithNetwork


class PerceptualOptions(DedupOptions):
    """How alike is a duplicate."""

    threshold: float = judge(
        0.8,
        "Similarity at or above which two images are duplicates. It is the correlation of two spectra (16 x 16 cosine terms of a grey "
        "thumbnail whose levels are replaced by their ranks, weighted by frequency): of one image whole, and of the other, as it is or "
        "mirrored, less up to 31 % at each border, whichever agrees best. 1: the same ranks.",
        ge=0.5,
        le=phash.ENOUGH,
    )
    pairs_from: float = search(
        0.7, "Pairs are kept from this similarity on: above it the threshold moves without a new search.", ge=0.5, le=1
    )
    min_contrast: float = search(3.0, "Flatter images have nothing to compare and are duplicates of none [grey levels of 0 to 255].", ge=0)
    embedding: Spec | None = measure(
        None,
        "A network as in image.dedup.semantic ({clip: NAME, weights: TAG or FILE}, {efficientnet: lite0}): two images whose embeddings"
        " have a cosine of min_cosine or more and whose spectra agree to `gate` or more are duplicates of that cosine, too. On planted"
        " copies (crops up to 20 %, mirrored, watermarked …) efficientnet lite0 finds three pairs more of 539, none of 427: leave it null"
        " unless your own copies ask for it. The stage then costs what a model costs.",
    )
    min_cosine: float = search(0.98, "With `embedding`: cosine from which the network's opinion counts.", ge=0, le=1)
    gate: float = search(
        0.6, "With `embedding`: similarity of spectra that is needed all the same; other views of a scene are mostly below.", ge=0.5, le=1
    )
    batch_size: int = measure(
        16, "With `embedding`: images a forward pass [images]; the last batch of a unit is padded to it.", ge=1, le=4096
    )

    @model_validator(mode="after")
    def _only_with_a_network(self) -> Self:
        fields = type(self).model_fields
        for name in ("min_cosine", "gate", "batch_size") if self.embedding is None else ():
            if getattr(self, name) != fields[name].default:
                raise OptionError(f"{name} belongs to `embedding`, which is null", name, "name a network, or leave it out")
        return self

    def of_kind(self, kind: str) -> dict[str, Any]:
        """As for every stage, but the network stands there without its folder, and without one what belongs to it is left out."""
        found = super().of_kind(kind)
        if self.embedding is None:
            return {name: value for name, value in found.items() if name not in ("embedding", "min_cosine", "gate", "batch_size")}
        return {k: embed.key_of(self.embedding) if k == "embedding" else v for k, v in found.items()}


class Perceptual(WithNetwork, Dedup):
    """Drop an image that looks like a kept one, whole or cropped; larger pictures are kept first."""

    name = "image.dedup.perceptual"
    version = 3
    reason = "near_duplicate"
    Options = PerceptualOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("thumb", pa.binary(phash.SIDE**2), "Grey thumbnail, 32 x 32 bytes: means of 2 x 2 pixels of gray64.", sketch=True),
        Value("contrast", pa.float64(), "Standard deviation of the thumbnail without its outermost cells [grey levels of 0 to 255]."),
        Value("pixels", pa.int64(), "width x height of the upright picture: the larger one is kept."),
    )

    options: PerceptualOptions

    def __init__(self, options: PerceptualOptions) -> None:
        super().__init__(options)
        if options.embedding is not None:
            self._width = embed.shape(options.embedding)[1]
            self.cost = "model"  # type: ignore[misc]  # of this one
            self.values = (*type(self).values, *embedding("Output of the network's image tower", self._width))  # type: ignore[misc]

    @property
    def needs(self) -> tuple[str, ...]:
        """The grey picture and the size of the whole one; with a network, the picture at its size."""
        return ("gray64", "width", "height", *([f"rgb{self.side}"] if self.options.embedding is not None else []))

    @property
    def network(self) -> Spec | None:
        """The one in `embedding`."""
        return self.options.embedding

    @property
    def threshold(self) -> float:
        """Pairs at or above this similarity are duplicates."""
        return float(self.options.threshold)

    @property
    def _floor(self) -> float:
        return min(float(self.options.threshold), float(self.options.pairs_from))

    def search_key(self) -> dict[str, Any]:
        """Only a threshold under `pairs_from` asks for a new search."""
        return {**super().search_key(), "pairs_from": self._floor}

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """Thumbnail, contrast and area of each picture; its embedding, where a network is named."""
        thumbs = phash.thumbnails(fixed_rows(batch.column("gray64"), np.uint8, (64, 64)))
        width, height = (batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64) for name in ("width", "height"))
        found = {"thumb": fixed_column(thumbs), "contrast": pa.array(phash.contrast(thumbs)), "pixels": pa.array(width * height)}
        if self.options.embedding is not None:
            found["embedding"] = fixed_column(self.embedded(batch))
        return found

    def preference(self, entered: Entered) -> Ints:
        """By `keep`; without it larger area first, then more bytes, then input order."""
        if self.options.keep is not None:
            return super().preference(entered)
        area, size = entered.column("pixels").to_numpy(), entered.column("payload_bytes").to_numpy()
        return np.lexsort((np.arange(entered.size), -size, -area)).astype(np.int64)

    def way(self, count: int) -> str:
        """All pairs, or those that an index proposes."""
        return phash_index.way(count)

    def pairs(self, entered: Entered) -> Pairs:
        """Every pair above the floor, or where pictures are very many, or very many are alike, those that an index proposes.

        Of images with one thumbnail only the most preferred is compared with others.
        """
        compared = self.order(entered)
        structured = entered.column("contrast").to_numpy() >= self.options.min_contrast
        compared = compared[structured[compared]]
        thumbs, first, group = _distinct(entered, compared)
        found, options = phash_index.near_pairs(thumbs, self._floor, entered.workspace), self.options
        if options.embedding is not None:
            found = with_lifted(found, entered, self._width, thumbs, compared[first], options.min_cosine, options.gate)
        a, b, similarity = _all_members(found.a, found.b, found.similarity, first, group)
        return Pairs(compared[a], compared[b], similarity, {**found.notes, "flat_images": entered.size - len(compared)})

    def details(self, entered: Entered, dropped: Ints, twins: Ints, similarity: Floats) -> list[str] | None:
        """With a network, whose opinion the similarity is."""
        if self.options.embedding is None:
            return None
        members, at = np.unique(np.concatenate([dropped, twins]), return_inverse=True)
        thumbs = spacious((len(members), phash.SIDE, phash.SIDE), np.uint8, entered.workspace)
        for place, rows in _thumbnails(entered, members):
            thumbs[place] = rows
        return meanings(thumbs, at[: len(dropped)], at[len(dropped) :], similarity, self._floor, self.options.gate)


def _thumbnails(entered: Entered, wanted: Ints) -> Iterator[tuple[Ints, phash.Thumbs]]:
    """Some at a time, the places in `wanted` and the equalised thumbnails of these records."""
    place = np.full(entered.size, -1, np.int64)
    place[wanted] = np.arange(len(wanted))
    for indices, values in entered.chunks("thumb"):
        at = place[indices]
        yield at[at >= 0], phash.equalised(fixed_rows(values, np.uint8, (phash.SIDE, phash.SIDE))[at >= 0])


def _distinct(entered: Entered, compared: Ints) -> tuple[phash.Thumbs, Ints, Ints]:
    """Equalised thumbnails of records, each once.

    compared  (m,) int64           indices of records
    returns   (f, 32, 32) uint8    distinct thumbnails, in a temporary file where memory is short
              (f,) int64           which of the m has each first, ascending
              (m,) int64           for each of the m the number of its thumbnail
    """
    thumbs = spacious((len(compared), phash.SIDE, phash.SIDE), np.uint8, entered.workspace)
    names = np.empty(len(compared), "V16")
    for at, rows in _thumbnails(entered, compared):
        thumbs[at] = rows
        names[at] = phash.names(rows).view("V16")[:, 0]
    _, first, group = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    first = first[order].astype(np.int64)
    return phash.to_front(thumbs, first), first, number[group]


def _all_members(a: Ints, b: Ints, similarity: Floats, first: Ints, group: Ints) -> tuple[Ints, Ints, Floats]:
    """Pairs of distinct thumbnails -> pairs of images.

    Each image is paired with the first of its own thumbnail (1.0) and with the first of every similar one. Pairs of two
    that are not first decide nothing: the first of their thumbnail is kept or dropped before them, and they are dropped either way.
    """
    count = len(group)
    members, starts = np.argsort(group, kind="stable"), np.searchsorted(np.sort(group), np.arange(len(first) + 1))
    sizes = np.diff(starts)
    same = np.flatnonzero(first[group] != np.arange(count))
    parts = [(first[group[same]], same, np.ones(len(same)))]
    for head, other, skip in ((a, b, 0), (b, a, 1)):  # the pair of both firsts comes once
        size = sizes[other] - skip
        at = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        member = members[np.repeat(starts[other] + skip, size) + at]
        parts.append((np.repeat(first[head], size), member, np.repeat(similarity, size)))
    left, right, value = (np.concatenate(each) for each in zip(*parts, strict=True))
    return left.astype(np.int64), right.astype(np.int64), value
