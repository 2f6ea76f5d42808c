"""Engine `ray` with the real NeMo Curator and Ray: the dataset of an undisturbed local run, and nothing left behind.

In an environment of its own (`make test-ray`); each Ray session costs a quarter of a minute.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadly_stages import install, write
from small_corpus import published, write_recipe, write_text_inputs

pytest.importorskip("nemo_curator", reason="NeMo Curator is not installed here: make test-ray")


def curate(recipe: Path, out: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--out", str(out), "--workers", "2", *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}, start_new_session=True
    )


def finish(run: subprocess.Popen[str], code: int = 0) -> str:
    out, err = run.communicate(timeout=300)
    assert run.returncode == code, f"{out}\n{err}"
    return out + err


def processes(word: str) -> list[int]:
    """Processes that live and have `word` in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word in (folder / "cmdline").read_text() and ") Z " not in (folder / "stat").read_text():
                found.append(int(folder.name))
        except (ProcessLookupError, FileNotFoundError):
            continue
    return found


def wait_until(what: object, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:  # type: ignore[operator]
        time.sleep(0.1)
    assert what()  # type: ignore[operator]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe, and the dataset that engine `local` makes of it."""
    folder = tmp_path_factory.mktemp("ray")
    write_text_inputs(folder / "in")
    recipe = write_recipe(folder / "r.yaml", folder / "in", folder / "local")
    finish(curate(recipe, folder / "local"))
    return recipe, folder / "local"


@pytest.fixture
def no_ray_left() -> Iterator[None]:
    before = set(processes("raylet"))
    yield
    wait_until(lambda: not set(processes("raylet")) - before and not processes("ray_session"))


@pytest.mark.usefixtures("no_ray_left")
def test_the_dataset_of_a_local_run_and_no_cluster_that_nobody_named(tmp_path: Path, local: tuple[Path, Path]) -> None:
    recipe, reference = local
    # an address in the environment, of a cluster that is not there: to follow it would be to fail
    finish(curate(recipe, tmp_path / "out", "--engine", "ray", RAY_ADDRESS="127.0.0.1:1"))
    assert len(published(reference)) > 30 and published(tmp_path / "out") == published(reference)
    assert not list((tmp_path / "out" / ".d4a" / "ray").glob("*"))


@pytest.mark.usefixtures("no_ray_left")
def test_a_worker_that_is_killed_costs_its_unit_only(tmp_path: Path, local: tuple[Path, Path]) -> None:
    recipe, reference = local
    run = curate(recipe, tmp_path / "out", "--engine", "ray")
    wait_until(lambda: processes("ray::MapBatches(UnitStageTask)"))
    for pid in processes("ray::MapBatches(UnitStageTask)"):
        os.kill(pid, signal.SIGKILL)
    finish(run)
    assert published(tmp_path / "out") == published(reference)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.usefixtures("no_ray_left")
def test_a_driver_that_is_ended_takes_its_ray_along_and_the_next_run_goes_on(
    tmp_path: Path, local: tuple[Path, Path], number: signal.Signals
) -> None:
    recipe, reference = local
    run = curate(recipe, tmp_path / "out", "--engine", "ray")
    scanned = tmp_path / "out" / ".d4a" / "scan"
    wait_until(lambda: scanned.exists() and list(scanned.rglob("manifest.json")))
    os.killpg(run.pid, number)
    assert run.wait() == (-number if number == signal.SIGKILL else 130)
    wait_until(lambda: not processes("ray_session"))
    finish(curate(recipe, tmp_path / "out"))  # on another engine
    assert published(tmp_path / "out") == published(reference)


@pytest.mark.usefixtures("no_ray_left")
def test_a_record_that_crashes_a_stage_costs_itself_as_it_does_locally(tmp_path: Path) -> None:
    """Ray tries a task again that its process died of, and gives up; engine `local` then finds the record."""
    recipe = write(tmp_path, {"0.17": "kill SIGSEGV", "1.2499": "raise"})
    environment = install(tmp_path / "site")
    finish(curate(recipe, tmp_path / "b", **environment))
    finish(curate(recipe, tmp_path / "c", "--engine", "ray", **environment))
    assert published(tmp_path / "b") == published(tmp_path / "c")


def test_a_cluster_that_is_named_is_joined_and_stays(tmp_path: Path, local: tuple[Path, Path]) -> None:
    recipe, reference = local
    ray = str(Path(sys.executable).parent / "ray")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "PATH": f"{Path(ray).parent}:{os.environ['PATH']}"}
    head = [ray, "start", "--head", "--block", "--port=0", "--num-cpus=2", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
    folder = tempfile.TemporaryDirectory(prefix="d4a-ray-test-", ignore_cleanup_errors=True)  # a socket's path is short
    command = [*head, f"--temp-dir={folder.name}"]
    with folder, subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **token}) as cluster:
        try:
            assert cluster.stdout is not None
            address = next(found[1] for line in cluster.stdout if (found := re.search(r"--address='([^']+)'", line)))
            finish(curate(recipe, tmp_path / "out", "--engine", "ray", "--ray-address", address, **token))
            assert published(tmp_path / "out") == published(reference)
            assert cluster.poll() is None
        finally:
            cluster.terminate()
            cluster.wait(timeout=60)


def test_without_nemo_curator_one_line_says_what_to_install(tmp_path: Path, local: tuple[Path, Path]) -> None:
    (tmp_path / "hidden" / "sitecustomize.py").parent.mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'nemo_curator' else real(name, *rest)\n"
    )
    said = finish(curate(local[0], tmp_path / "out", "--engine", "ray", PYTHONPATH=str(tmp_path / "hidden")), code=3)
    assert "engine ray needs NeMo Curator" in said and "d4a[nemo]" in said and "Traceback" not in said
