"""All kinds of sources in one run: every image byte for byte in the shards, whatever the units."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile

import image_makers as makers
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from d4a.curator.errors import D4AError
from d4a.curator.modality import Entry
from d4a.curator.plan import FlowPlan
from d4a.curator.recipe import Flow, Source
from d4a.curator.scan.references import REFERRED, filled
from d4a.curator.sources import Partition
from image_sources import write_tar


def write_sources(root):
    """Five images in each kind of source, all different, with a caption each."""
    data = [makers.encode(makers.scene(k, (96, 64)), ("JPEG", "PNG", "WEBP")[k % 3]) for k in range(30)]
    (root / "loose/ann").mkdir(parents=True)
    (root / "coco/pics").mkdir(parents=True)
    (root / "table").mkdir()
    for k in range(5):
        (root / f"loose/ann/{k}.jpg").write_bytes(data[k])
        (root / f"loose/ann/{k}.txt").write_text(f"caption {k}")
        (root / f"table/{k + 5}.png").write_bytes(data[k + 5])
        (root / f"coco/pics/{k + 10}").write_bytes(data[k + 10])
    write_tar(root / "a.tar", [(f"{k}.{s}", d) for k in range(15, 20) for s, d in (("jpg", data[k]), ("txt", b"caption %d" % k))])
    write_tar(
        root / "b.tar.gz", [(f"{k}.{s}", d) for k in range(20, 25) for s, d in (("jpg", data[k]), ("txt", b"caption %d" % k))], "w:gz"
    )
    rows = [{"image": {"bytes": data[k], "path": None}, "caption": f"caption {k}"} for k in range(25, 30)]
    pq.write_table(pa.Table.from_pylist(rows), root / "c.parquet", row_group_size=2)
    (root / "table/t.jsonl").write_text("".join(json.dumps({"image": f"{k}.png", "text": f"caption {k}"}) + "\n" for k in range(5, 10)))
    images = [{"id": k, "file_name": str(k)} for k in range(10, 15)]
    notes = [{"id": k, "image_id": k, "caption": f"caption {k}"} for k in range(10, 15)]
    (root / "coco/c.json").write_text(json.dumps({"images": images, "annotations": notes}))
    return data


RECIPE = """
name: x
{flow}:
  partition_bytes: {size}
  sources:
    - {{path: in/loose}}
    - {{path: in/*.tar*}}
    - {{path: in/c.parquet}}
    - {{path: in/table/t.jsonl}}
    - {{path: in/coco/c.json, images: in/coco/pics}}
  stages: [{{use: image.decode}}, {{use: image.dedup.exact}}]
output: {{path: out}}
"""


def packed(folder, flow):
    """Caption or captions -> image, out of the shards."""
    found = {}
    for shard in sorted(folder.glob(f"{flow}/*/*.tar")):
        with tarfile.open(shard) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}
        for name in [name for name in members if name.endswith(".jpg")]:
            body = json.loads(members[name[:-3] + "json"])
            caption = members.get(name[:-3] + "txt", b"").decode() or body["meta"].get("caption") or body["meta"]["captions"][0]
            found[caption] = members[name]
    return found


def test_every_image_of_every_source_is_packed_as_it_is(tmp_path, d4a):
    data = write_sources(tmp_path / "in")
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in (tmp_path / "in").rglob("*") if path.is_file()}
    datasets = {}
    for flow, size in (("image", "4096B"), ("image", "64MiB"), ("pair", "4096B")):
        recipe = tmp_path / "r.yaml"
        recipe.write_text(RECIPE.format(flow=flow, size=size))
        out = tmp_path / f"{flow}-{size}"
        d4a("curate", recipe, "--out", out)
        assert packed(out, flow) == {f"caption {k}": one for k, one in enumerate(data)}
        manifest = json.loads((out / "dataset.json").read_text())
        datasets[flow, size] = {name: one for name, one in manifest["files"].items() if "/train/" in name}
    assert datasets["image", "4096B"] == datasets["image", "64MiB"] != {}
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in before} == before


def test_a_pipe_in_the_place_of_an_image_is_an_error_and_not_waited_for(tmp_path):
    """A later round, and Pack, open files that were listed long before."""
    os.mkfifo(tmp_path / "a.jpg")
    entry = Entry(str(tmp_path), "a.jpg", 9, 0, 0, 9)
    flow = FlowPlan("image", Flow(sources=[Source(path=str(tmp_path))]), (), (Partition("", (entry,)),))
    stored = pa.record_batch([pa.array([None], pa.large_binary())], ["bytes"])
    referred = pa.Table.from_pylist([{"origin": 0, "file": None, "at": 0, "payload_bytes": 9}], REFERRED)
    with pytest.raises(D4AError, match="cannot be read again"):
        filled(flow, stored, referred)
