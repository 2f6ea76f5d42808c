"""What one kind of data means to the machine: how it is read, stored, packed and shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from .recipe import Source
from .stage import Columns


@dataclass(frozen=True)
class Entry:
    """A file, or a byte range of one, that a partition holds.

    root     absolute folder of the source; on no account part of a key
    path     relative to it, "/" between folders
    size, mtime_ns   as listed
    start, end       byte range [start, end); records that begin in it belong to it; end = size for whole files
    source   index of the source in the flow
    problem  why the file cannot be read at all (`permission_denied`), found while listing
    beside   (path, size, mtime_ns) of files that belong to it and are no records of their own: a caption, labels
    unread   (path, problem) of files that would belong to it and cannot be read
    images   absolute folder of the files that it names, where the source says one; on no account part of a key
    """

    root: str
    path: str
    size: int
    mtime_ns: int
    start: int
    end: int
    source: int = 0
    problem: str = ""
    beside: tuple[tuple[str, int, int], ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    images: str = ""


class Modality(ABC):
    """What one kind of data means: how it is read, stored, packed and shown.

    name     "text", "image", "pair"
    columns  schema of the reader's payload columns, the packed one first
    refers   True: the payload proper may lie in a file as it is, and is read there again (images); the scan stores everything else
    formats  what a source's `format` may say
    libraries    distributions whose version decides what the reader gives, where they are installed
    irrelevant   reasons of sound records that hold nothing of this kind (a crawled image, a 404): `max_bad_fraction` does not count them
    batch_rows   records that stages see at once, at most: few where views are large (images)
    batch_bytes  their bytes, about: what fits a cache is faster, what is large costs fewer calls
    one_split    records of the same payload proper are drawn into one split: an image with several captions
    """

    name: ClassVar[str]
    columns: ClassVar[pa.Schema]
    refers: ClassVar[bool] = False
    formats: ClassVar[tuple[str, ...]] = ("auto",)
    libraries: ClassVar[tuple[str, ...]] = ()
    irrelevant: ClassVar[frozenset[str]] = frozenset()
    batch_rows: ClassVar[int] = 2048
    batch_bytes: ClassVar[int] = 32 << 20
    one_split: ClassVar[bool] = False

    def check(self, source: Source) -> None:
        """Plan time, on the driver: whether what the source asks for is installed. Raises MachineError naming what is missing."""
        return

    @abstractmethod
    def accepts(self, path: str, source: Source) -> bool:
        """Whether a file found by recursion in a folder is for this modality (an explicit glob takes any file)."""

    def arrange(self, entries: list[Entry], source: Source, skipped: Counter[str]) -> list[Entry]:
        """The entries of a source with those that belong to others put beside them; what is left out is counted by a word in `skipped`."""
        return entries

    def hint(self, entries: list[Entry], source: Source) -> str:
        """A line for people about what was found for a source and is perhaps not read as it was meant to be; nothing as a rule."""
        return ""

    def splits(self, path: str, source: Source) -> bool:
        """Whether the file may be cut into byte ranges."""
        return False

    def weight(self, path: str, source: Source) -> int:
        """Bytes of payload that a byte of the file stands for, about: a table that only names images is cut into small ranges."""
        return 1

    def counts_lines(self, path: str, source: Source) -> bool:
        """Whether `line` counts from the first line of a byte range; else it is the record's place in the whole file."""
        return True

    @abstractmethod
    def read(self, entry: Entry, source: Source) -> Iterator[pa.RecordBatch]:
        """The records of an entry as batches of `reader_schema(self)`, bad records and rests of files included.

        A record that cannot be read has null payload columns and a `reason` (and `detail`); reading goes on behind it.
        What cannot be read at all (vanished, no permission) raises OSError.
        """

    @abstractmethod
    def sizes(self, batch: pa.RecordBatch) -> Columns:
        """For each member suffix an int64 column `suffix`: bytes of that member (of "json": of the body `members` gives)."""

    @abstractmethod
    def members(self, payload: pa.Table) -> dict[str, list[bytes]]:
        """suffix -> bytes of that member of every record. A "json" member is the body, a JSON object; key, source and packed values are
        put before it."""

    @abstractmethod
    def payload_of(self, members: dict[str, bytes], column: str = "") -> str | bytes:
        """A payload column (text, image bytes; by default the first one) of a sample, out of what `members` made."""

    @property
    def shown(self) -> tuple[str, ...]:
        """Payload columns that people are shown of a record, each of another media type."""
        return (self.columns.names[0],)

    @abstractmethod
    def preview(self, payload: bytes, column: str = "") -> tuple[str, bytes]:
        """(media type, bytes) of a payload column, small enough for the report: at most 600 characters, or a thumbnail of at most 6 kB."""


READER_TAIL = [
    pa.field("line", pa.int64()),  # index of the record in its file (in its byte range), or see counts_lines; null: the file is one record
    pa.field("id", pa.string()),  # the source's own id
    pa.field("reason", pa.string()),  # null: readable
    pa.field("detail", pa.string()),
]


# the file that a record names, also one that is refused for it, and what it was when it was read
NAMED = [
    pa.field("file", pa.string()),  # relative to the entry's root, or absolute; null: the entry's own file
    pa.field("file_bytes", pa.int64()),  # these two null: the entry's own file, or none that can be read
    pa.field("file_mtime_ns", pa.int64()),
]
# where the payload proper lies as it is, for modalities that refer to it
REFERENCE = [*NAMED, pa.field("at", pa.int64())]  # its first byte there; null: nowhere as it is, so that the scan stores it


def reader_schema(modality: Modality) -> pa.Schema:
    """Schema of the batches that `Modality.read` gives."""
    return pa.schema([*modality.columns, *READER_TAIL, *(REFERENCE if modality.refers else [])])
