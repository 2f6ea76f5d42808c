"""croissant.json names real files with their hashes, and every reference in it leads somewhere."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from d4a.curator.shards import croissant


def nodes(value):
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def test_every_reference_leads_somewhere_and_every_hash_is_true(small) -> None:
    root, dataset = small
    found = json.loads((root / "croissant.json").read_bytes())
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.1" and found["identifier"] == dataset.dataset_id
    body = {name: value for name, value in found.items() if name != "@context"}
    defined = [node["@id"] for node in nodes(body) if "@type" in node and "@id" in node]
    used = [node["@id"] for node in nodes(body) if set(node) == {"@id"}]
    assert len(set(defined)) == len(defined) and set(used) <= set(defined)
    objects = [node for node in found["distribution"] if node["@type"] == "cr:FileObject"]
    assert [node["contentUrl"] for node in objects] == [shard.path for shard in dataset.shards]
    for node in objects:
        data = (root / node["contentUrl"]).read_bytes()
        assert node["sha256"] == hashlib.sha256(data).hexdigest() and node["contentSize"] == f"{len(data)} B"


def test_many_shards_are_one_index_and_a_pattern(small, monkeypatch) -> None:
    root, dataset = small
    monkeypatch.setattr(croissant, "MAX_FILE_OBJECTS", 2)
    found = json.loads(croissant.describe(dataset.model_copy(update={"files": {}})))
    objects = {node["@id"]: node for node in found["distribution"] if node["@type"] == "cr:FileObject"}
    assert list(objects) == ["image/index.json", "pair/index.json", "text/index.json"]
    assert objects["text/index.json"]["sha256"] == hashlib.sha256((root / "text/index.json").read_bytes()).hexdigest()
    tars = {node["includes"] for node in found["distribution"] if node.get("encodingFormat") == "application/x-tar"}
    assert {path.relative_to(root).as_posix() for pattern in tars for path in root.glob(pattern)} == {s.path for s in dataset.shards}


READ = """
import sys, mlcroissant
data = mlcroissant.Dataset(jsonld=sys.argv[1])
assert not data.metadata.ctx.issues.errors
for record_set in data.metadata.record_sets:
    print(record_set.id, len(list(data.records(record_set.id))))
"""


def test_mlcroissant_validates_it_and_reads_every_record(small, tmp_path: Path) -> None:
    pytest.importorskip("mlcroissant")
    root, _ = small
    # its cache knows an extracted tar by its relative path alone, so another dataset's would be taken for this one's
    environment = {**os.environ, "CROISSANT_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", READ, str(root / "croissant.json")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    counts = dict(line.split() for line in done.stdout.splitlines())
    assert counts["text/train/json"] == "13" and counts["pair/val/txt"] == "3" and len(counts) == 12
