"""JSON lines: what comes out of good lines, what is said about bad ones, and that ranges and damage lose nothing."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from d4a.curator.recipe import Source
from hypothesis import given, settings
from hypothesis import strategies as st
from text_files import TEXT, batches, entry, only_problem, rows, written

GOOD = b'{"id":"a","text":"one"}\n'


def test_fields_are_kept_unchanged_and_in_order(tmp_path: Path) -> None:
    line = '{"z": 1.50, "id": "k1", "a": [true, null, {"y": "\\u00e9"}], "text": "h\\u00e9llo\\n", "n": 1180591620717411303424, '
    line += '"m": -9300000000000000000}'
    (row,) = rows(written(tmp_path / "a.jsonl", line))
    assert (row["text"], row["id"], row["line"], row["reason"]) == ("héllo\n", "k1", 0, None)
    assert row["meta"] == '{"z":1.5,"a":[true,null,{"y":"é"}],"n":1180591620717411303424,"m":-9300000000000000000}'


@pytest.mark.parametrize(
    ("value", "ident", "meta"),
    [
        ("17", "17", None),
        ("1180591620717411303424", "1180591620717411303424", None),
        ("1.5", "1.5", None),
        ("null", None, '{"id":null}'),
        ("true", None, '{"id":true}'),
        ("[1]", None, '{"id":[1]}'),
    ],
)
def test_an_id_is_a_string_or_a_number_and_anything_else_is_meta(tmp_path: Path, value: str, ident: str | None, meta: str | None) -> None:
    (row,) = rows(written(tmp_path / "a.jsonl", f'{{"id": {value}, "text": "x"}}'))
    assert (row["id"], row["meta"], row["text"]) == (ident, meta, "x")


BAD = {
    b'{"text": "x"': ("broken_json", "column 13"),
    b'{"text": NaN}': ("broken_json", "column 10"),
    b'{"text": "a\x01b"}': ("broken_json", "control character"),
    b'{"text": ' + b"[" * 100_000: ("broken_json", "depth"),
    b'{"text": "x", "deep": ' + b"[" * 500 + b"]" * 500 + b"}": ("broken_json", "254 levels"),
    b'{"text": "x", "n": 1' + b"0" * 300 + b"}": None,
    b'{"text": "x", "n": 1' + b"0" * 5000 + b"}": ("broken_json", ""),
    b"[1, 2]": ("not_an_object", "array"),
    b'"text"': ("not_an_object", "string"),
    b'{"content": "x", "id": "i", "url": 1}': ("no_text_field", "fields: content, id, url"),
    b"{}": ("no_text_field", "no field"),
    b'{"text": 7}': ("text_not_a_string", "number"),
    b'{"text": null}': ("text_not_a_string", "null"),
    b'{"text": "ab\xff"}': ("invalid_utf8", "byte 12"),
    b'{"text": "\\ud800"}': ("invalid_unicode", "lone surrogate"),
    b'{"text": "x", "m": "\\udfff"}': ("invalid_unicode", "lone surrogate"),
    b'{"text": "\\ud83d\\ude00"}': None,
}


@pytest.mark.parametrize(("line", "wrong"), BAD.items())
def test_a_bad_line_gets_a_reason_and_its_neighbours_are_read(tmp_path: Path, line: bytes, wrong: tuple[str, str] | None) -> None:
    before, row, after = rows(written(tmp_path / "a.jsonl", GOOD + line + b"\n" + GOOD))
    assert before["text"] == after["text"] == "one" and after["line"] == 2
    if wrong is None:
        assert row["reason"] is None and row["text"]
        return
    assert row["reason"] == wrong[0] and wrong[1] in row["detail"] and len(row["detail"]) <= 200
    assert row["text"] is None and row["meta"] is None and row["line"] == 1


def test_a_refused_record_keeps_its_id(tmp_path: Path) -> None:
    (row,) = rows(written(tmp_path / "a.jsonl", '{"id": 7, "body": "x"}'))
    assert (row["id"], row["reason"]) == ("7", "no_text_field")


def test_blank_lines_count_and_are_no_records(tmp_path: Path) -> None:
    found = rows(written(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + GOOD + b"\n  \r\n" + GOOD.replace(b"\n", b"\r\n") + b"\n\n"))
    assert [(row["line"], row["text"], row["reason"]) for row in found] == [(0, "one", None), (3, "one", None)]


def test_fields_may_have_other_names(tmp_path: Path) -> None:
    (row,) = rows(written(tmp_path / "a.jsonl", '{"content": "x", "key": "k", "text": "t", "id": 3}'), text_field="content", id_field="key")
    assert (row["text"], row["id"], row["meta"]) == ("x", "k", '{"text":"t","id":3}')


@pytest.mark.parametrize(("data", "detail"), [(b"", None), (b"\n \n\n", "3 blank lines"), (gzip.compress(b"", mtime=0), None)])
def test_a_file_without_records_is_said_to_be_empty(tmp_path: Path, data: bytes, detail: str | None) -> None:
    name = "a.jsonl.gz" if data[:2] == b"\x1f\x8b" else "a.jsonl"
    assert only_problem(written(tmp_path / name, data)) == ("empty_file", detail)


def test_a_json_file_is_read_where_it_holds_lines(tmp_path: Path) -> None:
    assert [row["text"] for row in rows(written(tmp_path / "a.json", GOOD * 2))] == ["one", "one"]


def test_batches_stay_small(tmp_path: Path) -> None:
    many = batches(written(tmp_path / "a.jsonl", GOOD * 5000))
    assert [batch.num_rows for batch in many] == [2048, 2048, 904]
    long = batches(written(tmp_path / "b.jsonl", (orjson.dumps({"text": "x" * 1_000_000}) + b"\n") * 12))
    assert [batch.num_rows for batch in long] == [5, 5, 2]


# ---------------------------------------------------------------------------------------- byte ranges


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.sampled_from(['{"text":"é"}', "", " ", "{", '{"text":"' + "x" * 30 + '"}']), max_size=6),
    last_ends=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
)
def test_every_split_gives_the_same_records(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], last_ends: bool, line_end: str, mark: bool
) -> None:
    path = tmp_path_factory.mktemp("split") / "a.jsonl"
    data = b"\xef\xbb\xbf" * mark + (line_end.join(lines) + line_end * last_ends).encode()
    path.write_bytes(data)
    whole = _read(path, [0, len(data)])
    for cut in range(1, len(data)):
        assert _read(path, [0, cut, len(data)]) == whole, cut
    assert _read(path, list(range(len(data) + 1))) == whole


def _read(path: Path, cuts: list[int]) -> list[tuple[str, str]]:
    found = [row for start, end in pairwise(cuts) for row in rows(path, start, end)]
    return [(row["text"], row["reason"]) for row in found if row["reason"] != "empty_file"]


def test_lines_of_a_range_count_from_its_first_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", GOOD + b"\n" + GOOD + GOOD)
    start = len(GOOD) + 1
    assert [row["line"] for row in rows(path, start, path.stat().st_size)] == [0, 1]
    assert [row["line"] for row in rows(path, start - 1, path.stat().st_size)] == [1, 2]  # the blank line is the range's first


def test_only_plain_json_lines_are_split() -> None:
    auto, forced = Source(path="."), Source(path=".", format="jsonl")
    assert [TEXT.splits(name, auto) for name in ("a.jsonl", "a.NDJSON", "a.jsonl.gz", "a.json", "a.parquet", "a.txt")] == [
        True,
        True,
        *[False] * 4,
    ]
    assert TEXT.splits("a.json", forced) and not TEXT.splits("a.zst", forced)


# ------------------------------------------------------------------------------------------ compression


KINDS = {"gz": "gzip", "zst": "zstd", "bz2": "bz2", "xz": "xz"}


def _packed(kind: str, data: bytes) -> bytes:
    if kind == "zst":
        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    if kind == "gz":
        return gzip.compress(data, mtime=0)
    return bz2.compress(data, 1) if kind == "bz2" else lzma.compress(data, preset=0)


def _lines(n: int, seed: int = 0) -> bytes:
    draw = random.Random(seed)
    return b"".join(orjson.dumps({"id": str(i), "text": draw.randbytes(250).hex()}) + b"\n" for i in range(n))


@pytest.mark.parametrize("kind", KINDS)
def test_all_members_and_frames_are_read(tmp_path: Path, kind: str) -> None:
    data = _lines(300)
    cut = len(data) // 2 + 7  # inside a line
    path = written(tmp_path / f"a.jsonl.{kind}", _packed(kind, data[:cut]) + _packed(kind, b"") + _packed(kind, data[cut:]))
    assert [row["id"] for row in rows(path)] == [str(i) for i in range(300)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_gives_its_readable_part_and_one_row(tmp_path: Path, kind: str) -> None:
    whole = _packed(kind, _lines(2000))
    *good, bad = rows(written(tmp_path / f"a.jsonl.{kind}", whole[: len(whole) * 2 // 3]))
    assert 500 < len(good) < 2000 and [row["id"] for row in good] == [str(i) for i in range(len(good))]
    assert bad["reason"] == f"truncated_{KINDS[kind]}"
    assert bad["detail"].endswith(f" bytes before it, {len(good)} records") and bad["line"] == len(good)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_and_foreign_bytes_are_corruption(tmp_path: Path, kind: str) -> None:
    reason = f"corrupt_{KINDS[kind]}"
    assert only_problem(written(tmp_path / f"a.jsonl.{kind}", GOOD * 100))[0] == reason
    whole = bytearray(_packed(kind, _lines(2000)))
    whole[len(whole) // 2] ^= 0xFF
    found = rows(written(tmp_path / f"b.jsonl.{kind}", bytes(whole)))
    assert [row["reason"] for row in found if row["reason"] is not None][-1] == reason
    assert sum(row["reason"] is None for row in found) > 500


def test_bytes_behind_the_last_member_cost_no_record(tmp_path: Path) -> None:
    *good, bad = rows(written(tmp_path / "a.jsonl.gz", _packed("gz", _lines(50)) + b"garbage" * 9))
    assert len(good) == 50 and bad["reason"] == "corrupt_gzip"


# ------------------------------------------------------------------------------------------ round trip

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    records=st.lists(st.dictionaries(st.text(max_size=5), _VALUES, max_size=4).map(lambda d: {**d, "text": "t"}), min_size=1, max_size=5)
)
def test_no_value_changes_on_its_way_through(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("round") / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    for record, row in zip(records, rows(path), strict=True):
        expected = {
            name: value for name, value in record.items() if name != "text" and not (name == "id" and type(value) in (str, int, float))
        }
        assert row["reason"] is None
        found = json.loads(row["meta"]) if row["meta"] else {}
        assert found == expected and list(found) == list(expected)


def test_what_cannot_be_opened_is_an_error_of_the_machine(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.jsonl.bz2", "a.json", "a.csv", "a.parquet", "a.txt", "a.pdf"):
        path = written(tmp_path / name, b"")
        listed = entry(path)
        path.unlink()
        with pytest.raises(FileNotFoundError):
            list(TEXT.read(listed, Source(path=".")))
