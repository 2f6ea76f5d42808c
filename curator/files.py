"""What is known of a file without reading it: size, time, and why it cannot be read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from .modality import Entry


def file_entry(root: Path, path: Path, source: int = 0, problem: str = "") -> Entry:
    """A file below the root of a source as it is listed, with the reason why it cannot be read."""
    relative = os.path.relpath(path, root).replace(os.sep, "/")
    base = str(root.absolute())
    if relative != printable(relative):
        relative, problem = printable(relative), problem or "name_not_utf8"
    if problem:
        return Entry(base, relative, 0, 0, 0, 0, source, problem)
    try:
        status = path.stat()
    except OSError as error:
        denied = "permission_denied" if isinstance(error, PermissionError) else f"cannot_stat_{error.errno}"
        link = isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP
        return Entry(base, relative, 0, 0, 0, 0, source, "dangling_link" if link else denied)
    if not stat.S_ISREG(status.st_mode):
        return Entry(base, relative, 0, 0, 0, 0, source, "not_a_file")
    if not os.access(path, os.R_OK):  # known here: permission given later changes neither size nor time, and must be noticed
        return Entry(base, relative, 0, 0, 0, 0, source, "permission_denied")
    return Entry(base, relative, status.st_size, status.st_mtime_ns, 0, status.st_size, source)


def file_state(path: str) -> tuple[int, int] | None:
    """Size and mtime_ns of a file [bytes, ns]; None where there is none that can be read."""
    try:
        found = os.stat(path)  # noqa: PTH116  a Path takes longer than the call, and tables name millions
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK) else None


def printable(name: str) -> str:
    """A file name as text: names are bytes on Linux, and need not be UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()
