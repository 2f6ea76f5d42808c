"""The text tower of a CLIP model: captions in the space of embed.py's images.

Tokenised by open_clip's bundled byte-pair encoding. A caption is padded to the next of three lengths by its own tokens alone, and a batch
has one shape; one length for all was the alternative: four times slower, since captions have some 15 tokens of 77. Models with a
tokenizer of their own are refused: it would have to be fetched, and a worker never fetches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from ..curator.errors import UsageError
from ..curator.stage import Ints
from . import embed
from .embed import ClipSpec, inferring, unit_rows
from .weights import Weights

SHORT = (16, 32)  # tokens, beside all that a model reads
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
    batch    captions a forward pass; the last batch of a length is padded to it
    lengths  tokens that a caption may be padded to, ascending; the last is all that the model reads, marks of begin and end among them
    forward  (length, tokens) -> embeddings
    """

    dim: int
    batch: int
    lengths: tuple[int, ...]
    tokenizer: Any
    forward: Callable[[int, Any], Any]
    precision: str
    device: str

    def embed(self, captions: Sequence[str]) -> npt.NDArray[np.float16]:
        """Embeddings of captions.

        returns  (n, dim) float16   of length 1; the same bytes whatever else is in the batch

        Raises D4AError when the network gives NaN or infinity.
        """
        out = np.empty((len(captions), self.dim), np.float16)
        if not len(captions):
            return out
        tokens = self.tokenizer(list(captions))
        sizes = tokens.argmax(1).numpy() + 1  # the mark of the end is the greatest token
        padded = np.array(self.lengths)[np.searchsorted(self.lengths, sizes)]
        for length in np.unique(padded).tolist():
            mine = np.flatnonzero(padded == length)
            for start in range(0, len(mine), self.batch):
                rows = mine[start : start + self.batch]
                full = np.resize(rows, self.batch)  # repeated
                out[rows] = self._one(length, tokens[full, :length])[: len(rows)]
        return out

    def unread(self, captions: Sequence[str]) -> Ints:
        """(n,) int64: tokens of each caption that lie behind what is read."""
        sizes = np.array([len(self.tokenizer.encode(caption)) for caption in captions], np.int64)
        return np.maximum(sizes - (self.lengths[-1] - 2), 0)

    def _one(self, length: int, tokens: Any) -> npt.NDArray[np.float16]:
        with inferring(self.device, self.precision):
            return unit_rows(self.forward(length, tokens.to(self.device)))


@cache
def load(spec: ClipSpec, path: str, precision: str, device: str, batch: int) -> CaptionEmbedder:
    """The text tower with the weights that `find` found; loaded once a process. Raises MachineError when they do not fit."""
    with embed.loading(embed.key_of(spec), path):
        import open_clip

        model = embed.both_towers(spec, path, device, precision)
        del model.visual  # embed.load has it, where images are embedded
        tokenizer = open_clip.get_tokenizer(f"local-dir:{path}" if spec.clip.startswith("local-dir:") else spec.clip)
        towers = {tokenizer.context_length: model.encode_text}
        if isinstance(model, open_clip.CLIP) and model.attn_mask is not None and model.text_pool_type in ("argmax", "eos"):
            towers |= {length: _shorter(model, length).encode_text for length in SHORT if length < tokenizer.context_length}
    return CaptionEmbedder(
        embed.shape(spec)[1], batch, tuple(sorted(towers)), tokenizer, lambda length, tokens: towers[length](tokens), precision, device
    )


def _shorter(model: Any, length: int) -> Any:
    """The same weights for fewer tokens: none of these looks at what comes behind it, so what is left out is padding."""
    from torch.nn import Parameter

    short = copy(model)
    short._parameters = {**model._parameters, "positional_embedding": Parameter(model.positional_embedding[:length], requires_grad=False)}
    short._buffers = {**model._buffers, "attn_mask": model.attn_mask[:length, :length]}
    return short
