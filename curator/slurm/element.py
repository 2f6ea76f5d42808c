"""An element of an array: its share of the units of a step, until they are done or the time is over."""

from __future__ import annotations

import os
import signal
import socket
import sys

from ..doctor import memory_share
from ..engines.local import LocalEngine, Unit
from ..progress import Reporter
from ..scan.poison import after_death
from ..units import run_unit

EXIT_REQUEUE = 75  # EX_TEMPFAIL of sysexits.h: the same command would go on


class OutOfTime(BaseException):
    """The signal that comes before the time limit; no `except Exception` of a stage may swallow it."""


def run_element(step: str, units: list[Unit], element: int, elements: int, workers: int) -> int:
    """Run the units; returns the exit code. Units in hand are given up at USR1: whoever goes on does them anew.

    Returns EXIT_REQUEUE where something was done before USR1, 1 where nothing was: more of the same time would not help.
    """
    cards = os.environ.get("CUDA_VISIBLE_DEVICES")
    where = f"{socket.gethostname()}, {workers} workers" + (f", cards {cards}" if cards else "")
    print(f"element {element} of {elements} on {where}: {len(units)} units of {step}", file=sys.stderr, flush=True)
    signal.signal(signal.SIGUSR1, _out_of_time)
    engine, done = LocalEngine(workers, memory_share(), after_death), 0
    try:
        with Reporter() as reporter:
            engine.tick = lambda: reporter.tick(engine.retried)
            reporter.step(step, len(units))
            for result in engine.run(units, run_unit):
                done += 1
                reporter.advance(result.get("records", 0))
    except OutOfTime:
        engine.close(kill=True)
        print(f"out of time: {done} of {len(units)} units done" + ("" if done else "; give it more with --time"), file=sys.stderr)
        return EXIT_REQUEUE if done else 1
    except BaseException:
        engine.close(kill=True)
        raise
    engine.close()
    return 0


def _out_of_time(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough
    raise OutOfTime
