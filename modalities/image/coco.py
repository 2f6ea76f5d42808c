"""COCO's JSON -> records: images with their boxes and captions; a caption each for pairs.

The file is parsed whole, once a worker, and kept without what is not carried: outlines and key points. A range of it holds its share of
the images by number; a streaming parser would have to see all annotations too before it knew one image.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from ...curator.modality import Entry
from ..text.fields import RecordError
from ..text.jsonl import diagnose
from ..text.streams import ReadError, open_stream
from .beside import load_json
from .boxes import box, upright_size
from .named import Named
from .records import Record, refused, without_image

_FILE_BYTES = 4 << 30
_PIECE_BYTES = 1 << 24
_NO_PIXEL = 1 << 53


@dataclass(frozen=True, slots=True)
class _Coco:
    """
    images    as they stand in the file
    captions  image id -> (annotation id, caption)
    boxes     image id -> (class, box, confidence, whether it holds a crowd); null where no annotation has a box
    broken    image id -> its boxes that are none
    strangers  annotations of images that `images` does not name
    twice     ids that several images have, so that nobody knows whose an annotation is
    """

    images: list[Any]
    captions: dict[Any, list[tuple[Any, str]]]
    boxes: dict[Any, list[tuple[str, list[float], float, bool]]] | None
    broken: dict[Any, list[str]]
    strangers: list[Any]
    twice: frozenset[Any]


def read_coco(entry: Entry, captions: bool) -> Iterator[Record]:
    """The images of a range in the file's order; `line` numbers their records, `id` is IMAGE, of a caption IMAGE/ANNOTATION."""
    path = str(Path(entry.root, entry.path))
    try:
        coco = _load(path, entry.size, entry.mtime_ns)
    except ReadError as error:
        if entry.start == 0:
            yield refused(error.reason, error.detail)
        return
    count, named = len(coco.images), Named(entry)
    first, last = (-(-count * at // entry.size) for at in (entry.start, entry.end))
    line = sum(_records_of(coco, image, captions) for image in coco.images[:first])
    for image in coco.images[first:last]:
        yield from _image_records(coco, image, line, captions, named)
        line += _records_of(coco, image, captions)
    if last == count and entry.end == entry.size:
        if coco.strangers:
            some = ", ".join(map(str, coco.strangers[:5]))
            yield refused("unknown_image", f"{len(coco.strangers)} annotations of images that are not listed: {some}")
        if not count:
            yield refused("empty_file", "no image")


def _records_of(coco: _Coco, image: Any, captions: bool) -> int:
    return max(1, len(coco.captions.get(_id(image), ()))) if captions else 1


def _id(image: Any) -> Any:
    found = image.get("id") if type(image) is dict else None
    return found if type(found) in (int, str) else None


def _image_records(coco: _Coco, image: Any, line: int, captions: bool, named: Named) -> Iterator[Record]:
    ident = _id(image)
    if ident is None:
        yield refused("broken_record", "no object with an `id`", line)
        return
    record = Record(line=line, ident=str(ident), lack="no annotation with a caption")
    try:
        if ident in coco.twice:
            raise RecordError("duplicate_id", "several images have it, so that nobody knows whose a caption or a box is")
        if type(image.get("file_name")) is not str or not image["file_name"]:
            raise RecordError("no_image", "no `file_name`")
        named.load(image["file_name"], record)
    except RecordError as wrong:
        for number in range(_records_of(coco, image, captions)):
            yield without_image(record, wrong, line + number)
        return
    record.meta = {name: value for name, value in image.items() if name != "id"}
    if coco.boxes is not None:
        record.meta["boxes"] = _boxes(coco.boxes.get(ident, []), image, record.data or b"")
    if ident in coco.broken:
        record.meta["broken_labels"] = coco.broken[ident]
    texts = coco.captions.get(ident, [])
    if texts and not captions:
        record.meta["captions"] = [text for _, text in texts]
    if not texts or not captions:
        yield record
        return
    for number, (own, text) in enumerate(texts):
        yield replace(record, caption=text, lack="", line=line + number, ident=f"{ident}/{own}")


def _boxes(found: list[tuple[str, list[float], float, bool]], image: dict[str, Any], data: bytes) -> list[dict[str, Any]]:
    if not found:
        return []
    size: tuple[Any, Any] = image.get("width"), image.get("height")
    if not all(_sound(side) and side > 0 for side in size):
        size = upright_size(data) or (0, 0)
    picture = float(size[0]), float(size[1])
    boxes = []
    for name, (x, y, width, height), confidence, crowd in found:
        one = box(name, (x, y), (width, height), picture, confidence)
        boxes.append({**one, "crowd": True} if crowd else one)
    return boxes


@lru_cache(maxsize=1)
def _load(path: str, size: int, mtime_ns: int) -> _Coco:
    """What a file holds. Raises ReadError where it is no COCO."""
    with closing(open_stream(path)) as stream:
        pieces, left = [], _FILE_BYTES
        while piece := stream.read(_PIECE_BYTES):
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                raise ReadError("file_too_long", f"the limit is {_FILE_BYTES >> 30} GiB")
    data = b"".join(pieces)
    del pieces
    try:
        found = _parsed(data)
    except (ValueError, RecursionError) as error:
        raise ReadError(*diagnose(data, error)) from error
    if type(found) is not dict or type(found.get("images")) is not list:
        raise ReadError("not_coco", "an object with a list `images` is wanted")
    annotations, categories = found.get("annotations") or [], found.get("categories") or []
    if type(annotations) is not list or type(categories) is not list:
        raise ReadError("not_coco", "`annotations` and `categories` are lists")
    return _gathered(found["images"], annotations, categories)


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)  # outlines are full of long numbers, and none is an id
    except ValueError:
        return load_json(data)


def _gathered(images: list[Any], annotations: list[Any], categories: list[Any]) -> _Coco:
    count = Counter(map(_id, images))
    twice = frozenset(ident for ident, number in count.items() if number > 1 and ident is not None)
    names = {one["id"]: str(one.get("name", one["id"])) for one in categories if type(one) is dict and type(one.get("id")) in (int, str)}
    captions: defaultdict[Any, list[tuple[Any, str]]] = defaultdict(list)
    boxes: defaultdict[Any, list[tuple[str, list[float], float, bool]]] = defaultdict(list)
    broken: defaultdict[Any, list[str]] = defaultdict(list)
    strangers, boxed = [], False
    for number, one in enumerate(annotations):
        ident = one.get("image_id") if type(one) is dict else None
        if type(ident) not in (int, str) or ident not in count:
            strangers.append(ident)
            continue
        if type(one.get("caption")) is str and one["caption"].strip():
            captions[ident].append((one.get("id", number), one["caption"]))
        given = one.get("bbox")
        if type(given) is list and len(given) == 4 and all(map(_sound, given)):
            boxed, kind, score = True, one.get("category_id"), one.get("score")
            name = names.get(kind, str(kind)) if type(kind) in (int, str) else "?"
            boxes[ident].append((name, given, float(score) if _sound(score) else 1.0, one.get("iscrowd") == 1))
        elif given is not None:
            broken[ident].append(f"annotation {one.get('id', number)}: {str(given)[:40]}")
    return _Coco(images, dict(captions), dict(boxes) if boxed or names else None, dict(broken), strangers, twice)


def _sound(value: Any) -> bool:
    """Whether it is a number that a picture can have: neither NaN nor one whose square no float holds."""
    return type(value) in (int, float) and abs(value) < _NO_PIXEL
