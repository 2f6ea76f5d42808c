"""Several rounds: models that see survivors only, a second version of a text, and evidence that grows in parts."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import image_makers
import pyarrow.dataset as ds
import pytest
from small_corpus import published, write_text_inputs
from warm_command import Warm

IMAGES = """name: pictures
image:
  sources: [{{path: "{source}"}}]
  partition_bytes: 100000
  stages:
    - use: image.decode
    - {{use: image.size, min_side_px: 64}}
    - use: image.dedup.exact
    - use: image.dedup.perceptual
    - {{use: image.dedup.semantic, model: {{efficientnet: lite0}}, threshold: 0.9}}
    - {{use: image.detect, model: "package:nudenet/320n.onnx", drop_if: {{FACE_MALE: ">= 1"}}}}
output: {{path: "{out}", shard_bytes: 100000, split: {{val: 0.2}}}}
"""


def ledger(root: Path) -> list[dict[str, object]]:
    return ds.dataset(sorted((root / "ledger").glob("*.parquet"))).to_table().to_pylist()


def write_pictures(folder: Path) -> int:
    """Scenes, near copies of some, odd and broken files; returns how many files."""
    folder.mkdir(parents=True)
    rng = random.Random(5)
    for number in range(14):
        scene = image_makers.scene(number, (224, 168))
        (folder / f"{number:02d}.jpg").write_bytes(image_makers.encode(scene, quality=90))
        if number % 3 == 0:
            (folder / f"{number:02d} cropped.png").write_bytes(image_makers.encode(image_makers.cropped(scene, 0.08, rng), "PNG"))
    shutil.copy(folder / "01.jpg", folder / "copy of 01.jpg")
    for name, data in image_makers.odd_files(image_makers.scene(99, (224, 168))).values():
        (folder / f"odd-{name}").write_bytes(data)
    return len(list(folder.iterdir()))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    for module in ("torch", "efficientnet_lite_pytorch", "nudenet", "ultralytics"):
        pytest.importorskip(module, reason="needs the extras image, standin and detect")
    folder = tmp_path_factory.mktemp("pictures") / "in"
    return folder, write_pictures(folder)


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory, pictures: tuple[Path, int], warm: Warm) -> Path:
    """The dataset of the pictures, with its recipe and what the run told beside it."""
    folder = tmp_path_factory.mktemp("curated")
    (folder / "r.yaml").write_text(IMAGES.format(source=pictures[0], out=folder / "a"))
    done = warm.run(["curate", "r.yaml", "--workers", "1", "--json"], folder, 300)
    assert done.returncode == 0, done.stderr
    (folder / "told.json").write_text(done.stdout)
    return folder


@pytest.mark.models
def test_three_rounds_give_the_same_bytes_whatever_ran_before(tmp_path: Path, pictures: tuple[Path, int], curated: Path, d4a) -> None:
    """Workers, and a detour over other thresholds that lets more and fewer records into the later rounds, change nothing."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(IMAGES.format(source=pictures[0], out=tmp_path / "a"))
    shutil.copytree(curated / "a", tmp_path / "a")
    first = json.loads((curated / "told.json").read_text())["flows"][0]
    rows = ledger(tmp_path / "a")
    assert len(rows) == pictures[1] == first["records"] == first["scanned"]
    assert sum(row["verdict"] == "kept" for row in rows) == first["kept"] > 5
    assert {"read", "image.decode", "image.size", "image.dedup.exact", "image.dedup.perceptual"} <= {row["stage"] for row in rows}
    assert len(list((tmp_path / "a/image").glob("*/*.tar"))) > 2
    straight = published(tmp_path / "a")
    for detour in ("image.dedup.perceptual.threshold=0.99", "image.size.min_side_px=200"):
        other = json.loads(d4a("curate", recipe, "--set", detour, "--json").stdout)["flows"][0]
        assert other["kept"] != first["kept"] and other["scanned"] < first["scanned"] / 2
        assert published(tmp_path / "a") != straight
    back = json.loads(d4a("curate", recipe, "--json").stdout)["flows"][0]
    assert back["scanned"] == 0 and published(tmp_path / "a") == straight
    d4a("curate", recipe, "--workers", 2, "--out", tmp_path / "b", env={"PYTHONHASHSEED": "7"})
    assert published(tmp_path / "b") == straight


@pytest.mark.models
def test_images_are_packed_byte_for_byte(pictures: tuple[Path, int], curated: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset(sorted(map(str, (curated / "a/image").glob("*/*.tar"))), shardshuffle=False))
    assert len(samples) == sum(row["verdict"] == "kept" for row in ledger(curated / "a"))
    for sample in samples:
        told = json.loads(sample["json"])
        assert sample["jpg"] == (pictures[0] / told["source"]).read_bytes()
        assert {"key", "source", "format", "width", "height", "boxes"} <= set(told)


def test_a_text_changed_after_a_dedup_is_packed_in_its_last_version(tmp_path: Path, d4a) -> None:
    """A Transform behind a Dedup starts a round: it sees survivors, and the exact dedup behind it the new texts."""
    write_text_inputs(tmp_path / "in", files=2)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "name: x\ntext:\n  sources: [{path: in}]\n  partition_bytes: 20000\n  stages:\n"
        "    - use: text.dedup.exact\n    - {use: text.clean, collapse_spaces: true}\n    - {use: text.dedup.exact, as: again}\n"
        "output: {path: out, order: input}\n"
    )
    with (tmp_path / "in/part-09.jsonl").open("w") as file:
        for key, gap in (("one", " "), ("two", "   ")):
            file.write(json.dumps({"id": key, "text": f"the{gap}same words"}) + "\n")
    told = json.loads(d4a("curate", recipe, "--json").stdout)["flows"][0]
    assert [stage["label"] for stage in told["stages"]] == ["read", "text.dedup.exact", "text.clean", "again"]
    assert told["scanned"] == told["records"]  # each once, though two rounds scan most of them
    by_key = {row["key"]: row for row in ledger(tmp_path / "out")}
    assert (by_key["two"]["stage"], by_key["two"]["twin"], by_key["two"]["survivor"]) == ("again", "one", "one")
    webdataset = pytest.importorskip("webdataset")
    texts = [s["json"]["text"] for s in webdataset.WebDataset(str(tmp_path / "out/text/train/000000.tar"), shardshuffle=False).decode()]
    assert "the same words" in texts and not any("   " in text for text in texts)
