"""Engine `ray`: units as tasks of NeMo Curator's Pipeline on Ray, on this machine or on a cluster by its address.

A unit is what it is on every engine, so nothing but its description crosses. One Ray session a run, in processes of its
own (`ray_session.py`): Ray's noise goes to a log, and the driver stays as small as with engine `local`.
"""

from __future__ import annotations

import os
import secrets
import select
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import orjson

from .. import errors
from ..errors import D4AError, MachineError
from ..store import replacing
from .local import LocalEngine, Unit, Work

_POLL_S = 0.2
_ADDRESS = "RAY_ADDRESS"  # never followed: the user names a cluster, or there is none


class RayEngine:
    """Runs independent units on Ray. Single units run in the driver, and those that Ray gave up, by engine `local`."""

    name = "ray"

    def __init__(self, local: LocalEngine, state: Path, address: str | None, cards: Callable[[Unit], float]) -> None:
        """Raises MachineError where NeMo Curator is not installed.

        local    for units that Ray is not asked for; its number of workers is the CPUs of a Ray of this run's own
        state    a folder that all machines of the cluster share
        address  of a running cluster, `host:port`; None: a Ray of this run's own, on this machine
        cards    GPUs that a unit takes; those of one call of `run` are alike
        """
        if find_spec("nemo_curator") is None:
            raise MachineError("engine ray needs NeMo Curator", hint="pip install 'd4a[nemo]', in an environment without cudf")
        self.workers, self.memory = local.workers, local.memory
        self._local, self._address, self._cards = local, address, cards
        self._folder, self._log = state / "ray" / uuid.uuid4().hex, state / "ray.log"
        # nobody else joins a Ray of this run's own
        self._token = {} if address else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._session: list[subprocess.Popen[bytes]] = []

    def run(self, units: list[Unit], work: Work) -> Iterator[dict[str, Any]]:
        """Results of `work` on each unit, in the order in which they end. The first error ends the run."""
        if len(units) <= 1:
            yield from self._local.run(units, work)
            return
        pipeline = self._session[-1] if self._session else self._begin()
        folder = self._folder / str(uuid.uuid4())
        with replacing(folder / "units.jsonl") as file:
            file.writelines(orjson.dumps(unit) + b"\n" for unit in units)
        asked = {"units": str(folder / "units.jsonl"), "folder": str(folder), "gpus": self._cards(units[0])}
        _write(pipeline, {**asked, "module": work.__module__, "function": work.__name__})
        left, end = set(range(len(units))), None
        while end is None:
            end = self._end(pipeline)  # asked first: what was done before the end is there now
            yield from _collect(folder, left)
        if len(left) == len(units):
            raise self._ended(f"Ray did none of {len(units)} units: {end['failed']}")
        if left:  # a process that died with its unit, most often: engine `local` finds out what it was
            yield from self._local.run([units[k] for k in sorted(left)], work)
        shutil.rmtree(folder, ignore_errors=True)

    def _begin(self) -> subprocess.Popen[bytes]:
        """Begin the session's processes; the last of them runs pipelines."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            address = self._address
            if address is None:
                cluster = self._process(log, "cluster", str(self.workers))
                address = _out(cluster).readline().decode().strip()
                if not address:
                    raise self._ended("Ray did not start")
            return self._process(log, "work", address)

    def _process(self, log: IO[bytes], *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "d4a.curator.engines.ray_session", *arguments]
        environment = {name: value for name, value in os.environ.items() if name != _ADDRESS} | self._token
        # a session of its own: Ctrl-C is the driver's to answer
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, start_new_session=True
        )
        self._session.append(process)
        return process

    def _end(self, pipeline: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        """What the pipeline said at its end; None: not in this moment. Raises D4AError where its process is gone."""
        self._local.tick()
        if not select.select([_out(pipeline)], [], [], _POLL_S)[0]:
            return None
        line = _out(pipeline).readline()
        if not line:
            raise self._ended("the Ray session ended")
        said: dict[str, Any] = orjson.loads(line)
        return said

    def _ended(self, what: str) -> D4AError:
        return D4AError(what, str(self._log), "its last lines say why; run the same command again: it goes on where it stopped")

    def close(self, kill: bool = False) -> None:
        """End the session; a Ray of this run's own ends with it, a cluster that was joined stays."""
        for process in reversed(self._session):
            assert process.stdin is not None
            process.stdin.close()
        for process in reversed(self._session):
            try:
                process.wait(timeout=5 if kill else 60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _out(process).close()
        self._session.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._local.close()


def _out(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def _write(process: subprocess.Popen[bytes], asked: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(orjson.dumps(asked) + b"\n")
    process.stdin.flush()


def _collect(folder: Path, left: set[int]) -> Iterator[dict[str, Any]]:
    """Results that have come since, taken out of `left`."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        number = entry.name.removesuffix(".json")
        if not number.isdecimal() or int(number) not in left:
            continue
        said = orjson.loads(Path(entry.path).read_bytes())
        Path(entry.path).unlink()
        left.discard(int(number))
        if "error" in said:
            name, *parts = said["error"]
            raise getattr(errors, name, D4AError)(*parts)
        yield said["result"]
