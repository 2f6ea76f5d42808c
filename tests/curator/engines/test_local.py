"""The process pool: nothing of it outlives its driver, and no unit takes for ever."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
from d4a.curator.engines.local import LocalEngine
from d4a.curator.engines.worker import _serve
from d4a.curator.errors import D4AError
from d4a.curator.journal import JOURNAL_BYTES
from d4a.curator.scan.poison import after_death
from processes import children, in_session

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
    worker.join(300)
    assert worker.exitcode == 0 and capfd.readouterr().err == ""


def test_a_worker_killed_before_it_has_read_what_to_do_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, killed = forkserver.connect_to_new_process, []

    def killing(fds: list[int]) -> tuple[int, int]:
        ends = real(fds)
        server = forkserver._forkserver._forkserver_pid
        while not killed:
            killed.extend(children(server))
            for process in killed:
                os.kill(process, signal.SIGKILL)
        while set(killed) & set(children(server)):
            time.sleep(0.01)
        return ends

    monkeypatch.setattr(forkserver, "connect_to_new_process", killing)
    engine = LocalEngine(1, 0)
    try:
        assert list(engine.run([-1, -2], abs)) == [1, 2] and len(killed) == 1
    finally:
        engine.close(kill=True)


def test_the_time_of_a_unit_is_its_own_where_a_worker_was_told_of_it_before() -> None:
    engine = LocalEngine(1, 0, unit_s=6)
    try:
        assert list(engine.run([3, 3, 3], time.sleep)) == [None] * 3
    finally:
        engine.close(kill=True)


_HANGS = """
import pathlib, time
def work(unit):
    times = pathlib.Path(unit["times"])
    times.write_text(times.read_text() + "x" if times.exists() else "x")
    if len(times.read_text()) <= unit["hangs"]:
        time.sleep(600)
    return {}
"""


def test_a_unit_that_hangs_is_tried_once_more_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hanging.py").write_text(_HANGS)
    monkeypatch.syspath_prepend(tmp_path)
    from hanging import work

    engine = LocalEngine(1, 0, after_death, unit_s=3)
    pack = {"kind": "pack", "flow": "text", "shard": {"path": "text/train/000007.tar"}}
    try:
        assert list(engine.run([{**pack, "times": str(tmp_path / "once"), "hangs": 1}], work)) == [{}]
        with pytest.raises(D4AError, match=r"pack text/train/000007.tar: a worker was killed after 3 s in one unit \(--unit-time\)"):
            list(engine.run([{**pack, "times": str(tmp_path / "always"), "hangs": 9}], work))
    finally:
        engine.close(kill=True)
    assert [(tmp_path / name).read_text() for name in ("once", "always")] == ["xx", "xx"]
