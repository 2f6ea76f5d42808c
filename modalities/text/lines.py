"""Lines of a stream in blocks, in memory that one line bounds.

A line belongs to the byte range in which its first byte lies, so ranges of one file share no line and miss
none. Lines come as lists, because a generator step a line costs as much as parsing a short one.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from .rows import MAX_RECORD_BYTES
from .streams import Stream

CHUNK_BYTES = 1 << 20


class TooLong(int):
    """Stands for a line over the limit: its length in bytes."""


class Begun:
    """The line (row, element) that a chunk left unfinished; over the limit only its length is kept."""

    def __init__(self, limit: int = MAX_RECORD_BYTES) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Goes on with it."""
        self.size += len(piece)
        if self.size > self._limit:
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def finish(self) -> bytes | TooLong:
        """What was begun, whole; the next begins."""
        line = TooLong(self.size) if self.size > self._limit else b"".join(self._pieces)
        self._pieces, self.size = [], 0
        return line


def line_blocks(stream: Stream, start: int = 0, end: int | None = None, limit: int = MAX_RECORD_BYTES) -> Iterator[list[bytes | TooLong]]:
    """Lines whose first byte lies in [start, end), without their line feeds.

    stream  stands at byte max(start - 1, 0): the byte before the range tells whether a line begins with it
    end     None: all lines to the end of the stream
    limit   longer lines come as TooLong
    A UTF-8 byte order mark before the first line is taken off.
    """
    begun = Begun(limit)
    skip = int(start > 0)  # the line that an earlier range owns
    first = True
    for chunk in _chunks(stream, max(start - 1, 0), end):
        head, *rest = chunk.split(b"\n")
        begun.add(head)
        if not rest:
            continue
        lines: list[bytes | TooLong] = [begun.finish(), *rest[:-1]]
        begun.add(rest[-1])
        lines = lines[skip:]
        skip = 0
        if first and lines:
            lines[0], first = _without_mark(lines[0], start), False
        yield lines
    if begun.size and not skip:
        yield [_without_mark(begun.finish(), start) if first else begun.finish()]


def _chunks(stream: Stream, position: int, end: int | None) -> Iterator[bytes]:
    """Chunks up to the line feed that closes the last line begun before `end`."""
    while chunk := stream.read(CHUNK_BYTES):
        if end is not None and position + len(chunk) >= end:
            stop = chunk.find(b"\n", max(end - 1 - position, 0))
            if stop >= 0:
                yield chunk[: stop + 1]
                return
        position += len(chunk)
        yield chunk


def _without_mark(line: bytes | TooLong, start: int) -> bytes | TooLong:
    if start == 0 and isinstance(line, bytes):
        return line.removeprefix(codecs.BOM_UTF8)
    return line
