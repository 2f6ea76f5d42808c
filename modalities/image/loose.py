"""Images that are files of their own, with the caption, the fields and the labels that lie beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ...curator.modality import Entry
from ...curator.recipe import Source
from .beside import BESIDE_BYTES, Beside
from .folders import SIDECARS
from .records import Record, problem, refused
from .sniff import READABLE, SNIFF_BYTES, sniff
from .yolo_labels import NAMES, read_labels


def read_loose(entry: Entry, source: Source) -> Iterator[Record]:
    """One record, `meta.owner` the first folder of its path. Only the first 4 KiB are read of what is no image."""
    with Path(entry.root, entry.path).open("rb") as file:
        head = file.read(SNIFF_BYTES)
        wrong = problem(head, os.fstat(file.fileno()).st_size)
        if wrong is None and source.format in READABLE and (kind := sniff(head)) != source.format:
            wrong = "other_format", kind
        if wrong is not None:
            yield refused(*_without_image(entry, *wrong))
            return
        data = head + file.read()
    owner, folder, _ = entry.path.partition("/")
    record = Record(data, meta={"owner": owner} if folder else {}, at=0)
    _add_beside(record, entry, source)
    yield record


def _without_image(entry: Entry, reason: str, detail: str) -> tuple[str, str]:
    """A sidecar that no image has is no broken image."""
    suffix = PurePosixPath(entry.path).suffix[1:].lower()
    if suffix in SIDECARS and reason in ("not_an_image", "empty_file"):
        return "no_image", "no image of this name lies beside it"
    return reason, detail


def _add_beside(record: Record, entry: Entry, source: Source) -> None:
    """Caption, fields and labels of the files beside an image."""
    beside, label, names = Beside(source), None, None
    broken = []
    for path, size, _ in entry.beside:
        file = Path(entry.root, path)
        if _is_own(path, entry):
            with file.open("rb") as open_file:
                beside.add(file.suffix[1:], open_file.read(BESIDE_BYTES), size)
        elif any(path == name or path.endswith("/" + name) for name in NAMES):
            names = file
        else:
            label = file
    for path, why in entry.unread:
        if _is_own(path, entry):
            beside.miss(PurePosixPath(path).suffix[1:], why)
        else:
            broken.append(f"{path}: {why}")
    beside.fill(record)
    labels: dict[str, Any] = {}
    if label is not None:
        assert record.data is not None
        labels = read_labels(label, names, record.data)
        broken += labels.pop("broken_labels", [])
    record.meta = {**record.meta, **labels, **({"broken_labels": broken} if broken else {})}


def _is_own(path: str, entry: Entry) -> bool:
    """Whether it is a sidecar of the image, not its labels."""
    file, image = PurePosixPath(path), PurePosixPath(entry.path)
    return (file.parent, file.stem) == (image.parent, image.stem)
