"""An HTTP response as a WARC holds it -> status, headers and the decoded body, in bounded memory.

Crawlers keep headers of an encoding that they have already undone (warcio, Heritrix proxies), so the body is asked, too:
what says gzip and is none is taken as it is.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache

from .rows import MAX_RECORD_BYTES
from .streams import ReadError
from .warc_records import head_size, header_fields

_STATUS = re.compile(r"HTTP/\d+(?:\.\d+)?[ \t]+(\d{3})(?:[ \t]|$)", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s\"';,]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers by lower-case name, and the body as it was sent."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse_response(block: bytes) -> Response:
    """The content of a `response` record. Raises ReadError where it is no HTTP response."""
    size = head_size(block) or len(block)
    line, _, lines = block[:size].decode("latin-1").partition("\n")
    status = _STATUS.match(line.rstrip("\r"))
    if status is None:
        raise ReadError("broken_http", f"no status line: {line.rstrip()[:80]!r}")
    return Response(int(status[1]), header_fields(lines), block[size:])


@lru_cache(maxsize=256)  # a few types make up nearly all pages
def media_type(content_type: str) -> tuple[str, str]:
    """`Text/HTML; charset=x` -> (`text/html`, `x`); empty where nothing is said."""
    charset = _CHARSET.search(content_type)
    return content_type.partition(";")[0].partition(",")[0].strip().lower(), charset[1] if charset else ""


def decoded_body(response: Response, cut: bool) -> bytes:
    """The body without transfer and content encodings.

    cut  the record says that its end is missing: what decodes is enough
    Raises ReadError where it cannot be decoded, or is over the limit.
    """
    body = response.body
    if "chunked" in response.headers.get("transfer-encoding", "").lower():
        body = _dechunked(body, cut)
    for name in reversed(response.headers.get("content-encoding", "").lower().split(",")):
        body = _decoded(body, name.strip(), cut)
    return body


def _dechunked(body: bytes, cut: bool) -> bytes:
    chunks = []
    at = 0
    while True:
        size = _CHUNK_SIZE.match(body, at)
        if size is None:
            if at == 0:
                return body  # the crawler has joined the chunks already
            if cut or not body[at:].strip():
                break
            raise ReadError("broken_body", f"chunked: no size of a chunk at byte {at}")
        end = size.end() + int(size[1], 16)
        if end == size.end():
            break
        chunks.append(body[size.end() : end])
        if end > len(body):
            if not cut:
                raise ReadError("broken_body", f"chunked: {end - len(body)} bytes are missing")
            break
        at = end + (2 if body.startswith(b"\r\n", end) else 1 if body.startswith(b"\n", end) else 0)
    return b"".join(chunks)


def _decoded(body: bytes, name: str, cut: bool) -> bytes:
    if name in ("gzip", "x-gzip"):
        return _inflated(body, 31, name, cut) if body.startswith(b"\x1f\x8b") else body
    if name == "deflate":
        if len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0:
            return _inflated(body, 15, name, cut)
        return body if body.lstrip()[:1] == b"<" else _inflated(body, -15, name, cut)  # some servers leave zlib's header out
    if name in ("br", "zstd"):
        return body if body.lstrip()[:1] == b"<" else _unpacked(body, "brotli" if name == "br" else name, cut)
    if name in ("", "identity", "none", "utf-8"):
        return body
    raise ReadError("unknown_content_encoding", name)


def _inflated(body: bytes, window: int, name: str, cut: bool) -> bytes:
    pieces = []
    room = MAX_RECORD_BYTES
    while body:
        engine = zlib.decompressobj(window)
        try:
            pieces.append(engine.decompress(body, room + 1))
        except zlib.error as error:
            if pieces:
                break  # rubbish behind the gzip file, which browsers pass over as well
            raise ReadError("broken_body", f"{name}: {error}") from error
        room -= len(pieces[-1])
        if room < 0:
            raise ReadError("record_too_long", f"the limit is {MAX_RECORD_BYTES} bytes; {name} gives more")
        if not engine.eof and not cut:
            raise ReadError("broken_body", f"{name}: it ends before its end")
        body = engine.unused_data
    return b"".join(pieces)


def _unpacked(body: bytes, name: str, cut: bool) -> bytes:
    import pyarrow as pa

    data = bytearray()
    stream = pa.CompressedInputStream(pa.BufferReader(body), name)
    try:
        while piece := stream.read(1 << 20):
            data += piece
            if len(data) > MAX_RECORD_BYTES:
                raise ReadError("record_too_long", f"the limit is {MAX_RECORD_BYTES} bytes; {name} gives more")
    except (OSError, pa.ArrowException) as error:
        if not (cut and data):
            raise ReadError("broken_body", f"{name}: {str(error).splitlines()[0]}") from error
    return bytes(data)
