"""WAT: the JSON that Common Crawl's metadata records hold about every record of a WARC.

The text of a page is its title, an empty line and its description; its links are counted only.
"""

from __future__ import annotations

from typing import Any

import orjson

from .http_response import media_type
from .streams import ReadError


def read_metadata(block: bytes) -> tuple[str, dict[str, Any]] | None:
    """Text and meta of a WAT record about a page; None where it is about another kind of record.

    text  title and description, stripped, with an empty line between them; one of them where the other is missing or the same.
          The description is `<meta name="description">`, else `<meta property="og:description">`
    Raises ReadError where the page has neither, was not found, is no page, or the JSON is broken.
    """
    try:
        record = orjson.loads(block)
    except ValueError as error:
        raise ReadError("broken_json", str(error)) from error
    envelope = _at(record, "Envelope")
    about, payload = _at(envelope, "WARC-Header-Metadata"), _at(envelope, "Payload-Metadata")
    if str(about.get("WARC-Type", "")).lower() != "response":
        return None
    response = _at(payload, "HTTP-Response-Metadata")
    headers = {str(name).lower(): value for name, value in _at(response, "Headers").items()}
    status = _text(_at(response, "Response-Message").get("Status"))
    if status != "200":
        raise ReadError("http_status", status or "none")
    html = response.get("HTML-Metadata")
    if not isinstance(html, dict):
        raise ReadError("not_html", media_type(_text(headers.get("content-type")))[0] or "no content type")
    head = _at(html, "Head")
    title, metas = _text(head.get("Title")), _metas(head)
    description = metas.get("description") or metas.get("og:description") or ""
    text = "\n\n".join(dict.fromkeys(part for part in (title, description) if part))
    if not text:
        raise ReadError("no_title", "neither title nor description")
    return text, _facts(record, about, headers, html, metas, title, description)


def _facts(
    record: Any, about: dict[str, Any], headers: dict[str, Any], html: dict[str, Any], metas: dict[str, str], title: str, description: str
) -> dict[str, Any]:
    content_type, charset = media_type(_text(headers.get("content-type")))
    container = _at(record, "Container")
    links = html.get("Links")
    offset = _text(container.get("Offset"))
    return {
        "status": 200,
        "content_type": content_type,
        "payload_type": _text(about.get("WARC-Identified-Payload-Type")),
        "charset": charset or metas.get("charset"),
        "server": _text(headers.get("server")),
        "last_modified": _text(headers.get("last-modified")),
        "title": title,
        "description": description,
        "language": metas.get("content-language") or _text(headers.get("content-language")),
        "generator": metas.get("generator"),
        "robots": metas.get("robots"),
        "canonical": _canonical(_at(html, "Head")),
        "links": sum(_text(_at(link).get("path")).startswith("A@") for link in links) if isinstance(links, list) else 0,
        "payload_digest": _text(about.get("WARC-Payload-Digest")),
        "refers_to": _text(about.get("WARC-Record-ID")).strip("<>").removeprefix("urn:uuid:"),
        "warc": _text(container.get("Filename")),
        "warc_offset": int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 19 else None,
    }


def _at(value: Any, name: str = "") -> dict[str, Any]:
    """The object under a name, or the value itself; an empty one where there is none."""
    found = value.get(name) if name and isinstance(value, dict) else value if not name else None
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _metas(head: dict[str, Any]) -> dict[str, str]:
    """Meta tags by lower-case name, property or http-equiv, the first of each; `charset` for `<meta charset>`."""
    found: dict[str, str] = {}
    metas = head.get("Metas")
    for meta in metas if isinstance(metas, list) else []:
        tag = {str(name).lower(): _text(value) for name, value in _at(meta).items()}
        if tag.get("charset"):
            found.setdefault("charset", tag["charset"])
        name = (tag.get("name") or tag.get("property") or tag.get("http-equiv") or "").lower()
        if name and tag.get("content"):
            found.setdefault(name, tag["content"])
    return found


def _canonical(head: dict[str, Any]) -> str:
    links = head.get("Link")
    for link in links if isinstance(links, list) else []:
        if _text(_at(link).get("rel")).lower() == "canonical":
            return _text(_at(link).get("url"))
    return ""
