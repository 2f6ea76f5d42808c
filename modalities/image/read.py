"""Sources of images, alone or with captions: which reader a file has, and how it is cut.

Image and pair flows read the same sources by these functions; only the payload columns differ.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from ...curator.modality import Entry
from ...curator.recipe import Source
from ..text.streams import COMPRESSIONS, ReadError, compression, open_stream
from .coco import read_coco
from .loose import read_loose
from .records import Record, batches, refused
from .sniff import READABLE
from .tables import read_table
from .tar_samples import IMAGE_SUFFIXES, read_tar

FORMATS = ("auto", *READABLE, "tar", "parquet", "jsonl", "csv", "tsv", "coco", "yolo", "llava")
LIBRARIES = ("pyarrow", "orjson", "pillow-heif")
_SUFFIXES = {
    ".tar": "tar",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
}
_OF_FORMAT = {"jsonl": frozenset({"jsonl", "json"}), "llava": frozenset({"jsonl", "json"}), "coco": frozenset({"json"})}
# bytes of images that a byte stands for; what is parsed from its beginning on for every range is cut less often
_WEIGHTS = {"jsonl": 256, "csv": 64, "tsv": 64, "json": 16}
_LOOSE = frozenset({*READABLE, "yolo"})
_TABLES = frozenset({"jsonl", "csv", "tsv", "json"})
_HEAD_BYTES = 1 << 16
_COCO = re.compile(rb'\s*\{\s*"(images|annotations|categories|licenses|info)"\s*:\s*(\[\s*\{|\{)')


def read_entry(entry: Entry, source: Source, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The records of a file or byte range as reader batches.

    columns  records.IMAGE_COLUMNS or PAIR_COLUMNS; with these a record without a caption is refused as `no_caption`
    Raises OSError where the machine cannot read the file.
    """
    yield from batches(read_records(entry, source, "text" in columns.names), columns)


def read_records(entry: Entry, source: Source, captions: bool) -> Iterator[Record]:
    """The records; with `captions` an image that has several gives one record for each. Raises OSError."""
    kind = kind_by_name(entry.path, source)
    if kind == "json":
        kind = "coco" if source.format == "coco" else _json_kind(entry)
        if kind in ("jsonl", "document"):  # lines cannot be numbered from within such a file, and `format: jsonl` says what it is
            if entry.start:
                return
            entry = replace(entry, end=entry.size)
    if kind == "" and source.format == "auto" and (table := _named(entry.path)) in _TABLES:
        yield refused("no_image", f"{table}; should it be a table of images, name it in `path`, or say its `format`")
    elif kind == "":
        yield from read_loose(entry, source)
    elif kind == "tar":
        yield from read_tar(entry, source)
    elif kind == "coco":
        yield from read_coco(entry, captions)
    elif kind == "document":
        yield refused("no_image", "one JSON object: no sidecar of an image, no COCO and no table")
    else:
        yield from read_table(entry, source, kind)


def kind_by_name(path: str, source: Source) -> str:
    """`tar`, `parquet`, `jsonl`, `csv`, `tsv`, `json` for what is looked at first, or nothing for a loose file.

    A table of text that lies in a folder among images is one only where the source names it: most of them name those very images.
    """
    if source.format in _LOOSE:
        return ""
    named = _named(path)
    if source.format == "auto":
        return "" if named in _TABLES and _named(source.path.rstrip("*?")) != named else named
    if source.format in ("llava", "coco"):
        return named if named == "jsonl" and source.format == "llava" else "json"
    return source.format


def hint_at_tables(entries: list[Entry], source: Source) -> str:
    """A line that names the files which may be tables of images and are not read as such, and how they would be; or nothing."""
    if source.format != "auto":
        return ""
    others = (entry.path for entry in entries if not entry.problem and entry.path.rpartition(".")[2].lower() not in IMAGE_SUFFIXES)
    kinds = {path: kind for path in others if (kind := _named(path)) in _TABLES}
    tables = sorted((path for path in kinds if kind_by_name(path, source) == ""), key=lambda path: (kinds[path] == "json", path))
    if not tables:
        return ""
    what = f"{len(tables):,} files that may be tables are not read as such" if len(tables) > 1 else f"{tables[0]} is not read as a table"
    root = Path(source.path) if not glob.has_magic(source.path) else Path(entries[0].root)
    return f"{what}; to read {tables[0]} with the images it names: path: {root / tables[0]}"


def _named(path: str) -> str:
    """What a file's suffix names, of what is no image."""
    name = path.lower()
    packed = next((suffix for suffix in COMPRESSIONS if name.endswith(suffix)), "")
    kind = "tar" if packed == ".tgz" else _SUFFIXES.get(Path(name.removesuffix(packed)).suffix, "")
    return "" if packed and kind == "parquet" else kind


def _json_kind(entry: Entry) -> str:
    """`list`, `coco`, `document` or `jsonl`: what a JSON file holds, by its first bytes."""
    try:
        with closing(open_stream(str(Path(entry.root, entry.path)))) as stream:
            head = (stream.read(_HEAD_BYTES) or b"").removeprefix(b"\xef\xbb\xbf").lstrip()
    except ReadError:
        return "jsonl"  # the reader meets the damage again, and says so
    if head.startswith(b"["):
        return "list"
    if _COCO.match(head):
        return "coco"
    first = head.partition(b"\n")[0].rstrip()
    return "document" if first.startswith(b"{") and first.endswith((b"{", b"[", b",")) else "jsonl"


def accepts(path: str, source: Source) -> bool:
    """Modality.accepts: with `auto` every file, because what is no image is named as such in the ledger, not passed over."""
    if source.format == "auto" or source.format in _LOOSE:
        return True
    return _named(path) in _OF_FORMAT.get(source.format, {source.format})


def splits(path: str, source: Source) -> bool:
    """Modality.splits: tars and tables that are not compressed."""
    return kind_by_name(path, source) != "" and not compression(path)


def counts_lines(path: str, source: Source) -> bool:
    """Modality.counts_lines: those of JSON lines; other readers know the place in the whole file."""
    return kind_by_name(path, source) in ("jsonl", "")


def weight(path: str, source: Source) -> int:
    """Modality.weight: tables name images, as a rule; a Parquet file holds them, unless the source says where they lie."""
    kind = kind_by_name(path, source)
    return 256 if kind == "parquet" and source.images else _WEIGHTS.get(kind, 1)
