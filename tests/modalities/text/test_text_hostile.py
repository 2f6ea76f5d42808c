"""Hostile files: each costs its own record or file, in bounded memory, and says why."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import zstandard
from d4a.modalities.text import streams
from pdf_files import bomb, encrypted
from text_files import batches, only_problem, rows, written

GOOD = b'{"id":"a","text":"one"}\n'
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
}
_PEAK = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from text_files import peak_kb, rows
for small in sorted(Path({small!r}).iterdir()):
    rows(small)
before = peak_kb()
found = rows(Path({large!r}))
print([(row["reason"], row["line"]) for row in found], peak_kb() - before)
"""


def _peak(large: Path) -> tuple[str, int]:
    """What is read of a file, and by how many kB it raises the peak of a process that has read a small one of its kind."""
    small = large.parent / "small"
    small.mkdir()
    *_, kind = large.name.split(".")
    written(small / large.name, PACK.get(kind, bytes)(GOOD))
    code = _PEAK.format(path=sys.path, small=str(small), large=str(large))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, peak = done.stdout.strip().rsplit(" ", 1)
    return found, int(peak)


# ---------------------------------------------------------------------------------------- decompression


@pytest.mark.parametrize("kind", PACK)
def test_a_bomb_ends_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    zeros = PACK[kind](bytes(16 << 20))
    path = written(tmp_path / f"bomb.jsonl.{kind}", PACK[kind](GOOD) + zeros * 64)  # 1 GiB
    found, peak = _peak(path)
    assert found == "[(None, 0), ('decompression_bomb', 1)]"
    assert peak < 160_000, f"{peak} kB"


@pytest.mark.parametrize("name", ["a.txt.gz", "a.csv.gz", "a.json.gz", "a.html.gz", "a.pdf.gz"])
def test_no_format_takes_a_bomb(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, gzip.compress(b"text\n", mtime=0) + PACK["gz"](bytes(16 << 20)) * 16)
    assert rows(path)[-1]["reason"] in ("decompression_bomb", "file_too_long")


@pytest.mark.parametrize("kind", PACK)
def test_what_is_merely_repetitive_is_read(tmp_path: Path, kind: str) -> None:
    line = b'{"text":"' + b"x" * 1_000_000 + b'"}\n'
    found = rows(written(tmp_path / f"a.jsonl.{kind}", PACK[kind](line * 20)))
    assert len(found) == 20 and all(row["reason"] is None for row in found)


def test_a_window_over_the_limit_is_refused(tmp_path: Path) -> None:
    options = zstandard.ZstdCompressionParameters.from_level(3, window_log=30)
    packer = zstandard.ZstdCompressor(compression_params=options).compressobj()
    wide = packer.compress(GOOD * 99) + packer.flush()
    assert only_problem(written(tmp_path / "a.jsonl.zst", wide))[0] == "window_too_large"
    wide = lzma.compress(GOOD, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 4 * streams.WINDOW_BYTES}])
    assert only_problem(written(tmp_path / "a.jsonl.xz", wide))[0] == "window_too_large"
    usual = lzma.compress(GOOD, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": streams.WINDOW_BYTES}])
    assert rows(written(tmp_path / "b.jsonl.xz", usual))[0]["text"] == "one"


@pytest.mark.parametrize("kind", PACK)
def test_everything_before_the_damage_is_read(tmp_path: Path, kind: str) -> None:
    draw = random.Random(0)
    lines = [b'{"text":"%b"}\n' % draw.randbytes(100).hex().encode() for _ in range(100)]
    members = b"".join(PACK[kind](line) for line in lines)
    for rest in (b"garbage", PACK[kind](GOOD)[:-1]):
        *good, bad = rows(written(tmp_path / f"a.jsonl.{kind}", members + rest))
        assert [row["text"] for row in good][:100] == [line.decode()[9:-3] for line in lines]
        assert bad["reason"].startswith(("corrupt_", "truncated_"))


def test_zero_bytes_may_follow_a_member(tmp_path: Path) -> None:
    for kind in ("gz", "xz"):
        padded = PACK[kind](GOOD) + bytes(4096) + PACK[kind](GOOD) + bytes(100_000)
        assert [row["text"] for row in rows(written(tmp_path / f"a.jsonl.{kind}", padded))] == ["one", "one"]
    assert only_problem(written(tmp_path / "b.jsonl.gz", bytes(100)))[0] == "corrupt_gzip"


def test_a_text_that_a_table_repeats_without_end(tmp_path: Path) -> None:
    """43 kB that hold 180 GB: one text of 900 kB in a dictionary, and 200,000 rows that name it."""
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), pa.array(["x" * 900_000]))
    pq.write_table(pa.table({"text": repeated}), tmp_path / "bomb.parquet")
    path = tmp_path / "bomb.parquet"
    assert path.stat().st_size < 100_000
    *good, bad = batches(path)
    assert bad.column("reason").to_pylist() == ["decompression_bomb"]
    assert all(batch.nbytes < 300 << 20 for batch in good)


# ----------------------------------------------------------------------------------------------- a line


@pytest.mark.parametrize("kind", ["plain", "zst"])
def test_a_line_of_a_gigabyte_is_skipped_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.jsonl" if kind == "plain" else f"a.jsonl.{kind}")
    begin, end = GOOD + b'{"text":"', b'"}\n' + GOOD
    with path.open("wb") as file:
        if kind == "plain":
            file.write(begin)
            file.seek(1 << 30, 1)  # a hole: NUL bytes that take no space
            file.write(end)
        else:  # every member shrinks a hundredfold: no bomb yet
            member = PACK[kind](random.Random(0).randbytes(8192).hex().encode().ljust(1 << 20, b"x"))
            file.write(PACK[kind](begin) + member * 1024 + PACK[kind](end))
    found, peak = _peak(path)
    assert found == "[(None, 0), ('line_too_long', 1), (None, 2)]"
    assert peak < 100_000, f"{peak} kB"  # the limit of a line and a little, not the line


# ------------------------------------------------------------------------------------ a folder of it all


def _hostile_files(folder: Path) -> dict[str, str]:
    """Writes one file of every kind; file name -> the reason of its last row."""
    table = folder / "t.parquet"
    pq.write_table(pa.table({"text": ["x"]}), table)
    parquet = table.read_bytes()
    table.unlink()
    deep = b'{"a":' * 100_000
    files = {
        "bomb.jsonl.gz": (PACK["gz"](bytes(16 << 20)) * 16, "decompression_bomb"),
        "bomb.csv.zst": (PACK["zst"](b"text\n") + PACK["zst"](b"\n" * (16 << 20)) * 16, "decompression_bomb"),
        "bomb.json.bz2": (PACK["bz2"](b"[" + b" " * (16 << 20)) * 16, "decompression_bomb"),
        "bomb.tsv.xz": (PACK["xz"](b"text\n") + PACK["xz"](b"\n" * (16 << 20)) * 16, "decompression_bomb"),
        "bomb.pdf": (bomb(), "pdf_crashed"),
        "closed.pdf": (encrypted(), "encrypted_pdf"),
        "plain.jsonl.gz": (GOOD, "corrupt_gzip"),
        "plain.csv.zst": (GOOD, "corrupt_zstd"),
        "plain.txt.bz2": (GOOD, "corrupt_bz2"),
        "plain.json.xz": (GOOD, "corrupt_xz"),
        "parquet.jsonl": (parquet, "wrong_suffix"),
        "parquet.csv": (parquet, "wrong_suffix"),
        "gzip.jsonl": (gzip.compress(GOOD), "wrong_suffix"),
        "gzip.txt": (gzip.compress(GOOD), "wrong_suffix"),
        "pdf.html": (encrypted(), "wrong_suffix"),
        "lines.parquet": (GOOD, "broken_parquet"),
        "deep.jsonl": (deep, "broken_json"),
        "deep.json": (deep, "broken_json"),
        "deep_list.json": (b"[" * 100_000, "truncated_json"),
        "deep_closed.json": (b"[" * 100_000 + b"]" * 100_000, "broken_json"),
        "nul.txt": (b"a\0b", "binary_file"),
        "nul.jsonl": (b'{"text":"a\0b"}', "broken_json"),
        "nul.csv": (b"text\na\0b\n", "nul_byte"),
        "surrogate.txt": (b"\xed\xa0\x80", "invalid_utf8"),
        "surrogate.jsonl": (b'{"text":"\\ud800"}', "invalid_unicode"),
        "surrogate.csv": (b"text\n\xed\xa0\x80\n", "invalid_utf8"),
        "quote.csv": (b'text,id\nx,1\n"never,2\n', "broken_row"),
        **{f"empty.{suffix}": (b"", "empty_file") for suffix in ("txt", "md", "jsonl", "json", "csv", "tsv", "html", "pdf")},
        **{f"empty.jsonl.{kind}": (pack(b""), "empty_file") for kind, pack in PACK.items()},
        **{f"nothing.jsonl.{kind}": (b"", "empty_file") for kind in PACK},
    }
    for name, (data, _) in files.items():
        written(folder / name, data)
    return {name: reason for name, (_, reason) in files.items()}


def test_a_folder_of_hostile_files_is_curated(tmp_path: Path, d4a) -> None:
    (tmp_path / "in").mkdir()
    expected = _hostile_files(tmp_path / "in")
    written(tmp_path / "in/good.jsonl", GOOD)
    flow = "text: {sources: [{path: in}], stages: [{use: text.clean}]}"
    written(tmp_path / "r.yaml", f"name: hostile\nmax_bad_fraction: 1\n{flow}\noutput: {{path: out}}\n")
    d4a("curate", "r.yaml")
    ledger = ds.dataset(sorted((tmp_path / "out/ledger").glob("*.parquet"))).to_table().to_pylist()
    last = {row["source"].partition("#")[0]: row["reason"] for row in ledger}
    assert last == {**expected, "good.jsonl": None}


def test_every_range_of_a_file_with_a_wrong_suffix_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", b"PAR1" + b"\nnonsense" * 1000)
    assert [row["reason"] for cut in ((0, 4000), (4000, 8000)) for row in rows(path, *cut)] == ["wrong_suffix"] * 2
