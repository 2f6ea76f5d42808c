"""Every index leads its reader to the samples: derived again from the tars, and through the readers themselves."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import struct
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from d4a.curator.shards.energon import SQLITE, write_sqlite
from d4a.curator.shards.indexes import SAMPLE_COLUMNS, energon_index, sample_table
from d4a.curator.shards.manifest import brace_pattern, by_flow
from d4a.curator.shards.tar import MemberPlace, SamplePlace

FLOWS = ["image", "pair", "text"]


def found_by_tarfile(path: Path) -> dict[str, list[tarfile.TarInfo]]:
    samples: dict[str, list[tarfile.TarInfo]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            samples.setdefault(member.name.partition(".")[0], []).append(member)
    return samples


def test_indexes_beside_each_tar_agree_with_tarfile(small) -> None:
    root, dataset = small
    for shard in dataset.shards:
        path = root / shard.path
        samples = found_by_tarfile(path)
        heads = [members[0].offset for members in samples.values()]
        last = list(samples.values())[-1][-1]
        end = last.offset_data + -(-last.size // 512) * 512
        assert path.with_suffix(".tar.idx").read_bytes() == struct.pack(f"<{len(heads) + 1}Q", *heads, end)
        lines = [" ".join(f"{m.name.partition('.')[2]} {m.offset_data} {m.size} {m.name}" for m in ms) for ms in samples.values()]
        assert path.with_suffix(".idx").read_text() == "\n".join([f"v1.2 {len(samples)}", *lines]) + "\n"


def test_parquet_rows_lead_to_the_bytes(small, members) -> None:
    root, dataset = small
    for shard in dataset.shards:
        table = pq.read_table((root / shard.path).with_suffix(".parquet").open("rb"))
        assert table.schema.metadata[b"schema_version"] == b"1.0"
        told = {name for name, _, _ in SAMPLE_COLUMNS} - {"<stage label>.<value>"}
        assert {re.sub(r"^(jpg|json|txt)\.", "<suffix>.", name) for name in table.column_names} == told | {f"{shard.flow}.stage.score"}
        data = (root / shard.path).read_bytes()
        for row in table.to_pylist():
            i = int(row["key"].split()[1])
            for suffix, expected in members(shard.flow, i).items():
                assert data[row[f"{suffix}.offset"] :][: row[f"{suffix}.bytes"]] == expected
            assert len(row["digest"]) == 32 and row["licence"] == "CC-BY-4.0" and f"{shard.flow}.stage.score" in row
        assert [table["sample_key"][0].as_py(), table["sample_key"][-1].as_py()] == [shard.key_first, shard.key_last]


def test_unlike_samples_and_missing_records_are_refused() -> None:
    places = [SamplePlace("a", 0, 1024, (MemberPlace("jpg", 512, 1),)), SamplePlace("b", 1024, 2048, (MemberPlace("png", 1536, 1),))]
    records = pa.table({name: ["x", "y"] for name in ("key", "digest", "source", "licence")})
    with pytest.raises(ValueError, match=r"sample 'b' has members \['png'\], the first one \['jpg'\]"):
        sample_table(places, records)
    with pytest.raises(ValueError, match="1 samples, 2 records"):
        sample_table(places[:1], records)


def test_webdataset_reads_every_sample(small, members) -> None:
    webdataset = pytest.importorskip("webdataset")
    root, dataset = small
    for flow, shards in by_flow(dataset.shards).items():
        urls = [str(root / shard.path) for shard in shards]
        samples = list(webdataset.WebDataset(urls, shardshuffle=False))
        packed = [members(flow, i) for i in range(16)]
        assert [{k: v for k, v in sample.items() if not k.startswith("__")} for sample in samples] == packed


def test_wids_finds_each_split_and_all(small, members) -> None:
    wids = pytest.importorskip("wids")
    root, _ = small
    for flow in FLOWS:
        for folder, expected in (("", range(16)), ("train", range(13)), ("val", range(13, 16))):
            index = root / flow / folder / "index.json"
            data = wids.ShardListDataset(str(index), localname=lambda url: url, transformations=[])
            assert [data[i][".json"].read() for i in range(len(data))] == [members(flow, i)["json"] for i in expected]


def test_open_clip_finds_the_sizes(small) -> None:
    root, _ = small
    for flow in FLOWS:
        assert json.loads((root / flow / "train" / "sizes.json").read_bytes()) == {"000000.tar": 7, "000001.tar": 6}
        assert (root / flow / "train" / "__len__").read_text() == "13"


def test_energon_meta_matches_the_tars(small) -> None:
    root, dataset = small
    for flow, shards in by_flow(dataset.shards).items():
        meta = root / flow / ".nv-meta"
        names = [shard.path.removeprefix(f"{flow}/") for shard in shards]
        assert list(json.loads((meta / ".info.json").read_bytes())["shard_counts"].items()) == list(zip(names, [7, 6, 3], strict=True))
        split = yaml.safe_load((meta / "split.yaml").read_bytes())
        assert split["split_parts"] == {"train": ["train/{000000..000001}.tar"], "val": ["val/000000.tar"]}
        with sqlite3.connect(root / flow / SQLITE) as database:
            samples = database.execute("SELECT * FROM samples ORDER BY tar_file_id, sample_index").fetchall()
            parts = database.execute("SELECT * FROM sample_parts ORDER BY tar_file_id, sample_index, content_byte_offset").fetchall()
        expected_samples, expected_parts = [], []
        for tar, shard in enumerate(shards):
            for i, (key, members) in enumerate(found_by_tarfile(root / shard.path).items()):
                size = members[-1].offset_data + -(-members[-1].size // 512) * 512 - members[0].offset
                expected_samples.append((tar, key, i, members[0].offset, size))
                expected_parts += [(tar, i, m.name.partition(".")[2], m.offset_data, m.size) for m in members]
        assert samples == expected_samples and parts == expected_parts


def places_table(path: Path, count: int, first: int = 0) -> Path:
    offset = np.arange(count) * 2048
    columns = {
        "sample_key": [f"{(i + first) * 2654435761 % 2**32:020x}" for i in range(count)],
        "offset": offset,
        "bytes": offset * 0 + 2048,
    }
    pq.write_table(pa.table({**columns, "json.offset": offset + 512, "json.bytes": offset * 0 + 1500}), path)
    return path


def test_sqlite_bytes_are_the_same_on_every_machine(tmp_path: Path) -> None:
    # the hash holds for SQLite 3.40 to 3.54; it changes where the layout of the file does, on purpose or not
    tables = [places_table(tmp_path / f"{i}.parquet", 20_000, i * 20_000) for i in range(2)]
    write_sqlite(tmp_path / "index.sqlite", tables, ["json"])

    assert hashlib.sha256((tmp_path / "index.sqlite").read_bytes()).hexdigest()[:16] == "990c642fd6a832cd"
    with sqlite3.connect(tmp_path / "index.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_sample_key_in_two_shards_is_refused(tmp_path: Path) -> None:
    table = places_table(tmp_path / "a.parquet", 3)
    with pytest.raises(ValueError, match="occurs twice in 2 shards"):
        write_sqlite(tmp_path / "index.sqlite", [table, table], ["json"])


def test_an_empty_shard_has_one_border() -> None:
    assert energon_index([]) == bytes(8)


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (["a/000000.tar"], ["a/000000.tar"]),
        (["a/000009.tar", "a/000010.tar", "a/000011.tar"], ["a/{000009..000011}.tar"]),
        (["a/000000.tar", "a/000002.tar"], ["a/000000.tar", "a/000002.tar"]),
        (["a/000000.tar", "b/000001.tar"], ["a/000000.tar", "b/000001.tar"]),
        (["a/9.tar", "a/10.tar"], ["a/9.tar", "a/10.tar"]),
        (["000000.tar", "000001.tar"], ["{000000..000001}.tar"]),
        (["a/x.tar", "a/y.tar"], ["a/x.tar", "a/y.tar"]),
    ],
)
def test_brace_patterns_name_the_tars_and_no_other(names: list[str], patterns: list[str]) -> None:
    assert brace_pattern(names) == patterns
