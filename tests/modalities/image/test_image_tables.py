"""Tables of images: what a row gives in every format, which paths are followed, and ranges of any size."""

from __future__ import annotations

import csv
import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from d4a.curator.recipe import Source
from d4a.modalities.image import read
from d4a.modalities.image.records import IMAGE_COLUMNS, PAIR_COLUMNS
from image_sources import entry, image, in_ranges, records

ROWS = [{"id": f"r{k}", "image": f"{k}.jpg", "caption": f"number {k}", "score": k} for k in range(30)]


@pytest.fixture
def folder(tmp_path):
    for k in range(30):
        (tmp_path / f"{k}.jpg").write_bytes(image(k))
    return tmp_path


def write(path, rows):
    """The rows in the format that the suffix names."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t")
            table.writeheader()
            table.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_a_row_is_its_image_its_caption_and_the_rest_in_any_range(folder, suffix):
    path = write(folder / f"t.{suffix}", ROWS)
    found = records(path)
    assert [(one.ident, one.data, one.caption, one.file, one.at) for one in found] == [
        (f"r{k}", image(k), f"number {k}", f"{k}.jpg", 0) for k in range(30)
    ]
    assert [one.meta for one in found] == [{"score": str(k) if suffix in ("csv", "tsv") else k} for k in range(30)]
    for size in (50, 400):
        ranges = in_ranges(path, size)
        if read.counts_lines(path.name, Source(path=str(path))):  # the scan numbers them on
            assert [{**vars_of(one), "line": 0} for one in ranges] == [{**vars_of(one), "line": 0} for one in found]
        else:
            assert ranges == found


def vars_of(record):
    return {name: getattr(record, name) for name in record.__slots__}


def test_bytes_in_a_table_are_payload_that_lies_nowhere_else(folder):
    rows = [
        {"image": {"bytes": image(1), "path": "one.jpg"}, "text": "t", "raw": b"\xff"},
        {"image": {"bytes": None, "path": "2.jpg"}, "text": ""},
    ]
    one, two = records(write(folder / "t.parquet", rows))
    assert (one.data, one.at, one.caption, one.meta) == (image(1), None, "t", {"raw": b"\xff", "path": "one.jpg"})
    assert (two.data, two.at, two.caption) == (image(2), 0, None)
    (html,) = records(write(folder / "b.parquet", [{"picture": b"<html>", "x": 1}]), image_field="picture")
    assert (html.reason, html.detail) == ("not_an_image", "html")
    batch = next(read.read_entry(entry(folder / "t.parquet"), Source(path="."), IMAGE_COLUMNS)).to_pylist()
    assert json.loads(batch[0]["meta"]) == {"raw": "/w==", "path": "one.jpg", "caption": "t"}


def test_a_path_that_leads_out_is_refused_unless_it_lies_below_images(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.jpg").write_bytes(image(7))
    (folder / "link.jpg").symlink_to(outside / "x.jpg")
    (folder / "inside.jpg").symlink_to(folder / "3.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "away").symlink_to(outside)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "text.jpg").write_text("hello")
    bad = {
        f"../{outside.name}/x.jpg": "path_outside",
        str(outside / "x.jpg"): "path_outside",
        "link.jpg": "path_outside",
        "away/x.jpg": "path_outside",
        "pipe.jpg": "not_a_file",
        "away": "not_a_file",
        "gone.jpg": "missing_image",
        "loop.jpg": "missing_image",
        "n" * 300: "missing_image",
        "nul\0.jpg": "missing_image",
        "https://example.org/a.jpg": "image_is_an_address",
        "text.jpg": "not_an_image",
        "": "no_image",
    }
    path = write(folder / "t.jsonl", [{"image": name, "text": "t"} for name in [*bad, "inside.jpg", str(folder / "4.jpg")]])
    found = records(path)
    assert {name: one.reason for name, one in zip(bad, found, strict=False)} == bad | {"away": "path_outside"}
    assert [one.data for one in found[-2:]] == [image(3), image(4)]
    (one,) = records(write(folder / "o.jsonl", [{"image": "x.jpg", "text": "t"}]), images=str(outside))
    assert (one.data, one.file) == (image(7), str(outside / "x.jpg"))


def test_damage_is_told_once_and_costs_the_same_rows_in_any_ranges(folder):
    path = write(folder / "t.parquet", [{**row, "image": image(k) + bytes(200)} for k, row in enumerate(ROWS)])
    group = pq.ParquetFile(path).metadata.row_group(1)
    ruined = group.column(1).dictionary_page_offset or group.column(1).data_page_offset
    raw = bytearray(path.read_bytes())
    raw[ruined : ruined + 100] = b"\xff" * 100
    path.write_bytes(raw)
    found = records(path)
    assert [one.reason for one in found] == [None] * 7 + ["broken_parquet"] + [None] * 16 and [one.line for one in found][7:9] == [7, 14]
    cut = write(folder / "t.json", ROWS)
    cut.write_bytes(cut.read_bytes()[:-150])
    told = records(cut)
    assert [one.reason for one in told][-2:] == [None, "truncated_json"]
    for size in (50, 400):
        assert in_ranges(path, size) == found and in_ranges(cut, size) == told


def test_numbers_that_json_does_not_have_reach_no_sample(folder):
    path = folder / "t.jsonl"
    path.write_text('{"image": "1.jpg", "caption": "c", "long": 12345678901234567890123, "far": 1e999, "none": NaN}\n')
    (batch,) = read.read_entry(entry(path), Source(path=str(path)), PAIR_COLUMNS)
    (body,) = batch.column("meta").to_pylist()
    assert body == b'{"long":12345678901234567890123,"far":null,"none":null}'


def test_rows_that_are_no_record_cost_only_themselves(folder):
    good = {"image": "1.jpg", "caption": "one"}
    lines = [{"image": ["1.jpg", "2.jpg"]}, ["x"], {"caption": "x"}, {"image": 5}, {"image": ["2.jpg"], "text": "a list of one"}, good]
    path = write(folder / "t.jsonl", lines)
    path.write_bytes(b'{"image": "1.jpg"\n' + b'{"image": "\xff.jpg"}\n' + path.read_bytes())
    assert [one.reason for one in records(path)] == [
        *("broken_json", "invalid_utf8", "several_images", "not_an_object", "no_image_field", "no_image"),
        *(None, None),
    ]
    (folder / "t.csv").write_text("image,text\n1.jpg,a,b\n2.jpg,ok\n")
    assert [one.reason for one in records(folder / "t.csv")] == ["wrong_cell_count", None]
    (folder / "u.csv").write_text("picture,text\n1.jpg,a\n")
    assert [(one.reason, one.detail) for one in records(folder / "u.csv")] == [("no_image_column", "columns: picture, text")]
    (folder / "b.parquet").write_bytes(b"PAR1" + bytes(100))
    assert [one.reason for one in records(folder / "b.parquet")] == ["broken_parquet"]
    packed = folder / "p.jsonl.gz"
    packed.write_bytes(gzip.compress((json.dumps(good) + "\n").encode() * 50)[:-8])
    assert [one.reason for one in records(packed)] == [None] * 50 + ["truncated_gzip"]


def test_pairs_need_a_caption_and_images_do_not(folder):
    rows = [
        {"image": "1.jpg", "alt": "alt", "caption": "caption"},
        {"image": "2.jpg", "alt": " "},
        {"image": "3.jpg", "alt": "x", "caption": 1},
    ]
    path = write(folder / "t.jsonl", rows)
    source = Source(path=str(path), caption_field="alt")
    pairs = [row for batch in read.read_entry(entry(path), source, PAIR_COLUMNS) for row in batch.to_pylist()]
    assert [(row["text"], row["reason"], row["at"]) for row in pairs] == [("alt", None, 0), (None, "no_caption", None), ("x", None, 0)]
    assert json.loads(pairs[0]["meta"]) == {"caption": "caption"} and pairs[1]["bytes"] is None
    images = [row for batch in read.read_entry(entry(path), Source(path=str(path)), IMAGE_COLUMNS) for row in batch.to_pylist()]
    assert [row["reason"] for row in images] == [None] * 3
    assert [json.loads(row["meta"]) for row in images] == [{"alt": "alt", "caption": "caption"}, {"alt": " "}, {"alt": "x", "caption": 1}]


def test_what_a_row_lacks_or_holds_instead_is_said(folder):
    lines = [
        '{"image": "1.jpg", "text": 5}',
        '{"image": "1.jpg", "caption": ["a"], "text": " "}',
        '{"image": "1.jpg"}',
        '{"image": {"url": "x"}, "text": "t"}',
        '{"image": "\\ud800.jpg", "text": "t", "long": 12345678901234567890123}',
        '{"image": "1.jpg", "text": "\\udfff", "none": NaN}',
        '{"image": "1.jpg", "text": "\\ud83d\\ude00 sound", "none": NaN}',
    ]
    path = folder / "t.jsonl"
    path.write_text("\n".join(lines))
    (batch,) = read.read_entry(entry(path), Source(path=str(folder / "*.jsonl*")), PAIR_COLUMNS)
    told = [(row["reason"], row["detail"]) for row in batch.to_pylist()]
    assert told[:4] == [
        ("no_caption", "`text` is of type int, no text"),
        ("no_caption", "`caption` is of type list, no text"),
        ("no_caption", "no text in `caption` or `text`"),
        ("no_image", "an object with neither `path` nor `bytes`"),
    ]
    assert [reason for reason, _ in told[4:]] == ["invalid_unicode", "invalid_unicode", None]


def test_conversations_give_their_turns_as_text_and_stay_whole(folder):
    talk = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cat."}]
    rows = [
        {"id": "a", "image": "1.jpg", "conversations": talk, "big": 2**70},
        {"id": "b", "conversations": talk},
        {"id": "c", "image": "1.jpg", "conversations": [{"from": "human"}]},
    ]
    for name, source in (("t.json", {}), ("t.jsonl", {"format": "llava"})):
        one, two, three = records(write(folder / name, rows), pairs=True, **source)
        assert (one.ident, one.caption, one.meta) == ("a", "What is it?\n\nA cat.", {"record": rows[0]})
        assert (two.ident, two.reason) == ("b", "no_image")
        assert three.caption is None and three.lack.startswith("turn 0")
