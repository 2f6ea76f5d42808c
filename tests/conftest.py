"""Fixtures shared by the tests: the real command, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def d4a(tmp_path: Path) -> Command:
    """`d4a("curate", recipe, …)` in the test's folder; the exit code must be `code`.

    In one process but where a test says `--workers`: to start workers takes longer than to curate what a test makes.
    """

    def run(*arguments: object, code: int = 0, env: dict[str, str] | None = None, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        alone = ["--workers", "1"] if arguments[0] == "curate" and "--workers" not in arguments else []
        command = [sys.executable, "-m", "d4a.curator", *map(str, arguments), *alone]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=cwd, env={**os.environ, "COLUMNS": "160", **(env or {})}, timeout=300
        )
        assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run
