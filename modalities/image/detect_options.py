"""Options of image.detect, and rules over the classes of nudenet's model, by name."""

from __future__ import annotations

from itertools import chain
from typing import Any, Literal

from pydantic import model_validator

from ...curator.options import Options, judge, measure
from ...models import weights
from .conditions import Comparison, Rules

_NUDENET: dict[str, Any] = {"model": "package:nudenet/320n.onnx", "min_confidence": 0.2}  # nudenet itself reports boxes from 0.2 on
_EXPOSED = ("ANUS_EXPOSED", "BUTTOCKS_EXPOSED", "FEMALE_BREAST_EXPOSED", "FEMALE_GENITALIA_EXPOSED", "MALE_GENITALIA_EXPOSED")
PRESETS: dict[str, dict[str, Any]] = {
    "nsfw": {**_NUDENET, "drop_if": {name: {"confidence": ">= 0.5"} for name in _EXPOSED}},
    "nsfw-strict": {**_NUDENET, "drop_if": dict.fromkeys(_EXPOSED, ">= 1")},
}


class DetectOptions(Options):
    """Which detector, what it records, and what is dropped."""

    preset: Literal["nsfw", "nsfw-strict"] | None = judge(
        None,
        "nudenet's model (extra standin, AGPL-3.0) and its classes of bare skin: ANUS, BUTTOCKS, FEMALE_BREAST, FEMALE_GENITALIA and"
        " MALE_GENITALIA_EXPOSED, dropped from a confidence of 0.5 on (nsfw), or of 0.2 on, from which nudenet reports them (nsfw-strict)."
        " Options that stand beside it override it. Measured by nobody here: look at what is dropped, and at what is not.",
    )
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
    keep_if: Rules = judge(
        {}, 'Class -> condition; an image that meets none of them is dropped, as `nothing_wanted`: {cat: ">= 1", dog: ">= 1"}.'
    )
    labels: list[Literal["yolo", "coco"]] = judge(
        [],
        "Forms in which boxes are written into the sample's .json as well. yolo: the text of a label file, a line `class x y w h` a box,"
        " centre and size as shares of the picture. coco: annotations, their bbox and area in pixels, with the confidence as `score`;"
        " readers give ids. Classes are the model's numbers, from 0 on; dataset.json has their names in order.",
    )

    @model_validator(mode="before")
    @classmethod
    def _begin_with_the_preset(cls, given: Any) -> Any:
        return {**PRESETS.get(str(given.get("preset")), {}), **given} if isinstance(given, dict) else given

    def of_kind(self, kind: str) -> dict[str, Any]:
        """As for every stage, but the model stands there without its folder."""
        return {k: weights.without_folder(v) if k == "model" else v for k, v in super().of_kind(kind).items()}

    @property
    def named(self) -> list[str]:
        """Every class that a rule names."""
        return [*self.drop_if, *self.require, *self.keep_if]

    @model_validator(mode="after")
    def _recorded(self) -> DetectOptions:
        for name, condition in chain(self.drop_if.items(), self.require.items(), self.keep_if.items()):
            asked = Comparison.parse(condition.confidence) if condition.confidence else None
            if asked and asked.operator in (">", ">=") and asked.number < self.min_confidence:
                below = f"{name}: boxes of confidence {asked.number:g} are not recorded"
                raise ValueError(f"{below}; lower min_confidence, which is {self.min_confidence:g}")
        return self
