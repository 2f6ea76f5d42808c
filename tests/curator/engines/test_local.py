"""The process pool: nothing of it outlives its driver."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time

import pytest
from d4a.curator.engines.worker import _serve
from d4a.curator.journal import JOURNAL_BYTES
from processes import in_session

_DRIVER = """
import time
from d4a.curator.engines.local import LocalEngine
for _ in LocalEngine(2, 0).run([0, 600, 600], time.sleep):
    print("running", flush=True)
"""


def test_workers_in_the_middle_of_a_unit_end_with_a_driver_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _DRIVER], stdout=subprocess.PIPE, start_new_session=True) as driver:
        assert driver.stdout is not None and driver.stdout.readline() == b"running\n"
        assert len(in_session(driver.pid)) >= 3  # it, and two workers
        driver.kill()
        driver.wait()
        until = time.monotonic() + 60
        while (left := in_session(driver.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        for process in left:
            os.kill(process, 9)
        assert left == []


def test_a_worker_whose_driver_is_gone_when_it_has_an_answer_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, bytearray(JOURNAL_BYTES)))
    worker.start()
    theirs.close()
    ours.send((time.sleep, 1))
    ours.close()
    worker.join(60)
    assert worker.exitcode == 0 and capfd.readouterr().err == ""
