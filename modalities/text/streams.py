"""Bytes of a source file, plain or compressed, a piece at a time and in bounded memory.

Damage in a compressed file is a `ReadError` with the reason its ledger row gets, after all that came before it; a
machine's own read error stays an OSError. zstd is Arrow's, because Python has none before 3.14; the others are
Python's decompressors, a tenth faster called directly than through the gzip module, and they say what they consumed.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

COMPRESSIONS = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2", ".xz": "xz"}
# Text shrinks three- to tenfold, logs and templates up to a hundredfold; a gzip bomb reaches 1,030, the others thousands.
# The first bytes are free: a small file of blanks does no harm.
MAX_RATIO = 200
FREE_BYTES = 64 << 20
WINDOW_BYTES = 128 << 20  # what zstd's own limit is too; `xz -9` takes 64 MiB
_XZ_OVERHEAD = 16 << 20  # what its decoder wants beside the window
_COMPRESSED_BYTES = 1 << 16
_PIECE_BYTES = 1 << 18  # what a decoder had of its piece before the damage has to be decoded again, byte by byte
_ZSTD_PIECE_BYTES = 1 << 14


class ReadError(Exception):
    """A file, or the rest of one, that cannot be read: `reason` and `detail` of its row."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Stream(Protocol):
    """What readers need of a file."""

    def read(self, size: int, /) -> bytes | None:
        """At most `size` bytes; nothing at the end."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


def compression(path: str) -> str:
    """`gzip`, `zstd`, `bz2`, `xz` or nothing, by the file name."""
    return COMPRESSIONS.get(Path(path).suffix.lower(), "")


def open_stream(path: str, at: int = 0) -> Stream:
    """The file's bytes, decompressed where its name says so; a plain file begins at byte `at`. Raises OSError."""
    kind = compression(path)
    if kind:
        return _Unpacked(path, kind)
    file = FileIO(path)
    file.seek(at)
    return file


class _DamageError(Exception):
    """What a decoder says of the bytes it was given.

    cut   they only end too early
    lost  what came before it in the same piece was not handed out
    """

    def __init__(self, what: str = "", cut: bool = False, lost: bool = True) -> None:
        super().__init__(what)
        self.what, self.cut, self.lost = what, cut, lost


class _Decoder(Protocol):
    @property
    def consumed(self) -> int: ...

    def decode(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Unpacked:
    """A decoder's bytes, with what is wrong with them as a ReadError, and an end to those that grow without end."""

    def __init__(self, path: str, kind: str) -> None:
        self._path, self._kind = path, kind
        self._decoder = self._open()
        self._given = 0
        self._damage: _DamageError | None = None

    def _open(self) -> _Decoder:
        return _Zstd(self._path) if self._kind == "zstd" else _Members(self._path, self._kind)

    def read(self, size: int) -> bytes:
        if self._damage is not None:
            raise self._said(self._damage)
        try:
            data = self._decoder.decode(size)
        except _DamageError as damage:
            self._damage = damage
            data = self._lost() if damage.lost else b""
            if not data:
                raise self._said(damage) from damage
        self._given += len(data)
        if self._given > FREE_BYTES + MAX_RATIO * self._decoder.consumed:
            limit = f"more than {MAX_RATIO} bytes from each compressed one behind the first {FREE_BYTES >> 20} MiB"
            raise ReadError("decompression_bomb", f"{limit}; {self._given - len(data)} bytes before it")
        return data

    def _lost(self) -> bytes:
        """What the decoder had before it met the damage and did not hand out: decoded again, byte by byte at the end."""
        again = self._open()
        found = bytearray()
        try:
            left = self._given
            while left and (piece := again.decode(left)):
                left -= len(piece)
            while len(found) < _PIECE_BYTES and (byte := again.decode(1)):
                found += byte
        except _DamageError:
            pass
        finally:
            again.close()
        return bytes(found)

    def _said(self, damage: _DamageError) -> ReadError:
        before = f"{self._given} bytes before it"
        if damage.cut:
            return ReadError(f"truncated_{self._kind}", before)
        if "memory" in damage.what.lower():
            return ReadError("window_too_large", f"the limit is {WINDOW_BYTES >> 20} MiB; {before}")
        return ReadError(f"corrupt_{self._kind}", f"{damage.what}; {before}")

    def close(self) -> None:
        self._decoder.close()


class _Members:
    """Members of gzip, bz2 or xz one behind another, and the zero bytes that may lie between and behind them."""

    def __init__(self, path: str, kind: str) -> None:
        self._new, self._error = _decompressor(kind)
        self._file = FileIO(path)
        self._member: Any = None
        self._waiting = b""
        self._first = True
        self.consumed = 0

    def decode(self, size: int) -> bytes:
        """Some bytes, at most `size`; nothing at the end. Raises _DamageError."""
        while self._member is not None or self._begin():
            needed = self._member.needs_input
            piece = self._take() if needed else b""
            try:
                data: bytes = self._member.decompress(piece, min(size, _PIECE_BYTES))
            except self._error as error:
                raise _DamageError(str(error).removeprefix("Error -3 while decompressing data: ")) from error
            if self._member.eof:
                self._waiting, self._member = self._member.unused_data, None
                self.consumed -= len(self._waiting)
            elif needed and not piece and not data:
                raise _DamageError(cut=True, lost=False)
            if data:
                return data
        return b""

    def _begin(self) -> bool:
        """Whether there is another member."""
        while piece := self._take():
            self._waiting = piece if self._first else piece.lstrip(b"\0")
            if self._waiting:
                self.consumed -= len(self._waiting)
                self._member, self._first = self._new(), False
                return True
        return False

    def _take(self) -> bytes:
        piece, self._waiting = self._waiting or self._file.read(_COMPRESSED_BYTES) or b"", b""
        self.consumed += len(piece)
        return piece

    def close(self) -> None:
        self._file.close()


def _decompressor(kind: str) -> tuple[Callable[[], Any], type[Exception]]:
    """What decompresses one member, and its error."""
    if kind == "gzip":
        return _Inflate, zlib.error
    try:
        module = importlib.import_module("bz2" if kind == "bz2" else "lzma")
    except ImportError as error:  # Python can be built without them
        raise ReadError("missing_module", f"this Python has no {error.name}; another build of it has") from error
    if kind == "bz2":
        return module.BZ2Decompressor, OSError
    limit = WINDOW_BYTES + _XZ_OVERHEAD
    return partial(module.LZMADecompressor, module.FORMAT_XZ, limit), module.LZMAError


class _Inflate:
    """zlib's decompressor in the manner of bz2's and lzma's."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def needs_input(self) -> bool:
        """Whether it has used up what it was given."""
        return not self._inner.unconsumed_tail

    @property
    def eof(self) -> bool:
        """Whether the member has ended, checksum included."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What lies behind the member."""
        return self._inner.unused_data

    def decompress(self, data: bytes, size: int) -> bytes:
        """At most `size` bytes. Raises zlib.error."""
        return self._inner.decompress(self._inner.unconsumed_tail or data, size)


class _Zstd:
    """Arrow's zstd, frame behind frame; it refuses windows over WINDOW_BYTES by itself."""

    def __init__(self, path: str) -> None:
        self._raw: Any = pa.OSFile(path)
        self._file: Any = pa.CompressedInputStream(self._raw, "zstd")

    @property
    def consumed(self) -> int:
        """Compressed bytes read so far."""
        position: int = self._raw.tell()
        return position

    def decode(self, size: int) -> bytes:
        """Some bytes, at most `size`; nothing at the end. Raises _DamageError."""
        try:
            data: bytes = self._file.read(min(size, _ZSTD_PIECE_BYTES))
        except OSError as error:
            if error.errno is not None:  # the disk's error, not the decoder's
                raise
            raise _DamageError(str(error), cut="Truncated" in str(error)) from error
        return data

    def close(self) -> None:
        self._file.close()
