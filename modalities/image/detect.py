"""image.detect: boxes of a YOLO model, and rules over them (`drop_if: {person: ">= 1"}`).

All boxes above `min_confidence` are recorded, so rules can change without running the network again. Storing only the
answers of today's rules would be smaller and would cost a scan for every new rule.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.columns import fixed_rows
from ...curator.errors import MachineError, UsageError
from ...curator.stage import Bools, Columns, Facts, Filter, Floats, Judgement, Machine, Value
from ...curator.wording import did_you_mean
from ...models import embed, weights, yolo
from ...models.yolo import Detector
from .conditions import Condition, Rules
from .detect_options import DetectOptions
from .label_forms import Boxes, coco_json, yolo_text

_PERSON, _FACE = re.compile("person", re.IGNORECASE), re.compile("face(_.*)?", re.IGNORECASE)


def _values(labels: Sequence[str]) -> tuple[Value, ...]:
    """What is measured; label forms are always measured, so that to ask for them later costs no model, and written where asked for."""
    forms = {"yolo": "Boxes as the text of a YOLO label file.", "coco": "Boxes as COCO annotations."}
    box = '{"class", "confidence", "area", "box": [x, y, w, h]}'
    return (
        Value(
            "boxes",
            pa.string(),
            f"JSON list of {box}, most confident first; box from the top left corner [pixels of the upright image],"
            " area = w h / (width height).",
            packed="boxes",
            json=True,
        ),
        Value("count", pa.int32(), "Number of boxes recorded."),
        Value("persons", pa.int32(), "Boxes of the class `person`; null where the model has none.", packed="persons", total=True),
        Value(
            "faces", pa.int32(), "Boxes of `face` or of classes that begin so; null where the model has none.", packed="faces", total=True
        ),
        *(
            Value(name, pa.string(), doc, packed=name * (name in labels), json=name == "coco", working=name not in labels)
            for name, doc in forms.items()
        ),
    )


class Detect(Filter):
    """Find objects with a YOLO model and drop images by class, count, confidence and area of the boxes."""

    name = "image.detect"
    version = 2
    cost = "model"
    Options = DetectOptions
    values: ClassVar[tuple[Value, ...]] = _values(())
    options: DetectOptions

    def __init__(self, options: DetectOptions) -> None:
        super().__init__(options)
        self.values = _values(options.labels)  # type: ignore[misc]  # label forms are written on request

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
        numeric |= {"image_px": str(self._size), "classes": ", ".join(card.names)} | yolo.libraries(path)
        return Facts(numeric, {"path": path, "device": device, "licence": card.licence})

    def _check_classes(self, names: tuple[str, ...]) -> None:
        for name in self.options.named:
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
        names = self._detector.card.names
        sizes = list(zip(batch.column("width").to_pylist(), batch.column("height").to_pylist(), strict=True))
        boxes = [upright(rows, self._size, *size, names) for rows, size in zip(found, sizes, strict=True)]
        numbers = {name: number for number, name in enumerate(names)}
        texts = {
            "boxes": [json.dumps(each, separators=(",", ":"), ensure_ascii=False) for each in boxes],
            "yolo": [yolo_text(each, numbers, *size) for each, size in zip(boxes, sizes, strict=True)],
            "coco": [coco_json(each, numbers) for each in boxes],
        }
        counts = {"count": [len(each) for each in boxes], "persons": _counts(boxes, names, _PERSON), "faces": _counts(boxes, names, _FACE)}
        return {value.name: pa.array((texts | counts)[value.name], value.type) for value in self.values}

    def judge(self, values: pa.Table) -> Judgement:
        """Drop what meets a `drop_if`, misses a `require`, or meets no `keep_if`; in this order, and rules by class name."""
        verdict = Judgement.keep_all(values.num_rows)
        if not self.options.named:
            return verdict
        verdict.detail = np.full(values.num_rows, None, np.object_)
        measured = values.column("count").is_valid().to_numpy()  # what was not measured is not judged
        boxes = _parsed(values)
        for unwanted, rules in ((True, self.options.drop_if), (False, self.options.require)):
            for name in sorted(rules):
                _apply(verdict, measured, boxes, name, rules[name], unwanted)
        if self.options.keep_if:
            _apply_any(verdict, measured, boxes, self.options.keep_if)
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


def _counts(boxes: list[Boxes], names: Sequence[str], wanted: re.Pattern[str]) -> list[int | None]:
    """Boxes of each picture whose class matches; null where no class does."""
    classes = {name for name in names if wanted.fullmatch(name)}
    return [sum(box["class"] in classes for box in each) if classes else None for each in boxes]


def _matching(boxes: dict[int, Boxes], name: str, condition: Condition, n: int) -> tuple[dict[int, Boxes], Floats]:
    """The boxes of each picture that a rule counts, and (n,) how many they are."""
    found = {i: those for i, each in boxes.items() if (those := condition.matching([box for box in each if box["class"] == name]))}
    counts = np.zeros(n)
    counts[list(found)] = [len(those) for those in found.values()]
    return found, counts


def _apply_any(verdict: Judgement, measured: Bools, boxes: dict[int, Boxes], rules: Rules) -> None:
    """The rules of `keep_if`: drop, with `nothing_wanted`, what meets none of them."""
    met = np.zeros(len(measured), bool)
    for name, condition in rules.items():
        met |= condition.met(_matching(boxes, name, condition, len(measured))[1])
    where = measured & verdict.keep & ~met
    verdict.drop(where, "nothing_wanted", np.full(len(met), np.nan), np.nan)
    assert verdict.detail is not None
    verdict.detail[where] = [_seen(boxes.get(i, [])) for i in np.flatnonzero(where).tolist()]


def _apply(verdict: Judgement, measured: Bools, boxes: dict[int, Boxes], name: str, condition: Condition, unwanted: bool) -> None:
    """One rule: drop with `has_person`, `no_person`, or (required, some found, but not the right number) `count_of_person`."""
    matching, counts = _matching(boxes, name, condition, len(measured))
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
    return _seen(boxes)


def _seen(boxes: Boxes) -> str:
    seen = Counter(box["class"] for box in boxes)
    return "saw " + ", ".join(f"{count} {each}" for each, count in sorted(seen.items())) if seen else "nothing was found"
