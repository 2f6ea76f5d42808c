"""Common Crawl's files: what a record gives, what is said about those that give nothing, damage, and byte ranges."""

from __future__ import annotations

import gzip
import itertools
import json
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
from warc_files import PAGE, http, members, record, response, starts

NAMES = ("eins", "zwei", "drei", "vier", "fünf")
PAGES = [response(name) for name in NAMES]


def read(path: Path, data: bytes, **source: Any) -> list[dict[str, Any]]:
    return rows(written(path, data), **source)


def only(tmp_path: Path, one: bytes, **source: Any) -> dict[str, Any]:
    (row,) = read(tmp_path / "a.warc.gz", members(one), **source)
    return row


def outcome(found: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Where each row lies, and which page it is or why it is none."""
    return [(row["line"], row["reason"] or row["url"].rsplit("/")[-1]) for row in found]


# ------------------------------------------------------------------------------------------------- pages


def test_a_page_comes_with_its_text_address_id_and_what_the_crawler_knew(tmp_path: Path) -> None:
    page = PAGE.format(title="Über Möwen").encode()
    one = record(
        "response",
        http(page),
        "<http://x.example/ü>",
        Content_Type="application/http",
        WARC_Payload_Digest="sha1:ABC",
        WARC_Identified_Payload_Type="text/html",
    )
    row = only(tmp_path, one)
    assert row["text"].startswith("Über Möwen\n") and "Brötchen" in row["text"] and "Impressum" not in row["text"]
    assert row["url"] == "http://x.example/ü" and len(row["id"]) == 36 and row["line"] == 0 and row["record"] is None
    assert json.loads(row["meta"]) == {
        "date": "2025-01-02T03:04:05Z",
        "status": 200,
        "content_type": "text/html",
        "payload_type": "text/html",
        "charset": "utf-8",
        "payload_digest": "sha1:ABC",
    }
    plain = only(tmp_path, one, extract="plain")
    assert "Impressum" in plain["text"] and "Brötchen" in plain["text"]


def test_what_is_no_page_is_passed_over_and_what_holds_no_text_says_why(tmp_path: Path) -> None:
    other = {"Content_Type": "application/http"}
    kept = {
        response("weg", status="404 Not Found"): ("http_status", "404"),
        response("bild", b"\x89PNG", Content_Type="image/png"): ("not_html", "image/png"),
        response("leer", b" \n"): ("empty_body", None),
        response("still", b"<html><script>1</script></html>"): ("no_main_text", None),
        record("response", b"\0\1", "dns:x.example", Content_Type="text/dns"): ("not_html", "text/dns"),
        record("response", http(b"%PDF-"), "http://x/", WARC_Identified_Payload_Type="application/pdf", **other): (
            "not_html",
            "application/pdf",
        ),
        record("response", b"no HTTP", "http://x/", **other): ("broken_http", "no status line: 'no HTTP'"),
        response("nul", b"a\0b", Content_Type="text/plain"): ("binary_file", "a NUL: character 1"),
    }
    silent = [record(kind, b"x: y\r\n", Content_Type="application/warc-fields") for kind in ("warcinfo", "request", "metadata", "revisit")]
    found = read(tmp_path / "a.warc.gz", members(*silent, *kept))
    assert [(row["reason"], row["detail"]) for row in found] == list(kept.values())
    assert all(row["text"] is None and row["id"] for row in found)
    assert {reason for reason, _ in list(kept.values())[:6]} <= TEXT.irrelevant
    assert not {"broken_http", "binary_file", "truncated_record", "corrupt_gzip"} & TEXT.irrelevant
    assert only_problem(written(tmp_path / "b.warc", b"".join(silent))) == ("empty_file", "4 records, none of them a page")


def test_plain_text_is_taken_as_it_is_and_a_page_without_a_type_is_looked_at(tmp_path: Path) -> None:
    text = "Zeile <eins>\r\n\tzwei  ende\n"
    row = only(tmp_path, response("a", text.encode("cp1252"), Content_Type="Text/Plain; charset=ISO-8859-1"))
    assert row["text"] == text and json.loads(row["meta"])["charset"] in ("utf-8", "cp1252")
    assert "Möwen" in only(tmp_path, response("b", ("<!DOCTYPE html>" + PAGE).encode(), Content_Type=""))["text"]


_CYRILLIC = PAGE.format(title="x").replace("Möwen", "Чайки").replace("ö", "o").replace("ü", "u").replace("ä", "a")


@pytest.mark.parametrize(
    ("body", "header", "charset"),
    [
        (_CYRILLIC.encode("cp1251"), "text/html; charset=windows-1251", "cp1251"),
        (_CYRILLIC.encode("koi8-r"), 'text/html;charset="KOI8-R"', "koi8-r"),
        (_CYRILLIC.encode("utf-8"), "text/html; charset=windows-1251", "utf-8"),  # valid UTF-8 is no accident
        (b'<meta charset="windows-1251">' + _CYRILLIC.encode("cp1251"), "text/html", "cp1251"),
        (_CYRILLIC.encode("utf-16"), "text/html; charset=windows-1251", "utf-16"),  # a byte order mark counts for more
        (_CYRILLIC.encode("utf-16-le"), "text/html; charset=utf-16", "utf-16-le"),
        (_CYRILLIC.replace("Чайки", "Чайки 日本語").encode("iso2022_jp", "replace"), "text/html; charset=iso-2022-jp", "iso2022_jp"),
        (_CYRILLIC.replace("Чайки", "Чайки①").encode("cp932"), "text/html; charset=shift_jis", "cp932"),  # the web's Shift_JIS
    ],
)
def test_charsets(tmp_path: Path, body: bytes, header: str, charset: str) -> None:
    row = only(tmp_path, response("a", body, Content_Type=header))
    assert "Чайки" in row["text"] and json.loads(row["meta"])["charset"] == charset


def test_a_few_broken_characters_in_much_utf8_go_and_are_counted_many_are_refused(tmp_path: Path) -> None:
    good = PAGE.replace("{title}", "Möwen " * 200).encode()
    row = only(tmp_path, response("a", good.replace(b"Mehr", b"Mehr\xc3")))
    assert "Vögel" in row["text"] and "\ufffd" not in row["text"] and json.loads(row["meta"])["broken_characters"] == 1
    row = only(tmp_path, response("b", b"<p>" + b"\x81\xff\xfe\x8d" * 20))
    assert row["reason"] == "unknown_charset" and "utf-8: byte 3" in row["detail"]


# ------------------------------------------------------------------------------------------------ bodies


def _chunked(body: bytes) -> bytes:
    pieces = [body[at : at + 50] for at in range(0, len(body), 50)]
    return b"".join(b"%x;name=value\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


_BODY = PAGE.format(title="a").encode()
_RAW = zlib.compressobj(wbits=-15)
_DEFLATED = _RAW.compress(_BODY) + _RAW.flush()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (_chunked(_BODY), {"Transfer_Encoding": "chunked"}),
        (_chunked(gzip.compress(_BODY)), {"Transfer_Encoding": "Chunked", "Content_Encoding": "GZIP"}),
        (zlib.compress(_BODY), {"Content_Encoding": "deflate"}),
        (_DEFLATED, {"Content_Encoding": "deflate"}),
        (pa.compress(_BODY, "brotli", asbytes=True), {"Content_Encoding": "br"}),
        (pa.compress(_BODY, "zstd", asbytes=True), {"Content_Encoding": "zstd"}),
        (gzip.compress(gzip.compress(_BODY)), {"Content_Encoding": "gzip, gzip"}),
        (_BODY, {"Transfer_Encoding": "chunked", "Content_Encoding": "gzip"}),  # undone by the crawler, headers left
        (_BODY, {"Content_Encoding": "br"}),
    ],
)
def test_encodings_of_a_body_are_undone(tmp_path: Path, body: bytes, headers: dict[str, str]) -> None:
    assert only(tmp_path, response("a", body, **headers))["text"] == only(tmp_path, response("a", _BODY))["text"]


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (_chunked(_BODY)[:-60], {"Transfer_Encoding": "chunked"}, "broken_body"),
        (gzip.compress(_BODY)[:-20], {"Content_Encoding": "gzip"}, "broken_body"),
        (b"\x1f\x8b\x08garbage", {"Content_Encoding": "gzip"}, "broken_body"),
        (b"garbage", {"Content_Encoding": "br"}, "broken_body"),
        (_BODY, {"Content_Encoding": "lzma"}, "unknown_content_encoding"),
        (gzip.compress(b" " * (MAX_RECORD_BYTES + 1), 1), {"Content_Encoding": "gzip"}, "record_too_long"),
    ],
)
def test_a_body_that_cannot_be_decoded_says_why(tmp_path: Path, body: bytes, headers: dict[str, str], reason: str) -> None:
    assert only(tmp_path, response("a", body, **headers))["reason"] == reason


def test_a_record_that_the_crawler_cut_gives_what_is_there(tmp_path: Path) -> None:
    cut = PAGE.replace("{title}", "ü").encode()[:-160] + "ü".encode()[:1]
    block = http(gzip.compress(cut)[:-9], Content_Encoding="gzip")
    row = only(tmp_path, record("response", block, "http://x/", Content_Type="application/http", WARC_Truncated="length"))
    assert "Möwen" in row["text"] and json.loads(row["meta"])["truncated"] == "length"


# --------------------------------------------------------------------------------------------- WET and WAT


def test_wet_texts_are_taken_as_they_are(tmp_path: Path) -> None:
    text = "Une page\nen français, çà et là.\n"
    one = record("conversion", text.encode(), "http://x/", Content_Type="text/plain", WARC_Identified_Content_Language="fra")
    info = record("warcinfo", b"software: x\r\n")
    (row,) = read(tmp_path / "a.warc.wet.gz", members(info, one))
    assert row["text"] == text and row["url"] == "http://x/" and row["line"] == len(members(info))
    assert json.loads(row["meta"]) == {"date": "2025-01-02T03:04:05Z", "language": "fra", "length": len(text.encode())}


def _wat(response_metadata: dict[str, Any] | None, kind: str = "response") -> bytes:
    payload = {"HTTP-Response-Metadata": response_metadata} if response_metadata is not None else {}
    about = {"WARC-Type": kind, "WARC-Record-ID": "<urn:uuid:1>", "WARC-Identified-Payload-Type": "text/html"}
    tree = {
        "Container": {"Filename": "CC.warc.gz", "Offset": "1234"},
        "Envelope": {"WARC-Header-Metadata": about, "Payload-Metadata": payload},
    }
    return record("metadata", json.dumps(tree).encode(), "http://x/", Content_Type="application/json")


def test_wat_gives_title_and_description_and_counts_links(tmp_path: Path) -> None:
    head = {
        "Title": " Über Möwen ",
        "Metas": [
            {"charset": "utf-8"},
            {"property": "og:description", "content": "og"},
            {"name": "Description", "content": "Alles über sie."},
        ],
        "Link": [{"path": "LINK@/href", "url": "http://x/canon", "rel": "canonical"}],
    }
    links = [{"path": "A@/href", "url": "/a"}, {"path": "IMG@/src", "url": "/b.png"}, {"path": "A@/href", "url": "/c"}]
    page = {
        "Response-Message": {"Status": "200"},
        "Headers": {"Content-Type": "text/html", "Server": "nginx"},
        "HTML-Metadata": {"Head": head, "Links": links},
    }
    missing = {**page, "Response-Message": {"Status": "404"}}
    image = {"Response-Message": {"Status": "200"}, "Headers": {"content-type": "image/png"}}
    untitled = {**page, "HTML-Metadata": {"Head": {"Metas": "?", "Link": [3]}, "Links": None}}
    found = read(
        tmp_path / "a.warc.wat.gz",
        members(
            _wat(page),
            *map(_wat, (missing, image, untitled)),
            _wat(None, "request"),
            record("metadata", b"[{", Content_Type="application/json"),
        ),
    )
    assert found[0]["text"] == "Über Möwen\n\nAlles über sie." and found[0]["url"] == "http://x/"
    assert json.loads(found[0]["meta"]) == {
        "date": "2025-01-02T03:04:05Z",
        "status": 200,
        "content_type": "text/html",
        "payload_type": "text/html",
        "charset": "utf-8",
        "server": "nginx",
        "title": "Über Möwen",
        "description": "Alles über sie.",
        "canonical": "http://x/canon",
        "links": 2,
        "refers_to": "1",
        "warc": "CC.warc.gz",
        "warc_offset": 1234,
    }
    assert [row["reason"] for row in found[1:]] == ["http_status", "not_html", "no_title", "broken_json"]


# ------------------------------------------------------------------------------------------------ damage


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
    lies = record("response", http(_BODY), "http://x.example/lies", wrong, Content_Type="application/http")
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
        [sys.executable, "-c", _BOMB, str(path)], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=60
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
