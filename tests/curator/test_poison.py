"""Records that crash a stage cost themselves: workers that really die, on chosen records, and the same dataset each time."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadly_stages import crashed, install, installing, write
from image_makers import encode, scene
from processes import children, in_session
from small_corpus import published, write_recipe, write_text_inputs


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """With the deadly stages installed."""
    return install(tmp_path / "site")


@pytest.fixture
def deadly(tmp_path: Path) -> str:
    """With the deadly stages installed: what a command that is forked runs first."""
    return installing(tmp_path / "site")


def test_records_that_crash_a_stage_cost_themselves_whatever_the_workers(tmp_path: Path, env: dict[str, str], deadly: str, d4a) -> None:
    """One raises, two are in one batch, and one is the first of its batch."""
    orders = {"0.17": "kill SIGSEGV", "0.2048": "kill SIGABRT", "0.2101": "raise", "1.2499": "kill SIGKILL"}
    recipe = write(tmp_path, orders)
    told = json.loads(d4a("curate", recipe, "--json", first=deadly).stdout)
    assert crashed(tmp_path / "a") == {
        "0.17": ("text.acme.deadly", "crashed", "SIGSEGV"),
        "0.2048": ("text.acme.deadly", "crashed", "SIGABRT"),
        "0.2101": ("text.acme.deadly", "crashed", "ValueError: what is this? <object object at 0x…>"),
        "1.2499": ("text.acme.deadly", "crashed", "SIGKILL"),
    }
    (stage,) = (row for row in told["flows"][0]["stages"] if row["label"] == "text.acme.deadly")
    assert stage["reasons"] == {"crashed": 4}
    shown = d4a("curate", recipe, "--workers", 2, "--out", tmp_path / "b", env=env).stdout
    assert "text.acme.deadly left out records that it cannot take: crashed 4; --fresh tries them again" in shown
    assert published(tmp_path / "a") == published(tmp_path / "b")


def test_a_stage_that_exits_forks_prints_or_gives_other_values_costs_the_same(tmp_path: Path, env: dict[str, str]) -> None:
    """What it forked holds the worker's pipe, and ends with it; what it prints is no part of the driver's JSON."""
    recipe = write(tmp_path, {"0.100": "exit", "0.200": "garble", "1.100": "fork SIGSEGV", "1.200": "print"})
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", "2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **env}, start_new_session=True) as process:
        said = process.communicate(timeout=300)[0]  # until nobody has it open
    assert process.returncode == 0
    until = time.monotonic() + 20
    while in_session(process.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert in_session(process.pid) == []
    assert {key: row[1:] for key, row in crashed(tmp_path / "a").items()} == {
        "0.100": ("crashed", "SystemExit: 0"),
        "0.200": ("crashed", "KeyError: 'length'"),
        "1.100": ("crashed", "SIGSEGV"),
    }
    assert json.loads(said)["flows"][0]["kept"] == 4997


def test_records_that_take_too_long_or_too_much_memory(tmp_path: Path, env: dict[str, str], deadly: str, d4a) -> None:
    recipe = write(tmp_path, {"0.100": "sleep", "1.200": "eat"})
    limits = ("--batch-time", 5, "--worker-memory", "700MB")
    done = d4a("curate", recipe, *limits, "--workers", 2, "--json", env=env)
    assert crashed(tmp_path / "a") == {
        "0.100": ("text.acme.deadly", "timeout", None),
        "1.200": ("text.acme.deadly", "crashed", "out of memory"),
    }
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert max(line["retried"] for line in said if line["step"] == "scan text") >= 2  # more where a batch of others takes long
    again = json.loads(d4a("curate", recipe, *limits, "--json", first=deadly).stdout)
    assert again["flows"][0]["scanned"] == 0 and not again["published"]


def test_a_limit_that_ends_the_run_is_named_as_it_was_given(tmp_path: Path, deadly: str, d4a) -> None:
    limits = ("--worker-memory", "700MB", "--set", "max_bad_records=0")
    done = d4a("curate", write(tmp_path, {"0.100": "eat"}), *limits, first=deadly, code=1)
    assert "the last: killed for holding more than 700 MB (--worker-memory); raise max_bad_records" in done.stderr


def test_a_worker_killed_once_costs_nothing(tmp_path: Path, env: dict[str, str], deadly: str, d4a) -> None:
    recipe = write(tmp_path, {"0.2300": "once kill SIGKILL"})
    done = d4a("curate", recipe, "--workers", 2, "--json", env=env)
    assert crashed(tmp_path / "a") == {} and '"retried":1' in done.stderr
    d4a("curate", recipe, "--out", tmp_path / "b", first=deadly)
    assert published(tmp_path / "a") == published(tmp_path / "b")


def test_workers_killed_at_any_moment_cost_nothing(tmp_path: Path, d4a) -> None:
    write_text_inputs(tmp_path / "in")
    recipe = write_recipe(tmp_path / "r.yaml", tmp_path / "in", tmp_path / "a")
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", "2", "--json"]
    rng, killed = random.Random(2), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        while process.poll() is None and killed < 3:
            if workers := children(*children(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(workers), signal.SIGKILL)
                    killed += 1
                time.sleep(rng.uniform(0, 0.3))  # the first dies as soon as it is seen: later the run may be over
        assert process.wait(200) == 0 and killed
    d4a("curate", recipe, "--out", tmp_path / "b")
    assert published(tmp_path / "a") == published(tmp_path / "b")


def test_a_unit_that_runs_elsewhere_leaves_its_records_out_for_all(tmp_path: Path, env: dict[str, str], deadly: str, d4a) -> None:
    """An element of an array, after a driver that did not get there."""
    recipe = write(tmp_path, {"0.100": "kill SIGSEGV", "1.100": "once sleep"})
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", "1"]
    with subprocess.Popen(command, env={**os.environ, **env}, stderr=subprocess.DEVNULL) as driver:
        while not (tmp_path / "site/deadly_stages.py.once").exists():
            assert driver.poll() is None
            time.sleep(0.01)
        driver.kill()
    d4a("run-unit", tmp_path / "a/.d4a/steps/scan-text.jsonl", 0, "--of", 1, env=env)
    told = json.loads(d4a("curate", recipe, "--json", first=deadly).stdout)
    assert told["flows"][0]["scanned"] == 0 and list(crashed(tmp_path / "a")) == ["0.100"]


@pytest.mark.parametrize("verb", ["raise", "kill SIGSEGV"])
def test_a_run_that_goes_wrong_ends_while_it_scans(tmp_path: Path, deadly: str, d4a, verb: str) -> None:
    recipe = write(tmp_path, {f"0.{k}": verb for k in range(3, 6)})
    done = d4a("curate", recipe, "--set", "max_bad_records=1", first=deadly, code=1)
    assert "text: 2 bad records so far (crashed 2); max_bad_records is 1" in done.stderr and "decide" not in done.stderr


def test_unreadable_records_count_too_also_those_of_the_run_before(tmp_path: Path, d4a) -> None:
    write_text_inputs(tmp_path / "in", files=3)  # two broken lines each
    recipe = write_recipe(tmp_path / "r.yaml", tmp_path / "in", tmp_path / "a")
    done = d4a("curate", recipe, "--set", "max_bad_records=3", code=1)
    assert "text: 4 bad records so far (" in done.stderr and "scan text" in done.stderr and "decide" not in done.stderr
    d4a("curate", recipe)
    assert "6 bad records so far" in d4a("curate", recipe, "--set", "max_bad_records=5", code=1).stderr


def test_a_stage_that_never_works_is_named(tmp_path: Path, deadly: str, d4a) -> None:
    recipe = write(tmp_path, {f"0.{k}": "raise" for k in range(1000)})
    done = d4a("curate", recipe, first=deadly, code=1)
    assert "101 bad records so far (crashed 101); without max_bad_records a run bears 100" in done.stderr
    assert "text.acme.deadly: ValueError: what is this?" in done.stderr


def test_a_page_that_crashes_the_parser_costs_itself(tmp_path: Path, d4a) -> None:
    """The reader hands pages to native code; here that is a function which dies of one of them."""
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / f"in/{number}.html").write_text(f"<html><body><p>page number {number} with some words of its own</p></body></html>")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: x\ntext:\n  sources: [{{path: {tmp_path / 'in'}}}]\noutput: {{path: {tmp_path / 'a'}}}\n")
    program = (
        "import os, signal\n"
        "from d4a.modalities.text import html\n"
        "real = html._by_resiliparse\n"
        "def deadly(main):\n"
        "    take = real(main)\n"
        "    return lambda page, tree: os.kill(os.getpid(), signal.SIGSEGV) if 'number 2' in page else take(page, tree)\n"
        "html._by_resiliparse = deadly\n"
    )
    d4a("curate", recipe, first=program)
    assert crashed(tmp_path / "a") == {"2.html": ("read", "crashed", "SIGSEGV")}


def test_an_image_that_crashes_the_decoder_costs_itself(tmp_path: Path, d4a) -> None:
    """As a library of C does now and then; one more is refused by an exception."""
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / f"in/{number:02}.jpg").write_bytes(encode(scene(number, (120 + number, 90))))
    stages = "[{use: image.decode}, {use: image.dedup.perceptual}]"
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: x\nimage: {{sources: [{{path: {tmp_path / 'in'}}}], stages: {stages}}}\noutput: {{path: {tmp_path / 'a'}}}\n")
    program = (
        "import os, signal\n"
        "from d4a.modalities.image import decode\n"
        "real = decode.read_picture\n"
        "def deadly(data, *rest):\n"
        "    picture = real(data, *rest)\n"
        "    if picture.width == 123: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    if picture.width == 125: raise RuntimeError('cannot allocate')\n"
        "    return picture\n"
        "decode.read_picture = deadly\n"
    )
    told = json.loads(d4a("curate", recipe, "--json", first=program).stdout)
    assert crashed(tmp_path / "a") == {
        "03.jpg": ("image.decode", "crashed", "SIGSEGV"),
        "05.jpg": ("image.decode", "crashed", "RuntimeError: cannot allocate"),
    }
    assert told["flows"][0]["kept"] == 10


# ------------------------------------------------------------------------------------------- killed for memory


@pytest.fixture
def small_group(tmp_path: Path) -> Iterator[Path]:
    """A control group of 900 MB."""
    own = dict(re.findall(r"^\d+:(.*):/?(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE))
    first = Path("/sys/fs/cgroup/memory", own.get("memory", "")), "memory.limit_in_bytes"
    second = Path("/sys/fs/cgroup", own.get("", "")), "memory.max"
    parent, limit = first if "memory" in own else second
    group = parent / f"d4a-{tmp_path.name}-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text("900000000")
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    yield group
    while (group / "cgroup.procs").read_text():
        time.sleep(0.05)
    group.rmdir()


def test_a_worker_that_the_kernel_kills_for_memory_is_named_so(tmp_path: Path, env: dict[str, str], small_group: Path) -> None:
    recipe = write(tmp_path, {"0.100": "eat"})
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", "1"]
    joining = ["sh", "-c", f'echo $$ > {small_group}/cgroup.procs; exec "$0" "$@"', *command]
    done = subprocess.run(joining, capture_output=True, text=True, env={**os.environ, **env}, timeout=300)
    assert done.returncode == 0, done.stderr
    assert crashed(tmp_path / "a") == {"0.100": ("text.acme.deadly", "crashed", "out of memory")}
