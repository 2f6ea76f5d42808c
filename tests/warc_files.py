"""WARC records made by hand, so that tests can break them where they like."""

from __future__ import annotations

import gzip
import uuid
from pathlib import Path
from typing import Any

from text_files import rows, written

PAGE = """<html><head><title>{title}</title></head><body><nav><a href="/">Start</a>
<a href="/b">Mehr</a></nav><main><article><h1>{title}</h1>
<p>Möwen sind Vögel, die am Meer leben und gern Brötchen stehlen, die andere Leute essen wollten.</p>
<p>Sie sind überall, wo es Häfen gibt, und man hört sie schon von weitem.</p></article></main><footer>Impressum</footer></body></html>"""


def record(kind: str, content: bytes, url: str = "", length: int | None = None, **headers: str) -> bytes:
    """One record; `headers` with _ for -; `length` is what Content-Length says."""
    ident = uuid.uuid5(uuid.NAMESPACE_URL, f"{kind} {url}")
    fields = {"WARC-Type": kind, "WARC-Date": "2025-01-02T03:04:05Z", "WARC-Record-ID": f"<urn:uuid:{ident}>"}
    if url:
        fields["WARC-Target-URI"] = url
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    fields["Content-Length"] = str(len(content) if length is None else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + content + b"\r\n\r\n"


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """An HTTP response; `headers` with _ for -."""
    fields = {"Content_Type": "text/html; charset=utf-8", **headers}
    return (f"HTTP/1.1 {status}\r\n" + "".join(f"{n.replace('_', '-')}: {v}\r\n" for n, v in fields.items()) + "\r\n").encode() + body


def response(name: str, body: bytes | None = None, **http_fields: str) -> bytes:
    """A response record of http://x.example/NAME."""
    return record(
        "response",
        http(PAGE.format(title=name).encode() if body is None else body, **http_fields),
        f"http://x.example/{name}",
        Content_Type="application/http; msgtype=response",
    )


def members(*records: bytes) -> bytes:
    """A gzip member a record."""
    return b"".join(gzip.compress(one, mtime=0) for one in records)


def starts(*pieces: bytes) -> list[int]:
    """Where each of some pieces that are joined begins."""
    places, at = [], 0
    for piece in pieces:
        places.append(at)
        at += len(piece)
    return places


NAMES = ("eins", "zwei", "drei", "vier", "fünf")
PAGES = [response(name) for name in NAMES]


def read(path: Path, data: bytes, **source: Any) -> list[dict[str, Any]]:
    return rows(written(path, data), **source)


def outcome(found: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Where each row lies, and which page it is or why it is none."""
    return [(row["line"], row["reason"] or row["url"].rsplit("/")[-1]) for row in found]
