"""CSV and TSV: what a row is, and that a bad one costs itself only."""

from __future__ import annotations

import bz2
import csv
import io
import random
from pathlib import Path

import pytest
from d4a.curator.recipe import Source
from d4a.modalities.text import delimited
from d4a.modalities.text.delimited import Misquoted, row_blocks
from d4a.modalities.text.lines import TooLong
from d4a.modalities.text.rows import MAX_RECORD_BYTES
from text_files import TEXT, only_problem, rows, written

TABLE = 'id,text,url,lang\r\na,"one, ""1""\r\nand more",https://example.org,en\r\n,two,,\r\n'


class Pieces(io.BytesIO):
    """A stream that gives few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self.size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.size)


def _cut(stream: io.BytesIO) -> list[tuple[int, bytes | TooLong]]:
    return [row for block in row_blocks(stream, ",") for row in block]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.bz2", "a.table"])
def test_a_row_is_a_record_and_its_first_line_the_line(tmp_path: Path, name: str) -> None:
    data = ("\ufeff" + TABLE).encode()
    path = written(tmp_path / name, bz2.compress(data) if name.endswith("bz2") else data)
    first, second = rows(path, format="csv" if name.endswith("table") else "auto")
    assert (first["id"], first["text"], first["url"], first["meta"]) == (
        "a",
        'one, "1"\r\nand more',
        "https://example.org",
        '{"lang":"en"}',
    )
    assert (second["id"], second["text"], second["url"], second["meta"]) == (None, "two", None, '{"lang":""}')
    assert (first["line"], second["line"]) == (1, 3)


def test_a_tab_separates_tsv(tmp_path: Path) -> None:
    (row,) = rows(written(tmp_path / "a.tsv", "text\tid\na, b\t1\n"))
    assert (row["text"], row["id"]) == ("a, b", "1")
    assert not TEXT.splits("a.tsv", Source(path="."))


BAD = {
    b"1,2,3": ("wrong_cell_count", "3 cells below a header of 2"),
    b"alone": ("wrong_cell_count", "1 cells below a header of 2"),
    b'"never closed,2': ("broken_row", "a quote is not closed where its cell ends"),
    b'"closed"early,2': ("broken_row", "a quote is not closed where its cell ends"),
    b"old\rmac,2": ("broken_row", "a carriage return that ends no line"),
    b"a\xffb,2": ("invalid_utf8", "byte 1 of the row"),
    b"a\0b,2": ("nul_byte", "byte 1 of the row"),
}


@pytest.mark.parametrize(("bad", "wrong"), BAD.items())
def test_a_bad_row_costs_itself_only(tmp_path: Path, bad: bytes, wrong: tuple[str, str]) -> None:
    data = b'text,id\nbefore,1\n%b\n"after ""it""",3\n5" disk,"4"\n\nlast,5' % bad
    found = rows(written(tmp_path / "a.csv", data))
    assert [(row["text"], row["id"], row["line"]) for row in found if row["reason"] is None] == [
        ("before", "1", 1),
        ('after "it"', "3", 3),
        ('5" disk', "4", 4),
        ("last", "5", 6),
    ]
    assert found[1]["reason"] == wrong[0] and wrong[1] in found[1]["detail"] and found[1]["line"] == 2


@pytest.mark.parametrize("size", [1, 2, 7])
def test_rows_are_those_of_pythons_csv_wherever_a_chunk_ends(size: int) -> None:
    draw = random.Random(0)
    whole = 0
    for _ in range(3000):
        data = bytes(draw.choices(b'a",\n', k=draw.randrange(1, 24))).replace(b"\n", draw.choice([b"\n", b"\r\n"]))
        found = _cut(io.BytesIO(data))
        assert _cut(Pieces(data, size)) == found
        left = data.split(b"\n")
        for line, raw in found:  # nothing is lost but blank lines
            left[line : line + raw.count(b"\n") + 1] = [b""] * (raw.count(b"\n") + 1)
            assert data.split(b"\n")[line : line + raw.count(b"\n") + 1] == raw.split(b"\n")
        assert not b"".join(left).strip(b"\r")
        if not any(isinstance(raw, Misquoted) for _, raw in found):
            whole += 1
            expected = [row for row in csv.reader(io.StringIO(data.decode(), newline=""), strict=True) if row]
            assert list(csv.reader([raw.decode() for _, raw in found], strict=True)) == expected
    assert whole > 1000


def test_a_header_has_to_name_the_text(tmp_path: Path) -> None:
    for data, wrong in {
        "": ("empty_file", None),
        "text,id\n\n": ("empty_file", "a header and no row"),
        "body;id\nx;1\n": ("no_text_column", "columns: body;id"),
        "text,id,text\nx,1,y\n": ("broken_header", "two columns text"),
        'text,"id\nx,1\n': ("broken_header", "broken_row: a quote is not closed where its cell ends"),
    }.items():
        assert only_problem(written(tmp_path / "a.csv", data)) == wrong
    assert only_problem(written(tmp_path / "a.csv", "text\n".encode("utf-16")))[0] == "broken_header"
    assert rows(written(tmp_path / "a.csv", "body\nx\n"), text_field="body")[0]["text"] == "x"


def test_a_row_over_the_limit_is_skipped(tmp_path: Path) -> None:
    long = b'"' + b"x" * (MAX_RECORD_BYTES // 2) + b'\n","' + b"x" * (MAX_RECORD_BYTES // 2) + b'"'
    found = rows(written(tmp_path / "a.csv", b"text,id\n" + long + b"\ny,2\n"))
    assert [(row["text"], row["reason"], row["line"]) for row in found] == [(None, "row_too_long", 1), ("y", None, 3)]


def test_quotes_that_are_never_closed_take_no_square_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_RESCANNED_BYTES", 1 << 20)
    *good, bad = rows(written(tmp_path / "a.csv", b"text,id\nx,1\n" + b'a","b\n' * 100_000))
    assert good[0]["text"] == "x" and bad["reason"] == "unclosed_quotes" and len(good) < 10
