"""One worker process: how it begins, what it does, how it died.

Units and results go through a pipe, so a worker that dies takes no other with it, as it would in the standard library's
pool. What it had in hand is read from its journal.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import resource
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ..journal import JOURNAL, JOURNAL_BYTES, Place, places_in
from .memory import oom_kills, private_bytes

Unit = dict[str, Any]
Work = Callable[[Unit], dict[str, Any]]
ALONE = "alone"  # true in a unit that a worker died of: it does one thing at a time, so that the journal names what a second one dies of
OUT_OF_MEMORY, TIMEOUT, UNIT_TIME = "out of memory", "timeout", "unit time"
_ENDS_S = 5.0  # for a worker that no longer answers, to end
_BIRTHS = 9  # tries to begin a worker


@dataclass(frozen=True)
class Death:
    """Why a worker is dead, in a word for the ledger, and what it had in hand.

    cause    a signal's name, OUT_OF_MEMORY, TIMEOUT (at one step), UNIT_TIME or an exit code
    by       who ended it, for a sentence: "by the kernel, for memory"
    place    nothing where it had two things in hand
    """

    cause: str
    by: str
    place: Place


class Worker:
    """A process that does one unit after the other."""

    def __init__(self, context: Any) -> None:
        """`context`: a start method of multiprocessing."""
        self.units: deque[Unit] = deque()  # it is at the first, and was told the others
        self._memory = context.RawArray("b", JOURNAL_BYTES)
        self.pipe, self.process = _started(context, self._memory)
        self._killed: tuple[str, str] | None = None
        self._next()

    def begin(self, unit: Unit, work: Work) -> None:
        """Give it a unit, perhaps while it is at another; a worker that cannot take it is dead, which `outcome` tells."""
        if not self.units:
            self._next()
        self.units.append(unit)
        try:
            self.pipe.send((work, unit))
        except (BrokenPipeError, ConnectionResetError):
            return

    def outcome(self) -> dict[str, Any] | Death:
        """What became of the unit that it is at, once its pipe is readable or it is dead. Raises the unit's exception.

        Those in its `units` are done no more where it is dead, or has raised.
        """
        if not self.pipe.poll():  # held open by a process that a stage has forked
            return self._death()
        try:
            done, value, trace = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return self._death()
        if not done:
            value.add_note(trace)
            raise value
        self.units.popleft()
        self._next()
        return value  # type: ignore[no-any-return]

    def _next(self) -> None:
        """From now on it is at the first of its units."""
        self._oom_kills, self._begun = oom_kills(), time.monotonic()

    @property
    def signs(self) -> tuple[Any, ...]:
        """What to wait for with `multiprocessing.connection.wait`: one of them is ready when `outcome` can be told."""
        return self.pipe, self.process.sentinel

    @property
    def step_s(self) -> float:
        """Seconds since the oldest step began that it is at; 0 where it is at none."""
        since = [place.since for place in places_in(self._memory)]
        return (time.monotonic_ns() - min(since)) / 1e9 if since else 0.0

    @property
    def unit_s(self) -> float:
        """Seconds that it is at its unit."""
        return time.monotonic() - self._begun

    @property
    def private_bytes(self) -> int:
        """Memory that is its own."""
        return private_bytes(self.process.pid or 0)

    def end(self, cause: str = "", by: str = "") -> None:
        """Kill it; with a cause, in the middle of its unit, so that `outcome` names it."""
        self._killed = (cause, by) if cause else None
        kill(self.process)
        if not cause:
            self.process.join()
            self.pipe.close()

    def _death(self) -> Death:
        self.process.join(_ENDS_S)
        kill(self.process)
        self.process.join()
        self.pipe.close()
        places, code = places_in(self._memory), self.process.exitcode or 0
        place = places[0] if len(places) == 1 else Place()
        if self._killed is not None:
            return Death(*self._killed, place)
        if code == -signal.SIGKILL and oom_kills() > self._oom_kills:
            return Death(OUT_OF_MEMORY, "killed by the kernel, for memory", place)
        if code < 0:
            name = signal.Signals(-code).name
            return Death(name, f"killed by {name}", place)
        return Death(f"exit code {code}", f"ended with exit code {code}", place)


class Inbox:
    """What the driver has told this process to do; nothing where it is no worker."""

    def __init__(self) -> None:
        self.pipe: Connection | None = None
        self._told: deque[tuple[Work, Unit]] = deque()

    def take(self) -> tuple[Work, Unit]:
        """The next unit, and what does it. Raises EOFError when the driver is gone."""
        assert self.pipe is not None
        return self._told.popleft() if self._told else self.pipe.recv()

    def next_unit(self) -> Unit | None:
        """The unit that comes after the present one and those that were asked for before, if the driver has told by now.

        For threads that a unit has beside it until it is done.
        """
        if self.pipe is None or not self.pipe.poll():
            return None
        self._told.append(self.pipe.recv())
        return self._told[-1][1]


INBOX = Inbox()


def _started(context: Any, memory: Any) -> tuple[Connection, Any]:
    """A pipe and the process at its other end; another one where it was killed before it had read what to do."""
    for left in reversed(range(_BIRTHS)):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, memory), daemon=True)
        try:
            process.start()
            break
        except BrokenPipeError:
            if not left:
                raise
        finally:
            theirs.close()
    return ours, process


def kill(process: Any) -> None:
    """Kill a worker, and whatever a stage has started in it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it did not get as far as a group of its own
        process.kill()


def _serve(pipe: Connection, memory: Any) -> None:
    os.setpgrp()
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # what a stage prints has no place in the driver's --json
    # a death signal would come from the process it was forked from, which lives as long as any worker does
    threading.Thread(target=_end_with_driver, daemon=True).start()
    for number in (signal.SIGINT, signal.SIGUSR1):  # Ctrl-C, and Slurm's word before the time limit: the driver answers
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # a core file can be as large as memory
    JOURNAL.memory = memory
    INBOX.pipe = pipe
    while True:
        try:
            pipe.send_bytes(_answer(*INBOX.take()))
        except (EOFError, OSError):  # the driver is gone
            return


def _answer(work: Work, unit: Unit) -> bytes:
    try:
        return pickle.dumps((True, work(unit), ""))
    except BaseException as error:
        kept = error if isinstance(error, Exception) else RuntimeError(repr(error))  # sys.exit in a stage must not end the driver
        trace = traceback.format_exc()
        try:
            return pickle.dumps((False, kept, trace))
        except Exception:  # an exception may hold anything
            return pickle.dumps((False, RuntimeError(repr(error)), trace))


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os.killpg(0, signal.SIGKILL)
