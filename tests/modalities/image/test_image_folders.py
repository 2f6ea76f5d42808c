"""What lies beside images: captions, labels, COCO's JSON, what other tools write; and names of every kind."""

from __future__ import annotations

import json
import os
from collections import Counter

import image_makers as makers
import pytest
from d4a.curator.errors import D4AError
from d4a.curator.recipe import Flow, Source
from d4a.curator.sources import changed, list_sources, partition
from d4a.modalities.image import read
from d4a.modalities.image.modality import Image
from d4a.modalities.image.records import PAIR_COLUMNS, Record
from image_sources import image, in_ranges, records, write_tar


def listed(path, **source):
    """The entries of a source as the plan lists them, and what it skips."""
    flow = Flow.model_validate({"sources": [{"path": str(path), **source}]})
    found = list_sources(flow, Image(), path.parent / "out" if path.is_dir() else path.parents[1] / "out")
    return flow, found


def read_all(path, pairs=False, **source):
    """Path of the entry -> its record."""
    flow, found = listed(path, **source)
    rows: dict[str, Record] = {}
    for entry in found.entries:
        for record in [Record(reason=entry.problem)] if entry.problem else read.read_records(entry, flow.sources[0], pairs):
            rows[entry.path] = record
    return rows, found


def test_a_caption_beside_an_image_belongs_to_it(tmp_path):
    root = tmp_path / "in"
    (root / "ann" / "deep").mkdir(parents=True)
    for name in ("ann/a.jpg", "ann/deep/b.c.JPG", "top.jpg"):
        (root / name).write_bytes(image(1))
    (root / "ann/a.txt").write_text("a cat\n")
    (root / "ann/a.json").write_text('{"caption": "another", "owner": "bob", "n": 1}')
    (root / "ann/deep/b.c.caption").write_text("by suffix")
    (root / "lonely.txt").write_text("no image")
    (root / "lonely.json").write_text('{\n "n": 1\n}')
    (root / "table.jsonl").write_text('{"image": "top.jpg"}\n')  # of the same images
    (root / "notes.md").write_text("# notes")
    rows, _ = read_all(root)
    assert sorted(rows) == ["ann/a.jpg", "ann/deep/b.c.JPG", "lonely.json", "lonely.txt", "notes.md", "table.jsonl", "top.jpg"]
    assert rows["ann/a.jpg"].caption == "a cat"
    assert rows["ann/a.jpg"].meta == {"owner": "ann", "caption": "another", ".owner": "bob", "n": 1}
    assert (rows["ann/deep/b.c.JPG"].caption, rows["ann/deep/b.c.JPG"].meta) == ("by suffix", {"owner": "ann"})
    assert rows["top.jpg"].caption is None and rows["top.jpg"].meta == {}
    assert [rows[name].reason for name in ("lonely.txt", "lonely.json", "notes.md")] == ["no_image", "no_image", "not_an_image"]
    assert rows["table.jsonl"].reason == "no_image" and "name it in `path`" in rows["table.jsonl"].detail
    only, _ = read_all(root / "ann" / "*.jpg")
    assert only["a.jpg"].caption == "a cat"


def test_a_changed_caption_changes_the_unit_of_its_image(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    (root / "a.jpg").write_bytes(image(1))

    def unit():
        flow, found = listed(root)
        return [part.uid for part in partition(found, flow, Image())]

    before = unit()
    (root / "a.txt").write_text("one")
    first = unit()
    (root / "a.txt").write_text("another")
    assert len({*before, *first, *unit()}) == 3


def test_what_img2dataset_writes_beside_tars_and_folders_is_skipped(tmp_path):
    root = tmp_path / "in"
    (root / "00001").mkdir(parents=True)
    write_tar(root / "00000.tar", [("a.jpg", image(1)), ("a.txt", b"c"), ("a.json", b'{"caption": "c", "key": "a"}')])
    (root / "00001/b.jpg").write_bytes(image(2))
    (root / "00001/b.json").write_text('{"caption": "d"}')
    for number in ("00000", "00001"):
        (root / f"{number}.parquet").write_bytes(b"PAR1")
        (root / f"{number}_stats.json").write_text("{}")
    (root / "other.parquet").write_bytes(b"PAR1")
    rows, found = read_all(root)
    assert sorted(rows) == ["00000.tar", "00001/b.jpg", "other.parquet"]
    assert found.skipped == Counter({".parquet": 2, ".json": 2})
    assert (rows["00000.tar"].caption, rows["00000.tar"].meta) == ("c", {"key": "a"})
    assert rows["00001/b.jpg"].caption == "d"


def test_names_of_every_kind_and_folders_that_cannot_be_read(tmp_path):
    root = tmp_path / "in"
    (root / "loop").mkdir(parents=True)
    (root / "loop" / "up").symlink_to(root)
    (root / "gone.jpg").symlink_to(root / "nowhere")
    for name in ("Bild.jpg", "bild.JPG", "\u56fe\u7247.png", "e\u0301.jpg", "\u00e9.jpg", "two\nlines.jpg", "a#1.jpg"):
        (root / name).write_bytes(image(1))
    with open(os.fsencode(root) + b"/\xff.jpg", "wb") as file:
        file.write(image(1))
    rows, found = read_all(root)
    good = ["Bild.jpg", "bild.JPG", "\u56fe\u7247.png", "e\u0301.jpg", "\u00e9.jpg", "two\nlines.jpg", "a#1.jpg"]
    assert sorted(name for name, one in rows.items() if one.reason is None) == sorted(good)
    assert {name: one.reason for name, one in rows.items() if one.reason} == {"\\udcff.jpg": "name_not_utf8", "gone.jpg": "dangling_link"}
    assert found.skipped == Counter({"(link to a folder)": 1})


def test_folders_and_pipes_of_a_captions_name_are_no_captions(tmp_path):
    """They would be waited for, or be found changed at every run."""
    (tmp_path / "a.jpg").write_bytes(image(1))
    os.mkfifo(tmp_path / "a.txt")
    (tmp_path / "a.caption").mkdir()
    (tmp_path / "a.json").write_text("{broken")
    for path in (tmp_path, tmp_path / "*.jpg"):
        rows, found = read_all(path)
        assert rows["a.jpg"].caption is None and rows["a.jpg"].lack == "json: no JSON" and not changed(found.entries)


def test_a_caption_that_is_there_and_cannot_be_read_is_told(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for name in "abcde":
        (root / f"{name}.jpg").write_bytes(image(1))
    os.mkfifo(root / "a.txt")
    (root / "b.txt").write_bytes("na\u00efve".encode("utf-16"))
    (root / "c.txt").symlink_to(root / "gone")
    (root / "d.txt").write_text(" \n")
    told = {
        "a.jpg": ("unreadable_caption", "txt: not_a_file"),
        "b.jpg": ("unreadable_caption", "txt: invalid UTF-8: byte 0"),
        "c.jpg": ("unreadable_caption", "txt: dangling_link"),
        "d.jpg": ("no_caption", "no text in the .txt, .caption or .json"),
        "e.jpg": ("no_caption", "no .txt, .caption or .json with one"),
    }
    for path in (root, root / "*.jpg"):
        flow, found = listed(path)
        sound = [one for one in found.entries if not one.problem]
        rows = {one.path: row for one in sound for b in read.read_entry(one, flow.sources[0], PAIR_COLUMNS) for row in b.to_pylist()}
        assert {name: (row["reason"], row["detail"]) for name, row in rows.items()} == told
    (root / "a.json").write_text('{"caption": "another that can"}')
    assert read_all(root / "a.jpg", pairs=True)[0]["a.jpg"].caption == "another that can"
    (root / "images").mkdir()
    (root / "labels").mkdir()
    (root / "images/f.jpg").write_bytes(image(1))
    os.mkfifo(root / "labels/f.txt")
    assert read_all(root / "images")[0]["f.jpg"].meta == {}  # the labels lie outside the source
    assert read_all(root)[0]["images/f.jpg"].meta == {"owner": "images", "broken_labels": ["labels/f.txt: not_a_file"]}


@pytest.fixture
def yolo(tmp_path):
    root = tmp_path / "data"
    for folder in ("images/train", "labels/train"):
        (root / folder).mkdir(parents=True)
    for k in range(3):
        (root / f"images/train/{k}.jpg").write_bytes(makers.encode(makers.scene(k, (200, 100))))
    (root / "images/train/turned.jpg").write_bytes(makers.turned(makers.scene(4, (200, 100)), 6))
    (root / "data.yaml").write_text("names: {0: cat, 1: dog}\n")
    (root / "labels/train/0.txt").write_text("0 0.5 0.5 0.25 0.5\n7 0.1 0.1 0.2 0.2 0.75\n")
    (root / "labels/train/1.txt").write_text("1 0 0 1 0 1 1\nx 0 0 1 1\n0 0.5 0.5 2 nan\n\n0 1 1\n")
    (root / "labels/train/turned.txt").write_text("1 0.25 0.5 0.5 1\n")
    (root / "labels/train/stray.txt").write_text("0 0.5 0.5 1 1\n")
    return root


def test_yolo_labels_become_boxes_in_pixels_of_the_upright_image(yolo):
    for source in ({}, {"format": "yolo"}):
        rows, _ = read_all(yolo, **source)
        assert sorted(rows) == [
            "images/train/0.jpg",
            "images/train/1.jpg",
            "images/train/2.jpg",
            "images/train/turned.jpg",
            "labels/train/stray.txt",
        ]
        assert rows["images/train/0.jpg"].meta["boxes"] == [
            {"class": "cat", "confidence": 1.0, "area": 0.125, "box": [75.0, 25.0, 50.0, 50.0]},
            {"class": "7", "confidence": 0.75, "area": 0.04, "box": [0.0, 0.0, 40.0, 20.0]},
        ]
        broken = rows["images/train/1.jpg"].meta
        assert broken["boxes"] == [{"class": "dog", "confidence": 1.0, "area": 1.0, "box": [0.0, 0.0, 200.0, 100.0]}]
        assert [line.partition(":")[0] for line in broken["broken_labels"]] == ["line 2", "line 3", "line 5"]
        assert "boxes" not in rows["images/train/2.jpg"].meta
        assert rows["images/train/turned.jpg"].meta["boxes"][0]["box"] == [0.0, 0.0, 100.0, 100.0]
        assert rows["labels/train/stray.txt"].reason == "no_image"
    below, _ = read_all(yolo / "images", format="yolo")
    assert below["train/0.jpg"].meta["boxes"][0]["class"] == "cat"
    for text, told in (
        ("made: 2024-13-45\nnames: [cat]", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("train: images", "no `names`"),
    ):
        (yolo / "data.yaml").write_text(text)
        meta = read_all(yolo)[0]["images/train/0.jpg"].meta
        assert [box["class"] for box in meta["boxes"]] == ["0", "7"] and told in meta["broken_labels"][0]


def test_coco_gives_an_image_with_its_boxes_and_a_pair_for_each_caption(tmp_path):
    (tmp_path / "pics").mkdir()
    for k in range(6):
        (tmp_path / f"pics/{k}.jpg").write_bytes(makers.encode(makers.scene(k, (200, 100))))
    images = [{"id": 10 + k, "file_name": f"{k}.jpg", "width": 200, "height": 100, "license": 1} for k in range(6)]
    del images[1]["width"]
    notes = [{"id": 900 + n, "image_id": 10 + n % 3, "caption": f"text {n}"} for n in range(5)]
    notes += [
        {"id": 1, "image_id": 11, "category_id": 3, "bbox": [10, 20, 50, 40], "area": 7, "iscrowd": 1},
        {"id": 2, "image_id": 99, "bbox": [0] * 4},
        {"id": 3, "image_id": 12, "category_id": 3, "bbox": [1, 2]},
    ]
    images.append({"id": 16, "file_name": "missing.jpg"})
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": notes, "categories": [{"id": 3, "name": "cat"}]}))
    found = records(path, images=str(tmp_path / "pics"))
    assert [(one.ident, one.reason) for one in found] == [
        *((str(10 + k), None) for k in range(6)),
        *(("16", "missing_image"), (None, "unknown_image")),
    ]
    assert found[0].meta["captions"] == ["text 0", "text 3"] and found[0].meta["license"] == 1 and found[3].meta["boxes"] == []
    assert found[1].meta["boxes"] == [{"class": "cat", "confidence": 1.0, "area": 0.1, "box": [10, 20, 50, 40], "crowd": True}]
    assert found[2].meta["broken_labels"] == ["annotation 3: [1, 2]"]
    pairs = records(path, pairs=True, images=str(tmp_path / "pics"))
    assert [(one.ident, one.caption) for one in pairs[:5]] == [
        *(("10/900", "text 0"), ("10/903", "text 3"), ("11/901", "text 1"), ("11/904", "text 4"), ("12/902", "text 2")),
    ]
    assert [one.line for one in pairs[:-1]] == list(range(9)) and pairs[5].caption is None
    with_folder = {"format": "coco"}
    assert [one.reason for one in records(path, **with_folder)] == ["missing_image"] * 7 + ["unknown_image"]
    for size in (100, 333):
        assert [one.line for one in in_ranges(path, size, pairs=True)] == [one.line for one in pairs]
        assert [one.ident for one in in_ranges(path, size)] == [one.ident for one in found]
    path.write_text('{"images": [')
    assert [one.reason for one in records(path, format="coco")] == ["broken_json"]
    path.write_text('{"images": [{"x": 1}, 5], "annotations": null}')
    assert [one.reason for one in records(path)] == ["broken_record", "broken_record"]


def test_coco_with_ids_of_several_images_or_numbers_of_no_picture(tmp_path):
    """Two files put together without new numbers: a caption could be either image's, and giving it to both would make false pairs."""
    for k in range(3):
        (tmp_path / f"{k}.jpg").write_bytes(makers.encode(makers.scene(k, (200, 100))))
    images = [{"id": k % 2, "file_name": f"{k}.jpg"} for k in range(3)]
    images[1] |= {"width": 10**400, "height": "100"}
    notes = [{"id": k, "image_id": k % 2, "caption": f"{k}", "bbox": [0, 0, 10, 10**n]} for k, n in ((0, 1), (1, 1), (2, 400), (3, 400))]
    notes[1]["score"] = 10**400
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"images": images, "annotations": notes}))
    told = [(one.ident, one.reason) for one in records(path, pairs=True)]
    twice = ("0", "duplicate_id")
    assert told == [twice, twice, ("1/1", None), ("1/3", None), twice, twice]
    (sound,) = (one for one in records(path) if one.reason is None)
    assert sound.meta["boxes"] == [{"class": "?", "confidence": 1.0, "area": 0.005, "box": [0, 0, 10, 10]}]
    assert len(sound.meta["broken_labels"]) == 1
    wide = {"id": 0, "file_name": "0.jpg", "width": "wide"}
    path.write_text(json.dumps({"images": [wide], "annotations": [], "categories": [{"id": 1}]}))
    assert [one.meta["boxes"] for one in records(path)] == [[]]


def test_formats_take_the_files_of_their_names():
    names = ["a.jpg", "a.tar", "a.tar.gz", "a.tgz", "a.parquet", "a.jsonl.zst", "a.json", "a.csv", "a.tsv", "a.txt"]
    taken = {form: [name for name in names if read.accepts(name, Source(path=".", format=form))] for form in read.FORMATS}
    assert taken["auto"] == taken["jpeg"] == taken["yolo"] == names
    assert taken["tar"] == ["a.tar", "a.tar.gz", "a.tgz"] and taken["jsonl"] == taken["llava"] == ["a.jsonl.zst", "a.json"]
    assert (taken["coco"], taken["csv"], taken["parquet"]) == (["a.json"], ["a.csv"], ["a.parquet"])
    assert [name for name in names if read.splits(name, Source(path=name))] == ["a.tar", "a.parquet", "a.json", "a.csv", "a.tsv"]


def test_a_folder_of_images_that_is_nowhere_ends_the_plan(tmp_path):
    (tmp_path / "t.jsonl").write_text("{}\n")
    with pytest.raises(D4AError, match="no such folder of images"):
        listed(tmp_path, images=str(tmp_path / "nowhere"))
    for address in ("s3://bucket/pairs", "https://example.org/a.tar"):
        with pytest.raises(D4AError, match="copy what an address leads to here first"):
            list_sources(Flow.model_validate({"sources": [{"path": address}]}), Image(), tmp_path / "out")


def test_a_table_in_a_folder_of_images_is_named_with_what_reads_it(tmp_path, d4a):
    root = tmp_path / "in"
    (root / "images").mkdir(parents=True)
    (root / "images/0.jpg").write_bytes(image(0))
    (root / "captions.jsonl").write_text('{"image": "images/0.jpg", "caption": "a cat"}\n')
    sources = [{"path": str(root)}, {"path": str(root / "captions.jsonl")}]
    (tmp_path / "r.yaml").write_text(json.dumps({"name": "x", "pair": {"sources": sources[:1], "stages": []}, "output": {"path": "out"}}))
    for done in (d4a("plan", "r.yaml"), d4a("curate", "r.yaml")):
        said = " ".join(done.stdout.split())
        assert f"to read captions.jsonl with the images it names: path: {root}/captions.jsonl" in said
    for both in (sources, sources[::-1]):
        flow = Flow.model_validate({"sources": both})
        found = list_sources(flow, Image(), tmp_path / "out")
        reads = {one.path: [r.caption for r in read.read_records(one, flow.sources[one.source], True)] for one in found.entries}
        assert reads == {"captions.jsonl": ["a cat"], "images/0.jpg": [None]} and not found.hints
