"""A finished small dataset of all three modalities, made by the same calls that Pack makes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from d4a.curator.shards import card, croissant
from d4a.curator.shards.energon import SQLITE, energon_files, write_sqlite
from d4a.curator.shards.indexes import folder_indexes, shard_indexes
from d4a.curator.shards.manifest import Dataset, FlowCounts, Shard, StageCounts, by_flow, describe_file, merkle_root
from d4a.curator.shards.tar import TarWriter
from d4a.curator.store import DATASET
from PIL import Image

MEMBERS = {"image": ["jpg", "json"], "pair": ["jpg", "json", "txt"], "text": ["json"]}
SAMPLES = {"train/000000": range(0, 7), "train/000001": range(7, 13), "val/000000": range(13, 16)}


def sample_key(flow: str, i: int) -> str:
    return hashlib.blake2b(f"{flow}\0{i}".encode(), digest_size=10).hexdigest()


def sample_members(flow: str, i: int) -> dict[str, bytes]:
    image = io.BytesIO()
    Image.new("RGB", (8 + i, 8), (i, 2 * i, 3 * i)).save(image, "PNG" if i % 3 == 0 else "JPEG")
    body = {"key": f"record {i}", "source": f"in.jsonl#{i}", **({"text": "Ünïcode 海 " * i} if flow == "text" else {})}
    every = {"jpg": image.getvalue(), "json": orjson.dumps(body), "txt": f"caption {i}".encode()}
    return {suffix: every[suffix] for suffix in MEMBERS[flow]}


def write_shard(root: Path, flow: str, name: str, samples: range) -> tuple[Shard, dict[str, bytes]]:
    path = f"{flow}/{name}.tar"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    with (root / path).open("wb") as file:
        writer = TarWriter(file)
        places = [writer.add(sample_key(flow, i), sample_members(flow, i)) for i in samples]
        size, sha256 = writer.close()
    records = pa.table(
        {
            "key": [f"record {i}" for i in samples],
            "digest": pa.array([hashlib.md5(b"%d" % i).digest() for i in samples], pa.binary(16)),
            "source": [f"in.jsonl#{i}" for i in samples],
            "licence": ["CC-BY-4.0"] * len(samples),
            f"{flow}.stage.score": np.arange(len(samples)) / 2,
        }
    )
    files = {f"{flow}/{name}{end}": data for end, data in shard_indexes(places, records).items()}
    ends = {"key_first": places[0].key, "key_last": places[-1].key}
    split = name.partition("/")[0]
    return Shard(path=path, flow=flow, split=split, samples=len(samples), bytes=size, sha256=sha256, unit="u", **ends), files


def counts(flow: str) -> FlowCounts:
    stage = StageCounts(label=f"{flow}.dedup", use=f"{flow}.dedup.exact", entered=19, kept=16, dropped=3, reasons={"duplicate": 3})
    return FlowCounts(records=20, kept=16, dropped=3, unreadable=1, stages=[stage])


def build(root: Path) -> Dataset:
    shards: list[Shard] = []
    files: dict[str, bytes] = {}
    for flow in MEMBERS:
        for name, samples in SAMPLES.items():
            shard, beside = write_shard(root, flow, name, samples)
            shards.append(shard)
            files |= beside
    identity = merkle_root(shards)
    files |= folder_indexes("small", shards) | energon_files(identity, shards, MEMBERS)
    dataset = Dataset(
        name="small",
        dataset_id=identity,
        recipe={"name": "small", "description": "Sixteen samples a modality."},
        recipe_digest="ab" * 32,
        seed=0,
        tool={"d4a": "0.1.0"},
        flows={flow: counts(flow) for flow in MEMBERS},
        members=MEMBERS,
        shards=shards,
        licences={flow: {"CC-BY-4.0": 16} for flow in MEMBERS},
    )
    files |= {"README.md": card.render(dataset).encode(), "croissant.json": croissant.describe(dataset)}
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    for flow, of_flow in by_flow(shards).items():
        write_sqlite(root / flow / SQLITE, [(root / shard.path).with_suffix(".parquet") for shard in of_flow], MEMBERS[flow])
        files[f"{flow}/{SQLITE}"] = (root / flow / SQLITE).read_bytes()
    dataset = dataset.model_copy(update={"files": {path: describe_file(data) for path, data in files.items()}})
    (root / DATASET).write_bytes(dataset.to_json())
    return dataset


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Dataset]:
    """Root folder and manifest of a finished dataset: three flows of two train shards and one val shard."""
    root = tmp_path / "small"
    return root, build(root)


@pytest.fixture
def members() -> Callable[[str, int], dict[str, bytes]]:
    """What was packed for sample i of a flow."""
    return sample_members
