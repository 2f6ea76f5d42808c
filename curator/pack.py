"""PACK: once over what is kept. One unit is one shard: read payload, check digests, write the tar and its indexes.

Members are the stored or original bytes; only the .json member is put together here, from its head (key,
source, packed values) and the body the modality gives. Its size was fixed before, and is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import D4AError
from .evidence import check_digests, read_payload
from .plan import FlowPlan
from .shards.indexes import shard_indexes
from .shards.manifest import MANIFEST, Shard, parse
from .shards.tar import SamplePlace, TarWriter
from .store import Folder, Store, committed, data_file

CHUNK = 64  # source files held in memory at a time
# suffix in place of `.tar` -> name of the file in the unit's folder
BESIDE = {".tar": "tar", ".tar.idx": "energon", ".idx": "dali", ".parquet": "samples"}


def pack_shard(store: Store, flow: FlowPlan, layout: str, shard: dict[str, Any], fence: Callable[[], None]) -> dict[str, Any]:
    """Write one shard of a layout and commit it under its unit key."""
    folder = store.unit("layout", flow.name, layout)
    manifest = committed(folder)
    assert manifest is not None, layout
    records = pq.read_table(data_file(folder, manifest, "pack")).slice(shard["start"], shard["count"])
    with Folder(store.unit("pack", flow.name, shard["unit"]), fence) as unit:
        with unit.file(BESIDE[".tar"], ".tar").open("wb") as file:
            writer = TarWriter(file)
            places = [writer.add(key, members) for key, members in _samples(store, flow, records)]
            size, sha256 = writer.close()
        _check_sizes(places, records, manifest["suffixes"])
        described = records.select(["key", "digest", "source", "licence", *manifest["scores"]])
        for suffix, data in shard_indexes(places, described).items():
            unit.file(BESIDE[suffix], suffix).write_bytes(data)
        unit.manifest = {
            "path": shard["path"],
            "flow": flow.name,
            "split": shard["split"],
            "samples": len(places),
            "bytes": size,
            "sha256": sha256,
            "key_first": places[0].key,
            "key_last": places[-1].key,
            "unit": shard["unit"],
        }
    return {"records": len(places)}


def _samples(store: Store, flow: FlowPlan, records: pa.Table) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(sample key, members) in packing order."""
    modality = flow.modality
    step = records.num_rows if modality.stored else CHUNK
    for start in range(0, records.num_rows, step):
        rows = records.slice(start, step)
        payload = read_payload(store, modality.columns, rows)
        check_digests(payload.column(0).combine_chunks(), rows.column("digest"), rows.column("source").to_pylist())
        names = zip(rows.column("sample_key").to_pylist(), rows.column("head").to_pylist(), strict=True)
        for (key, head), record in zip(names, _rows(payload), strict=True):
            members = modality.members(record)
            body = members["json"]
            members["json"] = head if body == b"{}" else head[:-1] + b"," + body[1:]
            yield key, members


def _rows(payload: pa.Table) -> Iterator[dict[str, Any]]:
    columns = [payload.column(name) for name in payload.column_names]
    for cells in zip(*columns, strict=True):
        yield {name: cell.as_py() for name, cell in zip(payload.column_names, cells, strict=True)}


def _check_sizes(places: list[SamplePlace], records: pa.Table, suffixes: list[str]) -> None:
    for suffix in suffixes:
        for place, expected in zip(places, records.column(f"size.{suffix}").to_pylist(), strict=True):
            size = next(part.size for part in place.members if part.suffix == suffix)
            if size != expected:
                raise D4AError(f"member .{suffix} has {size} bytes where the layout fixed {expected}; this is a defect of d4a", place.key)


def published_shards(store: Store) -> dict[str, tuple[Shard, dict[str, dict[str, Any]]]]:
    """unit key -> shard of the published dataset and the files beside it, where all of them are there in full size."""
    path = store.root / MANIFEST
    if not path.exists():
        return {}
    dataset = parse(path.read_bytes(), str(path))
    found = {}
    for shard in dataset.shards:
        stem = shard.path.removesuffix(".tar")
        files = {s: dataset.files[stem + s].model_dump() for s in BESIDE if s != ".tar" and stem + s in dataset.files}
        sizes = {shard.path: shard.bytes, **{stem + suffix: file["bytes"] for suffix, file in files.items()}}
        whole = all((store.root / p).exists() and (store.root / p).stat().st_size == size for p, size in sizes.items())
        if whole and len(sizes) == len(BESIDE):
            found[shard.unit] = shard, files
    return found


def packed(store: Store, flow: str, shard: dict[str, Any], published: dict[str, Any]) -> dict[str, Any] | None:
    """What is known of a shard that needs no packing, or None. `published` is what `published_shards` gave.

    Returns the fields of `manifest.Shard`, `files` (suffix -> {"bytes", "sha256"}) and `folder`: where its files
    wait to be published; None for a shard that the published dataset already holds, unchanged.
    """
    folder = store.unit("pack", flow, shard["unit"])
    manifest = committed(folder)
    if manifest is not None:
        files = {suffix: manifest["files"][name] for suffix, name in BESIDE.items() if suffix != ".tar"}
        return {**{k: v for k, v in manifest.items() if k != "files"}, "files": files, "folder": folder}
    if shard["unit"] not in published:
        return None
    there, files = published[shard["unit"]]
    return {**there.model_dump(), "files": files, "folder": None}
