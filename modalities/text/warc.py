"""WARC, WET and WAT, the files of Common Crawl -> records: pages, texts and what is known about pages.

What a record is decides how it is read, not the name of its file. A response that holds no text (an image, a 404) is a
row of the ledger with its reason; what is no page by its kind (requests, warcinfo, revisits) is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from ...curator.recipe import Source
from .html import Page, decode, page_texts
from .http_response import decoded_body, media_type, parse_response
from .rows import BATCH_BYTES, MAX_RECORD_BYTES, Rows
from .streams import ReadError
from .warc_records import Damage, Record, warc_records
from .wat import read_metadata

_HTML = ("text/html", "application/xhtml+xml")
_PLAIN = ("text/plain", "text/markdown", "text/x-markdown")
_GROUP_RECORDS = 32
# sound records that hold no text: no fault of the file, so they do not count as unreadable
WITHOUT_TEXT = frozenset({"http_status", "not_html", "empty_body", "no_main_text", "no_title"})


def read_warc(path: str, start: int, end: int, size: int, source: Source) -> Iterator[pa.RecordBatch]:
    """Records whose first byte lies in [start, end) as reader batches; `line` is the byte where a record begins.

    size  bytes of the file
    Raises OSError when the machine cannot read it.
    """
    rows = Rows()
    passed = 0
    for group in _groups(warc_records(path, start, end)):
        found = [one for record in group if (one := _look_at(record)) is not None]
        passed += len(group) - len(found)
        _take_texts([one for one in found if one.page is not None], source)
        for one in found:
            _add(rows, one)
            if rows.full:
                yield rows.take()
    if rows.total == 0 and (start, end) == (0, size):
        rows.refuse("empty_file", f"{passed} records, none of them a page" if passed else "")
    if len(rows):
        yield rows.take()


def _groups(found: Iterator[Record | Damage]) -> Iterator[list[Record | Damage]]:
    """Some records at a time: unpacking, looking and parsing in turns for each would cost a tenth more, in cold caches."""
    group: list[Record | Damage] = []
    size = 0
    for one in found:
        group.append(one)
        size += len(one.block) if isinstance(one, Record) else 0
        if len(group) == _GROUP_RECORDS or size >= BATCH_BYTES:
            yield group
            group, size = [], 0
    yield group


@dataclass(slots=True)
class _Found:
    """A record on its way into a row.

    text  None: still to be taken out of `page` (whose UTF-8 is `raw`), or never to be had: `problem` says why
    """

    of: Record | Damage
    text: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    page: Page | None = None
    raw: bytes = b""
    problem: ReadError | None = None


def _look_at(record: Record | Damage) -> _Found | None:
    """What a record holds; None for one that is passed over."""
    if isinstance(record, Damage):
        return _Found(record, problem=ReadError(record.reason, record.detail))
    try:
        return _read(record)
    except ReadError as error:
        return _Found(record, problem=error)


def _take_texts(found: list[_Found], source: Source) -> None:
    pages = [one.page.text for one in found if one.page is not None]
    for one, text in zip(found, page_texts(pages, [one.raw for one in found], source.extract), strict=True):
        if isinstance(text, ReadError):
            one.problem = text
        else:
            one.text = text


def _add(rows: Rows, found: _Found) -> None:
    headers, line = found.of.headers, found.of.offset
    ident = record_id(headers)
    if found.text is None:
        problem = found.problem or ReadError("no_main_text")
        rows.refuse(problem.reason, problem.detail, line, ident)
        return
    meta = {"date": headers.get("warc-date"), **found.meta}
    fields = orjson.dumps({name: value for name, value in meta.items() if value is not None and value != ""})
    rows.add(found.text, fields, line, ident, len(found.text), url=target(headers))


def record_id(headers: dict[str, str]) -> str | None:
    """`<urn:uuid:43652194-…>` -> `43652194-…`."""
    ident = headers.get("warc-record-id", "").strip("<>")
    return ident.removeprefix("urn:uuid:") or None


def target(headers: dict[str, str]) -> str | None:
    """The address; some writers put it in angle brackets, as an early draft of the format did."""
    return headers.get("warc-target-uri", "").strip("<>") or None


def _read(record: Record) -> _Found | None:
    """What a record holds; None for one of no interest. Raises ReadError."""
    kind = record.headers.get("warc-type", "").lower()
    content = media_type(record.headers.get("content-type", ""))[0]
    if kind == "response":
        return _response(record, content)
    if kind == "conversion":
        return _conversion(record, content)
    if kind == "metadata" and content == "application/json":
        _check_length(record)
        read = read_metadata(record.block)
        return None if read is None else _Found(record, *read)
    return None


def _check_length(record: Record) -> None:
    if record.length > MAX_RECORD_BYTES:
        raise ReadError("record_too_long", f"{record.length} bytes; the limit is {MAX_RECORD_BYTES}")


# ------------------------------------------------------------------------------------------------------ WET


def _conversion(record: Record, content: str) -> _Found:
    """A text that somebody else took out of a page, as it is."""
    if content and content not in _PLAIN:
        raise ReadError("not_html", content)
    _check_length(record)
    page = decode(record.block, html=False, cut="warc-truncated" in record.headers)
    if not page.text.strip():
        raise ReadError("no_main_text")
    meta = {
        "language": record.headers.get("warc-identified-content-language"),
        "length": record.length,
        "refers_to": record.headers.get("warc-refers-to", "").strip("<>").removeprefix("urn:uuid:"),
        "truncated": record.headers.get("warc-truncated"),
    }
    return _Found(record, page.text, meta)


# ------------------------------------------------------------------------------------------------- responses


def _response(record: Record, content: str) -> _Found:
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
    meta = {
        "status": response.status,
        "content_type": stated,
        "payload_type": identified,
        "charset": page.charset,
        "broken_characters": page.lost or None,
        "payload_digest": record.headers.get("warc-payload-digest"),
        "truncated": cut,
    }
    if kind == "plain":
        return _Found(record, _plain(page), meta)
    return _Found(record, None, meta, page, body if page.charset == "utf-8" else page.text.encode())


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
