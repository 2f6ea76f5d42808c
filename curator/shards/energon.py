"""`.nv-meta/`: what Megatron Energon 7 otherwise makes by `energon prepare`, from the same rows, without reading a tar.

The SQLite file gets the same bytes on every machine: one transaction, fixed pragmas, indexes built at the end; then what differs
between SQLite versions is overwritten: their own number in the header, and left-over bytes in the unused middle of pages.
"""

from __future__ import annotations

import mmap
import sqlite3
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import pyarrow.parquet as pq
import yaml

from .manifest import Shard, brace_pattern, by_flow, group_shards, json_bytes

ENERGON_VERSION = "7.4.1"  # whose layout this is
SQLITE = ".nv-meta/index.sqlite"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "d4a")

# suffixes of a sample -> Energon's sample type and where its fields are
_SAMPLE_TYPES = {
    frozenset({"json"}): ("TextSample", {"text": "json[text]"}),
    frozenset({"json", "txt"}): ("TextSample", {"text": "txt"}),
    frozenset({"jpg", "json"}): ("ImageSample", {"image": "jpg"}),
    frozenset({"jpg", "json", "txt"}): ("CaptioningSample", {"image": "jpg", "caption": "txt"}),
}

_TABLES = (
    "CREATE TABLE samples (tar_file_id INTEGER NOT NULL, sample_key TEXT NOT NULL, sample_index INTEGER NOT NULL,"
    " byte_offset INTEGER, byte_size INTEGER)",
    "CREATE TABLE sample_parts (tar_file_id INTEGER, sample_index INTEGER, part_name TEXT,"
    " content_byte_offset INTEGER, content_byte_size INTEGER)",
)
_INDEXES = (
    # Energon declares sample_key UNIQUE in the table; an index made after the inserts serves the same queries without random writes
    "CREATE UNIQUE INDEX idx_samples_sample_key ON samples(sample_key)",
    "CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index)",
    "CREATE INDEX idx_sample_parts_seq ON sample_parts(tar_file_id, sample_index, content_byte_offset)",
    "CREATE INDEX idx_sample_parts_full ON sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size)",
)
_PAGE = 4096
_PRAGMAS = (
    *(f"page_size={_PAGE}", "encoding='UTF-8'", "auto_vacuum=NONE", "secure_delete=ON"),  # these decide bytes; builds differ in defaults
    *("journal_mode=OFF", "synchronous=OFF", "cache_size=-65536"),
)
_BTREE_HEADERS = {2: 12, 5: 12, 10: 8, 13: 8}  # page type -> bytes of its header; after it 2 bytes a cell, then free space up to the cells
_VERSION_FIELD = 96  # SQLITE_VERSION_NUMBER of the last writer, for information only (sqlite.org/fileformat2.html, 1.3.17)


def energon_files(dataset_id: str, shards: Sequence[Shard], members: Mapping[str, Sequence[str]]) -> dict[str, bytes]:
    """`.nv-meta/` of every flow but for index.sqlite: relative path -> bytes.

    dataset_id  of the manifest; index.uuid is made from it
    members     flow -> member suffixes of its samples
    """
    files: dict[str, bytes] = {}
    for flow, tars in by_flow(shards).items():
        folder = f"{flow}/.nv-meta"
        names = {shard.path: PurePosixPath(shard.path).relative_to(flow).as_posix() for shard in tars}
        splits = group_shards(tars, lambda shard: shard.split)
        parts = {split: brace_pattern([names[shard.path] for shard in of_split]) for split, of_split in splits.items()}
        counts = {names[shard.path]: shard.samples for shard in tars}
        files[f"{folder}/.info.json"] = json_bytes({"energon_version": ENERGON_VERSION, "shard_counts": counts})
        files[f"{folder}/dataset.yaml"] = _yaml(_sample_type(members[flow]))
        files[f"{folder}/index.uuid"] = str(uuid.uuid5(_NAMESPACE, f"{dataset_id}/{flow}")).encode()
        files[f"{folder}/split.yaml"] = _yaml({"split_parts": parts, "exclude": []})
    return files


def _sample_type(suffixes: Sequence[str]) -> dict[str, object]:
    known = _SAMPLE_TYPES.get(frozenset(suffixes))
    if known is None:
        return {"__module__": "megatron.energon", "__class__": "CrudeWebdataset"}
    return {"sample_type": {"__module__": "megatron.energon", "__class__": known[0]}, "field_map": known[1]}


def _yaml(value: object) -> bytes:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10**6).encode()


def write_sqlite(path: Path, parquets: Sequence[Path], suffixes: Sequence[str]) -> None:
    """`index.sqlite` of one flow, written to `path`, which must not exist.

    parquets  the tables beside the flow's shards, in the order of the shards' paths (their place is the `tar_file_id`)
    suffixes  member suffixes of the samples
    Raises ValueError where a sample key occurs twice, which Energon does not allow.
    """
    if path.exists():
        raise FileExistsError(path)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in (*(f"PRAGMA {pragma}" for pragma in _PRAGMAS), "BEGIN", *_TABLES):
            connection.execute(statement)
        for tar, parquet in enumerate(parquets):
            _insert_tar(connection, tar, parquet, sorted(suffixes))
        for statement in (*_INDEXES, "COMMIT"):
            connection.execute(statement)
    except sqlite3.IntegrityError as error:
        raise ValueError(f"a sample key occurs twice in {len(parquets):,} shards: {error}") from error
    finally:
        connection.close()
    _overwrite_traces(path)


def _insert_tar(connection: sqlite3.Connection, tar: int, parquet: Path, suffixes: Sequence[str]) -> None:
    columns = ["sample_key", "offset", "bytes", *(f"{suffix}.{what}" for suffix in suffixes for what in ("offset", "bytes"))]
    # the file is opened here so that Arrow does not take folders like split=train for columns
    with parquet.open("rb") as file:
        table = pq.read_table(file, columns=columns)
    keys, offsets, sizes, *parts = (table.column(name).to_pylist() for name in columns)
    rows = zip([tar] * len(keys), keys, range(len(keys)), offsets, sizes, strict=True)
    connection.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", rows)
    connection.executemany("INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)", _part_rows(tar, suffixes, parts))


def _part_rows(tar: int, suffixes: Sequence[str], parts: Sequence[Sequence[int]]) -> Iterator[tuple[int, int, str, int, int]]:
    for sample, places in enumerate(zip(*parts, strict=True)):
        for i, suffix in enumerate(suffixes):
            yield tar, sample, suffix, places[2 * i], places[2 * i + 1]


def _overwrite_traces(path: Path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as pages:
        pages[_VERSION_FIELD : _VERSION_FIELD + 4] = (3_007_000).to_bytes(4, "big")  # the release that gave the field its meaning
        for page in range(0, len(pages), _PAGE):
            head = page or 100  # the first page begins with the file's header
            if pages[head] in _BTREE_HEADERS:
                cells, content = struct.unpack_from(">HH", pages, head + 3)
                start, end = head + _BTREE_HEADERS[pages[head]] + 2 * cells, page + content
                pages[start:end] = bytes(end - start)
