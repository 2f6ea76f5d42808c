"""WebDataset tars: samples and what comes with them, ranges of any size, and every way in which a tar can be bad."""

from __future__ import annotations

import gzip
import random
import struct
import tarfile

import pytest
import webdataset
from d4a.curator.recipe import Source
from d4a.modalities.image.read import read_records
from image_sources import entry, image, in_ranges, records, tar_bytes, write_tar


def told(found):
    return [(one.ident, one.reason) for one in found]


def link(name, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def test_a_sample_is_its_image_its_caption_and_the_rest(tmp_path):
    path = write_tar(
        tmp_path / "a.tar",
        [
            ("./dir/000.json", b'{"caption": "a cat", "url": "u", "big": 12345678901234567890123, "sim": NaN}'),
            ("./dir/000.jpg", image(0)),
            ("./dir/000.txt", b"a cat\n"),
            ("./dir/000.cls", b"7\n"),
            ("./dir/000.mask.png", b"\x89PNG\r\n\x1a\n"),
            ("001.txt", b"\xff\xfe"),
            ("001.webp", b"RIFF\x04\0\0\0WEBP"),
            ("001.json", b"{broken"),
            ("002.jpg", b"<html>not found</html>"),
            ("003.txt", b"no picture"),
        ],
    )
    first, second, html, alone = records(path)
    assert (first.ident, first.data, first.caption) == ("dir/000", image(0), "a cat")
    assert first.meta == {
        "url": "u",
        "big": 12345678901234567890123,
        "sim": None,
        "cls": 7,
        "mask.png": {"base64": "iVBORw0KGgo="},
    }
    assert second.caption is None and "byte 0" in second.lack
    assert second.meta == {"txt": {"base64": "//4="}, "json": "{broken"}
    assert (html.reason, html.detail) == ("not_an_image", "html") and alone.reason == "no_image"
    raw = path.read_bytes()
    assert all(raw[one.at : one.at + len(one.data)] == one.data for one in (first, second))


def test_samples_are_those_that_webdataset_finds(tmp_path):
    names = ["a/b.c.jpg", "a/b.txt", "x.jpg", "y.z/1.jpg", "y.z/1.seg.txt", f"{'long/' * 60}name.jpg", "\u4e2d\u6587.jpg", "plain.JPG"]
    path = write_tar(tmp_path / "a.tar", [(name, image(k)) for k, name in enumerate(names)], form=tarfile.PAX_FORMAT)
    theirs = [sample["__key__"] for sample in webdataset.WebDataset(str(path), shardshuffle=False)]
    assert [one.ident for one in records(path)] == theirs


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_any_ranges_give_the_same_records(tmp_path, form):
    """Payload that is a tar itself, and lies where a header could, is never taken for members."""
    rng = random.Random(form)
    members = []
    for k in range(40):
        key = f"{k:03d}" if form == tarfile.USTAR_FORMAT else f"{'d' * rng.choice([1, 120])}/{k:03d}"
        inner = tar_bytes([(f"evil{k}.jpg", image(1000 + k)), ("evil.txt", b"x")])
        members += [(f"{key}.bin", inner), (f"{key}.jpg", image(k) + bytes(rng.randrange(3000))), (f"{key}.txt", b"c")]
        members += [(link(f"{key}.lnk"), b"")] if k % 7 == 0 else []
    path = write_tar(tmp_path / "a.tar", members, form=form)
    whole = records(path)
    assert [one.ident for one in whole if one.reason is None] == [name[:-4] for name, _ in members if str(name).endswith(".jpg")]
    for size in (1700, 30_001):
        assert in_ranges(path, size) == whole


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_read_as_the_plain_one_but_refers_to_nothing(tmp_path, suffix):
    members = [(f"{k}.{kind}", data) for k in range(9) for kind, data in (("jpg", image(k)), ("txt", b"c"))]
    plain, packed = write_tar(tmp_path / "a.tar", members), write_tar(tmp_path / f"a.tar.{suffix}", members, f"w:{suffix}")
    theirs = records(packed)
    assert {one.at for one in theirs} == {None}
    assert [(one.ident, one.data, one.caption, one.line) for one in theirs] == [
        (o.ident, o.data, o.caption, o.line) for o in records(plain)
    ]


def test_what_a_tar_must_not_hold_is_refused_by_name(tmp_path):
    device, sparse = link("dev.jpg", tarfile.CHRTYPE), link("sparse.jpg", tarfile.GNUTYPE_SPARSE)
    path = write_tar(
        tmp_path / "a.tar",
        [
            ("../../escape.jpg", image(1)),
            ("/absolute.jpg", image(2)),
            (link("sym.jpg"), b""),
            (link("hard.jpg", tarfile.LNKTYPE), b""),
            (device, b""),
            (sparse, b""),
            ("._fork.jpg", image(3)),
            ("twice.jpg", image(4)),
            ("twice.jpg", image(5)),
            ("empty.jpg", b""),
            *((f"many.{k}", b"") for k in range(1001)),
            ("good.jpg", image(6)),
        ],
    )
    assert told(records(path)) == [
        *((None, reason) for reason in ["member_outside"] * 2 + ["link_member"] * 2 + ["special_member", "sparse_member", "hidden_member"]),
        *(("twice", "duplicate_member"), ("empty", "empty_file"), ("many", "too_many_members"), ("good", None)),
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar"]


def test_damage_costs_what_lies_behind_it_and_no_more(tmp_path):
    members = [(f"{k}.{kind}", data) for k in range(4) for kind, data in (("jpg", image(k)), ("txt", b"c"))]
    path = write_tar(tmp_path / "a.tar", members)
    raw = path.read_bytes()
    third = records(path)[2].line

    def told_of(data, name="b.tar"):
        (tmp_path / name).write_bytes(data)
        whole = records(tmp_path / name)
        assert name != "b.tar" or not data or in_ranges(tmp_path / name, 1000) == whole
        return told(whole)

    sound = [(str(k), None) for k in range(4)]
    assert told_of(raw[: third + 512 + 10]) == [*sound[:2], (None, "truncated_tar")]
    assert told_of(raw[: third + 1024 + 512]) == [*sound[:2], ("2", "truncated_tar")]
    assert told_of(raw[: third + 100]) == [*sound[:2], (None, "truncated_tar")]
    assert told_of(raw[:third] + b"x" + raw[third + 1 :]) == [*sound[:2], (None, "broken_tar")]
    assert told_of(raw + b"more") == [*sound, (None, "data_behind_end")]
    folder = tarfile.TarInfo("d")
    folder.type = tarfile.DIRTYPE
    assert told_of(folder.tobuf(tarfile.GNU_FORMAT) + bytes(1024) + raw) == [(None, "data_behind_end")]
    assert told_of(raw.rstrip(b"\0")[:-1] + bytes(512)) == sound
    assert told_of(b"\x1f\x8b" + raw) == [(None, "not_a_tar")]
    assert told_of(b"") == told_of(bytes(10240)) == [(None, "empty_file")]
    assert told_of(gzip.compress(raw)[:-40], "b.tar.gz")[-1][1] in ("truncated_gzip", "truncated_tar")


def test_members_that_a_sample_has_in_place_of_a_caption_are_named(tmp_path):
    (one,) = records(write_tar(tmp_path / "a.tar", [("two.dots.jpg", image(1)), ("two.dots.txt", b"a caption?")]), pairs=True)
    assert one.caption is None and one.lack == "no .txt, .caption or .json with one, only .dots.txt"


def test_a_tar_of_folders_is_told_to_be_empty_once_in_any_ranges(tmp_path):
    folders = [tarfile.TarInfo(f"d{k}") for k in range(9)]
    for folder in folders:
        folder.type = tarfile.DIRTYPE
    alone = write_tar(tmp_path / "a.tar", [(folder, b"") for folder in folders])
    before = write_tar(tmp_path / "b.tar", [*((folder, b"") for folder in folders), ("x.jpg", image(1))])
    behind = tmp_path / "c.tar"
    behind.write_bytes(alone.read_bytes() + b"more")
    for size in (512, 1500, 1 << 20):
        assert [(one.reason, one.detail) for one in in_ranges(alone, size)] == [("empty_file", "no member")]
        assert [one.reason for one in in_ranges(before, size)] == [None]
        assert [one.reason for one in in_ranges(behind, size)] == ["data_behind_end"]


def test_bombs_are_refused_before_they_grow(tmp_path):
    huge = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    huge[124:136], huge[156:157] = b"%011o\0" % (3 << 20), b"x"
    huge[148:156] = b"%06o\0 " % (sum(huge[:148]) + sum(huge[156:]) + 256)
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(huge) + bytes(3 << 20) + tar_bytes([("a.jpg", image(1)), ("b.jpg", image(2))]))
    assert told(records(path)) == [(None, "header_too_large"), ("b", None)]
    claim = bytearray(tarfile.TarInfo("y.jpg").tobuf(tarfile.USTAR_FORMAT))
    claim[124:136] = b"\x80" + struct.pack(">QI", 0, 0)[1:4] + (1 << 60).to_bytes(8, "big")
    claim[148:156] = b"%06o\0 " % (sum(claim[:148]) + sum(claim[156:]) + 256)
    path.write_bytes(bytes(claim) + bytes(1024))
    assert told(records(path)) == [(None, "truncated_tar")]
    zeros = tmp_path / "z.tar.gz"
    with gzip.open(zeros, "wb", compresslevel=9) as out:
        info = tarfile.TarInfo("0.jpg")
        info.size = 1 << 30
        out.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(110):
            out.write(bytes(1 << 20))
    assert told(records(zeros))[-1][1] == "decompression_bomb"


def test_an_unreadable_tar_raises(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a.jpg", image(1))])
    gone = entry(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        list(read_records(gone, Source(path="."), False))
