"""Lists of words, from files that a recipe names: one word or phrase a line, # begins a comment line, gzip or not.

Every stage that looks for words reads them here, so that a list means the same to all. A list of which nothing is left is
refused: a rule that can never meet anything would be silent.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ...curator.errors import UsageError

HINT = "one word or phrase a line; # begins a comment line"
_GZIP = b"\x1f\x8b"


def read_bytes(what: str, path: str | Path) -> bytes:
    """A list's file as it is; `what` is the list in a message. Raises UsageError where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{what} cannot be read: {error.strerror}", str(path), "paths start at the current directory") from error


def unpacked(what: str, path: str | Path, data: bytes) -> bytes:
    """A list's bytes, decompressed where they are gzip. Raises UsageError where they are damaged."""
    try:
        return gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{what} is damaged: {error}", str(path)) from error


def words_of(what: str, path: str | Path, data: bytes) -> list[str]:
    """The words of a list in order, without white space and NULs around them. Raises UsageError where it has none, or is no UTF-8."""
    try:
        lines = unpacked(what, path, data).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} is no UTF-8: {error.reason} at byte {error.start}", str(path)) from error
    bare = (line.strip().strip("\x00").strip() for line in lines)
    words = [word for word in bare if word and not word.startswith("#")]
    if not words:
        raise UsageError(f"{what} has no word", str(path), HINT)
    return words
