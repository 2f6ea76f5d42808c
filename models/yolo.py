"""YOLO detectors through ultralytics: .pt in torch, .onnx in onnxruntime, both behind one `detect`.

ultralytics is AGPL-3.0, and so are its published weights: it is the optional extra `detect`, imported here and nowhere
else, and only when a recipe asks for image.detect. Its predict() was not taken: it resizes images itself, decides on
shapes by batch, and stops its box filter by the clock; the network and the filter are called directly instead.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from ..curator.errors import MachineError
from . import weights

EXTRA = "detect"
USUAL_PX = 640
MAX_BOXES = 300  # an image; ultralytics' own limit


@dataclass(frozen=True)
class Card:
    """What a model says about itself.

    names     class names, by class number
    image_px  the side it wants, None when it says nothing
    batch     images a forward pass, None for any number
    licence   empty when it says nothing
    """

    names: tuple[str, ...]
    image_px: int | None
    batch: int | None
    licence: str = ""


@dataclass(frozen=True)
class Detector:
    """A loaded model.

    batch    images a forward pass; the last batch is padded to it
    end2end  the network filters overlapping boxes by itself
    """

    card: Card
    batch: int
    forward: Callable[[npt.NDArray[np.float32]], Any]
    end2end: bool

    def detect(self, pixels: npt.NDArray[np.uint8], confidence: float, iou: float) -> list[npt.NDArray[np.float32]]:
        """Boxes found in letterboxed images.

        pixels      (n, N, N, 3) uint8  RGB
        confidence  boxes at or below it are left out
        iou         of two boxes of one class that overlap more, the less certain is left out
        returns     n arrays (k, 6) float32: x1, y1, x2, y2 [pixels of the letterbox], confidence, class number
        """
        found: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(pixels), self.batch):
            rows = pixels[start : start + self.batch]
            full = np.zeros((self.batch, *pixels.shape[1:]), np.float32)
            full[: len(rows)] = rows / np.float32(255)
            raw = self.forward(np.ascontiguousarray(full.transpose(0, 3, 1, 2)))
            found += [_boxes(raw[i : i + 1], confidence, iou, len(self.card.names), self.end2end) for i in range(len(rows))]
        return found


def _boxes(raw: Any, confidence: float, iou: float, classes: int, end2end: bool) -> npt.NDArray[np.float32]:
    import torchvision  # noqa: F401  # ultralytics takes another filter when nobody imported it
    from ultralytics.utils.nms import non_max_suppression

    never = float("inf")  # its clock would make the result depend on the load of the machine
    kept = non_max_suppression(raw, confidence, iou, nc=classes, max_det=MAX_BOXES, max_time_img=never, end2end=end2end)[0]
    array: npt.NDArray[np.float32] = kept.cpu().numpy()
    return array


# ---------------------------------------------------------------------------------------------- at plan time


def need() -> None:
    """Raises MachineError when the extra is not installed."""
    weights.need(EXTRA, "ultralytics", "onnxruntime", "torch", "torchvision", what="image.detect (ultralytics, AGPL-3.0)")


def card(path: str) -> Card:
    """Class names, size and batch of a model. Raises MachineError for a file that is no detection model."""
    return _onnx(path, "cpu")[0] if path.endswith(".onnx") else _torch(path, "cpu")[0]


def own_size(path: str) -> int | None:
    """The image side that an .onnx file was exported for; None for .pt files, which take any. Imports no torch."""
    try:
        return _onnx(path, "cpu")[0].image_px if path.endswith(".onnx") else None
    except (ImportError, MachineError):
        return None  # `need` and `card` say it


def libraries(path: str) -> dict[str, str]:
    """Versions of the distributions that decide boxes."""
    return {name: version(name) for name in ("torch", "torchvision", "ultralytics", *(["onnxruntime"] if path.endswith(".onnx") else []))}


def runs_on(path: str, device: str) -> str:
    """The device that will run the model: an .onnx file needs onnxruntime's own CUDA build."""
    if device == "cpu" or not path.endswith(".onnx"):
        return device
    weights.keep_private()
    import onnxruntime

    return "cuda" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "cpu"


# ----------------------------------------------------------------------------------------------- in a worker


@cache
def load(path: str, device: str, batch: int) -> Detector:
    """The detector, loaded once a process. A model exported for a fixed batch keeps that one. Raises MachineError."""
    weights.go_offline()
    if path.endswith(".onnx"):
        described, session = _onnx(path, device)
        return Detector(described, described.batch or batch, _onnx_forward(session), _filters_itself(session))
    described, model = _torch(path, device)
    return Detector(described, batch, _torch_forward(model, device), bool(getattr(model, "end2end", False)))


@cache
def _onnx(path: str, device: str) -> tuple[Card, Any]:
    weights.keep_private()
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)  # errors only
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # processes are d4a's parallelism
    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[provider])
        notes = session.get_modelmeta().custom_metadata_map
        names = ast.literal_eval(notes["names"])
        sizes = ast.literal_eval(notes.get("imgsz", "[]"))
    except Exception as error:  # onnxruntime's errors share no base class; KeyError and SyntaxError: not ultralytics' metadata
        raise MachineError(f"not an ONNX model exported by ultralytics: {_first_line(error)}", where=path) from error
    _check_task(notes.get("task", "detect"), path)
    batch, _, *sides = session.get_inputs()[0].shape
    size = sides[0] if isinstance(sides[0], int) else next(iter(sizes), None)
    return Card(_in_order(names), size, batch if isinstance(batch, int) else None, _licence(notes)), session


def _onnx_forward(session: Any) -> Callable[[npt.NDArray[np.float32]], Any]:
    import torch

    entry = session.get_inputs()[0]
    dtype = np.float16 if "float16" in entry.type else np.float32

    def forward(images: npt.NDArray[np.float32]) -> Any:
        found = session.run(None, {entry.name: images.astype(dtype, copy=False)})[0]
        return torch.from_numpy(found.astype(np.float32, copy=False))

    return forward


def _filters_itself(session: Any) -> bool:
    return bool(session.get_outputs()[0].shape[-1] == 6)


@cache
def _torch(path: str, device: str) -> tuple[Card, Any]:
    weights.keep_private()
    import torch
    from ultralytics.nn.tasks import load_checkpoint

    torch.set_num_threads(1)
    try:
        model, checkpoint = load_checkpoint(path)  # type: ignore[no-untyped-call]
        _check_task(str(model.task), path)
        model = model.fuse(verbose=False).eval().to(device)
    except MachineError:
        raise
    except Exception as error:  # a damaged or foreign pickle fails in as many ways as there are
        hint = "only checkpoints of known classes are loaded; ULTRALYTICS_SAFE_LOAD=0 trusts a file of your own"
        raise MachineError(f"not a YOLO checkpoint: {_first_line(error)}", where=path, hint=hint) from error
    names = model.names if isinstance(model.names, dict) else dict(enumerate(model.names))
    return Card(_in_order(names), None, None, _licence(checkpoint)), model


def _torch_forward(model: Any, device: str) -> Callable[[npt.NDArray[np.float32]], Any]:
    import torch

    def forward(images: npt.NDArray[np.float32]) -> Any:
        with torch.inference_mode():
            found = model(torch.from_numpy(images).to(device))
        return (found[0] if isinstance(found, list | tuple) else found).float()

    return forward


def _check_task(task: str, path: str) -> None:
    if task != "detect":
        raise MachineError(f"a model for the task {task!r}; image.detect needs one for 'detect'", where=path, hint="yolo11n.pt is one")


def _in_order(names: dict[int, str]) -> tuple[str, ...]:
    return tuple(str(names[i]) for i in sorted(names))


def _licence(notes: dict[str, Any]) -> str:
    """`AGPL-3.0 License` of `AGPL-3.0 License (https://ultralytics.com/license)`."""
    return str(notes.get("license") or "").partition(" (")[0]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
