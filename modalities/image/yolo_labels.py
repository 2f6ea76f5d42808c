"""YOLO's label files: `labels/a.txt` for `images/a.jpg`, a line for each box, classes named once for all.

A line that cannot be read is named in `meta.broken_labels` and costs the image nothing else: whether a picture with a broken label is
worth keeping is the recipe's to say, and the picture itself is sound.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from .boxes import box, upright_size

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "labels/classes.txt")
_FILE_BYTES = 4 << 20
_BROKEN = 20  # named; the others are counted


def label_path(path: str) -> str:
    """Where the labels of an image lie: `labels` in place of the last folder `images`; nothing where there is none."""
    before, images, behind = f"/{path}".rpartition("/images/")
    return f"{before}/labels/{behind.rpartition('.')[0]}.txt"[1:] if images else ""


def names_paths(path: str, root: str) -> list[str]:
    """Where the names of its classes may lie, the most likely first: in the folder that holds `images`, and above it up to the source's."""
    folder = PurePosixPath(f"/{path}".rpartition("/images/")[0][1:])
    above = [one for one in (folder, *folder.parents) if not one.is_absolute() or one.is_relative_to(PurePosixPath(root).parent)]
    return [str(one / name) for one in above for name in NAMES]


def read_labels(label: Path, names: Path | None, data: bytes) -> dict[str, Any]:
    """`boxes`, and `broken_labels` where there are any. Raises OSError."""
    with label.open("rb") as file:
        raw = file.read(_FILE_BYTES + 1)
    if len(raw) > _FILE_BYTES:
        return {"broken_labels": [f"the limit of a label file is {_FILE_BYTES} bytes"]}
    size = upright_size(data)
    if size is None and raw.strip():
        return {"broken_labels": ["the size of the picture is not known"]}
    classes, wrong = ({}, "") if names is None else _classes(str(names), names.stat().st_mtime_ns)
    boxes, broken = [], [wrong] if wrong else []
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
        if line.strip():
            try:
                boxes.append(_box(line.split(), classes, size or (1, 1)))
            except ValueError as error:
                broken.append(f"line {number}: {error}")
    more = [f"and {len(broken) - _BROKEN} more"] if len(broken) > _BROKEN else []
    return {"boxes": boxes, **({"broken_labels": broken[:_BROKEN] + more} if broken else {})}


def _box(words: list[str], classes: dict[int, str], size: tuple[int, int]) -> dict[str, Any]:
    """The box of a line: centre and size, perhaps a confidence behind them; or around an outline of three points or more.

    Raises ValueError.
    """
    if not words[0].isdecimal():
        raise ValueError(f"`{words[0][:20]}` is no class number")
    numbers = [float(word) for word in words[1:]]
    if len(numbers) < 4:
        raise ValueError(f"{len(numbers)} numbers behind the class")
    outline = len(numbers) >= 6 and len(numbers) % 2 == 0
    confidence = numbers[4] if len(numbers) == 5 else 1.0
    given = numbers if outline else numbers[:4]
    if not all(math.isfinite(number) and 0 <= number <= 1 for number in [*given, confidence]):
        raise ValueError("a number that is no share of the picture, 0 to 1")
    if outline:
        left, right, top, bottom = min(given[::2]), max(given[::2]), min(given[1::2]), max(given[1::2])
    else:
        x, y, width, height = given
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    left, right, top, bottom = max(left, 0.0) * size[0], min(right, 1.0) * size[0], max(top, 0.0) * size[1], min(bottom, 1.0) * size[1]
    number = int(words[0])
    corner, sides = (round(left, 2), round(top, 2)), (round(right - left, 2), round(bottom - top, 2))
    return box(classes.get(number, str(number)), corner, sides, size, confidence)


@lru_cache(maxsize=64)
def _classes(path: str, mtime_ns: int) -> tuple[dict[int, str], str]:
    """Class number -> name, of a data.yaml or of a file with a name a line; and what is wrong with that, where it names none."""
    raw = Path(path).read_bytes()[:_FILE_BYTES].decode("utf-8-sig", "replace")
    if not path.endswith((".yaml", ".yml")):
        return dict(enumerate(line.strip() for line in raw.splitlines() if line.strip())), ""
    import yaml

    try:
        found = yaml.safe_load(raw)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that is none is a ValueError
        return {}, f"{Path(path).name} is not valid YAML: {str(error).partition(chr(10))[0][:80]}"
    names = found.get("names") if isinstance(found, dict) else None
    pairs = enumerate(names) if isinstance(names, list) else names.items() if isinstance(names, dict) else ()
    classes = {int(n): str(name) for n, name in pairs if str(n).isdecimal() and isinstance(name, str | int | float)}
    return classes, "" if classes else f"{Path(path).name} has no `names` of classes"
