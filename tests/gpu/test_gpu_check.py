"""`make gpu-check` where no card is, and its checks in small with the recorder in place of the libraries: they run, and can fail."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from card_driver import with_driver
from card_recorder import recording
from d4a.curator.backends import rapids
from processes import running

HERE = Path(__file__).parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check, checks = load("check"), load("checks")
LIKE_A_CARD = ["vectors", "columns", "long texts", "unicode", "hash speed", "homes", "pairs"]


@pytest.fixture
def libraries() -> Iterator[None]:
    with recording():
        yield


def of(name: str) -> object:
    return next(one for one in check.CHECKS if one.name == name)


@pytest.mark.parametrize("arguments", [[], ["--card"], ["--one", "vectors"]])
def test_without_a_card_it_is_one_line_and_exit_code_3(arguments: list[str], tmp_path: Path) -> None:
    if check.load_driver().cards()[0]:
        pytest.skip("this machine has a CUDA device")
    # -S: nothing need be installed to say so
    done = subprocess.run([sys.executable, "-S", HERE / "check.py", *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (3, "", [])
    assert done.stderr.startswith("gpu-check: no CUDA device answers: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", LIKE_A_CARD)
def test_checks_pass_where_the_libraries_compute_as_the_cpu_does(name: str, libraries: None) -> None:
    told = check.one(of(name), 0.005 if name != "unicode" else 0.0002)
    assert told["result"] == "ok", told
    assert any(letter.isdigit() for letter in told["number"])


@pytest.mark.parametrize(
    ("name", "function"),
    [("vectors", "minhash"), ("long texts", "minhash"), ("unicode", "minhash"), ("pairs", "alike")],
)
def test_checks_notice_what_is_wrong(name: str, function: str, libraries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(rapids, function)

    def wrong(*given: object) -> object:
        found = right(*given)
        one = found if isinstance(found, np.ndarray) else found[1]
        one[slice(None) if function == "alike" else -1] -= one.dtype.type(1)  # a vector's pair with itself counts for nothing
        return found

    monkeypatch.setattr(rapids, function, wrong)
    assert check.one(of(name), 0.0002 if name == "unicode" else 0.002)["result"] == "DIFFERS"


CHECKS = """
import os, subprocess, sys, time
from check import DiffersError

def machine(scale): return "7 GB/s"
def sketch_kernel(scale): os._exit(139)
def vectors(scale): raise DiffersError("3 of 9 values")
def dataset(scale): import no_such_library
def columns(scale):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "grandchild of " + os.getcwd()])
    time.sleep(60)
"""


def test_a_check_that_fails_or_hangs_leaves_the_others_alone(tmp_path: Path) -> None:
    for file, here in ((check.DRIVER, "curator/backends"), (HERE / "check.py", "tests/gpu")):
        (tmp_path / here).mkdir(parents=True)
        shutil.copy(file, tmp_path / here)
    (tmp_path / "tests/gpu/checks.py").write_text(CHECKS)
    names = ["machine", "sketch kernel", "vectors", "dataset", "columns", "hash speed"]
    only = [word for name in names for word in ("--only", name)]
    command = [sys.executable, "-S", "tests/gpu/check.py", "--seconds", "12", *only]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=with_driver(tmp_path / "driver"), timeout=300)
    table = (tmp_path / "out/gpu-check.txt").read_text()
    told = [" ".join(line.split()) for line in table.splitlines()]
    results = ["ok", "FAILED", "DIFFERS", "FAILED", "TIME OUT", "not run"]
    assert [line.startswith(f"{name} {result} ") for name, result, line in zip(names, results, told[1:], strict=True)] == [True] * 6, table
    endings = ["7 GB/s", "exit code 139", "3 of 9 values", "No module named 'no_such_library'", " s", "the time is up"]
    assert [line.endswith(ending) for ending, line in zip(endings, told[1:], strict=True)] == [True] * 6, table
    assert (done.returncode, done.stderr) == (1, "") and table in done.stdout
    assert (tmp_path / "out/gpu-check.log").read_text().count("== ") == 5
    until = time.monotonic() + 20  # killed, and not waited for
    while (left := running(f"grandchild of {tmp_path}")) and time.monotonic() < until:
        time.sleep(0.02)
    assert left == []


def test_the_extra_is_the_drivers(tmp_path: Path) -> None:
    def told(argument: str, version: int) -> tuple[int, str]:
        command = [sys.executable, "-S", HERE / "check.py", argument]
        done = subprocess.run(command, capture_output=True, text=True, env=with_driver(tmp_path / "driver", version), timeout=300)
        return done.returncode, done.stdout

    assert told("--card", 13000) == (0, "gpu-check: the driver counts 1 device, CUDA 13\n")
    assert (told("--extra", 13020), told("--extra", 12040), told("--extra", 11080)) == ((0, "gpu\n"), (0, "gpu-cu12\n"), (3, ""))


def test_every_check_has_its_function_and_all_fit_ten_minutes_as_far_as_they_matter() -> None:
    assert all(callable(getattr(checks, one.name.replace(" ", "_"))) for one in check.CHECKS)
    assert sum(one.limit for one in check.CHECKS[:6]) < check.SECONDS


@pytest.mark.models
@pytest.mark.parametrize("name", ["clip", "yolo"])
def test_models_pass_where_the_card_is_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CARD", "cpu")
    told = check.one(of(name), 0.005)
    assert told["result"] == "ok" and "images/s" in told["number"], told


def test_a_dataset_is_the_same_where_the_card_is_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CARD", "cpu")
    (tmp_path / "in.jsonl").write_text("".join(f'{{"id": "{k}", "text": "some words of text {k // 2}"}}\n' for k in range(20)))
    assert checks._curated(tmp_path, {"scheme": "fss"}) == json.loads((tmp_path / "fss-cpu/dataset.json").read_text())["dataset_id"]
