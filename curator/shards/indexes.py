"""What lies beside the tars so that each reader finds its own index: DALI, Energon, wids, open_clip, and one Parquet row a sample.

All of it follows from where the writer put each member, so no tar is read again. Bytes are returned, not written: commits are the
store's. Formats: NVIDIA DALI `wds2idx` v1.2; Megatron Energon 7 `.tar.idx`; wids 0.1 shard index 1; open_clip `sizes.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .manifest import SCHEMA_VERSION, Shard, by_flow, by_folder, json_bytes
from .tar import SamplePlace

SAMPLE_COLUMNS = (
    ("key", "string", "the record's readable key, as in the ledger"),
    ("sample_key", "string", "name of the sample's members in the tar, before the first dot"),
    ("offset", "int64", "header of the sample's first member in the tar [byte]"),
    ("bytes", "int64", "from there to the next sample, headers and padding included [byte]"),
    ("<suffix>.offset", "int64", "first byte of that member's data in the tar [byte]"),
    ("<suffix>.bytes", "int64", "size of that member's data [byte]"),
    ("digest", "string", "digest of the payload, in hex"),
    ("source", "string", "path relative to its source root, #member or #row"),
    ("licence", "string", "SPDX identifier; empty where unknown"),
    ("<stage label>.<value>", "", "measured value, as in scores/"),
)


def energon_index(places: Sequence[SamplePlace]) -> bytes:
    """`<shard>.tar.idx`: little-endian u64, the header offset of each sample's first member, then the end of the last."""
    return np.array([*(place.offset for place in places), places[-1].end if places else 0], "<u8").tobytes()


def dali_index(places: Sequence[SamplePlace]) -> bytes:
    """`<shard>.idx`: `v1.2 N`, then a line a sample: suffix, data offset, size and name of each member."""
    lines = [f"v1.2 {len(places)}\n"]
    for place in places:
        parts = [f"{part.suffix} {part.offset} {part.size} {place.key}.{part.suffix}" for part in place.members]
        lines.append(" ".join(parts) + "\n")
    return "".join(lines).encode()


def sample_table(places: Sequence[SamplePlace], records: pa.Table) -> pa.Table:
    """One row a sample, `SAMPLE_COLUMNS`.

    records  (n,) rows in the order of `places`: key, digest (binary or hex), source, licence, and any scores after them
    Raises ValueError where the samples do not all have the same suffixes, or are not as many as the records.
    """
    if len(places) != records.num_rows:
        raise ValueError(f"{len(places):,} samples, {records.num_rows:,} records")
    columns = {"key": records.column("key"), **_place_columns(places)}
    columns["digest"] = _hexadecimal(records.column("digest"))
    rest = [name for name in records.column_names if name not in ("key", "digest")]
    columns.update({name: records.column(name) for name in rest})
    return pa.table(columns).replace_schema_metadata({"schema_version": SCHEMA_VERSION})


def _place_columns(places: Sequence[SamplePlace]) -> dict[str, pa.Array]:
    suffixes = [part.suffix for part in places[0].members] if places else []
    for place in places:
        if [part.suffix for part in place.members] != suffixes:
            raise ValueError(f"sample {place.key!r} has members {[part.suffix for part in place.members]}, the first one {suffixes}")
    columns = {
        "sample_key": pa.array([place.key for place in places], pa.string()),
        "offset": pa.array([place.offset for place in places], pa.int64()),
        "bytes": pa.array([place.end - place.offset for place in places], pa.int64()),
    }
    for i, suffix in enumerate(suffixes):
        columns[f"{suffix}.offset"] = pa.array([place.members[i].offset for place in places], pa.int64())
        columns[f"{suffix}.bytes"] = pa.array([place.members[i].size for place in places], pa.int64())
    return columns


def _hexadecimal(digests: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_string(digests.type) or pa.types.is_large_string(digests.type):
        return digests
    return pa.array([None if digest is None else digest.hex() for digest in digests.to_pylist()], pa.string())


def table_bytes(table: pa.Table) -> bytes:
    """A table as Parquet (zstd); equal tables give equal bytes under one pyarrow version."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=2**16)
    return bytes(sink.getvalue())


def shard_indexes(places: Sequence[SamplePlace], records: pa.Table) -> dict[str, bytes]:
    """All three files beside one tar: what replaces its `.tar` -> bytes. See `sample_table` for `records`."""
    return {
        ".idx": dali_index(places),
        ".parquet": table_bytes(sample_table(places, records)),
        ".tar.idx": energon_index(places),
    }


def wids_index(name: str, shards: Iterable[Shard], folder: str) -> bytes:
    """`index.json` for wids: the shards' paths relative to `folder`, samples and bytes; `sha256` and `split` are extra keys."""
    base = PurePosixPath(folder)
    shardlist = [
        {
            "url": PurePosixPath(shard.path).relative_to(base).as_posix(),
            "nsamples": shard.samples,
            "filesize": shard.bytes,
            "sha256": shard.sha256,
            "split": shard.split,
        }
        for shard in shards
    ]
    return json_bytes({"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": name, "shardlist": shardlist})


def open_clip_sizes(shards: Sequence[Shard]) -> dict[str, bytes]:
    """`sizes.json` (tar name -> samples) and `__len__` (their sum) for one folder of tars."""
    sizes = {PurePosixPath(shard.path).name: shard.samples for shard in shards}
    return {"__len__": str(sum(sizes.values())).encode(), "sizes.json": json_bytes(sizes)}


def folder_indexes(name: str, shards: Sequence[Shard]) -> dict[str, bytes]:
    """The small indexes of the whole dataset: relative path -> bytes.

    name  of the dataset
    For each flow `<flow>/index.json`; for each folder of tars `index.json` (that split alone), `sizes.json` and `__len__`.
    """
    files: dict[str, bytes] = {}
    for flow, of_flow in by_flow(shards).items():
        files[f"{flow}/index.json"] = wids_index(f"{name}/{flow}", of_flow, flow)
        for folder, tars in by_folder(of_flow).items():
            files[f"{folder}/index.json"] = wids_index(f"{name}/{folder}", tars, folder)
            files.update({f"{folder}/{file}": data for file, data in open_clip_sizes(tars).items()})
    return dict(sorted(files.items()))
