"""Pictures that only a table names: a later run notices what changed, and scans nothing else."""

from __future__ import annotations

import json
import os

import image_makers as makers
from small_corpus import published

RECIPE = """
name: x
pair:
  partition_bytes: 64kB
  sources: [{path: in/t.jsonl, images: pictures}]
  stages: [{use: image.decode}, {use: image.dedup.exact}, {use: text.clean}]
output: {path: out, order: input}
"""


def test_a_named_picture_that_changed_is_scanned_again_with_its_partition_alone(tmp_path, d4a):
    recipe, pictures = tmp_path / "r.yaml", tmp_path / "pictures"
    recipe.write_text(RECIPE)
    (tmp_path / "in").mkdir()
    pictures.mkdir()
    files = [pictures / f"{k}.bmp" for k in range(20)]
    rows = [{"image": file.name, "text": f"picture  {k}", "why": "a longer row"} for k, file in enumerate(files)]
    (tmp_path / "in/t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def draw(k, seed):
        files[k].write_bytes(makers.encode(makers.scene(seed, (64, 48)), "BMP"))

    def run(*more, code=0):
        done = d4a("curate", recipe, "--json", *more, code=code)
        return json.loads(done.stdout)["flows"][0] if code == 0 else done.stderr

    for k in range(20):
        draw(k, k)
    files[3].unlink()
    first = run()
    assert (first["kept"], first["scanned"]) == (19, 20)
    draw(3, 3)  # another one comes, one changes, and one becomes a copy of it
    draw(4, 21)
    draw(17, 21)
    third = run()
    assert third["kept"] == 19 and 0 < third["scanned"] <= 12
    again = d4a("curate", recipe)
    assert "pair scan reused; nothing changed" in again.stdout and "scan pair (round 2): 6/6 units, 6 reused" in again.stderr
    # other bytes under the same size and time: seen where the picture is packed again, and never published
    before, state = published(tmp_path / "out"), files[10].stat()
    draw(10, 30)
    os.utime(files[10], ns=(state.st_atime_ns, state.st_mtime_ns))
    said = run("--set", "output.shard_bytes=60kB", code=1)
    assert "1 source files changed since the scan" in said and str(files[10]) in said and "run the same command again" in said
    assert published(tmp_path / "out") == before
    assert 0 < run("--set", "output.shard_bytes=60kB")["scanned"] <= 5
    run("--set", "output.shard_bytes=60kB", "--out", tmp_path / "fresh")
    assert published(tmp_path / "out") == published(tmp_path / "fresh")
