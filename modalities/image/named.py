"""Image files that a table, COCO or a conversation names: read where they lie, and only below the folder they may lie in."""

from __future__ import annotations

import errno
import os
import re
import stat
from functools import lru_cache
from pathlib import Path

from ...curator.files import file_state
from ...curator.modality import Entry
from ..text.fields import RecordError
from .records import Record, problem
from .sniff import SNIFF_BYTES

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL})


class Named:
    """The folder that the images of an entry lie in: the one its source names, or its own."""

    def __init__(self, entry: Entry) -> None:
        self._base = os.path.normpath(entry.root)
        self._root = os.path.normpath(entry.images or Path(entry.root, entry.path).parent)
        self._real = os.path.realpath(self._root)

    def load(self, name: str, record: Record) -> None:
        """Give the record the bytes of the file of this name, and where they lie. Raises RecordError with the reason why not."""
        if _URL.match(name):
            raise RecordError("image_is_an_address", f"{name[:100]}; img2dataset fetches such lists")
        if "\0" in name:
            raise RecordError("missing_image", "a name with a NUL")
        path = os.path.normpath(name if name.startswith("/") else f"{self._root}/{name}")
        if not _below(path, self._root) or not _below(_real(path.rpartition("/")[0]), self._real):
            raise RecordError("path_outside", f"{name}; set `images:` to a folder that holds it")
        record.file = os.path.relpath(path, self._base) if _below(path, self._base) else path
        try:
            record.data = self._read(path, name, record)
        except OSError as error:
            if error.errno == errno.EISDIR:
                raise RecordError("not_a_file", name) from error
            if error.errno in _ABSENT:
                raise RecordError("missing_image", name) from error
            if error.errno == errno.EACCES:
                raise RecordError("permission_denied", name) from error
            raise RecordError("read_error", f"{name}: {error.strerror}") from error
        record.at = 0

    def _read(self, path: str, name: str, record: Record) -> bytes:
        try:
            # a pipe must not be waited for, and a link may lead out
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            real = os.path.realpath(path)
            if not _below(real, self._real):
                record.state = file_state(real)
                raise RecordError("path_outside", f"{name}, a link; set `images:` to a folder that holds what it leads to") from error
            if not os.access(real, os.F_OK):
                raise RecordError("missing_image", f"{name}, a link that leads nowhere") from error
            handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb", buffering=0) as file:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode):
                raise RecordError("not_a_file", name)
            record.state = state.st_size, state.st_mtime_ns
            head = file.read(SNIFF_BYTES)
            if wrong := problem(head, state.st_size):
                raise RecordError(wrong[0], f"{name}: {wrong[1]}" if wrong[1] else name)
            return head + file.read()


def _below(path: str, folder: str) -> bool:
    return path.startswith(folder if folder.endswith("/") else folder + "/") or path == folder


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    return os.path.realpath(folder)
