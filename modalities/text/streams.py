"""Bytes of a source file, plain or compressed, a piece at a time and in bounded memory.

Damage in a compressed file is a `ReadError` with the reason its ledger row gets; a machine's own read error stays an
OSError. gzip is Python's, because it hands out everything before the damage; zstd is Arrow's, because Python
has none before 3.14, and pieces are small because Arrow loses the piece in which it meets the damage.
"""

from __future__ import annotations

import gzip
import zlib
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_ZSTD_PIECE = 1 << 14


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
    """`gzip`, `zstd` or nothing, by the file name."""
    return COMPRESSIONS.get(Path(path).suffix.lower(), "")


def open_stream(path: str, at: int = 0) -> Stream:
    """The file's bytes, decompressed where its name says so; a plain file begins at byte `at`. Raises OSError."""
    kind = compression(path)
    if kind == "gzip":
        return _Gzip(path)
    if kind == "zstd":
        return _Zstd(path)
    file = FileIO(path)
    file.seek(at)
    return file


class _Gzip:
    def __init__(self, path: str) -> None:
        self._file = gzip.GzipFile(path)
        self._given = 0

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read1(size)
        except EOFError as error:
            raise ReadError("truncated_gzip", f"{self._given} bytes before it") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ReadError("corrupt_gzip", f"{error}; {self._given} bytes before it") from error
        self._given += len(data)
        return data

    def close(self) -> None:
        self._file.close()


class _Zstd:
    def __init__(self, path: str) -> None:
        self._file: Any = pa.CompressedInputStream(pa.OSFile(path), "zstd")
        self._given = 0

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self._file.read(min(size, _ZSTD_PIECE))
        except OSError as error:
            if error.errno is not None:  # the disk's error, not the decoder's
                raise
            if "Truncated" in str(error):
                raise ReadError("truncated_zstd", f"{self._given} bytes before it") from error
            raise ReadError("corrupt_zstd", f"{error}; {self._given} bytes before it") from error
        self._given += len(data)
        return data

    def close(self) -> None:
        self._file.close()
