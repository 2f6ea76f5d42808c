"""Formats with one record a file, Parquet, and which files of a folder are text at all."""

from __future__ import annotations

import base64
import datetime
import decimal
import gzip
import importlib.util
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from d4a.curator.errors import MachineError
from d4a.curator.recipe import Source
from d4a.modalities.text import html
from d4a.modalities.text.rows import MAX_RECORD_BYTES
from text_files import TEXT, batches, only_problem, rows, written

LINES = ("a.jsonl", "a.NDJSON", "a.json-lines.gz", "a.json", "a.jsonl.bz2")
NAMES = (*LINES, "a.csv.xz", "a.tsv", "a.parquet", "a.txt.zst", "a.TXT", "a.md.zstd", "a.html", "a.htm.gz", "a.pdf")


def test_a_folder_gives_text_files_only() -> None:
    auto = Source(path=".")
    assert all(TEXT.accepts(name, auto) for name in NAMES)
    for name in ("a.py", "a.so", "a.jpg", "a.gz", "a.parquet.gz", "txt", "a.xlsx", "a.jsonl.lz4"):
        assert not TEXT.accepts(name, auto), name


def test_a_format_narrows_a_folder_to_its_suffixes() -> None:
    lines = Source(path=".", format="jsonl")
    assert [name for name in NAMES if TEXT.accepts(name, lines)] == list(LINES)
    assert [name for name in NAMES if TEXT.accepts(name, Source(path=".", format="json"))] == list(LINES)
    assert [name for name in NAMES if TEXT.accepts(name, Source(path=".", format="md"))] == ["a.md.zstd"]


def test_a_format_reads_a_file_of_any_name(tmp_path: Path) -> None:
    path = written(tmp_path / "readme.rst", "Title\n=====\n")
    assert rows(path, format="txt")[0]["text"] == "Title\n=====\n"
    assert only_problem(path)[0] == "unknown_format"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.txt.gz", "a.md.zst"])
def test_a_text_file_is_one_record(tmp_path: Path, name: str) -> None:
    data = "\ufeffGrüße\r\n\r\n# x".encode()
    packed = gzip.compress(data) if name.endswith("gz") else zstandard.compress(data) if name.endswith("zst") else data
    (row,) = rows(written(tmp_path / name, packed))
    assert {name: value for name, value in row.items() if value is not None} == {"text": "Grüße\r\n\r\n# x"}


def test_what_is_wrong_with_a_text_file_is_said(tmp_path: Path) -> None:
    assert only_problem(written(tmp_path / "a.txt", b"")) == ("empty_file", None)
    assert only_problem(written(tmp_path / "b.txt", b"ab\0c")) == ("binary_file", "a NUL: byte 2")
    assert only_problem(written(tmp_path / "c.md", b"ab\xffc")) == ("invalid_utf8", "invalid start byte: byte 2")
    whole = gzip.compress(bytes(range(1, 128)) * 1000)
    assert only_problem(written(tmp_path / "d.txt.gz", whole[:-9]))[0] == "truncated_gzip"
    assert only_problem(written(tmp_path / "e.txt.zst", b"text"))[0] == "corrupt_zstd"


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_file_over_the_limit_is_refused(tmp_path: Path, name: str) -> None:
    data = b"x" * (MAX_RECORD_BYTES + 1)
    assert only_problem(written(tmp_path / name, gzip.compress(data, 1) if name.endswith("gz") else data))[0] == "file_too_long"


# ------------------------------------------------------------------------------------------------- HTML

_PAGE = """<html><head>{meta}<title>Seite</title></head><body><nav><a href="/">Start</a> <a href="/a">Über uns</a></nav>
<main><article><h1>Über Möwen</h1><p>Möwen sind Vögel, die am Meer leben und gern Brötchen stehlen.</p><p>Sie
sind überall.</p></article></main><footer>Impressum</footer></body></html>"""


def _page(encoding: str, meta: str = "") -> bytes:
    return _PAGE.format(meta=meta).encode(encoding)


@pytest.mark.parametrize(
    "data",
    [
        _page("utf-8"),
        _page("utf-8-sig"),
        _page("utf-16"),
        _page("utf-8", '<meta charset="iso-8859-1">'),  # a lie that the bytes disprove
        _page("windows-1252", '<meta charset="iso-8859-1">'),
        _page("windows-1252"),
    ],
)
def test_the_main_text_of_a_page_in_any_charset(tmp_path: Path, data: bytes) -> None:
    (row,) = rows(written(tmp_path / "a.html", data))
    assert "Über Möwen\n" in row["text"] and "Brötchen stehlen." in row["text"] and "Sie sind überall." in row["text"]
    assert "Impressum" not in row["text"] and "Start" not in row["text"]


def test_a_page_that_cannot_be_decoded_or_holds_no_text_is_refused(tmp_path: Path) -> None:
    reason, detail = only_problem(written(tmp_path / "a.html", b'<meta charset="utf-8"><p>' + b"\x81\xff\xfe\x8d" * 20))
    assert reason == "unknown_charset" and detail is not None and "utf-8: byte 25" in detail
    assert only_problem(written(tmp_path / "b.html", "<html><script>1</script></html>"))[0] == "no_main_text"


def test_a_page_nested_without_end_does_not_hold_up_the_run(tmp_path: Path) -> None:
    deep = "<div>" * 100_000 + "text" + "</div>" * 100_000  # minutes without the limit
    assert only_problem(written(tmp_path / "a.html", deep)) == ("html_too_deep", "more than 512 elements inside one another")


def test_without_resiliparse_a_page_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.util.find_spec("resiliparse")
    monkeypatch.setitem(__import__("sys").modules, "resiliparse.extract.html2text", None)  # what an absent package does to an import
    with pytest.raises(MachineError, match=r"pip install 'd4a\[text\]'"):
        html.check_html()
    reason, detail = only_problem(written(tmp_path / "a.html", _page("utf-8")))
    assert reason == "missing_extra" and detail is not None and "pip install 'd4a[text]'" in detail


# ---------------------------------------------------------------------------------------------- Parquet


def _parquet(path: Path, columns: dict[str, pa.Array], **options: object) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_parquet_columns_become_text_id_and_meta(tmp_path: Path) -> None:
    columns = {
        "n": pa.array([1, None]),
        "text": pa.array(["eins", "zwei"]),
        "id": pa.array([7, None]),
        "when": pa.array([1, 2], pa.timestamp("ns")),
        "price": pa.array([decimal.Decimal("1.50"), None]),
        "raw": pa.array([b"\xff", None]),
        "inner": pa.array([{"d": [datetime.date(2020, 1, 2)]}, None]),
    }
    first, second = rows(_parquet(tmp_path / "a.parquet", columns))
    assert (first["text"], first["id"], first["line"], second["id"], second["line"]) == ("eins", "7", 0, None, 1)
    raw = base64.b64encode(b"\xff").decode()
    assert first["meta"] == f'{{"n":1,"when":"1970-01-01 00:00:00.000000001","price":"1.50","raw":"{raw}","inner":{{"d":["2020-01-02"]}}}}'
    assert second["meta"] == '{"n":null,"when":"1970-01-01 00:00:00.000000002","price":null,"raw":null,"inner":null}'


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_text_may_be_stored_in_several_ways(tmp_path: Path, kind: pa.DataType) -> None:
    text = pa.array(["é", "b", "é"]).cast(kind)
    assert [row["text"] for row in rows(_parquet(tmp_path / "a.parquet", {"text": text}))] == ["é", "b", "é"]


def test_a_bad_cell_costs_its_row_only(tmp_path: Path) -> None:
    broken = pa.array([b"one", b"tw\xffo", None, b"four", b"x" * (MAX_RECORD_BYTES + 1)]).view(pa.string())
    found = rows(_parquet(tmp_path / "a.parquet", {"text": broken, "n": pa.array(range(5))}))
    assert [(row["text"], row["reason"], row["line"]) for row in found] == [
        ("one", None, 0),
        (None, "invalid_utf8", 1),
        (None, "text_not_a_string", 2),
        ("four", None, 3),
        (None, "text_too_long", 4),
    ]
    assert found[1]["detail"] == "byte 2" and found[0]["meta"] == '{"n":0}' and found[4]["detail"].startswith("67108865 bytes")


def test_a_table_that_is_no_text_is_one_row(tmp_path: Path) -> None:
    table = _parquet(tmp_path / "a.parquet", {"body": pa.array(["x"]), "n": pa.array([1])})
    assert only_problem(table) == ("no_text_column", "columns: body, n")
    assert only_problem(table, text_field="n") == ("text_not_a_string", "column n: int64")
    assert only_problem(_parquet(tmp_path / "b.parquet", {"text": pa.array([], pa.string())}))[0] == "empty_file"
    assert only_problem(written(tmp_path / "c.parquet", b"PAR1 nothing PAR1"))[0] == "broken_parquet"


def test_a_damaged_table_loses_the_row_group_of_the_damage_alone(tmp_path: Path) -> None:
    texts = [f"text {i}" * 20 for i in range(6000)]
    path = _parquet(tmp_path / "a.parquet", {"text": pa.array(texts)}, row_group_size=1000, use_dictionary=False)
    damaged = bytearray(path.read_bytes())
    for group in (1, 4):
        start = pq.ParquetFile(path).metadata.row_group(group).column(0).data_page_offset
        damaged[start : start + 2000] = b"\xff" * 2000
    found = rows(written(tmp_path / "b.parquet", bytes(damaged)))
    lost = [row for row in found if row["reason"]]
    assert [(row["reason"], row["line"]) for row in lost] == [("broken_parquet", 1000), ("broken_parquet", 4000)]
    assert all(row["detail"].startswith("1000 rows are lost, the rest of a row group: ") for row in lost)
    read = {row["line"]: row["text"] for row in found if not row["reason"]}
    assert read == {line: text for line, text in enumerate(texts) if line // 1000 not in (1, 4)}


def test_parquet_batches_follow_the_size_of_rows(tmp_path: Path) -> None:
    large = _parquet(
        tmp_path / "a.parquet",
        {"text": pa.array([chr(97 + i % 26) * 400_000 + str(i) for i in range(40)])},
        compression="none",
        use_dictionary=False,
    )
    assert max(batch.num_rows for batch in batches(large)) <= 12
