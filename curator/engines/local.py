"""Engine `local`: a process pool on this machine.

Workers are forked from a process that has imported what they need and done nothing else, so its only threads are those of
OpenBLAS and jemalloc, which look after themselves; a fork of the driver would break Arrow's and torch's, and spawned workers
start a second later. They end with their driver, and with one worker everything runs in this process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import entry_points
from multiprocessing import forkserver
from typing import Any

from ..errors import D4AError

Unit = dict[str, Any]
Work = Callable[[Unit], dict[str, Any]]
# modules without a side effect; the last are what Numba imports before it runs the first kernel
_IMPORTED = ("d4a.curator.run", "numba.np.arraymath", "numba.np.random.generator_methods", "numba.np.polynomial.polynomial_functions",
             "numba.typed", "numba.experimental")  # fmt: skip


def get_ready() -> None:
    """Start the process that workers are forked from: it imports while the driver looks at recipe and sources."""
    forkserver.set_forkserver_preload([*_IMPORTED, *(point.module for point in entry_points(group="d4a.modalities"))])
    forkserver.ensure_running()


def _begin_worker() -> None:
    # a death signal would come from the process it was forked from, which lives as long as any worker does
    threading.Thread(target=_end_with_driver, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver answers Ctrl-C


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


class LocalEngine:
    """Runs independent units on this machine; knows nothing of what they mean."""

    name = "local"

    def __init__(self, workers: int, memory: int) -> None:
        """`memory`: bytes that a unit may use for what grows faster than a few words a record."""
        self.workers, self.memory = workers, memory
        self._pool: ProcessPoolExecutor | None = None

    def run(self, units: list[Unit], work: Work) -> Iterator[dict[str, Any]]:
        """Results of `work` on each unit, in the order in which they end. The first error ends the run."""
        if self.workers == 1 or len(units) <= 1:
            for unit in units:  # `map` would take a StopIteration of `work` for its own end
                yield work(unit)
            return
        pool = self._pool = self._pool or self._make_pool()
        # never more queued than needed: a unit list may be long, and its results large
        waiting = iter(units)
        running: set[Future[dict[str, Any]]] = set()
        try:
            for unit in waiting:
                running.add(pool.submit(work, unit))
                if len(running) >= 2 * self.workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            self._pool = None
            hint = "run the same command again: it goes on where it stopped; fewer --workers or a smaller partition_bytes need less memory"
            raise D4AError("a worker process was killed (out of memory, most often)", hint=hint) from error

    def _make_pool(self) -> ProcessPoolExecutor:
        get_ready()
        return ProcessPoolExecutor(self.workers, multiprocessing.get_context("forkserver"), initializer=_begin_worker)

    def close(self, kill: bool = False) -> None:
        """End the workers: idle ones at once; with `kill` also in the middle of a unit. What they committed stays."""
        if self._pool is None:
            return
        if kill:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        # waiting lets the pool's own thread see the end of its processes; without it, it may write a traceback as Python exits
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None
