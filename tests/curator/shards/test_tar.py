"""Tars equal tarfile's and webdataset's byte for byte, sizes are known before writing, and damage is seen."""

from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
import pytest
from d4a.curator.shards.tar import SIZE_LIMIT, TarWriter, read_places, sample_bytes, tar_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

Samples = dict[str, dict[str, bytes]]
BORDERS = [0, 1, 511, 512, 513, 5000, 2**20 + 1]  # around blocks, and beyond the writer's buffer

payloads = st.one_of(st.sampled_from(BORDERS).map(lambda n: b"\xff" * n), st.binary(max_size=40))
keys = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,89}", fullmatch=True)
suffixes = st.from_regex(r"[a-z0-9]{1,4}(\.[a-z0-9]{1,3})?", fullmatch=True)
some_samples = st.dictionaries(keys, st.dictionaries(suffixes, payloads, min_size=1, max_size=3), max_size=5)


def written(samples: Samples) -> bytes:
    file = io.BytesIO()
    writer = TarWriter(file)
    for key, members in samples.items():
        writer.add(key, members)
    assert writer.close() == (len(file.getvalue()), hashlib.sha256(file.getvalue()).hexdigest())
    return file.getvalue()


def by_tarfile(samples: Samples) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in samples.items():
            for suffix in sorted(members):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size, info.mode = len(members[suffix]), 0o444
                tar.addfile(info, io.BytesIO(members[suffix]))
    return file.getvalue()


@given(some_samples)
@settings(max_examples=60, deadline=None)
def test_bytes_equal_tarfile_and_sizes_are_foretold(samples: Samples) -> None:
    data = written(samples)
    assert data == by_tarfile(samples)
    assert len(data) == tar_bytes(sum(sample_bytes({s: len(d) for s, d in members.items()}) for members in samples.values()))


@given(some_samples)
@settings(max_examples=30, deadline=None)
def test_places_lead_to_the_bytes_and_are_found_again(samples: Samples) -> None:
    file = io.BytesIO()
    writer = TarWriter(file)
    places = [writer.add(key, members) for key, members in samples.items()]
    writer.close()
    for place in places:
        assert {m.suffix: file.getvalue()[m.offset : m.offset + m.size] for m in place.members} == samples[place.key]
    assert read_places(file) == places


def test_bytes_equal_webdataset() -> None:
    webdataset = pytest.importorskip("webdataset")
    samples = {f"{i:020x}": {"json": b'{"text": "x"}' * i, "txt": b"x" * size} for i, size in enumerate(BORDERS)}
    file = io.BytesIO()
    with webdataset.TarWriter(file, encoder=False, mtime=0, user="", group="") as theirs:
        for key, members in samples.items():
            theirs.write({"__key__": key, **members})
    assert written(samples) == file.getvalue()


def test_sizes_of_many_samples_at_once() -> None:
    sizes = {"json": np.array([0, 1, 512, 513]), "jpg": np.array([2**33 - 1, 7, 1024, 1])}
    one_by_one = [sample_bytes({"json": int(a), "jpg": int(b)}) for a, b in zip(sizes["json"], sizes["jpg"], strict=True)]
    assert sample_bytes(sizes).tolist() == one_by_one
    assert one_by_one[1] == 2 * (512 + 512)


class Huge(bytes):
    """Claims the size of a member that the octal field cannot hold; nobody has memory for a real one here."""

    def __len__(self) -> int:
        return SIZE_LIMIT


@pytest.mark.parametrize(
    ("key", "members", "why"),
    [
        ("a.b", {"txt": b""}, "no key for a tar: 'a.b'"),
        ("a b", {"txt": b""}, "no key for a tar"),
        ("ü", {"txt": b""}, "no key for a tar"),
        ("../a", {"txt": b""}, "no key for a tar"),
        ("__a__", {"txt": b""}, "no key for a tar"),
        ("", {"txt": b""}, "no key for a tar"),
        ("a\n", {"txt": b""}, "no key for a tar"),
        ("a", {"TXT": b""}, "no member suffix: 'TXT'"),
        ("a", {"t xt": b""}, "no member suffix"),
        ("a", {"": b""}, "no member suffix"),
        ("a", {}, "no members"),
        ("a" * 97, {"txt": b""}, "member name of 101 bytes"),
        ("known", {"txt": b""}, "in this tar already"),
        ("a", {"txt": Huge()}, "8,589,934,592 bytes; a tar holds less than 8 GiB"),
    ],
)
def test_what_some_reader_would_lose_is_refused_and_leaves_no_trace(key: str, members: dict[str, bytes], why: str) -> None:
    file = io.BytesIO()
    writer = TarWriter(file)
    writer.add("known", {"txt": b"1"})
    with pytest.raises(ValueError, match=why):
        writer.add(key, {"a": b"first", **members} if members else members)
    writer.close()
    assert file.getvalue() == by_tarfile({"known": {"txt": b"1"}})


def test_a_name_of_100_bytes_is_read_whole() -> None:
    with tarfile.open(fileobj=io.BytesIO(written({"a" * 96: {"txt": b"1"}}))) as tar:
        assert tar.getnames() == ["a" * 96 + ".txt"]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda data: data[:1024], "cut at byte 1,024"),  # between two samples: webdataset reads this with no error
        (lambda data: data[:900], "cut inside a.txt|expected"),
        (lambda data: data[:-512], "expected"),
        (lambda data: data.replace(b"b.txt", b"c.txt"), "no header as d4a writes it at byte 1,024"),
        (lambda data: data[:-1] + b"x", "something follows"),
        (lambda data: data + data, "something follows|expected"),
    ],
)
def test_damage_is_seen(damage, why: str) -> None:
    data = written({"a": {"txt": b"1"}, "b": {"txt": b"2"}})
    with pytest.raises(ValueError, match=why):
        read_places(io.BytesIO(damage(data)))


class Full(io.RawIOBase):
    """An unbuffered file on a full disk: takes less than it is given."""

    def write(self, data: bytes) -> int:
        return len(data) - 1


def test_a_short_write_is_no_silent_loss() -> None:
    writer = TarWriter(Full())
    writer.add("a", {"txt": b"1"})
    with pytest.raises(OSError, match="10,239 of 10,240 bytes"):
        writer.close()
