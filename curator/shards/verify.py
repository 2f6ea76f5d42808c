"""Does a dataset still hold what its manifest says? Every byte is read again; nothing is believed.

Threads, not processes: hashing releases the interpreter lock, and the disk is the limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..store import DATASET
from .manifest import Dataset, File, Shard, merkle_root, read
from .tar import read_places

_THREADS = 4


def verify(root: Path) -> list[str]:
    """Problems of the dataset in folder `root`, one line each, sorted by path; an empty list is a sound dataset.

    Checks size and sha256 of every shard and file, the samples and the first and last key of every tar, the counts of every
    flow, the dataset_id, and that no unnamed tar lies where a glob would read it. Raises UsageError where there is no manifest.
    """
    dataset = read(root)
    with ThreadPoolExecutor(_THREADS) as pool:
        shards = pool.map(lambda shard: _shard_problems(root, shard), dataset.shards)
        files = pool.map(lambda item: _file_problems(root / item[0], item[0], item[1])[0], sorted(dataset.files.items()))
        found = [problem for some in (*shards, *files) for problem in some]
    return [*sorted(found), *_count_problems(dataset), *_stray_tars(root, dataset)]


def _file_problems(path: Path, name: str, promised: File | Shard) -> tuple[list[str], bool]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except FileNotFoundError:
        return [f"{name}: missing"], False
    except OSError as error:
        return [f"{name}: cannot be read: {error.strerror}"], False
    if size != promised.bytes:
        return [f"{name}: {size:,} bytes, {promised.bytes:,} promised"], True
    if digest != promised.sha256:
        return [f"{name}: sha256 {digest[:12]}…, {promised.sha256[:12]}… promised"], True
    return [], True


def _shard_problems(root: Path, shard: Shard) -> list[str]:
    problems, readable = _file_problems(root / shard.path, shard.path, shard)
    return [*problems, *_tar_problems(root, shard)] if readable else problems


def _tar_problems(root: Path, shard: Shard) -> list[str]:
    try:
        with (root / shard.path).open("rb") as file:
            samples = read_places(file)
    except (OSError, ValueError) as error:
        return [f"{shard.path}: {error}"]
    if len(samples) != shard.samples:
        return [f"{shard.path}: {len(samples):,} samples, {shard.samples:,} promised"]
    ends = [samples[0].key, samples[-1].key] if samples else ["", ""]
    if ends != [shard.key_first, shard.key_last]:
        return [f"{shard.path}: samples {ends[0]} to {ends[1]}, {shard.key_first} to {shard.key_last} promised"]
    return []


def _count_problems(dataset: Dataset) -> Iterator[str]:
    for flow, counts in sorted(dataset.flows.items()):
        packed = sum(shard.samples for shard in dataset.shards if shard.flow == flow)
        if packed != counts.kept:
            yield f"{DATASET}: flow {flow} kept {counts.kept:,} records, its shards hold {packed:,}"
    if dataset.dataset_id != merkle_root(dataset.shards):
        yield f"{DATASET}: dataset_id is not the Merkle root of its shards"


def _stray_tars(root: Path, dataset: Dataset) -> Iterator[str]:
    named = {root / shard.path for shard in dataset.shards}
    for folder in sorted({path.parent for path in named}):
        for path in sorted(folder.glob("*.tar")):
            if path not in named:
                yield f"{path.relative_to(root).as_posix()}: not in {DATASET}, but a reader's glob would find it"
