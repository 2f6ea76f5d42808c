"""What a file is, by its first bytes: names and suffixes lie, and a wrong guess here costs a clear reason later.

A short table of signatures instead of a library such as libmagic: eight image formats are all that can be read, and
for the rest one honest word in the ledger is enough.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Literal

SNIFF_BYTES = 4096
MAX_PAGES = 1_000_000
READABLE = ("jpeg", "png", "webp", "gif", "tiff", "bmp", "avif", "heic")  # heic where pillow-heif is installed
# images that d4a cannot decode
FOREIGN = frozenset({"jxl", "jp2", "ico", "psd", "svg", "exr", "hdr", "pnm", "dds"})

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL ", "jxl"),
    (b"\0\0\0\x0cjP  ", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"\0\0\x01\0", "ico"),
    (b"8BPS", "psd"),
    (b"v/1\x01", "exr"),
    (b"#?RADIANCE", "hdr"),
    (b"DDS ", "dds"),
    (b"P5\n", "pnm"),
    (b"P6\n", "pnm"),
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
    (b"ID3", "audio"),
    (b"OggS", "audio"),
    (b"fLaC", "audio"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"PAR1", "parquet"),
)
_BRANDS = {b"avif": "avif", b"avis": "avif", b"heic": "heic", b"heix": "heic", b"hevc": "heic", b"mif1": "heic", b"msf1": "heic"}
_MARKUP = ((rb"<!doctype html|<html|<head|<body|<!--.{0,200}<html", "html"), (rb"<svg|<\?xml.{0,1000}<svg", "svg"), (rb"<\?xml", "xml"))


def sniff(head: bytes) -> str:
    """One word for what begins with `head` (its first 4 KiB): an image format, or html, pdf, text, ...; "unknown" for the rest."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head.startswith(b"RIFF"):
        return "webp" if head[8:12] == b"WEBP" else "audio" if head[8:12] == b"WAVE" else "video"
    if head.startswith(b"BM") and len(head) >= 18 and head[14:18] in _BMP_HEADERS:
        return "bmp"
    if head[257:262] == b"ustar":
        return "tar"
    return _by_text(head)


def readable(name: str) -> bool:
    """Whether this machine can decode what `sniff` calls `name`."""
    return name in READABLE and (name != "heic" or find_spec("pillow_heif") is not None)


def unreadable(name: str) -> tuple[str, str]:
    """(reason, detail) for a file that `sniff` calls `name` and that is not `readable`."""
    if name in READABLE:
        return "unsupported_format", f"{name}; pip install 'd4a[heic]' brings what reads it"
    return ("unsupported_format" if name in FOREIGN else "not_an_image"), name


def canvas_size(head: bytes, name: str) -> tuple[int, int] | None:
    """(width, height) in the header of a GIF or WebP file, whose decoders allocate the whole canvas when they open it; None for others."""
    if name == "gif" and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if name != "webp" or len(head) < 30:
        return None
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def tiff_pages(data: bytes) -> int | None:
    """Pages of a TIFF file, its chain of directories; None where that breaks off or has more than MAX_PAGES links.

    Pillow counts too, but in time that grows with the square: an hour for the pages that fit into 30 MB.
    """
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    big = data[2:4] in (b"+\0", b"\0+")
    start, offset, count, entry = (8, 8, 8, 20) if big else (4, 4, 2, 12)
    at, seen = int.from_bytes(data[start : start + offset], order), set[int]()
    while at and at not in seen:
        if len(seen) == MAX_PAGES:
            return None
        seen.add(at)
        after = at + count + entry * int.from_bytes(data[at : at + count], order)
        if after + offset > len(data):
            return None
        at = int.from_bytes(data[after : after + offset], order)
    return len(seen)


_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))


def _by_brand(head: bytes) -> str:
    """ISO media files: the major brand, then the compatible ones."""
    end = min(int.from_bytes(head[:4], "big"), len(head), 256)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    if b"avif" in brands or b"avis" in brands:
        return "avif"
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "video")


def _by_text(head: bytes) -> str:
    stripped = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, name in _MARKUP:
        if re.match(pattern, stripped, re.IGNORECASE | re.DOTALL):
            return name
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.end < len(head) or len(head) - error.start > 3:  # more than a character cut at the end
            return "unknown"
        text = head[: error.start].decode("utf-8")
    if any(ord(c) < 32 and c not in "\t\n\r\f\x1b" for c in text):
        return "unknown"
    return "json" if text.lstrip()[:1] in ("{", "[") else "text"
