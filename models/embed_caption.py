"""The text tower of a CLIP model: captions in the space of embed.py's images.

Tokenised by open_clip's bundled byte-pair encoding, every batch of one shape, as images are. Models with a tokenizer of their own
are refused: it would have to be fetched, and a worker never fetches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from ..curator.errors import UsageError
from ..curator.stage import Ints
from . import embed
from .embed import ClipSpec, unit_rows
from .weights import Weights

_OWN = ("hf_tokenizer_name", "hf_model_name", "tokenizer_kwargs")  # what a model with another tokenizer has in its text_cfg


def find(spec: ClipSpec) -> Weights:
    """Find the model's libraries and weights, as `embed.find`. Raises UsageError for a model with a tokenizer of its own."""
    text = (embed.clip_config(spec.clip) or {}).get("text_cfg", {})
    if any(text.get(name) for name in _OWN) or "siglip" in spec.clip.lower():
        what = f"{spec.clip} has a tokenizer of its own ({text.get('hf_tokenizer_name') or 'SigLIP'}); captions are read by open_clip's"
        raise UsageError(what, hint="choose a model with CLIP's own vocabulary, for instance ViT-B-32 or ViT-L-14")
    return embed.find(spec, captions=True)


def libraries(spec: ClipSpec) -> dict[str, str]:
    """Versions of the distributions that decide an embedding; the tokenizer repairs text by ftfy and splits it by regex."""
    return {**embed.libraries(spec), **{name: version(name) for name in ("ftfy", "regex")}}


@dataclass(frozen=True)
class CaptionEmbedder:
    """A loaded text tower.

    dim      width of an embedding
    context  tokens that it reads, two of them the marks of begin and end
    batch    captions a forward pass; the last batch is padded to it
    """

    dim: int
    context: int
    batch: int
    tokenizer: Any
    forward: Callable[[Any], Any]
    precision: str
    device: str

    def embed(self, captions: Sequence[str]) -> npt.NDArray[np.float16]:
        """Embeddings of captions, of which no more than `context` tokens are read.

        returns  (n, dim) float16   of length 1; the same bytes whatever else is in the batch

        Raises D4AError when the network gives NaN or infinity.
        """
        out = np.empty((len(captions), self.dim), np.float16)
        for start in range(0, len(captions), self.batch):
            rows = list(captions[start : start + self.batch])
            out[start : start + len(rows)] = self._one(rows + [""] * (self.batch - len(rows)))[: len(rows)]
        return out

    def unread(self, captions: Sequence[str]) -> Ints:
        """(n,) int64: tokens of each caption that lie behind what is read."""
        sizes = np.array([len(self.tokenizer.encode(caption)) for caption in captions], np.int64)
        return np.maximum(sizes - (self.context - 2), 0)

    def _one(self, captions: list[str]) -> npt.NDArray[np.float16]:
        with embed.inferring(self.device, self.precision):
            return unit_rows(self.forward(self.tokenizer(captions).to(self.device)))


@cache
def load(spec: ClipSpec, path: str, precision: str, device: str, batch: int) -> CaptionEmbedder:
    """The text tower with the weights that `find` found; loaded once a process. Raises MachineError when they do not fit."""
    with embed.loading(embed.key_of(spec), path):
        import open_clip

        model = embed.both_towers(spec, path, device, precision)
        del model.visual  # embed.load has it, where images are embedded
        tokenizer = open_clip.get_tokenizer(f"local-dir:{path}" if spec.clip.startswith("local-dir:") else spec.clip)
    return CaptionEmbedder(embed.shape(spec)[1], tokenizer.context_length, batch, tokenizer, model.encode_text, precision, device)
