"""Common Crawl's files: what a record gives, and what is said about those that give nothing."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from d4a.modalities.text.rows import MAX_RECORD_BYTES
from text_files import TEXT, only_problem, written
from warc_files import PAGE, http, members, read, record, response


def only(tmp_path: Path, one: bytes, **source: Any) -> dict[str, Any]:
    (row,) = read(tmp_path / "a.warc.gz", members(one), **source)
    return row


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
