"""image.dedup.perceptual: copies that were re-encoded, resized, brightened, mirrored, watermarked or cropped.

Works on a grey thumbnail of 32 x 32 cells (phash.py says how), so copies that differ in colour alone count as one.
A semantic embedding finds other takes of a scene as well; that is another stage with another reason.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ...curator.columns import fixed_column, fixed_rows
from ...curator.dedup.spill import spacious
from ...curator.options import DedupOptions, judge, search
from ...curator.payload import digests
from ...curator.stage import Columns, Dedup, Entered, Floats, Ints, Pairs, Value
from . import phash, phash_index

EXACT_UP_TO = 50_000  # pictures that are each compared with all others: a CPU minute
_MOVED = 4096  # thumbnails at a time


class PerceptualOptions(DedupOptions):
    """How alike is a duplicate."""

    threshold: float = judge(
        0.9,
        "Similarity at or above which two images are duplicates. It is the correlation of two spectra (16 x 16 cosine terms of a grey "
        "thumbnail, weighted by frequency): of one image whole, and of the other, as it is or mirrored, less up to 31 % at each border, "
        "whichever agrees best. 1: the same thumbnail.",
        ge=0.5,
        le=phash.ENOUGH,
    )
    pairs_from: float = search(
        0.8, "Pairs are kept from this similarity on: above it the threshold moves without a new search.", ge=0.5, le=1
    )
    min_contrast: float = search(3.0, "Flatter images have nothing to compare and are duplicates of none [grey levels of 0 to 255].", ge=0)


class Perceptual(Dedup):
    """Drop an image that looks like a kept one, whole or cropped; larger pictures are kept first."""

    name = "image.dedup.perceptual"
    version = 2
    reason = "near_duplicate"
    Options = PerceptualOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("thumb", pa.binary(phash.SIDE**2), "Grey thumbnail, 32 x 32 bytes: means of 2 x 2 pixels of gray64.", sketch=True),
        Value("contrast", pa.float64(), "Standard deviation of the thumbnail without its outermost cells [grey levels of 0 to 255]."),
        Value("pixels", pa.int64(), "width x height of the upright picture: the larger one is kept."),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The grey picture and the size of the whole one."""
        return ("gray64", "width", "height")

    @property
    def threshold(self) -> float:
        """Pairs at or above this similarity are duplicates."""
        return float(self.options.threshold)

    @property
    def _floor(self) -> float:
        return min(float(self.options.threshold), float(self.options.pairs_from))

    def search_key(self) -> dict[str, Any]:
        """Only a threshold under `pairs_from` asks for a new search."""
        return {"floor": self._floor, "min_contrast": self.options.min_contrast}

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """Thumbnail, contrast and area of each picture."""
        thumbs = phash.thumbnails(fixed_rows(batch.column("gray64"), np.uint8, (64, 64)))
        width, height = (batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64) for name in ("width", "height"))
        return {"thumb": fixed_column(thumbs), "contrast": pa.array(phash.contrast(thumbs)), "pixels": pa.array(width * height)}

    def preference(self, entered: Entered) -> Ints:
        """By `keep`; without it larger area first, then more bytes, then input order."""
        if self.options.keep is not None:
            return super().preference(entered)
        area, size = entered.column("pixels").to_numpy(), entered.column("payload_bytes").to_numpy()
        return np.lexsort((np.arange(entered.size), -size, -area)).astype(np.int64)

    def way(self, count: int) -> str:
        """All pairs, or those that an index proposes."""
        if count <= EXACT_UP_TO:
            return "each is compared with all others"
        return f"each is compared with those that an index of hashes proposes (above {EXACT_UP_TO:,})"

    def pairs(self, entered: Entered) -> Pairs:
        """Every pair above the floor, or above EXACT_UP_TO different pictures those that an index proposes.

        Of images with one thumbnail only the most preferred is compared with others.
        """
        compared = self.order(entered)
        structured = entered.column("contrast").to_numpy() >= self.options.min_contrast
        compared = compared[structured[compared]]
        thumbs, first, group = _distinct(entered, compared)
        found = self._similar(thumbs, entered)
        a, b, similarity = _all_members(found.a, found.b, found.similarity, first, group)
        return Pairs(compared[a], compared[b], similarity, {**found.notes, "flat_images": entered.size - len(compared)})

    def _similar(self, thumbs: phash.Thumbs, entered: Entered) -> phash_index.Found:
        if len(thumbs) > EXACT_UP_TO:
            return phash_index.similar_pairs(thumbs, self._floor, entered.workspace)
        return phash_index.Found(*phash.similar_pairs(thumbs, self._floor), {"images_compared_with_all_others": len(thumbs)})


def _distinct(entered: Entered, compared: Ints) -> tuple[phash.Thumbs, Ints, Ints]:
    """Thumbnails of records, each once.

    compared  (m,) int64           indices of records
    returns   (f, 32, 32) uint8    distinct thumbnails, in a temporary file where memory is short
              (f,) int64           which of the m has each first, ascending
              (m,) int64           for each of the m the number of its thumbnail
    """
    place = np.full(entered.size, -1, np.int64)
    place[compared] = np.arange(len(compared))
    thumbs = spacious((len(compared), phash.SIDE, phash.SIDE), np.uint8, entered.workspace)
    names = np.empty(len(compared), "V16")
    for indices, values in entered.chunks("thumb"):
        at = place[indices]
        thumbs[at[at >= 0]] = fixed_rows(values, np.uint8, (phash.SIDE, phash.SIDE))[at >= 0]
        names[at[at >= 0]] = fixed_rows(digests(values.cast(pa.large_binary())), np.dtype("V16"), ())[at >= 0]
    _, first, group = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    first = first[order].astype(np.int64)
    for start in range(0, len(first) if len(first) < len(thumbs) else 0, _MOVED):
        some = first[start : start + _MOVED]
        thumbs[start : start + len(some)] = thumbs[some]
    return thumbs[: len(first)], first, number[group]


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
