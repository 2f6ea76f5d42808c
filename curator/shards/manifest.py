"""dataset.json: the commit record of a dataset, written last; what it does not name is not part of the dataset.

One pydantic model is schema, reader and writer, as recipes are. Its bytes follow from its values alone: sorted keys, no clock,
no path of this machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError
from ..store import DATASET

SCHEMA_VERSION = "1.0"


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or any(part in {".", ".."} for part in path.split("/")):
        raise ValueError(f"not a path inside the dataset: {path!r}")
    return path


RelativePath = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Base of everything in dataset.json. Unknown fields are passed over: a newer minor version may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Shard(Part):
    """One tar.

    path       relative to the dataset, "/" between folders
    bytes      of the tar; sha256 in hex
    key_first, key_last   sample keys of its first and last sample
    unit       key of the unit that wrote it
    """

    path: RelativePath
    flow: str
    split: str
    samples: Count
    bytes: Count
    sha256: Sha256
    key_first: str
    key_last: str
    unit: str


class File(Part):
    """Any other published file whose bytes are promised: indexes, ledger, scores, sketches, card."""

    bytes: Count
    sha256: Sha256


class StageCounts(Part):
    """What one stage did: of `entered` records (`in` in the file), so many kept, and dropped for which reasons."""

    label: str
    use: str
    entered: Count = Field(validation_alias=AliasChoices("in", "entered"), serialization_alias="in")
    kept: Count
    dropped: Count
    reasons: dict[str, Count] = Field(default_factory=dict)


class FlowCounts(Part):
    """What became of one flow's records."""

    records: Count
    kept: Count
    dropped: Count
    unreadable: Count
    stages: list[StageCounts]


class Dataset(Part):
    """Everything dataset.json says.

    dataset_id     Merkle root of the shards, see `merkle_root`
    recipe         the resolved recipe as plain JSON; recipe_digest is its digest without output path and machine
    numeric        stage label -> what decides its neural values (weights digest, precision, device kind, versions)
    tool           {"d4a": version}; libraries: distribution -> version
    flows          flow -> counts; licences: flow -> SPDX identifier -> samples
    members        flow -> suffixes of the members of every sample
    files          relative path -> File
    sketches       flow -> label of a dedup stage -> digest of what decides its sketches
    limit          only the first so many records of every flow were taken; None: all
    """

    schema_version: str = SCHEMA_VERSION
    name: str
    dataset_id: Sha256
    recipe: dict[str, Any]
    recipe_digest: str
    seed: int
    numeric: dict[str, dict[str, str]] = Field(default_factory=dict)
    tool: dict[str, str]
    libraries: dict[str, str] = Field(default_factory=dict)
    flows: dict[str, FlowCounts]
    members: dict[str, list[str]]
    shards: list[Shard]
    files: dict[RelativePath, File] = Field(default_factory=dict)
    licences: dict[str, dict[str, Count]] = Field(default_factory=dict)
    sketches: dict[str, dict[str, str]] = Field(default_factory=dict)
    limit: Count | None = None

    def to_json(self) -> bytes:
        """The bytes of dataset.json: sorted keys, two spaces, a newline at the end; shards in the order given."""
        return json_bytes(self.model_dump(mode="json", by_alias=True))


def json_bytes(value: Any) -> bytes:
    """JSON as every file of a dataset has it: sorted keys, two spaces, a newline at the end."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def describe_file(data: bytes) -> File:
    """The manifest's entry for a file with these bytes."""
    return File(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def group_shards(shards: Iterable[Shard], name: Callable[[Shard], str]) -> dict[str, list[Shard]]:
    """Shards by whatever `name` says of them; groups sorted by that, shards by path."""
    groups: dict[str, list[Shard]] = {}
    for shard in sorted(shards, key=lambda shard: (name(shard), shard.path)):
        groups.setdefault(name(shard), []).append(shard)
    return groups


def by_flow(shards: Iterable[Shard]) -> dict[str, list[Shard]]:
    """Shards of each flow, sorted by path."""
    return group_shards(shards, lambda shard: shard.flow)


def by_folder(shards: Iterable[Shard]) -> dict[str, list[Shard]]:
    """Shards of each folder of tars, relative to the dataset, sorted by path."""
    return group_shards(shards, lambda shard: PurePosixPath(shard.path).parent.as_posix())


def brace_pattern(names: Sequence[str]) -> list[str]:
    """Sorted tar names as braces: a/000000.tar, a/000001.tar -> a/{000000..000001}.tar; one pattern a run of numbers."""
    runs: list[list[tuple[str, str]]] = []
    for name in names:
        path = PurePosixPath(name)
        start = (path.parent.as_posix() + "/").removeprefix("./")
        last = runs[-1][-1] if runs else ("", "")
        follows = last[0] == start and path.stem.isdecimal() and last[1].isdecimal() and len(last[1]) == len(path.stem)
        if follows and int(path.stem) == int(last[1]) + 1:
            runs[-1].append((start, path.stem))
        else:
            runs.append([(start, path.stem)])
    return [f"{run[0][0]}{{{run[0][1]}..{run[-1][1]}}}.tar" if len(run) > 1 else f"{run[0][0]}{run[0][1]}.tar" for run in runs]


def merkle_root(shards: Iterable[Shard]) -> str:
    """The dataset_id: Merkle tree hash (RFC 6962) over the shards sorted by path, in hex.

    A leaf is sha256(00 || path in UTF-8 || 00 || sha256 of the tar, 32 bytes), a node sha256(01 || left || right); a node
    without a sibling moves up as it is; no shards: sha256 of nothing. So the id changes with any byte, name or split.
    """
    ordered = sorted(shards, key=lambda shard: shard.path.encode())
    level = [_sha256(b"\0" + shard.path.encode() + b"\0" + bytes.fromhex(shard.sha256)) for shard in ordered]
    while len(level) > 1:
        level = [_parent(level[i : i + 2]) for i in range(0, len(level), 2)]
    return level[0].hex() if level else _sha256(b"").hex()


def _parent(children: Sequence[bytes]) -> bytes:
    return _sha256(b"\1" + b"".join(children)) if len(children) == 2 else children[0]


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def read(root: Path) -> Dataset:
    """The manifest of the dataset in folder `root`. Raises UsageError where there is none that this d4a can read."""
    path = root / DATASET
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if not root.is_dir():
            raise UsageError("no such dataset: give the folder that holds dataset.json", where=str(root)) from error
        raise UsageError(
            f"no {DATASET} here: this is no dataset, or not a finished one",
            where=str(root),
            hint="a run into this folder may have been interrupted: run the same `d4a curate` again",
        ) from error
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return parse(data, str(path))


def parse(data: bytes, where: str) -> Dataset:
    """The manifest in `data`. Raises UsageError, naming `where`, for another format or a newer major version."""
    try:
        plain = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"not JSON: {error}", where=where, hint=_DAMAGED) from error
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    major = version.partition(".")[0] if isinstance(version, str) else ""
    if not major.isdecimal():
        raise UsageError("no dataset of d4a: it has no schema_version", where=where)
    if int(major) > int(SCHEMA_VERSION.partition(".")[0]):
        raise UsageError(f"schema_version {version}: this d4a reads {SCHEMA_VERSION}", where=where, hint="upgrade d4a")
    try:
        return Dataset.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{place}: {first['msg']} ({error.error_count()} such mistakes)", where=where, hint=_DAMAGED) from error


_DAMAGED = "the file is damaged: run the same `d4a curate` again, or copy the dataset anew"
