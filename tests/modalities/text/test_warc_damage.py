"""Common Crawl's files: what is damaged, bombs, and byte ranges that any machine may read."""

from __future__ import annotations

import gzip
import itertools
import lzma
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from d4a.modalities.text import gzip_members, warc_records
from d4a.modalities.text.rows import MAX_RECORD_BYTES
from text_files import TEXT, Source, only_problem, rows, written
from warc_files import NAMES, PAGE, PAGES, http, members, outcome, read, record, response, starts


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


ZIPPED = [members(one) for one in PAGES]
PLACES = starts(*ZIPPED)
FLAT = starts(*PAGES)


def test_every_byte_of_a_member_may_be_flipped_and_only_its_record_is_lost(tmp_path: Path) -> None:
    good = list(zip(PLACES, NAMES, strict=True))
    data = b"".join(ZIPPED)
    for at in [*range(PLACES[2], PLACES[3], 7), PLACES[2], PLACES[2] + 1, PLACES[3] - 1, PLACES[3] - 5]:
        found = read(tmp_path / "a.warc.gz", _flipped(data, at))
        assert outcome(found) in ([*good[:2], (PLACES[2], reason), *good[3:]] for reason in ("corrupt_gzip", "truncated_gzip", NAMES[2])), (
            at
        )
        harmless = range(PLACES[2] + 4, PLACES[2] + 10)  # time, level and system in the header
        assert (found[2]["reason"] is None) == (at in harmless), at


def test_damaged_gzip_files_lose_what_is_damaged(tmp_path: Path) -> None:
    good = list(zip(PLACES, NAMES, strict=True))
    cut = read(tmp_path / "a.warc.gz", b"".join(ZIPPED)[: PLACES[4] + 100])
    assert outcome(cut) == [*good[:4], (PLACES[4], "truncated_gzip")]
    garbage = read(tmp_path / "b.warc.gz", b"".join(ZIPPED[:2]) + b"garbage \x1f\x8b\x08 here" + b"".join(ZIPPED[2:]))
    assert [reason for _, reason in outcome(garbage)] == [*NAMES[:2], "corrupt_gzip", *NAMES[2:]]
    assert garbage[2]["line"] == PLACES[2] and garbage[3]["line"] == PLACES[2] + 16
    foreign = read(tmp_path / "c.warc.gz", ZIPPED[0] + gzip.compress(b"something else\n" * 9) + ZIPPED[1])
    assert [reason for _, reason in outcome(foreign)] == ["eins", "not_warc", "zwei"]


def test_members_are_whole_wherever_a_piece_of_them_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for given, fed in itertools.product((61, 64, 1000), (1, 7, 1 << 14)):
        monkeypatch.setattr(gzip_members, "_GIVEN_BYTES", given)
        monkeypatch.setattr(gzip_members, "_FED_BYTES", fed)
        for size in range(1, 40):
            data = [record("conversion", b"x" * size, "http://x.example/lang", Content_Type="text/plain"), PAGES[0]]
            assert [row["reason"] for row in read(tmp_path / "a.warc.gz", members(*data))] == [None, None], (given, fed, size)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("wrong", [10, 20_000, 10**7, 10**12, -1])
def test_a_wrong_content_length_costs_its_record(tmp_path: Path, packed: bool, wrong: int) -> None:
    lies = record("response", http(PAGE.format(title="a").encode()), "http://x.example/lies", wrong, Content_Type="application/http")
    pieces = [PAGES[0], lies, PAGES[1], PAGES[2]]
    found = read(tmp_path / "a.warc", members(*pieces) if packed else b"".join(pieces))
    assert [row["url"] and row["url"][17:] for row in found] == ["eins", None, "zwei", "drei"]
    assert found[1]["reason"] in ("broken_record", "truncated_record", "record_too_long") and found[1]["line"] == len(
        members(PAGES[0]) if packed else PAGES[0]
    )


def test_damaged_plain_files_lose_what_is_damaged(tmp_path: Path) -> None:
    good = list(zip(FLAT, NAMES, strict=True))
    data = b"".join(PAGES)
    assert outcome(read(tmp_path / "a.warc", data)) == good
    assert outcome(read(tmp_path / "b.warc", data[:-400])) == [*good[:4], (FLAT[4], "truncated_record")]
    headless = read(tmp_path / "c.warc", data[: FLAT[2]] + b"X" + data[FLAT[2] + 1 :])
    assert outcome(headless) == [good[0], good[1], (FLAT[2], "not_warc"), *good[3:]]
    long_head = b"WARC/1.0\r\n" + b"a: b\r\n" * 20_000
    assert [reason for _, reason in outcome(read(tmp_path / "d.warc", PAGES[0] + long_head + PAGES[1]))] == [
        "eins",
        "broken_record",
        "zwei",
    ]


def test_files_that_are_no_warc_are_one_row(tmp_path: Path) -> None:
    assert only_problem(written(tmp_path / "a.warc", b"")) == ("empty_file", None)
    assert only_problem(written(tmp_path / "a.warc.gz", b""))[0] == "empty_file"
    assert only_problem(written(tmp_path / "b.warc", b"<html>no WARC</html>" * 9999))[0] == "not_warc"
    assert only_problem(written(tmp_path / "b.warc.gz", gzip.compress(b"no WARC" * 99)))[0] == "not_warc"
    assert only_problem(written(tmp_path / "c.warc.gz", b"no gzip" * 9999))[0] == "corrupt_gzip"
    assert only_problem(written(tmp_path / "d.warc", b"\n\r\n" * 9))[0] == "empty_file"


def test_how_a_file_is_packed_is_seen_in_its_bytes_and_one_member_may_hold_all(tmp_path: Path) -> None:
    data = b"".join(PAGES)
    pages = [text["text"] for text in read(tmp_path / "a.warc", data)]
    blocks = b"".join(gzip.compress(data[at : at + 300]) for at in range(0, len(data), 300))  # records go over members
    for name, packed in {
        "a.warc.gz": gzip.compress(data),
        "b.warc.gz": blocks,
        "c.warc.gz": data,
        "d.warc": members(*PAGES),
        "a.warc.zst": b"".join(pa.compress(one, "zstd", asbytes=True) for one in PAGES),
        "a.warc.xz": lzma.compress(data),
        "e.warc.gz": gzip.compress(data.replace(b"WARC/1.0\r\n", b"WARC/1.1\n")),
    }.items():
        found = read(tmp_path / name, packed)
        assert [row["text"] for row in found] == pages, name
        assert len({row["line"] for row in found}) == len(pages), name
    assert [row["line"] for row in read(tmp_path / "a.warc.gz", gzip.compress(data))] == FLAT  # as in the unpacked file
    assert (
        not TEXT.splits("a.warc.zst", Source(path="."))
        and TEXT.splits("a.warc.gz", Source(path="."))
        and TEXT.splits("a.wet", Source(path="."))
    )


_BOMB = """
import sys
from text_files import Path, peak_kb, rows
before = peak_kb()
print([(row["reason"], row["line"]) for row in rows(Path(sys.argv[1]))], peak_kb() - before)
"""


@pytest.mark.parametrize("kind", ["content", "head", "blank"])
def test_a_bomb_is_one_refused_record_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    head = {"content": record("response", b"", "http://x/", 10**10)[:-4], "head": b"WARC/1.0\r\na:", "blank": b""}[kind]
    filler = b"\r\n" * (1 << 19) if kind == "blank" else bytes(1 << 20)
    engine = zlib.compressobj(9, wbits=31)
    bomb = engine.compress(head) + b"".join(engine.compress(filler) for _ in range(400)) + engine.flush()
    path = written(tmp_path / "a.warc.gz", ZIPPED[0] + bomb + ZIPPED[1])
    done = subprocess.run(
        [sys.executable, "-c", _BOMB, str(path)], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=300
    )
    found, kilobytes = done.stdout.rsplit(maxsplit=1)
    first = ("decompression_bomb", len(ZIPPED[0]))
    assert found == str([(None, 0), first, (None, len(ZIPPED[0]) + len(bomb))])
    assert int(kilobytes) < 250_000


def test_a_long_record_that_is_no_page_anyway_says_that(tmp_path: Path) -> None:
    noise = bytes(range(256)) * (MAX_RECORD_BYTES // 256 + 1)
    long = [response(f"lang{k}", noise, Content_Type=kind) for k, kind in enumerate(("video/mp4", "text/html"))]
    found = read(tmp_path / "a.warc", PAGES[0] + long[0] + PAGES[1] + long[1] + PAGES[2])
    assert [row["reason"] for row in found] == [None, "not_html", None, "record_too_long", None]


# ------------------------------------------------------------------------------------------------ ranges


def _ranges(path: Path, size: int, **source: Any) -> list[dict[str, Any]]:
    total = path.stat().st_size
    cuts = [*range(0, total, size), total]
    return [row for start, end in itertools.pairwise(cuts) for row in rows(path, start, end, **source)]


@pytest.mark.parametrize("back", [0, 2000, 1 << 20])
def test_ranges_of_any_size_give_the_records_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, back: int) -> None:
    monkeypatch.setattr(warc_records, "_BACK_BYTES", back)
    monkeypatch.setattr(gzip_members, "_SEARCHED_BYTES", 5000)
    zipped = [*ZIPPED[:2], b"garbage", *ZIPPED[2:]]
    files = {
        "sound.warc": b"".join(PAGES),
        "sound.warc.gz": b"".join(ZIPPED),
        "garbage.warc": PAGES[0] + b"garbage\n" * 200 + b"".join(PAGES[1:]),
        "garbage.warc.gz": b"".join(zipped),
        "flipped.warc.gz": _flipped(b"".join(ZIPPED), PLACES[2] + 200),
        "cut.warc": b"".join(PAGES)[:-300],
        "single.warc.gz": gzip.compress(b"".join(PAGES)),
    }
    for name, data in files.items():
        path = written(tmp_path / name, data)
        whole = rows(path)
        assert len(whole) >= 5
        for size in (61, 397, 1000, 4096):
            if back or not name.startswith(("garbage", "cut", "flipped")):  # damage is told by the range that sees its beginning
                assert _ranges(path, size) == whole, (name, size)


@pytest.mark.parametrize("packed", [True, False])
def test_a_warc_inside_a_record_is_not_taken_for_records(tmp_path: Path, packed: bool) -> None:
    inner = members(*PAGES) if packed else b"".join(PAGES)
    outer = [PAGES[0], response("archiv", inner, Content_Type="application/warc"), PAGES[1]]
    data = b"".join(gzip.compress(one, 0) if packed else one for one in outer)  # stored, so that the inner members can be seen
    path = written(tmp_path / "a.warc", data)
    whole = rows(path)
    assert [row["reason"] for row in whole] == [None, "not_html", None]
    assert all(_ranges(path, size) == whole for size in (700, 1500, 3000))


def test_one_range_or_many_the_dataset_is_the_same_and_a_crawl_of_images_goes_through(tmp_path: Path, d4a: Any) -> None:
    """Names of records are `file#byte`; 70 % of responses without text do not end the run, broken ones would."""
    pages = [response(f"p{k}", PAGE.format(title=f"Seite {k}").encode()) for k in range(9)]
    images = [response(f"i{k}", bytes(range(256)) * 3, Content_Type="image/png") for k in range(21)]
    crawl = [piece for k in range(9) for piece in (images[2 * k], pages[k], images[2 * k + 1])] + images[18:]
    (tmp_path / "in").mkdir()
    written(tmp_path / "in/c.warc.gz", members(*crawl))
    for name, size in (("one", 1 << 26), ("many", 4096)):
        flow = f"text: {{sources: [{{path: in}}], partition_bytes: {size}, stages: [{{use: text.clean}}]}}"
        written(tmp_path / "r.yaml", f"name: crawl\n{flow}\noutput: {{path: {name}, order: input}}\n")
        told = d4a("curate", "r.yaml").stdout
        assert "9" in told
    one, many = (pq.read_table(next((tmp_path / name / "ledger").glob("*.parquet"))) for name in ("one", "many"))
    assert one.drop_columns(["id"]).equals(many.drop_columns(["id"]))
    places = starts(*(members(piece) for piece in crawl))
    assert one.column("source").to_pylist() == [f"c.warc.gz#{place}" for place in places]
    assert one.column("reason").to_pylist().count("not_html") == 21
    written(tmp_path / "in/c.warc.gz", members(*(piece[:-200] for piece in crawl)))
    assert "truncated_record" in d4a("curate", "r.yaml", "--set", "output.path=bad", code=1).stderr
