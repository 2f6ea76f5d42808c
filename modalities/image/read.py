"""Sources of images, alone or with captions: which reader a file has, and what of a folder belongs together.

Image and pair flows read the same sources by these functions; only the payload columns differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from ...curator.modality import Entry
from ...curator.recipe import Source
from ..text.streams import COMPRESSIONS, compression
from .loose import read_loose
from .records import Record, batches
from .sniff import READABLE
from .tar_samples import read_tar

FORMATS = ("auto", *READABLE, "tar")
_TARS = (".tar", *(".tar" + suffix for suffix in COMPRESSIONS), ".tgz")


def read_entry(entry: Entry, source: Source, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The records of a file or byte range as reader batches.

    columns  records.IMAGE_COLUMNS or PAIR_COLUMNS; with these a record without a caption is refused as `no_caption`
    Raises OSError where the machine cannot read the file.
    """
    yield from batches(read_records(entry, source, "text" in columns.names), columns)


def read_records(entry: Entry, source: Source, captions: bool) -> Iterator[Record]:
    """The records; with `captions` an image that has several gives one record for each. Raises OSError."""
    if kind(entry.path, source) == "tar":
        yield from read_tar(entry, source)
    else:
        yield from read_loose(entry, source)


def kind(path: str, source: Source) -> str:
    """`tar`, or `loose` for what is looked at first."""
    if source.format != "auto":
        return "loose" if source.format in READABLE else source.format
    return "tar" if path.lower().endswith(_TARS) else "loose"


def accepts(path: str, source: Source) -> bool:
    """Modality.accepts: with `auto` every file, because what is no image is named as such in the ledger, not passed over."""
    return source.format != "tar" or path.lower().endswith(_TARS)


def splits(path: str, source: Source) -> bool:
    """Modality.splits: plain tars."""
    return kind(path, source) == "tar" and not compression(path)


def counts_lines(path: str, source: Source) -> bool:
    """Modality.counts_lines: a sample of a tar is known by the byte at which it begins."""
    return kind(path, source) != "tar"


def weight(path: str, source: Source) -> int:
    """Modality.weight."""
    return 1
