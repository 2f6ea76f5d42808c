"""One driver a dataset: flock, or an expiring heartbeat where the file system has no locks.

flock ends with its process, whatever ends it; of a heartbeat that is known only when it has been silent for EXPIRES_S. Both are
courtesy: what keeps two runs apart is the run id, which workers compare before every rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import D4AError

BEATS_S = 20.0
EXPIRES_S = 120.0


@contextlib.contextmanager
def driving(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path`. Raises D4AError naming the process that holds it and does not let go within `wait_s`."""
    job = os.environ.get("SLURM_JOB_ID")
    me = f"process {os.getpid()} on {socket.gethostname()}" + (f", Slurm job {job}" if job else "")
    with path.open("a+") as file:
        give_up = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    file.seek(0)
                    raise _held(path, file.read().strip()) from None
                time.sleep(0.2)
            except OSError:  # no locks here
                with _heartbeat(path.with_name("heartbeat"), me, give_up):
                    yield
                return
        file.truncate(0)
        file.write(me)
        file.flush()
        yield


def _held(path: Path, who: str) -> D4AError:
    return D4AError(f"another run works on this dataset: {who}", str(path.parents[1]), "wait for it, or end it")


@contextlib.contextmanager
def _heartbeat(path: Path, me: str, give_up: float) -> Iterator[None]:
    """A file that a thread touches for as long as this process lives."""
    while not _take(path, me):
        if time.monotonic() >= give_up:
            raise _held(path, f"{_read(path)}, or died less than {EXPIRES_S:.0f} s ago: this file system has no locks")
        time.sleep(1)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEATS_S) and _read(path) == me:
            os.utime(path)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        if _read(path) == me:
            path.unlink(missing_ok=True)


def _take(path: Path, me: str) -> bool:
    """Make the file, unless somebody else's is younger than EXPIRES_S by the file system's own clock."""
    mine = path.with_name(f".heartbeat.{socket.gethostname()}-{os.getpid()}.tmp")
    mine.write_text(me)
    try:
        with contextlib.suppress(FileNotFoundError):
            if mine.stat().st_mtime - path.stat().st_mtime < EXPIRES_S:
                return False
            path.unlink()
        try:
            os.link(mine, path)  # of two that saw it expire, one makes it
        except FileExistsError:
            return False
    finally:
        mine.unlink(missing_ok=True)
    time.sleep(1)  # one that saw it expire and is slower may still take away what is ours
    return _read(path) == me


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
