"""`d4a` with modules and kernels loaded once a session: each command is a process of its own, forked from one that has curated before.

A command that starts from nothing takes two seconds, most of them to load what every command loads. The command is the real one, from
`main` to the end of its process, and its worker is forked from it; what depends on the start of a process (its environment, more
workers) is tested with processes that start.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from unittest import mock


class Warm:
    """The process that forks; `run` is `subprocess.run` of `d4a` with captured output."""

    def __init__(self, folder: Path, **more: str) -> None:
        """`more`: of its environment, and so of every command's."""
        idle = "ignore:This process (pid=:DeprecationWarning"  # Python warns of forks beside other threads: Arrow's, which wait
        command = [sys.executable, "-W", idle, __file__, str(folder)]
        environment = {**os.environ, "COLUMNS": "160", **more}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def run(self, arguments: list[str], cwd: Path, timeout_s: int, first: str = "") -> subprocess.CompletedProcess[str]:
        """`first` is Python for the process to run before. Raises TimeoutExpired as `subprocess.run` does."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            files = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (out, err)]
            told = {"arguments": arguments, "cwd": str(cwd), "files": files, "timeout_s": timeout_s, "first": first}
            self._process.stdin.write(json.dumps(told) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            if code == -signal.SIGALRM:
                raise subprocess.TimeoutExpired(arguments, timeout_s)
            return subprocess.CompletedProcess(arguments, code, *(Path(name).read_text() for name in files))

    def close(self) -> None:
        """End the process that forks."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def load(folder: Path) -> None:
    """Curate something small, all of it in this process."""
    from d4a.curator.cli import main
    from d4a.curator.engines import local

    local.get_ready = lambda: None
    with mock.patch.object(local.LocalEngine, "run", lambda _, units, work: map(work, units)):
        curate(main, folder)


def curate(main: Callable[[], None], folder: Path) -> None:
    """A text recipe."""
    from small_corpus import write_recipe, write_text_inputs

    write_text_inputs(folder / "in", files=1)
    sys.argv = ["d4a", "curate", str(write_recipe(folder / "r.yaml", folder / "in", folder / "out")), "--workers", "1"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        main()


def fork_for_each() -> bool:
    """Fork for each line of stdin and say how the command ended; True in the process that is to become the command."""
    for line in iter(sys.stdin.readline, ""):
        process = os.fork()
        if process == 0:
            become(json.loads(line))
            return True
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
    return False


def become(told: dict[str, object]) -> None:
    """Folder, arguments and files of a command, what it runs first, and its worker: forked from it now, for later it has threads."""
    from d4a.curator.engines import local

    for number, (name, mode) in enumerate([(os.devnull, os.O_RDONLY), *((name, os.O_WRONLY) for name in told["files"])]):
        os.dup2(os.open(name, mode), number)
    os.chdir(told["cwd"])
    sys.argv = ["d4a", *told["arguments"]]
    signal.alarm(told["timeout_s"])
    exec(told["first"], {})
    local.LocalEngine.start, begin = "fork", local.Worker
    forked = [begin(get_context("fork"))] if told["arguments"][0] == "curate" else []
    local.Worker = lambda context: forked.pop() if forked else begin(context)


if __name__ == "__main__":
    load(Path(sys.argv[1]))
    if fork_for_each():
        from d4a.curator.cli import main

        main()
