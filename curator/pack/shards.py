"""PACK: once over what is kept. One unit is one shard: read payload, check digests, write the tar and its indexes.

Members are the stored or original bytes; only the .json member is put together here, from its head (key,
source, packed values) and the body the modality gives. Its size was fixed before, and is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import D4AError
from ..plan import FlowPlan
from ..scan.evidence import check_digests, read_payload
from ..scan.measure import MEMBER
from ..shards.indexes import shard_indexes
from ..shards.manifest import Shard, parse
from ..shards.tar import SamplePlace, TarWriter
from ..store import DATASET, Folder, Store, committed, file_digest
from .packlist import read_rows

CHUNK_BYTES = 16 << 20  # payload held in memory at a time, in several forms
# suffix in place of `.tar` -> name of the file in the unit's folder
BESIDE = {".tar": "tar", ".tar.idx": "energon", ".idx": "dali", ".parquet": "samples"}


def pack_shard(store: Store, flow: FlowPlan, layout: str, shard: dict[str, Any], fence: Callable[[], None]) -> dict[str, Any]:
    """Write one shard of a layout and commit it under its unit key."""
    records, manifest = read_rows(store, flow.name, layout, shard)
    with Folder(store.unit("pack", flow.name, shard["unit"]), fence) as unit:
        with unit.file(BESIDE[".tar"], ".tar").open("wb") as file:
            writer = TarWriter(file)
            places = [writer.add(key, members) for key, members in _samples(store, flow, records)]
            size, sha256 = writer.close()
        unit.digests[BESIDE[".tar"]] = sha256
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
    for rows in _chunks(records):
        payload = read_payload(store, flow, rows)
        check_digests(store, flow, payload, rows)
        members = flow.modality.members(payload)
        heads = rows.column("head").to_pylist()
        members["json"] = [h if b == b"{}" else h[:-1] + b"," + b[1:] for h, b in zip(heads, members["json"], strict=True)]
        for key, *parts in zip(rows.column("sample_key").to_pylist(), *members.values(), strict=True):
            yield key, dict(zip(members, parts, strict=True))


def _chunks(records: pa.Table) -> Iterator[pa.Table]:
    """The records in order, in slices whose members have about CHUNK_BYTES together."""
    sizes = sum(records.column(name).to_numpy() for name in records.column_names if name.startswith(MEMBER))
    chunk = np.cumsum(sizes) // CHUNK_BYTES
    for number in np.unique(chunk):
        start, end = np.searchsorted(chunk, [number, number + 1])
        yield records.slice(start, end - start)


def _check_sizes(places: list[SamplePlace], records: pa.Table, suffixes: list[str]) -> None:
    for number, suffix in enumerate(suffixes):  # sorted, as the members are
        for place, expected in zip(places, records.column(MEMBER + suffix).to_pylist(), strict=True):
            size = place.members[number].size
            if size != expected:
                raise D4AError(f"member .{suffix} has {size} bytes where the layout fixed {expected}; this is a defect of d4a", place.key)


Published = dict[str, tuple[Shard, dict[str, dict[str, Any]], bool]]


def published_shards(store: Store) -> Published:
    """unit key -> shard of the published dataset, the files beside it, and whether nobody touched any of them since."""
    path = store.root / DATASET
    try:
        dataset = parse(path.read_bytes(), str(path))
    except (OSError, D4AError):  # none, or a damaged one: nothing of it is used
        return {}
    untouched = store.untouched()
    found = {}
    for shard in dataset.shards:
        stem = shard.path.removesuffix(".tar")
        files = {s: dataset.files[stem + s].model_dump() for s in BESIDE if s != ".tar" and stem + s in dataset.files}
        if len(files) + 1 == len(BESIDE):
            found[shard.unit] = shard, files, all(untouched.get(stem + suffix, False) for suffix in BESIDE)
    return found


def _whole(root: Path, shard: Shard, files: dict[str, dict[str, Any]]) -> bool:
    """Whether the shard and the files beside it still have the digests that the manifest promises."""
    stem = shard.path.removesuffix(".tar")
    promised = {shard.path: shard.sha256, **{stem + suffix: file["sha256"] for suffix, file in files.items()}}
    return all((root / path).is_file() and file_digest(root / path) == sha256 for path, sha256 in promised.items())


def packed(store: Store, flow: str, shard: dict[str, Any], published: Published) -> dict[str, Any] | None:
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
    there, files, untouched = published[shard["unit"]]
    if not untouched and not _whole(store.root, there, files):
        return None
    return {**there.model_dump(), "files": files, "folder": None}
