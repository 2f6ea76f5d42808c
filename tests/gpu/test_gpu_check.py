"""`make gpu-check` where no card is, and its checks in small with the recorder in place of the libraries: they run, and can fail."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from card_recorder import recording
from d4a.curator.backends import rapids

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
    return next(one for one in checks.CHECKS if one.name == name)


@pytest.mark.parametrize("arguments", [[], ["--card"], ["--one", "vectors"]])
def test_without_a_card_it_is_one_line_and_exit_code_3(arguments: list[str], tmp_path: Path) -> None:
    if check.card()[0]:
        pytest.skip("this machine has a CUDA device")
    # -S: nothing need be installed to say so
    done = subprocess.run([sys.executable, "-S", HERE / "check.py", *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=60)
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


def test_a_check_that_fails_or_hangs_leaves_the_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "__file__", str(tmp_path / "child.py"))
    (tmp_path / "child.py").write_text(
        "import sys, time\nname = sys.argv[2]\nif name == 'hangs': time.sleep(60)\nif name == 'dies': sys.exit(139)\n"
        """print('{"result": "ok", "number": "7 GB/s"}')\n"""
    )
    asked = [check.Check(name, "?", limit, lambda scale: "") for name, limit in (("dies", 20), ("hangs", 6), ("works", 20))]
    rows = list(check.all_of(asked, check.time.monotonic() + 60))
    assert [row[1:] for row in rows] == [("FAILED", "exit code 139"), ("TIME OUT", "after 6 s"), ("ok", "7 GB/s")]
    assert (tmp_path / "out/gpu-check.log").read_text().count("== ") == 3
    assert [row[1:] for row in check.all_of(asked[:1], check.time.monotonic())] == [("not run", "the time is up")]
