"""Sources of images, alone or with captions: which reader a file has, and what of a folder belongs together.

Image and pair flows read the same sources by these functions; only the payload columns differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from ...curator.modality import Entry
from ...curator.recipe import Source
from .loose import read_loose
from .records import Record, batches
from .sniff import READABLE

FORMATS = ("auto", *READABLE)


def read_entry(entry: Entry, source: Source, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The records of a file or byte range as reader batches.

    columns  records.IMAGE_COLUMNS or PAIR_COLUMNS; with these a record without a caption is refused as `no_caption`
    Raises OSError where the machine cannot read the file.
    """
    yield from batches(read_records(entry, source, "text" in columns.names), columns)


def read_records(entry: Entry, source: Source, captions: bool) -> Iterator[Record]:
    """The records; with `captions` an image that has several gives one record for each. Raises OSError."""
    yield from read_loose(entry, source)


def accepts(path: str, source: Source) -> bool:
    """Modality.accepts: with `auto` every file, because what is no image is named as such in the ledger, not passed over."""
    return True


def splits(path: str, source: Source) -> bool:
    """Modality.splits."""
    return False


def counts_lines(path: str, source: Source) -> bool:
    """Modality.counts_lines."""
    return True


def weight(path: str, source: Source) -> int:
    """Modality.weight."""
    return 1
