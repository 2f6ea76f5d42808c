"""Ctrl-C from a real terminal: the run ends with exit code 130, without a traceback or a process left, and goes on later."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from deadly_stages import install, installing, write
from processes import in_session
from small_corpus import published

CTRL_C = b"\x03"


def interrupted(command: list[str], env: dict[str, str], ready: Callable[[], bool], keys: bytes) -> str:
    """What a command said that was interrupted once it was ready; it does not end by itself."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, "-m", "d4a.curator", *command], {**os.environ, **env})
    while not ready():
        assert os.waitpid(process, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    os.write(terminal, keys)
    said = b""
    with contextlib.suppress(OSError):  # EIO: the last process that had it is gone
        while piece := os.read(terminal, 4096):
            said += piece
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130, said
    os.close(terminal)
    until = time.monotonic() + 20
    while in_session(process) and time.monotonic() < until:
        time.sleep(0.02)
    assert in_session(process) == []
    return said.decode(errors="replace")  # Ctrl-C has the terminal drop what it had not shown


@pytest.mark.parametrize("module", ["curator/cli.py", "typer/main.py", "curator/errors.py"])
def test_while_the_command_line_is_imported(module: str) -> None:
    """Python says what it imports; what it has still to say holds it up."""
    command = [sys.executable, "-v", "-m", "d4a.curator", "doctor"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        assert any(line.decode().endswith(f"/{module}\n") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
    assert process.returncode == 130 and "Traceback" not in said
    assert said.splitlines()[-1] == "interrupted; run the same command again: it goes on where it stopped"


@pytest.mark.parametrize(("workers", "keys"), [("1", CTRL_C), ("2", CTRL_C * 2)])
def test_in_the_middle_of_a_unit(tmp_path: Path, d4a, workers: str, keys: bytes) -> None:
    recipe, env = write(tmp_path, {"0.100": "once sleep"}), install(tmp_path / "site")
    asleep = tmp_path / "site/deadly_stages.py.once"
    said = interrupted(["curate", str(recipe), "--workers", workers], env, asleep.exists, keys)
    assert "interrupted; run the same command again" in said and "Traceback" not in said
    d4a("curate", recipe, first=installing(tmp_path / "site"))
    d4a("curate", recipe, "--out", tmp_path / "b", first=installing(tmp_path / "site"))
    assert published(tmp_path / "a") == published(tmp_path / "b")


def test_while_it_plans_and_while_kernels_compile(tmp_path: Path, d4a) -> None:
    """Its last stage never ends, so that the run cannot be over before, however fast the machine."""
    recipe = write(tmp_path, {"0.0": "sleep"}, "{use: text.clean}, {use: text.dedup.fuzzy}, {use: text.acme.deadly}")
    env, rng = install(tmp_path / "site") | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}, random.Random(5)
    for workers in ("1", "2", "1"):
        (tmp_path / "a/.d4a/run").unlink(missing_ok=True)
        until: list[float] = []

        def begun(until: list[float] = until) -> bool:
            if not until and (tmp_path / "a/.d4a/run").exists():
                until.append(time.monotonic() + rng.uniform(0, 3))
            return bool(until) and time.monotonic() > until[0]

        said = interrupted(["curate", str(recipe), "--workers", workers], env, begun, CTRL_C)
        assert "interrupted" in said and "Traceback" not in said
