"""The machine end to end: counts that add up, equal bytes, reuse, crashes, and input that misbehaves."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from small_corpus import published, write_recipe, write_text_inputs


def ledger(root: Path) -> list[dict[str, object]]:
    return ds.dataset(sorted((root / "ledger").glob("*.parquet"))).to_table().to_pylist()


def outcome(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    return json.loads(done.stdout)


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, int]:
    return tmp_path / "in", write_text_inputs(tmp_path / "in")


def test_every_record_has_one_row_and_the_counts_add_up(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    source, rows = inputs
    out = tmp_path / "out"
    told = outcome(d4a("curate", write_recipe(tmp_path / "r.yaml", source, out), "--json"))
    table = ledger(out)
    assert len(table) == rows == told["flows"][0]["records"]
    assert len({row["id"] for row in table}) == len({row["key"] for row in table}) == rows
    kept = [row for row in table if row["verdict"] == "kept"]
    dropped = [row for row in table if row["verdict"] == "dropped"]
    assert len(kept) + len(dropped) == rows and len(kept) == told["flows"][0]["kept"]
    assert all(row["stage"] and row["reason"] for row in dropped)
    assert {row["reason"] for row in dropped} == {"broken_json", "no_text_field", "exact_duplicate", "near_duplicate"}
    stages = told["flows"][0]["stages"]
    assert stages[0]["in"] == rows and stages[-1]["kept"] == len(kept)
    assert all(before["kept"] == after["in"] for before, after in itertools.pairwise(stages))
    assert all(sum(stage["reasons"].values()) == stage["in"] - stage["kept"] for stage in stages)
    by_key = {row["key"]: row for row in table}
    for row in dropped:
        if row["twin"]:
            assert row["similarity"] >= 0.8 and by_key[row["survivor"]]["verdict"] == "kept"


def test_shards_hold_exactly_the_kept_records(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    webdataset = pytest.importorskip("webdataset")
    out = tmp_path / "out"
    d4a("curate", write_recipe(tmp_path / "r.yaml", inputs[0], out))
    shards = sorted(map(str, out.glob("text/*/*.tar")))
    assert len(shards) > 5
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    kept = {row["sample_key"]: row for row in ledger(out) if row["verdict"] == "kept"}
    assert {sample["__key__"] for sample in samples} == set(kept) and len(samples) == len(kept)
    for sample in samples:
        row = kept[sample["__key__"]]
        assert sample["json"]["key"] == row["key"] and sample["json"]["source"] == row["source"]
        assert sample["json"]["meta"]["lang"] == "en" and sample["__url__"].endswith(row["shard"])
    assert "whole" in d4a("verify", out).stdout


def test_same_bytes_for_any_workers_hash_seed_and_place(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "a", more="\n    - use: text.dedup.contained")
    d4a("curate", recipe, "--workers", 1, env={"PYTHONHASHSEED": "1"})
    d4a("curate", recipe, "--workers", 2, "--out", tmp_path / "b", env={"PYTHONHASHSEED": "2"})
    assert len(published(tmp_path / "a")) > 30
    said = {row["detail"] for row in ledger(tmp_path / "a") if row["reason"] == "contained"}
    assert len(said) > 3 and any(detail.startswith("100 % of it, ") for detail in said)
    assert published(tmp_path / "a") == published(tmp_path / "b")


def test_a_changed_threshold_scans_nothing_and_equals_a_fresh_run(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "a")
    first = outcome(d4a("curate", recipe, "--json"))
    again = outcome(d4a("curate", recipe, "--json"))
    assert first["flows"][0]["scanned"] > 0 and again["flows"][0]["scanned"] == 0 and not again["published"]
    strict = outcome(d4a("curate", recipe, "--set", "text.dedup.fuzzy.threshold=0.99", "--json"))
    assert strict["flows"][0]["scanned"] == 0 and strict["published"]
    assert strict["flows"][0]["kept"] > first["flows"][0]["kept"]
    d4a("curate", recipe, "--set", "text.dedup.fuzzy.threshold=0.99", "--out", tmp_path / "b")
    assert published(tmp_path / "a") == published(tmp_path / "b")


def test_an_added_file_scans_only_its_own_partition(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "a")
    d4a("curate", recipe)
    (inputs[0] / "part-01b.jsonl").write_text('{"id": "new", "text": "one new record, short as it is"}\n')
    told = outcome(d4a("curate", recipe, "--json"))
    assert told["flows"][0]["scanned"] <= 1 + 40 and told["flows"][0]["records"] == inputs[1] + 1
    d4a("curate", recipe, "--out", tmp_path / "b")
    assert published(tmp_path / "a") == published(tmp_path / "b")


@pytest.mark.parametrize("whole_group", [False, True], ids=["driver", "group"])
def test_killed_at_any_moment_the_next_run_gives_the_same_bytes(tmp_path: Path, inputs: tuple[Path, int], d4a, whole_group: bool) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "calm")
    started = time.monotonic()
    d4a("curate", recipe, "--workers", 2)
    length = time.monotonic() - started
    rough = tmp_path / "rough"
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", "2", "--out", str(rough)]
    rng, killed = random.Random(int(whole_group)), 0
    while killed < 3:
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started = time.monotonic()
        try:
            process.wait(rng.uniform(0.3, 1.0) * length)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
            process.wait()
            killed += 1
            assert_whole_or_absent(rough, d4a)
        else:  # done before: begin again, and be quicker
            length = min(length, time.monotonic() - started)
            shutil.rmtree(rough)
    d4a("curate", recipe, "--out", rough)
    assert published(tmp_path / "calm") == published(rough)


def test_curating_again_and_killed_in_the_middle_never_looks_whole_when_it_is_not(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "a")
    d4a("curate", recipe)
    rng, length, killed, number = random.Random(3), 2.0, 0, 0
    while killed < 8:
        number += 1
        changed = ["--set", f"text.dedup.fuzzy.threshold={0.99 if number % 2 else 0.8}", "--set", f"output.seed={number}"]
        ends = f"lambda: (time.sleep({rng.uniform(0, length)}), os.kill(os.getpid(), signal.SIGKILL))"
        soon = f"import os, signal, threading, time\nthreading.Thread(target={ends}, daemon=True).start()"
        ended = d4a("curate", recipe, *changed, first=soon, code=None).returncode
        assert ended in (0, -signal.SIGKILL)
        killed += ended != 0
        length *= 1 if ended else 0.8  # done before
        assert_whole_or_absent(tmp_path / "a", d4a)


def assert_whole_or_absent(root: Path, d4a) -> None:
    if (root / "dataset.json").exists():
        assert "whole" in d4a("verify", root).stdout
    else:
        assert (
            "interrupted" in d4a("verify", root, code=2).stderr
            or not root.exists()
            or "no such dataset" in d4a("verify", root, code=2).stderr
        )


def test_stopped_at_every_step_of_publishing(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    """A crash between any two renames of the publication is finished by the next run."""
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "calm")
    d4a("curate", recipe, "--set", "output.seed=7")
    d4a("curate", recipe, "--set", "output.seed=8", "--out", tmp_path / "other")
    calm, rough = {7: published(tmp_path / "calm"), 8: published(tmp_path / "other")}, tmp_path / "rough"
    d4a("curate", recipe, "--out", rough)
    for seed, left in zip((7, 8, 7, 8, 7), (0, 1, 5, 20, 10_000), strict=True):
        stop = (
            "import os, pathlib\n"
            "from d4a.curator import store\n"
            f"left = [None] * {left}\n"
            "real = pathlib.Path.replace\n"
            "def replace(self, target):\n"
            "    if store.STATE not in pathlib.Path(target).parts:\n"
            "        left.pop() if left else os._exit(9)\n"
            "    return real(self, target)\n"
            "pathlib.Path.replace = replace\n"
        )
        changed = ["curate", recipe, "--out", rough, "--set", f"output.seed={seed}"]
        d4a(*changed, first=stop, code=0 if left == 10_000 else 9)
        assert (rough / "dataset.json").exists() == (left == 10_000)
        d4a(*changed)
        assert published(rough) == calm[seed]


def test_two_runs_on_one_output(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    recipe, held = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "a"), tmp_path / "held"
    program = (
        "import pathlib, time\n"
        "from d4a.curator import run\n"
        f"held = pathlib.Path({str(held)!r})\n"
        "real = run.Driver._lay_out\n"
        "def lay_out(self, flow):\n"
        "    held.touch()\n"
        "    while held.exists():\n"
        "        time.sleep(0.01)\n"
        "    real(self, flow)\n"
        "run.Driver._lay_out = lay_out\n"
        "from d4a.curator.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, "curate", str(recipe), "--workers", "1"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not held.exists():
        assert first.poll() is None
        time.sleep(0.01)
    refused = d4a("curate", recipe, code=1)
    held.unlink()
    assert f"another run works on this dataset: process {first.pid} on" in refused.stderr
    assert first.wait() == 0


def test_the_output_folder_must_be_ours(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], inputs[0])
    before = published(inputs[0])
    assert "holds files that are not d4a's" in d4a("curate", recipe, code=2).stderr
    assert published(inputs[0]) == before


@pytest.mark.parametrize("change", ["edited", "vanished"])
def test_a_source_that_changes_between_scan_and_pack(tmp_path: Path, inputs: tuple[Path, int], d4a, change: str) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "a")
    victim = inputs[0] / "part-00.jsonl"
    program = (
        "import pathlib\n"
        "from d4a.curator import run\n"
        f"victim = pathlib.Path({str(victim)!r})\n"
        "real = run.Driver._lay_out\n"
        "def lay_out(self, flow):\n"
        "    real(self, flow)\n"
        + ("    victim.unlink()\n" if change == "vanished" else "    victim.write_text(victim.read_text().replace('river', 'RIVER'))\n")
        + "run.Driver._lay_out = lay_out\n"
    )
    done = d4a("curate", recipe, first=program, code=1)
    assert "1 source files changed or vanished since the scan: part-00.jsonl" in done.stderr
    assert not (tmp_path / "a/dataset.json").exists()
    told = outcome(d4a("curate", recipe, "--json"))
    assert told["published"] and told["flows"][0]["scanned"] <= 40


def test_repeated_ids_stay_apart(tmp_path: Path, d4a) -> None:
    source = tmp_path / "in"
    source.mkdir()
    texts = ["one text about rivers", "another text about stones", "a third text about bridges", "a fourth about gardens"]
    ids = ["a", "a", "a~2", "a"]
    (source / "x.jsonl").write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in zip(ids, texts, strict=True)))
    d4a("curate", write_recipe(tmp_path / "r.yaml", source, tmp_path / "a"))
    assert [row["key"] for row in ledger(tmp_path / "a")] == ["a", "a~3", "a~2", "a~4"]


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        recipe = write_recipe(tmp_path / "r.yaml", inputs[0], small / "a")
        done = d4a("curate", recipe, "--workers", 2, code=1)
        assert "the disk is full" in done.stderr and not (small / "a/dataset.json").exists()
        subprocess.run(["mount", "-o", "remount,size=100M", str(small)], check=True)
        d4a("curate", recipe)
        d4a("curate", recipe, "--out", tmp_path / "b")
        assert published(small / "a") == published(tmp_path / "b")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_limit_takes_the_first_records_whatever_the_workers(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "a")
    d4a("curate", recipe, "--limit", 50)
    d4a("curate", recipe, "--limit", 50, "--workers", 2, "--out", tmp_path / "b")
    assert len(ledger(tmp_path / "a")) == 50 and published(tmp_path / "a") == published(tmp_path / "b")
    d4a("curate", recipe)
    assert len(ledger(tmp_path / "a")) == inputs[1]


def test_a_unit_can_be_run_by_itself(tmp_path: Path, inputs: tuple[Path, int], d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", inputs[0], tmp_path / "a")
    d4a("curate", recipe)
    steps = tmp_path / "a/.d4a/steps/scan-text.jsonl"
    before = published(tmp_path / "a")
    told = json.loads(d4a("run-unit", steps, 0).stdout)
    assert told["partition"] == told["records"] == 0
    assert "2 units of scan-text" in d4a("run-unit", steps, 1, "--of", len(steps.read_text().splitlines()) - 2).stderr
    assert published(tmp_path / "a") == before


def test_more_unreadable_records_than_the_recipe_allows(tmp_path: Path, d4a) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.jsonl").write_text("not json\n" * 9 + '{"text": "good"}\n')
    done = d4a("curate", write_recipe(tmp_path / "r.yaml", tmp_path / "in", tmp_path / "a"), code=1)
    assert "x.jsonl#0: text: 9 of 10 records cannot be read (broken_json 9); the recipe allows 50%" in done.stderr
