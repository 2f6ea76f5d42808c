"""The image modality: every file gives one row, told by content, and is packed as it is."""

import io
import os
import sys
from dataclasses import replace

import image_makers as makers
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from d4a.curator.modality import Entry, reader_schema
from d4a.curator.recipe import Source
from d4a.modalities.image.modality import Image
from d4a.modalities.image.picture import RefusedError, read_picture
from d4a.modalities.image.pillow import quiet
from d4a.modalities.image.records import MAX_IMAGE_BYTES
from d4a.modalities.image.sniff import sniff
from d4a.modalities.image.views import parse_view
from PIL import Image as Pillow

KIND = Image()
ODD = makers.odd_files(makers.scene(1))


def read(path, **source):
    size = path.stat().st_size
    entry = Entry(str(path.parent), path.name, size, path.stat().st_mtime_ns, 0, size)
    batches = list(KIND.read(entry, Source(path=str(path.parent), **source)))
    assert [batch.schema for batch in batches] == [reader_schema(KIND)]
    return batches[0].to_pylist()[0]


@pytest.mark.parametrize("kind", ODD)
def test_every_odd_file_is_one_row(tmp_path, kind):
    name, data = ODD[kind]
    (tmp_path / name).write_bytes(data)
    reason = {"zero": "empty_file", "notimage": "not_an_image"}.get(kind)
    row = read(tmp_path / name)
    assert row["reason"] == reason and row["line"] is None and row["id"] is None
    assert row["bytes"] == (None if reason else data)


def test_any_file_of_a_folder_is_taken():
    for path in ("a.jpg", "b.txt", "no_suffix", ".hidden", "truth.jsonl"):
        assert KIND.accepts(path, Source(path="."))


def test_of_what_is_no_image_only_the_beginning_is_read(tmp_path):
    path = tmp_path / "huge.jpg"
    path.write_bytes(b"%PDF-1.7\n")
    os.truncate(path, 1 << 36)  # sparse: reading it would take minutes
    assert (read(path)["reason"], read(path)["detail"]) == ("not_an_image", "pdf")


def test_a_file_too_large_is_not_read(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(makers.encode(makers.scene(1), "PNG"))
    os.truncate(path, MAX_IMAGE_BYTES + 1)
    row = read(path)
    assert (row["reason"], row["detail"]) == ("file_too_large", f"{MAX_IMAGE_BYTES + 1} bytes; the limit is {MAX_IMAGE_BYTES}")


def test_a_format_asked_for_leaves_out_others_by_name(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(makers.encode(makers.scene(1), "PNG"))
    assert read(path, format="png")["reason"] is None
    assert (read(path, format="jpeg")["reason"], read(path, format="jpeg")["detail"]) == ("other_format", "png")


def test_a_vanished_file_raises(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    entry = replace(Entry(str(tmp_path), "a.jpg", 1, 0, 0, 1), path="gone.jpg")
    with pytest.raises(FileNotFoundError):
        list(KIND.read(entry, Source(path=str(tmp_path))))


@pytest.mark.parametrize(
    ("head", "name"),
    [
        *((makers.encode(makers.scene(1, (64, 64)), form)[:4096], form.lower()) for form in makers.SUFFIXES),
        (makers.encode(makers.scene(1, (64, 64)), "TIFF", big_tiff=True)[:4096], "tiff"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2", "video"),
        (b"\xef\xbb\xbf \n<!DOCTYPE HTML><html>", "html"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "svg"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "xml"),
        (b'{"error": "not found"}', "json"),
        ("naïve – 文本".encode()[:-1], "text"),
        (b"BMW drivers of the world\n", "text"),
        (b"PK\x03\x04....", "zip"),
        (b"\0\0\0\0\x12\x34\xff", "unknown"),
        ("Grüße".encode("latin-1") + b" aus dem Archiv", "unknown"),
    ],
)
def test_sniffing(head, name):
    assert sniff(head) == name


def test_an_image_d4a_cannot_decode_is_named_as_one(tmp_path):
    path = tmp_path / "phone.jpg"
    path.write_bytes(b"\xff\x0a" + bytes(100))
    assert (read(path)["reason"], read(path)["detail"]) == ("unsupported_format", "jxl")


def test_heic_is_read_where_its_library_is_installed(tmp_path, monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(makers.scene(1, (64, 32))).save(out)
    path = tmp_path / "phone.jpg"
    path.write_bytes(out.getvalue())
    assert read(path)["bytes"] == out.getvalue()
    with quiet(1000_000):
        found = read_picture(out.getvalue(), [parse_view("gray64")], 1000_000)
        with pytest.raises(RefusedError, match="broken_image"):
            read_picture(out.getvalue()[:200], [], 1000_000)
    assert (found.format, found.width, found.height) == ("heic", 64, 32) and len(found.views["gray64"]) == 64 * 64
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert read(path)["reason"] == "unsupported_format" and "d4a[heic]" in read(path)["detail"]


def test_members_are_the_bytes_as_they_were_and_sizes_say_so():
    data = [makers.encode(makers.scene(1), form) for form in ("JPEG", "WEBP")]
    schema = reader_schema(KIND)
    meta = b'{"owner":"ann"}'
    rows = [dict.fromkeys(schema.names) | {"bytes": each, "meta": meta} for each in [data[0], None, data[1]]]
    batch = pa.RecordBatch.from_pylist([*rows, {**rows[0], "meta": None}], schema=schema).slice(1)
    sizes = KIND.sizes(batch)
    assert sizes["jpg"].to_pylist() == [None, len(data[1]), len(data[0])]
    members = KIND.members(pa.Table.from_batches([batch.slice(1)]).select(KIND.columns.names))
    assert members["jpg"] == [data[1], data[0]] and sorted(members) == ["jpg", "json"]
    assert [orjson.loads(body) for body in members["json"]] == [{"meta": {"owner": "ann"}}, {}]
    assert sizes["json"].to_pylist() == [None, *map(len, members["json"])]


@pytest.mark.parametrize("kind", [*ODD, "noise"])
def test_a_preview_is_small_and_never_fails(kind):
    data = makers.encode(Pillow.effect_noise((900, 900), 120), "PNG") if kind == "noise" else ODD[kind][1]
    media, thumb = KIND.preview(data)
    assert media == "image/jpeg" and len(thumb) <= 6000
    picture = Pillow.open(io.BytesIO(thumb))
    picture.load()
    assert max(picture.size) <= 160
    if kind == "exifrot":
        assert picture.width > picture.height


def test_a_folder_of_odd_images_is_curated_and_nothing_is_left_unsaid(tmp_path, d4a):
    (tmp_path / "photos/ünïcode").mkdir(parents=True)
    files = dict(ODD.values())
    files |= {f"scene {n}.jpg": makers.encode(makers.scene(n)) for n in range(2, 6)}
    files |= {"ünïcode/copy.webp": makers.encode(makers.scene(2), "WEBP"), "ünïcode/same.jpg": files["scene 3.jpg"]}
    for name, data in files.items():
        (tmp_path / "photos" / name).write_bytes(data)
    stages = ["image.decode", "image.size", "image.dedup.exact", "image.dedup.perceptual"]
    recipe = {
        "name": "odd",
        "image": {"sources": [{"path": "photos"}], "stages": [{"use": use} for use in stages]},
        "output": {"path": "out"},
    }
    (tmp_path / "recipe.yaml").write_bytes(orjson.dumps(recipe))
    d4a("curate", "recipe.yaml")
    rows = pa.concat_tables([pq.read_table(part) for part in sorted((tmp_path / "out/ledger").glob("*.parquet"))]).to_pylist()
    ledger = {row["source"]: row for row in rows}
    assert set(ledger) == set(files)
    reasons = {name: row["reason"] for name, row in ledger.items() if row["verdict"] == "dropped"}
    assert reasons["zero.jpg"] == "empty_file" and reasons["notimage.jpg"] == "not_an_image"
    assert reasons["truncated.jpg"] == "truncated_image" and reasons["bomb.png"] == "too_many_pixels"
    assert reasons["tiny.png"] == reasons["longaspect.jpg"] == "too_small"
    assert reasons["ünïcode/same.jpg"] == "exact_duplicate" and ledger["ünïcode/same.jpg"]["twin_source"] == "scene 3.jpg"
    pair = {"scene 2.jpg", "ünïcode/copy.webp"}
    assert len(pair & set(reasons)) == 1
    dropped = ledger[(pair & set(reasons)).pop()]
    assert dropped["reason"] == "near_duplicate" and {dropped["source"], dropped["twin_source"]} == pair and dropped["similarity"] >= 0.9
    same_scene = {"wrongext.jpg", "cmyk.jpg", "gray16.png", "exifrot.jpg", "palette.png", "animated.gif"}
    assert len(same_scene - set(reasons)) == 1
    assert "flat.jpg" not in reasons
