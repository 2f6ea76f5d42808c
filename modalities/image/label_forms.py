"""Boxes in the forms that training code reads: a YOLO label file, and COCO annotations.

They are strings of the sample's .json, so that every reader of WebDataset has them beside the picture, and a line of code writes the
files that a trainer wants. Members of their own would break the one set of suffixes that all samples of a shard share, and label
files beside the tars would have to be found by key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Boxes = list[dict[str, Any]]


def yolo_text(boxes: Boxes, numbers: Mapping[str, int], width: int, height: int) -> str:
    """A line a box: `class x y w h`, x and y of the centre, all as shares of the picture with 6 decimals."""
    lines = []
    for one in boxes:
        x, y, w, h = one["box"]
        shares = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
        lines.append(" ".join([str(numbers[one["class"]]), *(f"{min(share, 1):.6f}" for share in shares)]) + "\n")
    return "".join(lines)


def coco_json(boxes: Boxes, numbers: Mapping[str, int]) -> str:
    """A JSON list of annotations: category_id, bbox [x, y, w, h] and area [pixels], iscrowd, score."""
    found = []
    for one in boxes:
        area = round(one["box"][2] * one["box"][3], 2)
        found.append({"category_id": numbers[one["class"]], "bbox": one["box"], "area": area, "iscrowd": 0, "score": one["confidence"]})
    return json.dumps(found, separators=(",", ":"))
