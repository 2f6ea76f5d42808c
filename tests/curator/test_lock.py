"""One driver a dataset where the file system has no locks: a heartbeat that expires."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import errno, fcntl, sys
from pathlib import Path
from d4a.curator import lock
from d4a.curator.errors import D4AError

def flock(file, how):
    raise OSError(errno.ENOTSUP, "not supported")

fcntl.flock = flock
lock.BEATS_S, lock.EXPIRES_S = 0.2, float(sys.argv[2])
try:
    with lock.driving(Path(sys.argv[1]) / ".d4a" / "lock", float(sys.argv[3])):
        print("mine", flush=True)
        sys.stdin.read()
except D4AError as error:
    print(error.what, flush=True)
"""


def drive(root: Path, expires_s: float, wait_s: float = 0) -> subprocess.Popen[str]:
    """A run that says whether it holds the lock, and holds it until its input ends."""
    command = [sys.executable, "-c", PROGRAM, str(root), str(expires_s), str(wait_s)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_heartbeat_keeps_others_out_ends_with_its_run_and_expires_after_a_kill(tmp_path: Path) -> None:
    (tmp_path / ".d4a").mkdir()
    first, heartbeat = drive(tmp_path, 4), tmp_path / ".d4a/heartbeat"
    assert first.stdout is not None and first.stdout.readline() == "mine\n"
    begun = heartbeat.stat().st_mtime
    while heartbeat.stat().st_mtime < begun + 4:  # it beats for longer than it takes to expire
        time.sleep(0.05)
    refused = drive(tmp_path, 4).communicate(timeout=300)[0]
    assert f"another run works on this dataset: process {first.pid} on" in refused and "no locks" in refused
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert drive(tmp_path, 4, 60).communicate(timeout=300)[0] == "mine\n"
    assert drive(tmp_path, 4).communicate(timeout=300)[0] == "mine\n"  # the one before took its heartbeat away


def test_of_many_that_see_it_expire_one_takes_over(tmp_path: Path) -> None:
    (tmp_path / ".d4a").mkdir()
    stale = tmp_path / ".d4a/heartbeat"
    stale.write_text("process 1 on a node that died")
    os.utime(stale, (0, 0))
    runs = [drive(tmp_path, 60) for _ in range(6)]
    told = [run.stdout.readline() for run in runs]  # until all have tried, the one that holds it does
    for run in runs:
        run.communicate(timeout=300)
    assert sorted(text == "mine\n" for text in told) == [False] * 5 + [True]
