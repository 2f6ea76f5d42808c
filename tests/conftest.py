"""Fixtures shared by the tests: the real command, run as a user runs it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from warm_command import Warm

with contextlib.suppress(ImportError):  # `make test-ray` installs less
    from hypothesis import HealthCheck, settings

    # the same draws in each run, however slow the machine; --hypothesis-profile=default draws others
    settings.register_profile("d4a", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("d4a")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    process = Warm(tmp_path_factory.mktemp("warm"))
    yield process
    process.close()


@pytest.fixture
def d4a(tmp_path: Path, warm: Warm) -> Command:
    """`d4a("curate", recipe, …)` in the test's folder; the exit code must be `code`.

    With an environment, or workers, the process starts from nothing; else it is forked from a warm one, and has one worker. `first`
    is Python that such a one runs before; a `code` of None is any.
    """

    def run(
        *arguments: object, code: int | None = 0, env: dict[str, str] | None = None, cwd: Path = tmp_path, first: str = ""
    ) -> subprocess.CompletedProcess[str]:
        words = [*map(str, arguments)]
        if env is None and "--workers" not in words:
            done = warm.run(words + ["--workers", "1"] * (words[0] == "curate"), cwd, 300, first)
        else:
            command = [sys.executable, "-m", "d4a.curator", *words]
            environment = {**os.environ, "COLUMNS": "160", **(env or {})}
            done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
        assert code in (None, done.returncode), f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run
