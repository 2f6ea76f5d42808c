"""What is too much for memory: files without a name, and numbers sorted through them.

Everything is written in long pieces and read back in order or in pieces of a kilobyte, so a disk does; a database
would index what is read once. The files have no name, so that nothing is left of a run that was killed.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends.cpu import kernel
from ..stage import Workspace
from ..store import write_error

Words = npt.NDArray[np.uint64]

_FENCE = 4096  # words of a run between two that are remembered


class Spill:
    """A file without a name in a folder; arrays are appended and read back by their place."""

    def __init__(self, folder: Path) -> None:
        """Raises D4AError where the folder cannot be written to."""
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  closed with this object
        except OSError as error:
            raise write_error(error, folder) from error
        self._size = 0

    def append(self, array: npt.NDArray[Any]) -> int:
        """Write an array; returns the byte at which it begins. Raises D4AError on a full disk."""
        data, start = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, self._size
        try:
            while data:
                written = os.pwrite(self._file.fileno(), data[: 1 << 30], self._size)
                data, self._size = data[written:], self._size + written
        except OSError as error:
            raise write_error(error, self._folder) from error
        return start

    def read(self, start: int, into: npt.NDArray[Any]) -> None:
        """Fill a contiguous array with what lies at a byte."""
        data = into.reshape(-1).view(np.uint8).data
        while data:
            got = os.preadv(self._file.fileno(), [data[: 1 << 30]], start)
            data, start = data[got:], start + got

    def mapped(self, dtype: Any) -> npt.NDArray[Any]:
        """All that was written, as an array that the system reads in where it is looked at, and forgets where memory is short."""
        if not self._size:
            return np.empty(0, dtype)
        return np.asarray(np.memmap(self._file, dtype, "r"))

    def __len__(self) -> int:
        return self._size


def spacious(shape: tuple[int, ...], dtype: Any, space: Workspace) -> npt.NDArray[Any]:
    """An array to be filled: in a temporary file where it would take more than half of the memory.

    Raises D4AError on a full disk.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if 2 * size <= space.memory:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(dir=space.folder) as file:  # the map holds it open
            os.posix_fallocate(file.fileno(), 0, size)  # to write into a map on a full disk would be the end
            return np.memmap(file, dtype, "r+", 0, shape)
    except OSError as error:
        raise write_error(error, space.folder) from error


class Ascending:
    """Distinct 64-bit words in ascending order, however many: sorted runs in a file, merged when they are read."""

    def __init__(self, folder: Path, room: int) -> None:
        """`room`: words in memory at a time."""
        self._folder, self._room = folder, room
        self._held, self._count = np.empty(room, np.uint64), 0
        self._spill: Spill | None = None
        self._runs: list[_Run] = []

    def add(self, words: Words) -> None:
        """Any number of words, in any order."""
        while len(words):
            if self._count == self._room:
                self._make_room()
            taken = words[: self._room - self._count]
            self._held[self._count : self._count + len(taken)] = taken
            self._count += len(taken)
            words = words[len(taken) :]

    def _make_room(self) -> None:
        self._sort()
        if self._count > self._room // 2:  # else repeats were most of it, and it pays to go on
            self._spill = self._spill or Spill(self._folder)
            held = self._held[: self._count]
            self._runs.append(_Run(self._spill, self._spill.append(held), len(held), held[::_FENCE].copy()))
            self._count = 0

    def _sort(self) -> None:
        held = self._held[: self._count]
        held.sort()
        self._count = _drop_equal(held)

    def portions(self) -> Iterator[Words]:
        """All of them, about `room` at a time; to be called once."""
        self._sort()
        held, self._held, self._count = self._held[: self._count], np.empty(0, np.uint64), 0
        if not self._runs:
            yield held
            return
        assert self._spill is not None
        self._runs.append(_Run(self._spill, self._spill.append(held), len(held), held[::_FENCE].copy()))
        del held
        fences = np.sort(np.concatenate([run.fences for run in self._runs]))
        borders = fences[:: max(1, self._room // _FENCE)][1:]  # between two of them lie `room` words, and up to a fence's a run
        for border in [*borders, None]:
            merged = np.concatenate([run.below(border) for run in self._runs])
            merged.sort()
            yield merged[: _drop_equal(merged)]


class _Run:
    """Sorted words in a file, read from the first to the last."""

    def __init__(self, spill: Spill, start: int, count: int, fences: Words) -> None:
        """`fences`: every 4096th word."""
        self._spill, self._start, self._count, self.fences = spill, start, count, fences
        self._read = 0
        self._left = np.empty(0, np.uint64)

    def below(self, border: np.uint64 | None) -> Words:
        """The words that were not given yet and are less than the border; all that are left where there is none."""
        end = self._count
        if border is not None:
            end = min(self._count, int(np.searchsorted(self.fences, border)) * _FENCE)
        if end > self._read:
            more = np.empty(end - self._read, np.uint64)
            self._spill.read(self._start + 8 * self._read, more)
            self._left, self._read = np.concatenate([self._left, more]), end
        cut = len(self._left) if border is None else int(np.searchsorted(self._left, border))
        found, self._left = self._left[:cut], self._left[cut:].copy()
        return found


@kernel
def _drop_equal(words: Words) -> int:
    """Compact a sorted array to its distinct words, in place; returns their number."""
    count = 0
    for k in range(words.size):
        if k == 0 or words[k] != words[k - 1]:
            words[count] = words[k]
            count += 1
    return count
