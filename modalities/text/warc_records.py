"""Records of a WARC file and of byte ranges of it, and the way on behind damage.

FastWARC reads sound files faster still, but stops at the first damage, says of no record whether it is whole, and has
changed its interface between versions; a record's head is a few lines, so they are taken apart here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO

from .gzip_members import MAGIC, Members, next_member
from .rows import MAX_RECORD_BYTES
from .streams import ReadError, compression, open_stream

_BEGINS = b"WARC/"
_HEADER = re.compile(rb"\nWARC/\d+\.\d+[ \t]*\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]+(?=\S)")
_HEADER_BYTES = 32  # longer than what _HEADER matches, as a rule
_HEAD_BYTES = 1 << 16  # a longer head is none
_CHUNK_BYTES = 1 << 20
_BACK_BYTES = 8 << 20  # a range looks this far back, so that a WARC inside a record is not taken for records


@dataclass(frozen=True, slots=True)
class Record:
    """One sound record.

    offset   where it begins: byte of the file, or of the unpacked file where that is no gzip. For the second record of a
             gzip member and those behind it, the member's byte plus the record's place in the unpacked member
    headers  by lower-case name; of several with one name the first
    block    its content; of a record over the limit the first 64 KiB
    length   bytes of its content
    """

    offset: int
    headers: dict[str, str]
    block: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A record, or what stands where one should begin, that cannot be read: where, why, and its headers if they could be."""

    offset: int
    reason: str
    detail: str
    headers: dict[str, str]


class _RecordError(Exception):
    """Reason, detail and headers of a record that breaks the format; the next one is looked for behind its first byte."""


def warc_records(path: str, start: int, end: int) -> Iterator[Record | Damage]:
    """Records, and damage, whose first byte lies in [start, end); what cannot be cut is read with the range that holds byte 0."""
    with open(path, "rb") as file:
        head = file.read(len(_BEGINS))
        kind = "" if head == _BEGINS else "gzip" if head.startswith(MAGIC) else compression(path)
        if kind == "gzip":
            yield from _of_members(file, start, end)
        elif kind:
            if start == 0:
                with closing(open_stream(path)) as stream:
                    yield from _Window(_pieces(stream.read), 0).records()
        else:
            yield from _of_plain(file, start, end)


def can_be_cut(path: str) -> bool:
    """Whether ranges of the file can be read apart: plain files, and gzip ones with a member a record."""
    return compression(path) in ("", "gzip")


def _of_plain(file: BufferedReader, start: int, end: int) -> Iterator[Record | Damage]:
    at = max(start - _BACK_BYTES, 0)
    file.seek(at)
    window = _Window(_pieces(file.read), at)
    if at:
        window.pass_to_header()
    for found in window.records():
        if found.offset >= end:
            return
        if found.offset >= start:
            yield found


def _of_members(file: BinaryIO, start: int, end: int) -> Iterator[Record | Damage]:
    size = file.seek(0, 2)
    at = next_member(file, max(start - _BACK_BYTES, 0), end, _BEGINS) if start else 0
    members = None
    while at is not None and at < min(end, size):
        members = members or Members(file, at, _BEGINS)
        window = _Window(members.run(), at)
        for found in window.records():
            if at >= start:
                yield found
        if window.cut_short:
            at, members = next_member(file, at + 1, size, _BEGINS), None
        else:
            at = members.at


def _pieces(read: Callable[[int], bytes | None]) -> Iterator[bytes]:
    while piece := read(_CHUNK_BYTES):
        yield piece


def header_fields(lines: str) -> dict[str, str]:
    """Header lines -> values by lower-case name, the first of each; a line that begins with white space goes on with the one before."""
    if "\n " in lines or "\n\t" in lines:
        lines = _FOLD.sub(" ", lines)
    found: dict[str, str] = {}
    for line in lines.split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def head_size(data: bytes, start: int = 0, stop: int | None = None) -> int:
    """Bytes from `start` to the end of the first empty line; 0 where there is none before `stop`."""
    crlf = data.find(b"\n\r\n", start, stop)
    lf = data.find(b"\n\n", start, stop if crlf < 0 else crlf)
    return lf + 2 - start if lf >= 0 else crlf + 3 - start if crlf >= 0 else 0


class _Window:
    """What was read of a run of bytes and is not yet passed over; grows only as far as a record needs.

    at         offset of the first byte that is held
    cut_short  the run could not be read to its end
    """

    def __init__(self, pieces: Iterator[bytes], at: int) -> None:
        self._pieces = pieces
        self._at = at
        self._data = b""
        self._here = 0  # in _data: where the record under way begins
        self._border = -1  # offset of the last member's end
        self.cut_short = False

    @property
    def offset(self) -> int:
        """Where the record under way begins."""
        return self._at + self._here

    def records(self) -> Iterator[Record | Damage]:
        """All records from here on, and what stands in their place."""
        while True:
            offset = self.offset
            try:
                if not self._at_something():
                    return
                offset = self.offset
                found: Record | Damage = self._record()
            except _RecordError as broken:
                found = Damage(offset, *broken.args)
                try:
                    self.pass_to_header()
                except ReadError as error:
                    self.cut_short = True
                    found = Damage(offset, error.reason, error.detail, found.headers)
            except ReadError as error:
                self.cut_short = True
                found = Damage(offset, error.reason, error.detail, {})
            yield found
            if self.cut_short:
                return

    def pass_to_header(self) -> None:
        """To the next line that begins a record, or to the end of the run."""
        while True:
            found = _HEADER.search(self._data, self._here)
            if found is not None:
                self._here = found.start() + 1
                return
            self._here = max(len(self._data) - _HEADER_BYTES, self._here)
            if not self._more():
                self._here = len(self._data)
                return

    def _more(self) -> bool:
        """Read on; drops what was passed over. False at the end of the run."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        if not piece:
            self._border = self._at + len(self._data)
            return True
        self._data = self._drop() + piece
        return True

    def _drop(self) -> bytes:
        """What is not passed over."""
        rest = self._data[self._here :]
        self._at, self._here = self.offset, 0
        return rest

    def _grow(self, size: int) -> bool:
        """Hold at least `size` bytes of the record under way; False where the run ends before."""
        missing = self._here + size - len(self._data)
        if missing <= 0:
            return True
        pieces = [self._drop()]
        held = len(pieces[0])
        for piece in self._pieces:
            pieces.append(piece)
            missing -= len(piece)
            held += len(piece)
            if not piece:
                self._border = self._at + held
            if missing <= 0:
                break
        self._data = b"".join(pieces)
        return missing <= 0

    def _at_something(self) -> bool:
        """Pass over the line ends between records; False at the end of the run."""
        while not self._data.startswith(_BEGINS, self._here):
            rest = self._data[self._here : self._here + _HEADER_BYTES]
            if rest.lstrip(b"\r\n"):
                self._here += len(rest) - len(rest.lstrip(b"\r\n"))
                return True
            self._here += len(rest)
            if self._here == len(self._data) and (self._border == self.offset or not self._more()):
                return False  # no record goes on in the next member: what is wrong with that is told at its own place
        return True

    def _record(self) -> Record:
        """The record that begins here; then stands behind it. Raises _RecordError, and ReadError where the run cannot be read on."""
        if not self._grow(len(_BEGINS)) or not self._data.startswith(_BEGINS, self._here):
            raise _RecordError("not_warc", "no record begins here", {})
        size = self._head_size()
        headers = header_fields(self._data[self._here : self._here + size].decode("utf-8", "replace").partition("\n")[2])
        stated = headers.get("content-length", "")
        if not stated.isascii() or not stated.isdigit() or len(stated) > 18:
            raise _RecordError("broken_record", f"Content-Length: {stated or 'none'}", headers)
        length = int(stated)
        offset = self.offset
        if length > MAX_RECORD_BYTES:  # its end may be a lie, or out of reach: where the next record begins is where it ends
            self._grow(size + _HEAD_BYTES)
            self._here += size
            block = self._data[self._here : self._here + _HEAD_BYTES]
            self.pass_to_header()
            return Record(offset, headers, block, length)
        if not self._grow(size + length):
            raise _RecordError("truncated_record", f"{len(self._data) - self._here - size} of {length} bytes", headers)
        self._check_end(size + length, headers)
        block = self._data[self._here + size : self._here + size + length]
        self._here += size + length
        return Record(offset, headers, block, length)

    def _head_size(self) -> int:
        """Bytes of the record's head, with the empty line that ends it."""
        while True:
            stop = self._here + _HEAD_BYTES
            if size := head_size(self._data, self._here, stop):
                return size
            if len(self._data) >= stop or not self._more():
                raise _RecordError("broken_record", "a head without end", {})

    def _check_end(self, size: int, headers: dict[str, str]) -> None:
        """Raises _RecordError unless the record, `size` bytes long, ends with two line ends, before another record, or with the run.

        A gzip member is read to its end, where its checksum is.
        """
        while True:
            rest = self._data[self._here + size : self._here + size + _HEADER_BYTES]
            behind = rest.lstrip(b"\r\n")
            if behind.startswith(_BEGINS) or (behind and rest.startswith((b"\r\n\r\n", b"\n\n"))):
                return
            ended = self._border == self._at + len(self._data)
            if len(behind) < len(_BEGINS) and not ended and self._more():
                continue
            if behind:
                raise _RecordError("broken_record", f"behind {headers['content-length']} bytes of content it does not end", headers)
            return
