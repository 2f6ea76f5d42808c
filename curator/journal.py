"""What a worker has in hand, written where its driver still reads it when the worker is dead.

A few words of memory that both share, written before each step: a tenth of a microsecond for a field, where a file or a
pipe would cost a system call for each record. A process without a driver writes into memory of its own. There are two places: of what
comes before the first model of a round, and of the models and what follows, which may be at work at the same time: the one at a
batch, or a unit, behind the other's.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import Any

_PLACE = struct.Struct("=qqqqq")
_LANES = 2
JOURNAL_BYTES = _LANES * _PLACE.size
NOTHING, READ = -2, -1  # in place of a stage's position
FRONT, BACK = 0, 1  # lanes


@dataclass(frozen=True)
class Place:
    """A step of a unit.

    since  when it began [ns of the machine's monotonic clock]; 0: nothing was begun
    stage  position of the stage among those of the round, carried ones first; READ, NOTHING
    at     number of the batch in the unit; in READ number of the entry in the partition
    row    of the partition, where a stage has a single record in hand, else -1; in READ rows that the entry has given
    step   in READ, number of the record of this entry that native code has in hand, from 1; 0: none
    """

    since: int = 0
    stage: int = NOTHING
    at: int = 0
    row: int = -1
    step: int = 0


class Journal:
    """The places of this process, and which records of an entry a reader must not touch."""

    def __init__(self) -> None:
        self.memory: Any = bytearray(JOURNAL_BYTES)
        self.untouchable: dict[tuple[int, int], tuple[str, str]] = {}  # (entry, step) -> reason and detail
        self._entry = self._rows = self._step = 0

    def stage(self, lane: int, position: int, batch: int, row: int = -1) -> None:
        """A stage begins with a batch, or with one record of it."""
        self._write(lane, time.monotonic_ns(), position, batch, row, 0)

    def open(self, entry: int) -> None:
        """A reader begins with an entry."""
        self._entry, self._step = entry, 0

    def read(self, rows: int) -> None:
        """The reader is asked for the next batch; it has given so many rows of the entry."""
        self._rows = rows
        self._reading(0)

    def step(self) -> tuple[str, str] | None:
        """The reader gives a record to native code. Returns reason and detail where that record is known to crash it."""
        self._step += 1
        self._reading(self._step)
        return self.untouchable.get((self._entry, self._step))

    def stepped(self) -> None:
        """Native code has given the reader's records back."""
        self._reading(0)

    def _reading(self, step: int) -> None:
        self._write(FRONT, time.monotonic_ns(), READ, self._entry, self._rows, step)

    def rest(self, lane: int) -> None:
        """No record is in hand there."""
        self._write(lane, 0, NOTHING, 0, -1, 0)

    def _write(self, lane: int, *place: int) -> None:
        _PLACE.pack_into(self.memory, lane * _PLACE.size, *place)


def places_in(memory: Any) -> list[Place]:
    """What the journal's memory says is in hand, at most one place a lane."""
    places = [Place(*_PLACE.unpack_from(memory, lane * _PLACE.size)) for lane in range(_LANES)]
    return [place for place in places if place.since]


JOURNAL = Journal()
