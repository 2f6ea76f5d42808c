"""WARC, WET and WAT, the files of Common Crawl -> records: pages, texts and what is known about pages.

What a record is decides how it is read, not the name of its file. A response that holds no text (an image, a 404) is a
row of the ledger with its reason; what is no page by its kind (requests, warcinfo, revisits) is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from ...curator.recipe import Source
from .html import Page, decode, page_text
from .http_response import decoded_body, media_type, parse_response
from .rows import MAX_RECORD_BYTES, Rows
from .streams import ReadError
from .warc_records import Damage, Record, warc_records
from .wat import read_metadata

_HTML = ("text/html", "application/xhtml+xml")
_PLAIN = ("text/plain", "text/markdown", "text/x-markdown")
# sound records that hold no text: no fault of the file, so they do not count as unreadable
WITHOUT_TEXT = frozenset({"http_status", "not_html", "empty_body", "no_main_text", "no_title"})


def read_warc(path: str, start: int, end: int, size: int, source: Source) -> Iterator[pa.RecordBatch]:
    """Records whose first byte lies in [start, end) as reader batches; `line` is the byte where a record begins.

    size  bytes of the file
    Raises OSError when the machine cannot read it.
    """
    rows = Rows()
    passed = 0
    for found in warc_records(path, start, end):
        passed += not _add(rows, found, source)
        if rows.full:
            yield rows.take()
    if rows.total == 0 and (start, end) == (0, size):
        rows.refuse("empty_file", f"{passed} records, none of them a page" if passed else "")
    if len(rows):
        yield rows.take()


def _add(rows: Rows, found: Record | Damage, source: Source) -> bool:
    """Add a row for a record; False for one that is passed over."""
    ident = record_id(found.headers)
    if isinstance(found, Damage):
        rows.refuse(found.reason, found.detail, found.offset, ident)
        return True
    try:
        read = _read(found, source)
    except ReadError as error:
        rows.refuse(error.reason, error.detail, found.offset, ident)
        return True
    if read is None:
        return False
    text, meta = read
    meta = {"date": found.headers.get("warc-date"), **meta}
    fields = orjson.dumps({name: value for name, value in meta.items() if value is not None and value != ""})
    rows.add(text, fields, found.offset, ident, len(found.block), url=target(found.headers))
    return True


def record_id(headers: dict[str, str]) -> str | None:
    """`<urn:uuid:43652194-…>` -> `43652194-…`."""
    ident = headers.get("warc-record-id", "").strip("<>")
    return ident.removeprefix("urn:uuid:") or None


def target(headers: dict[str, str]) -> str | None:
    """The address; some writers put it in angle brackets, as an early draft of the format did."""
    return headers.get("warc-target-uri", "").strip("<>") or None


def _read(record: Record, source: Source) -> tuple[str, dict[str, Any]] | None:
    """Text and meta of a record; None for one of no interest. Raises ReadError."""
    kind = record.headers.get("warc-type", "").lower()
    content = media_type(record.headers.get("content-type", ""))[0]
    if kind == "response":
        return _response(record, content, source)
    if kind == "conversion":
        return _conversion(record, content)
    if kind == "metadata" and content == "application/json":
        _check_length(record)
        return read_metadata(record.block)
    return None


def _check_length(record: Record) -> None:
    if record.length > MAX_RECORD_BYTES:
        raise ReadError("record_too_long", f"{record.length} bytes; the limit is {MAX_RECORD_BYTES}")


# ------------------------------------------------------------------------------------------------------ WET


def _conversion(record: Record, content: str) -> tuple[str, dict[str, Any]]:
    """A text that somebody else took out of a page, as it is."""
    if content and content not in _PLAIN:
        raise ReadError("not_html", content)
    _check_length(record)
    page = decode(record.block, html=False, cut="warc-truncated" in record.headers)
    if not page.text.strip():
        raise ReadError("no_main_text")
    return page.text, {
        "language": record.headers.get("warc-identified-content-language"),
        "length": record.length,
        "refers_to": record.headers.get("warc-refers-to", "").strip("<>").removeprefix("urn:uuid:"),
        "truncated": record.headers.get("warc-truncated"),
    }


# ------------------------------------------------------------------------------------------------- responses


def _response(record: Record, content: str, source: Source) -> tuple[str, dict[str, Any]]:
    if content and content != "application/http":  # dns:, ftp:, gemini:
        raise ReadError("not_html", content)
    response = parse_response(record.block)
    if response.status != 200:
        raise ReadError("http_status", str(response.status))
    stated, charset = media_type(response.headers.get("content-type", ""))
    identified = media_type(record.headers.get("warc-identified-payload-type", ""))[0]
    kind = _kind(stated, identified, response.body)
    _check_length(record)
    cut = record.headers.get("warc-truncated")
    body = decoded_body(response, cut is not None)
    if not body or body.isspace():
        raise ReadError("empty_body")
    page = decode(body, charset, html=kind == "html", cut=cut is not None)
    raw = body if page.charset == "utf-8" else b""
    text = page_text(page.text, source.extract, raw) if kind == "html" else _plain(page)
    return text, {
        "status": response.status,
        "content_type": stated,
        "payload_type": identified,
        "charset": page.charset,
        "broken_characters": page.lost or None,
        "payload_digest": record.headers.get("warc-payload-digest"),
        "truncated": cut,
    }


def _kind(stated: str, identified: str, body: bytes) -> str:
    """`html` or `plain`; what the crawler found in the bytes counts for more than what the server said. Raises ReadError for others."""
    found = identified or stated
    if not found and body[:1024].lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "html"
    if found not in _HTML and found not in _PLAIN:
        raise ReadError("not_html", found or "no content type")
    return "html" if found in _HTML or stated in _HTML else "plain"


def _plain(page: Page) -> str:
    if (nul := page.text.find("\0")) >= 0:
        raise ReadError("binary_file", f"a NUL: character {nul}")
    return page.text
