"""image.dedup.perceptual: copies that were re-encoded, resized, brightened, mirrored, watermarked or cropped.

Works on a grey thumbnail of 32 x 32 cells (phash.py says how), so copies that differ in colour alone count as one.
A semantic embedding finds other takes of a scene as well; that is another stage with another reason.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ...curator.columns import fixed_column, fixed_rows
from ...curator.options import DedupOptions, judge, search
from ...curator.stage import Columns, Dedup, Entered, Floats, Ints, Pairs, Value
from . import phash


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

    def pairs(self, entered: Entered) -> Pairs:
        """Every pair above the floor; of images with one thumbnail only the most preferred is compared with others.

        Quadratic in the number of images, see `phash.similar_pairs`: 100,000 photographs take minutes, a million hours.
        """
        compared = self.order(entered)
        structured = entered.column("contrast").to_numpy() >= self.options.min_contrast
        compared = compared[structured[compared]]
        thumbs = fixed_rows(entered.column("thumb"), np.uint8, (phash.SIDE, phash.SIDE))[compared]
        first, group = _distinct(thumbs)
        a, b, similarity = _all_members(*phash.similar_pairs(thumbs[first], self._floor), first, group)
        return Pairs(compared[a], compared[b], similarity, {"flat_images": entered.size - len(compared)})


def _distinct(thumbs: phash.Thumbs) -> tuple[Ints, Ints]:
    """(first, group): where each distinct thumbnail comes first, ascending, and for each thumbnail the place of its first in that list."""
    rows = np.ascontiguousarray(thumbs).reshape(len(thumbs), phash.SIDE**2)
    _, first, group = np.unique(rows.view(f"V{phash.SIDE**2}").reshape(-1), return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order].astype(np.int64), place[group]


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
