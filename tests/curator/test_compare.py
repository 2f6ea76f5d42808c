"""`d4a compare`: decisions that flip and values that are apart, between datasets that were really made in two ways."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import image_makers
import pyarrow as pa
import pytest
from d4a.curator.compare import _distances, compare
from d4a.curator.load.files import digest, load
from d4a.curator.progress import Reporter
from d4a.curator.run import curate
from d4a.curator.stage import Machine
from small_corpus import write_recipe, write_text_inputs


def test_two_thresholds_flip_what_lies_between_them(tmp_path: Path, d4a) -> None:
    """One file more in the second dataset: its records have other places there, and the other ones are found by their keys."""
    write_text_inputs(tmp_path / "in", files=3)
    d4a("curate", write_recipe(tmp_path / "a.yaml", tmp_path / "in", tmp_path / "a"))
    (tmp_path / "in/a-first-one.jsonl").write_text(json.dumps({"id": "new", "text": "a text that the other dataset has not"}) + "\n")
    d4a("curate", write_recipe(tmp_path / "b.yaml", tmp_path / "in", tmp_path / "b", threshold="0.99"))
    found = json.loads(d4a("compare", "a", "b", "--json").stdout)
    assert found["recipe"] == {"text.dedup.fuzzy.threshold": [0.8, 0.99]} and found["numeric"] == {}
    (flow,) = found["flows"]
    told = [json.loads((tmp_path / name / "dataset.json").read_text())["flows"]["text"] for name in "ab"]
    assert (flow["only_a"], flow["only_b"], flow["both"]) == (0, 1, told[0]["records"])
    assert (flow["kept_a"], flow["kept_b"]) == (told[0]["kept"], told[1]["kept"] - 1)
    (flip,) = flow["flips"]
    assert (flip["a"], flip["b"]) == ("text.dedup.fuzzy: near_duplicate", "kept") and len(flip["keys"]) == 3
    assert flip["count"] == flow["kept_b"] - flow["kept_a"] > 3
    assert f"by          {flip['a']}" in d4a("why", "a", flip["keys"][0]).stdout and "kept" in d4a("why", "b", flip["keys"][0]).stdout
    apart = {v["name"] for v in flow["values"] if v["differ"] or v["one_sided"]}
    assert apart == {"text.dedup.fuzzy.cluster", "text.dedup.fuzzy.cluster_size"}
    shown = d4a("compare", "a", "b").stdout
    assert f"{flip['count']} decisions differ" in shown and flip["keys"][0] in shown and "only in B 1" in shown


@pytest.mark.models
def test_two_numeric_classes_are_named_and_embeddings_are_close(tmp_path: Path) -> None:
    for module in ("torch", "efficientnet_lite_pytorch"):
        pytest.importorskip(module, reason="needs the extras image and standin")
    (tmp_path / "in").mkdir()
    for number in range(5):
        (tmp_path / f"in/{number}.jpg").write_bytes(image_makers.encode(image_makers.scene(number, (240, 180))))
    recipe = tmp_path / "r.yaml"
    stages = "[{use: image.decode}, {use: image.dedup.semantic, model: {efficientnet: lite0}}]"
    recipe.write_text(f"name: x\nimage: {{sources: [{{path: {tmp_path / 'in'}}}], stages: {stages}}}\noutput: {{path: {tmp_path}}}\n")
    loaded = load(str(recipe))
    for precision in ("fp32", "bf16"):
        machine = Machine("cpu", precision)
        with Reporter("json") as reporter:
            curate(loaded, digest(loaded), tmp_path / precision, machine, workers=1, reporter=reporter)
    found = compare(tmp_path / "fp32", tmp_path / "bf16")
    classes = found.numeric["image/image.dedup.semantic"]
    assert [one and one["precision"] for one in classes] == ["fp32", "bf16"]
    (embedding,) = (one for one in found.flows[0].values if one.cosine is not None)
    assert (embedding.name, embedding.compared) == ("image.dedup.semantic.embedding", 5) and embedding.differ == 5
    assert embedding.cosine is not None and 0.99 < embedding.cosine < 1 and embedding.key in [f"{k}.jpg" for k in range(5)]


def test_what_is_no_dataset_or_another_one_is_said(tmp_path: Path, d4a) -> None:
    write_text_inputs(tmp_path / "in", files=1)
    d4a("curate", write_recipe(tmp_path / "a.yaml", tmp_path / "in", tmp_path / "a"))
    assert "no dataset.json here: this is no dataset" in d4a("compare", "a", "in", code=2).stderr
    assert "no such dataset" in d4a("compare", "nothing", "a", code=2).stderr
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b/ledger/text-000000.parquet").unlink()
    assert "a table of the dataset is not there" in d4a("compare", "a", "b", code=2).stderr


def test_numbers_that_are_none_differ_from_others_only() -> None:
    nan, inf = float("nan"), float("inf")
    a, b = pa.array([nan, nan, inf, inf, 2]), pa.array([nan, 1.0, inf, 1.0, 5])
    assert _distances(a, b).tolist() == [0, inf, 0, inf, 3]
