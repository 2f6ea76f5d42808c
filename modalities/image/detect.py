"""image.detect: boxes of a YOLO model, and rules over them (`drop_if: {person: ">= 1"}`).

All boxes above `min_confidence` are recorded, so rules can change without running the network again. Storing only the
answers of today's rules would be smaller and would cost a scan for every new rule.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from ...curator.columns import fixed_rows
from ...curator.errors import MachineError, UsageError
from ...curator.options import Options, judge, measure
from ...curator.stage import Columns, Facts, Filter, Judgement, Machine, Value
from ...curator.wording import did_you_mean
from ...models import embed, weights, yolo
from ...models.yolo import Detector
from .conditions import Comparison, Condition, Rules

Boxes = list[dict[str, Any]]


class DetectOptions(Options):
    """Which detector, what it records, and what is dropped."""

    model: str = measure(
        "yolo11n.pt",
        "Weights: a .pt or .onnx file, `package:NAME/path` of an installed package, or an official name (yolo11n.pt), looked for in "
        "the current directory and in $D4A_MODELS or ~/.cache/d4a/models, and fetched once where there is a network.",
    )
    image_px: int | None = measure(
        None, "Side of the letterbox fed to the model [pixels]; default: what an .onnx was exported for, else 640.", ge=32, multiple_of=32
    )
    min_confidence: float = measure(0.25, "Boxes above this confidence are recorded [0 to 1].", ge=0, lt=1)
    iou: float = measure(0.7, "Of two boxes of a class that overlap more than this (intersection over union), one is recorded.", ge=0, le=1)
    batch_size: int = measure(8, "Images a forward pass [images]; the last batch of a unit is padded to it.", ge=1, le=1024)
    drop_if: Rules = judge({}, 'Class -> condition; an image that meets one is dropped: {person: ">= 1"}.')
    require: Rules = judge({}, "Class -> condition; an image that misses one is dropped.")

    def of_kind(self, kind: str) -> dict[str, Any]:
        """As for every stage, but the model stands there without its folder."""
        return {k: weights.without_folder(v) if k == "model" else v for k, v in super().of_kind(kind).items()}

    @model_validator(mode="after")
    def _recorded(self) -> DetectOptions:
        for name, condition in [*self.drop_if.items(), *self.require.items()]:
            asked = Comparison.parse(condition.confidence) if condition.confidence else None
            if asked and asked.operator in (">", ">=") and asked.number < self.min_confidence:
                below = f"{name}: boxes of confidence {asked.number:g} are not recorded"
                raise ValueError(f"{below}; lower min_confidence, which is {self.min_confidence:g}")
        return self


class Detect(Filter):
    """Find objects with a YOLO model and drop images by class, count, confidence and area of the boxes."""

    name = "image.detect"
    cost = "model"
    Options = DetectOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value(
            "boxes",
            pa.string(),
            'JSON list of {"class", "confidence", "area", "box": [x, y, w, h]}, most confident first; box from the top left corner '
            "[pixels of the upright image], area = w h / (width height).",
            packed="boxes",
            json=True,
        ),
        Value("count", pa.int32(), "Number of boxes recorded."),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The letterboxed picture, and the size of the whole one."""
        return (f"letterbox{self._size}", "width", "height")

    @cached_property
    def _size(self) -> int:
        if self.options.image_px is not None:
            return int(self.options.image_px)
        try:
            path = weights.locate(self.options.model)
        except MachineError:
            path = None  # `prepare` says it
        return (yolo.own_size(str(path)) if path else None) or yolo.USUAL_PX

    def prepare(self, machine: Machine) -> Facts:
        """Find the weights, and check that the model knows every class that a rule names."""
        yolo.need()
        found = weights.find(self.options.model)
        path = str(found.path)
        device = yolo.runs_on(path, machine.device)
        card = yolo.card(path)
        self._check_classes(card.names)
        numeric = {"weights": found.sha256, "precision": "fp32", "device": embed.device_kind(device)}  # bf16 moves boxes by pixels
        return Facts(
            numeric | {"image_px": str(self._size)} | yolo.libraries(path), {"path": path, "device": device, "licence": card.licence}
        )

    def _check_classes(self, names: tuple[str, ...]) -> None:
        for name in [*self.options.drop_if, *self.options.require]:
            if name not in names:
                hint = did_you_mean(name, names) or f"its classes: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}"
                raise UsageError(f"image.detect: {self.options.model} knows no class {name!r}", hint=hint)

    def open(self, facts: Facts) -> None:
        """Remember where the weights are; the first batch loads them."""
        self._facts = facts
        self._size = int(facts.numeric["image_px"])

    @cached_property
    def _detector(self) -> Detector:
        return yolo.load(self._facts.local["path"], self._facts.local["device"], self.options.batch_size)

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """The boxes of each picture."""
        pixels = fixed_rows(batch.column(self.needs[0]), np.uint8, (self._size, self._size, 3))
        found = self._detector.detect(pixels, self.options.min_confidence, self.options.iou)
        sizes = zip(batch.column("width").to_pylist(), batch.column("height").to_pylist(), strict=True)
        boxes = [upright(rows, self._size, *size, self._detector.card.names) for rows, size in zip(found, sizes, strict=True)]
        texts = [json.dumps(each, separators=(",", ":"), ensure_ascii=False) for each in boxes]
        return {"boxes": pa.array(texts, pa.string()), "count": pa.array(map(len, boxes), pa.int32())}

    def judge(self, values: pa.Table) -> Judgement:
        """Drop what meets a `drop_if` or misses a `require`; rules are tried by class name, `drop_if` first."""
        verdict = Judgement.keep_all(values.num_rows)
        if not self.options.drop_if and not self.options.require:
            return verdict
        verdict.detail = np.full(values.num_rows, None, np.object_)
        measured = values.column("count").is_valid().to_numpy()  # what was not measured is not judged
        boxes = _parsed(values)
        for unwanted, rules in ((True, self.options.drop_if), (False, self.options.require)):
            for name in sorted(rules):
                _apply(verdict, measured, boxes, name, rules[name], unwanted)
        return verdict


def upright(rows: npt.NDArray[np.float32], side: int, width: int, height: int, names: tuple[str, ...]) -> Boxes:
    """Boxes in the pixels of the whole image, from boxes in its letterbox.

    rows     (k, 6) float32   x1, y1, x2, y2, confidence, class number
    returns  most confident first, then by class, then by place; boxes wholly in the padding are left out
    """
    scale = side / max(width, height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    pad = np.array([(side - inner[0]) // 2, (side - inner[1]) // 2] * 2)
    stretch = np.array([width / inner[0], height / inner[1]] * 2)
    corners = np.clip((rows[:, :4].astype(np.float64) - pad) * stretch, 0, [width, height] * 2)
    boxes = []
    for (x1, y1, x2, y2), (confidence, number) in zip(corners.tolist(), rows[:, 4:6].tolist(), strict=True):
        if x2 > x1 and y2 > y1:
            box = [round(x1, 1), round(y1, 1), round(x2 - x1, 1), round(y2 - y1, 1)]
            area = round((x2 - x1) * (y2 - y1) / (width * height), 4)
            boxes.append({"class": names[int(number)], "confidence": round(confidence, 3), "area": area, "box": box})
    return sorted(boxes, key=lambda b: (-b["confidence"], b["class"], b["box"]))


def _parsed(values: pa.Table) -> dict[int, Boxes]:
    """Index of a record -> its boxes, for the records that have any; the others are not parsed."""
    some = pc.fill_null(pc.greater(values.column("count"), 0), False)
    texts = values.column("boxes").filter(some).to_pylist()
    return {int(i): json.loads(text) for i, text in zip(np.flatnonzero(some.to_numpy()), texts, strict=True)}


def _apply(
    verdict: Judgement, measured: npt.NDArray[np.bool_], boxes: dict[int, Boxes], name: str, condition: Condition, unwanted: bool
) -> None:
    """One rule: drop with `has_person`, `no_person`, or (required, some found, but not the right number) `count_of_person`."""
    matching = {i: found for i, each in boxes.items() if (found := condition.matching([box for box in each if box["class"] == name]))}
    counts = np.zeros(len(measured))
    counts[list(matching)] = [len(found) for found in matching.values()]
    broken = measured & verdict.keep & (condition.met(counts) == unwanted)
    word = re.sub(r"\W+", "_", name.lower()).strip("_")
    assert verdict.detail is not None
    for some, reason in ((counts > 0, f"{'has' if unwanted else 'count_of'}_{word}"), (counts == 0, f"no_{word}")):
        where = broken & some
        if where.any():
            verdict.drop(where, reason, counts, condition.number)
            verdict.detail[where] = [_detail(name, matching.get(i, []), boxes.get(i, [])) for i in np.flatnonzero(where).tolist()]


def _detail(name: str, matching: Boxes, boxes: Boxes) -> str:
    """`person 0.83 area 0.21` of the most certain match; without one, what else was seen."""
    if matching:
        return f"{name} {matching[0]['confidence']:.2f} area {matching[0]['area']:.2g}"
    seen = Counter(box["class"] for box in boxes)
    return "saw " + ", ".join(f"{count} {each}" for each, count in sorted(seen.items())) if seen else "nothing was found"
