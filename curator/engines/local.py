"""Engine `local`: worker processes on this machine.

Workers are forked from a process that has imported what they need and done nothing else, so its only threads are those of
OpenBLAS and jemalloc, which look after themselves; a fork of the driver would break Arrow's and torch's, and spawned workers
start a second later. They end with their driver. With one worker, too, units run in a process of its own: the driver outlives
a crash, answers Ctrl-C at once and says what goes on, for a third of a second of CPU more.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from multiprocessing import connection, forkserver
from typing import Any

from ..doctor import free_bytes
from ..errors import D4AError
from .worker import ALONE, OUT_OF_MEMORY, TIMEOUT, UNIT_TIME, Death, Unit, Work, Worker, kill

__all__ = ["LocalEngine", "Unit", "Work", "get_ready", "give_up"]
STEP_S = 3600.0  # a batch that takes a stage longer is taken record by record, so that none is lost to a slow machine
UNIT_S = 86400.0  # deciding on billions of records takes hours, and a file system that does not answer for ever
_TOLD = 3  # units that a worker knows of, with the one that it is at: it begins to read the next, or if that is small the one behind it
_LOOK_S = 0.2  # between two looks at time and memory
# modules without a side effect; the last are what Numba imports before it runs the first kernel
_IMPORTED = ("d4a.curator.run", "numba.np.arraymath", "numba.np.random.generator_methods", "numba.np.polynomial.polynomial_functions",
             "numba.typed", "numba.experimental")  # fmt: skip


def get_ready() -> None:
    """Start the process that workers are forked from: it imports while the driver looks at recipe and sources."""
    forkserver.set_forkserver_preload([*_IMPORTED, *(point.module for point in entry_points(group="d4a.modalities"))])
    answer = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C while it imports would print a traceback
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, answer)


def give_up(unit: Unit, death: Death) -> Unit:
    """Raises D4AError: a unit that cost two workers ends the run."""
    hint = "run the same command again: it goes on where it stopped"
    hint += "; fewer --workers or a smaller partition_bytes need less memory" if death.cause == OUT_OF_MEMORY else ""
    raise D4AError(f"a worker was {death.by}, also when its unit ran alone: {unit.get('kind', 'unit')} {unit.get('flow', '')}", hint=hint)


class LocalEngine:
    """Runs independent units on this machine; knows nothing of what they mean."""

    name = "local"
    start = "forkserver"

    def __init__(
        self,
        workers: int,
        memory: int,
        again: Callable[[Unit, Death], Unit] = give_up,
        step_s: float = STEP_S,
        worker_bytes: int | None = None,
        unit_s: float = UNIT_S,
    ) -> None:
        """A unit whose worker died runs again with nothing beside it; if that dies too, as what `again` makes of it.

        memory        bytes that a unit may use for what grows faster than a few words a record
        again         returns the unit to run, or raises
        step_s        a worker that is longer at one step of its journal is killed
        worker_bytes  a worker that holds more memory is killed; None: nine tenths of what is free now
        unit_s        so is one that is longer at a unit
        """
        self.workers, self.memory = workers, memory
        self.retried = 0
        self.tick: Callable[[], None] = lambda: None  # called a few times a second while units run
        self._again, self._step_s, self._unit_s, self._worker_bytes = again, step_s, unit_s, worker_bytes or free_bytes() * 9 // 10
        self._pool: list[Worker] = []

    def run(self, units: list[Unit], work: Work) -> Iterator[dict[str, Any]]:
        """Results of `work` on each unit, in the order in which they end. The first error ends the run."""
        died: list[Unit] = []
        try:
            yield from self._together(units, work, died)
            for unit in died:
                yield self._alone(unit, work)
        finally:  # also where nobody asks for the rest
            self._end([worker for worker in self._pool if worker.units])

    def _together(self, units: list[Unit], work: Work, died: list[Unit]) -> Iterator[dict[str, Any]]:
        """All units, as many at a time as there are workers; those that a worker died at are put aside."""
        waiting = deque(units)
        while True:
            while waiting and (worker := self._free(len(units), len(waiting))) is not None:
                worker.begin(waiting.popleft(), work)
            if not any(worker.units for worker in self._pool):
                return
            for worker, outcome in self._ended():
                if isinstance(outcome, Death):
                    self._pool.remove(worker)
                    died.append(worker.units.popleft())
                    waiting.extendleft(worker.units)
                    self.retried += 1
                else:
                    yield outcome

    def _alone(self, unit: Unit, work: Work) -> dict[str, Any]:
        """A unit that a worker died of, with no other worker beside it and one thing at a time, until it is done or given up."""
        self._end(self._pool)
        unit = {**unit, ALONE: True}
        while True:
            worker = self._free(1)
            assert worker is not None
            worker.begin(unit, work)
            ended: list[tuple[Worker, dict[str, Any] | Death]] = []
            while not ended:
                ended = list(self._ended())
            outcome = ended[0][1]
            if not isinstance(outcome, Death):
                return outcome
            self._pool.remove(worker)
            unit = self._again(unit, outcome)

    def _free(self, wanted: int, waiting: int = 0) -> Worker | None:
        """A worker that has nothing to do, begun if there may be one more; else one that may be told what comes next; None: there is none.

        wanted   workers that have something to do
        waiting  units; where they are few, none is told one that another worker would begin sooner
        """
        free = next((worker for worker in self._pool if not worker.units), None)
        if free is None and len(self._pool) < min(self.workers, wanted):
            get_ready()
            free = Worker(multiprocessing.get_context(self.start))
            self._pool.append(free)
        if free is None and waiting > (self.workers - 1) * _TOLD:
            free = min((worker for worker in self._pool if len(worker.units) < _TOLD), key=lambda worker: len(worker.units), default=None)
        return free

    def _ended(self) -> Iterator[tuple[Worker, dict[str, Any] | Death]]:
        """Workers that are done with a unit, or dead, by the next look."""
        signs: dict[Any, Worker] = {one: worker for worker in self._pool if worker.units for one in worker.signs}
        for worker in dict.fromkeys(signs[one] for one in connection.wait(list(signs), _LOOK_S)):
            yield worker, worker.outcome()
        for worker in self._pool:
            if worker.units:
                self._watch(worker)
        self.tick()

    def _watch(self, worker: Worker) -> None:
        """End a worker that is over a limit; its pipe tells."""
        if worker.step_s > self._step_s:
            worker.end(TIMEOUT, f"killed after {self._step_s:g} s in one step")
        elif worker.unit_s > self._unit_s:
            worker.end(UNIT_TIME, f"killed after {self._unit_s:g} s in one unit (--unit-time)")
        elif worker.private_bytes > self._worker_bytes:
            worker.end(OUT_OF_MEMORY, f"killed for holding more than {self._worker_bytes / 1e6:,.0f} MB (--worker-memory)")

    def _end(self, workers: list[Worker]) -> None:
        for worker in list(workers):
            worker.end()
            self._pool.remove(worker)

    def close(self, kill: bool = False) -> None:
        """End the workers and what they are forked from; they have nothing to end well, `kill` or not. What was committed stays."""
        self._end(self._pool)
        _end_server(wait=True)


def kill_all() -> None:
    """End all workers at once, from a signal handler."""
    for process in multiprocessing.active_children():
        kill(process)
    _end_server(wait=False)


def _end_server(wait: bool) -> None:
    """End the process that workers are forked from; else it would end a moment after the driver. Waited for, its times count as ours."""
    server: Any = forkserver._forkserver
    if server._forkserver_pid is not None:
        os.kill(server._forkserver_pid, signal.SIGKILL)
        if wait:
            server._stop()
