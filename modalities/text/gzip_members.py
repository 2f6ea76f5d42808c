"""Members of a gzip file, one record of a WARC each as a rule, and the way on behind a damaged one.

ISA-L inflates, in half the time that zlib needs; Python's `gzip` joins members, and gives up at the first damage.
Several records in a member, or one record over several members, are read too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from isal import isal_zlib

from .streams import FREE_BYTES, MAX_RATIO, ReadError

_DecoderError = cast(type[Exception], isal_zlib.error)  # its stub gives it the type of an instance
MAGIC = b"\x1f\x8b\x08"
_GZIP = 31  # zlib's word for: gzip header and trailer around it
_FED_BYTES = 1 << 14  # what lies behind a member is copied once a member, so pieces are small
_GIVEN_BYTES = 1 << 20
_SEARCHED_BYTES = 1 << 20
_PROBED_BYTES = 1 << 12


class Members:
    """The members of a file from byte `at` on, as runs: a member that begins with `begins`, and those behind it that do not.

    at  where the next run begins, once `run` is exhausted
    """

    def __init__(self, file: BinaryIO, at: int, begins: bytes) -> None:
        self._file, self.at, self._begins = file, at, begins
        file.seek(at)
        self._ahead = b""

    def run(self) -> Iterator[bytes]:
        """Inflated bytes of the next run; an empty piece wherever a member ends. Raises ReadError at damage."""
        first = True
        while self._ahead or (more := self._file.read(_FED_BYTES)):
            fed = self._ahead or more
            if not first and probe(fed if len(fed) >= _PROBED_BYTES else fed + self._peek(), self._begins):
                self._ahead = fed
                return
            self._ahead = b""
            yield from self._inflate(fed)
            yield b""
            first = False

    def _peek(self) -> bytes:
        here = self._file.tell()
        data = self._file.read(_PROBED_BYTES)
        self._file.seek(here)
        return data

    def _inflate(self, fed: bytes) -> Iterator[bytes]:
        start = self.at
        if not fed.startswith(MAGIC[: len(fed)]):
            raise ReadError("corrupt_gzip", "no gzip member begins here")
        engine = isal_zlib.decompressobj(_GZIP)
        given = 0
        while fed:
            try:
                piece = engine.decompress(fed, _GIVEN_BYTES)
            except _DecoderError as error:
                raise ReadError("corrupt_gzip", f"{error}; {given} bytes before it") from error
            given += len(piece)
            if piece:
                yield piece
            if engine.eof:
                self._ahead = engine.unused_data
                self.at = self._file.tell() - len(self._ahead)
                return
            fed = engine.unconsumed_tail or self._file.read(_FED_BYTES)
            taken = self._file.tell() - len(fed) - start
            if given > FREE_BYTES and given > MAX_RATIO * taken:
                raise ReadError("decompression_bomb", f"{taken} bytes give {given} and more")
        raise ReadError("truncated_gzip", f"{given} bytes before it")


def probe(data: bytes, begins: bytes) -> bool:
    """Whether a gzip member begins here whose first bytes are `begins`; zlib, because ISA-L decodes ahead, into damage behind."""
    if not data.startswith(MAGIC):
        return False
    try:
        return zlib.decompressobj(_GZIP).decompress(data[:_PROBED_BYTES], len(begins)) == begins
    except zlib.error:
        return False


def next_member(file: BinaryIO, at: int, end: int, begins: bytes) -> int | None:
    """Where, from byte `at` on and before `end`, the next member begins whose first bytes are `begins`; None: nowhere."""
    file.seek(at)
    data = b""
    while at < end:
        piece = file.read(_SEARCHED_BYTES)
        data += piece
        whole = len(piece) < _SEARCHED_BYTES
        probed = len(data) if whole else len(data) - _PROBED_BYTES  # the rest is looked at with what follows it
        found = data.find(MAGIC)
        while 0 <= found < probed:
            if at + found >= end:
                return None
            if probe(data[found : found + _PROBED_BYTES], begins):
                return at + found
            found = data.find(MAGIC, found + 1)
        if whole:
            return None
        passed = found if found >= 0 else probed
        data, at = data[passed:], at + passed
    return None
