"""image.sample: how many of a group stay, which ones, and what makes a group."""

import json
import tempfile
from pathlib import Path

import image_makers as makers
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from d4a.curator.stage import Workspace
from d4a.modalities.image.sample import Sample, SampleOptions
from pydantic import ValidationError


class Pictures:
    """Pictures that reached the stage, with what other stages measured of them."""

    settled, workspace = 0, Workspace(Path(tempfile.gettempdir()), 1 << 30)

    def __init__(self, size, name, values):
        self.size, self.name, self.values = size, name, values

    def column(self, name):
        column = [number.to_bytes(16, "little") for number in range(self.size)] if name == "digest" else list(range(self.size))
        return pa.chunked_array([pa.array(column)])

    def foreign(self, name):
        return pa.chunked_array([self.values]) if name == self.name else None

    def chunks(self, name):
        assert name == self.name
        yield np.arange(self.size), self.values


def chosen(pictures, **options):
    """(kept, details of the dropped)"""
    verdict = Sample(SampleOptions(by=pictures.name, **options)).choose(pictures)
    out = ~verdict.keep
    assert set(verdict.reasons) <= {"group_full"} and (verdict.value[out] > verdict.threshold[out]).all()
    return np.flatnonzero(verdict.keep).tolist(), verdict.detail[out].tolist()


def boxes(*classes):
    return json.dumps([{"class": name, "confidence": 0.9} for name in classes])


def test_the_class_of_the_surest_box_makes_a_group():
    seen = [boxes("cat", "dog"), boxes("cat"), boxes("dog", "cat"), boxes(), boxes(), None, boxes("cat")]
    pictures = Pictures(7, "found.boxes", pa.array(seen))
    kept, full = chosen(pictures, at_most=1, keep="first")
    assert kept == [0, 2, 3, 5] and full == ["cat", "nothing", "cat"]
    assert chosen(pictures, at_most=3) == (list(range(7)), [])


def test_boxes_that_came_with_pictures_make_groups_too():
    given = [{"boxes": [{"class": "cat"}, {"class": "cow", "confidence": 1}], "n": 1}, {"boxes": []}, {"n": 2}, {"boxes": ["cow"]}]
    batch = pa.record_batch({"meta": pa.array([*map(orjson.dumps, given), None], pa.large_binary())})
    found = {by: Sample(SampleOptions(by=by)).measure(batch)["group"].to_pylist() for by in ("meta.boxes", "meta.n")}
    assert found == {"meta.boxes": ["cow", "nothing", None, None, None], "meta.n": ["1", None, "2", None, None]}


def test_clusters_of_embeddings_are_groups():
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(4, 32), [70, 60, 50, 20], axis=0)
    vectors = (centres + rng.normal(0, 0.02, centres.shape)).astype(np.float16)
    vectors[3] = 0  # unknown to the model: of no group
    pictures = Pictures(200, "see.embedding", pa.array([v.tobytes() for v in vectors], pa.binary(64)))
    kept, full = chosen(pictures, at_most=25, clusters=4)
    per_scene = [sum(start <= k < end for k in kept) for start, end in ((0, 70), (70, 130), (130, 180), (180, 200))]
    assert per_scene == [26, 25, 25, 20] and 3 in kept and len(set(full)) == 3
    assert len(chosen(pictures, at_most=1, clusters=50)[0]) == 51
    assert len(chosen(pictures, at_most=1)[0]) == 1 + 199 // 39


def test_best_ones_stay_or_a_draw_that_does_not_depend_on_the_order():
    pictures = Pictures(40, "m.value", pa.array([k * 7 % 40 for k in range(40)], pa.int32()))
    pictures.values, sharp = pa.array(["same"] * 40), pictures.values
    pictures.foreign = lambda name: pa.chunked_array([sharp if name == "q.sharpness" else pictures.values])
    kept, _ = chosen(pictures, at_most=5, keep={"highest": "q.sharpness"})
    assert sorted(sharp.to_numpy()[kept]) == [35, 36, 37, 38, 39]
    drawn, other = chosen(pictures, at_most=10)[0], chosen(pictures, at_most=10, seed=1)[0]
    assert drawn != other and drawn != list(range(10)) and set(chosen(pictures, at_most=5)[0]) < set(drawn)


RECIPE = {
    "name": "small",
    "image": {
        "sources": [{"path": "in"}],
        "partition_bytes": 4096,
        "stages": [
            {"use": "image.decode"},
            {"use": "image.sample", "at_most": 3},
            {"use": "image.sample", "as": "formats", "by": "image.decode.format", "at_most": 4},
        ],
    },
    "output": {"path": "out"},
}


def ledger(root):
    rows = ds.dataset(sorted((root / "ledger").glob("*.parquet"))).to_table().to_pylist()
    return {row["source"]: (row["stage"], row["detail"]) if row["verdict"] == "dropped" else None for row in rows}


def test_owners_and_formats_in_a_run(tmp_path, d4a):
    owners = {"ann": 6, "bob": 2, "": 2}
    for owner, count in owners.items():
        for number in range(count):
            path = tmp_path / "in" / owner / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(makers.encode(makers.scene(10 * len(owner) + number, (80, 60)), "PNG"))
    (tmp_path / "r.yaml").write_bytes(orjson.dumps(RECIPE))
    d4a("curate", "r.yaml")
    found = ledger(tmp_path / "out")
    ann = {name for name, why in found.items() if why == ("image.sample", "ann")}
    assert len(ann) == 3 and len([why for why in found.values() if why == ("formats", "png")]) == 3 and len(found) == 10
    told = d4a("curate", "r.yaml", "--set", "image.sample.at_most=2").stdout
    assert "image scan reused" in told
    assert ann < {name for name, why in ledger(tmp_path / "out").items() if why == ("image.sample", "ann")}
    d4a("curate", "r.yaml", "--out", "other", "--set", "image.partition_bytes=1MiB")
    assert ledger(tmp_path / "other") == found


def test_what_nobody_measures_is_refused_before_the_run(tmp_path, d4a):
    (tmp_path / "in").mkdir()
    for by, hint in (("image.decode.formt", "did you mean image.decode.format?"), ("image.detect.boxes", "measured before it: ")):
        stages = [{"use": "image.decode"}, {"use": "image.sample", "by": by}]
        (tmp_path / "r.yaml").write_bytes(orjson.dumps(RECIPE | {"image": {"sources": [{"path": "in"}], "stages": stages}}))
        told = d4a("check", "r.yaml", code=2).stderr
        assert f"image.sample looks at {by}, which no stage before it measures" in told and hint in told


def test_a_group_has_a_full_name():
    with pytest.raises(ValidationError, match=r"'owner' is neither meta.NAME nor LABEL.VALUE; pictures of an owner: meta.owner"):
        SampleOptions(by="owner")
