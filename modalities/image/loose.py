"""Images that are files of their own, with the caption and the fields that lie beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...curator.modality import Entry
from ...curator.recipe import Source
from .records import Record, problem, refused
from .sniff import READABLE, SNIFF_BYTES, sniff


def read_loose(entry: Entry, source: Source) -> Iterator[Record]:
    """One record, `meta.owner` the first folder of its path. Only the first 4 KiB are read of what is no image."""
    with Path(entry.root, entry.path).open("rb") as file:
        head = file.read(SNIFF_BYTES)
        wrong = problem(head, os.fstat(file.fileno()).st_size)
        if wrong is None and source.format in READABLE and (kind := sniff(head)) != source.format:
            wrong = "other_format", kind
        if wrong is not None:
            yield refused(*wrong)
            return
        data = head + file.read()
    owner, folder, _ = entry.path.partition("/")
    yield Record(data, meta={"owner": owner} if folder else {}, at=0)
