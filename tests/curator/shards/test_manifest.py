"""dataset.json: same values, same bytes; what cannot be read is refused in one clear line; verify sees every damage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from d4a.curator.errors import EXIT_USAGE, UsageError
from d4a.curator.shards.manifest import Shard, merkle_root, parse, read
from d4a.curator.shards.verify import verify
from d4a.curator.store import DATASET


def shard(path: str, content: bytes) -> Shard:
    digest = hashlib.sha256(content).hexdigest()
    return Shard(path=path, flow="text", split="train", samples=1, bytes=1, sha256=digest, key_first="a", key_last="a", unit="u")


def changed(root: Path, edit) -> None:
    plain = json.loads((root / DATASET).read_bytes())
    edit(plain)
    (root / DATASET).write_text(json.dumps(plain))


def test_written_and_read_again(small) -> None:
    root, dataset = small
    assert read(root) == dataset
    data = (root / DATASET).read_bytes()
    assert data == dataset.to_json() and data.endswith(b"}\n")
    plain = json.loads(data)
    assert list(plain) == sorted(plain)
    assert plain["schema_version"] == "1.0"
    assert plain["flows"]["text"]["stages"][0] == {
        "label": "text.dedup",
        "use": "text.dedup.exact",
        "in": 19,
        "kept": 16,
        "dropped": 3,
        "reasons": {"duplicate": 3},
    }


def test_a_dataset_is_the_same_bytes_anywhere_and_in_any_process(small, tmp_path: Path) -> None:
    root, _ = small
    script = "import sys, pathlib, runpy; runpy.run_path(sys.argv[1])['build'](pathlib.Path(sys.argv[2]))"
    other = tmp_path / "elsewhere" / "again"
    conftest = Path(__file__).with_name("conftest.py")
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", script, str(conftest), str(other)], check=True, env=environment)
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert [path for path in files if (root / path).read_bytes() != (other / path).read_bytes()] == []


def test_the_merkle_root_is_what_its_docstring_says() -> None:
    def node(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    a, b, c = shard("text/a.tar", b"1"), shard("text/b.tar", b"2"), shard("text/c.tar", b"3")
    leaves = [node(b"\0" + s.path.encode() + b"\0" + bytes.fromhex(s.sha256)) for s in (a, b, c)]
    assert merkle_root([]) == hashlib.sha256().hexdigest()
    assert merkle_root([a]) == leaves[0].hex()
    assert merkle_root([c, a, b]) == node(b"\1" + node(b"\1" + leaves[0] + leaves[1]) + leaves[2]).hex()
    assert merkle_root([a, b]) != merkle_root([shard("text/a.tar", b"2"), shard("text/b.tar", b"1")])


def test_a_folder_without_a_manifest_is_no_finished_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a finished one") as error:
        read(tmp_path)
    assert "run the same `d4a curate` again" in error.value.hint and error.value.exit_code == EXIT_USAGE
    with pytest.raises(UsageError, match="no such dataset"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda plain: plain.update(schema_version="2.0"), "schema_version 2.0: this d4a reads 1.0"),
        (lambda plain: plain.pop("schema_version"), "no schema_version"),
        (lambda plain: plain.pop("shards"), "shards: Field required"),
        (lambda plain: plain["shards"][0].update(samples=-1), "shards.0.samples"),
        (lambda plain: plain["shards"][0].update(path="../../etc/passwd"), "not a path inside the dataset"),
        (lambda plain: plain["files"].update({"/etc/passwd": {"bytes": 1, "sha256": "0" * 64}}), "not a path inside the dataset"),
    ],
)
def test_what_cannot_be_read_is_refused(small, edit, why: str) -> None:
    root, _ = small
    changed(root, edit)
    with pytest.raises(UsageError, match=why):
        read(root)


def test_damaged_json_names_the_file() -> None:
    with pytest.raises(UsageError, match=r"x/dataset\.json: not JSON"):
        parse(b'{"schema_version": "1.0"', "x/dataset.json")
    with pytest.raises(UsageError, match="no dataset of d4a"):
        parse(b"[]", "x/dataset.json")


def test_a_newer_minor_version_is_read(small) -> None:
    root, dataset = small
    changed(root, lambda plain: plain.update(schema_version="1.7", invented_later=[1]))
    assert read(root).shards == dataset.shards


def test_a_sound_dataset_has_no_problems(small) -> None:
    assert verify(small[0]) == []


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def without_last_sample(path: Path) -> None:
    starts = [int.from_bytes(path.with_suffix(".tar.idx").read_bytes()[8 * i :][:8], "little") for i in range(7)]
    path.write_bytes(path.read_bytes()[: starts[-1]])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda root: flip(root / "text/train/000000.tar", 600), "text/train/000000.tar: sha256"),
        (lambda root: flip(root / "text/train/000000.tar", 10), "text/train/000000.tar: no header as d4a writes it at byte 0"),
        (lambda root: without_last_sample(root / "text/train/000000.tar"), "text/train/000000.tar: cut at byte"),
        (lambda root: (root / "text/val/000000.tar").unlink(), "text/val/000000.tar: missing"),
        (lambda root: flip(root / "image/.nv-meta/index.sqlite", 5000), "image/.nv-meta/index.sqlite: sha256"),
        (lambda root: (root / "README.md").write_bytes(b""), "README.md: 0 bytes"),
        (
            lambda root: shutil.copy(root / "text/val/000000.tar", root / "text/train/9.tar"),
            "text/train/9.tar: not in dataset.json",
        ),
        (lambda root: changed(root, lambda p: p["shards"][0].update(samples=8)), "image/train/000000.tar: 7 samples, 8 promised"),
        (lambda root: changed(root, lambda p: p["shards"][0].update(key_last="0")), "image/train/000000.tar: samples "),
        (lambda root: changed(root, lambda p: p["flows"]["text"].update(kept=17)), "flow text kept 17 records, its shards hold 16"),
        (lambda root: changed(root, lambda p: p.update(dataset_id="0" * 64)), "dataset_id is not the Merkle root"),
    ],
)
def test_every_damage_is_named(small, damage, problem: str) -> None:
    root, _ = small
    damage(root)
    assert any(problem in line for line in verify(root)), verify(root)
