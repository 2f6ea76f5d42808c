"""A real Slurm of three nodes: whatever dies on the way, the dataset is that of an undisturbed local run, byte for byte."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.dataset as ds
from deadly_stages import write
from small_corpus import published, write_text_inputs

D4A = (sys.executable, "-m", "d4a.curator")  # from nothing
ELEMENT = 2  # units that an element of the tests has in hand: --cpus-per-task


def logs(out: Path, step: str) -> str:
    return "".join(path.read_text() for path in sorted((out / ".d4a/slurm/logs").glob(f"{step}-*.log")))


def assert_same(out: Path, calm) -> None:
    assert published(out) == calm.files, logs(out, "*")[-3000:]


def test_a_graph_of_three_arrays_longer_than_one_array_may_be(cluster, calm, told, tmp_path: Path) -> None:
    out, one = tmp_path / "out", cluster.other_templates(tmp_path / "site", "cpus-per-task=2", "cpus-per-task=1")
    rehearsed = cluster.d4a("slurm", "submit", calm.recipe, "--out", out, "--nodes", 2, "--templates", one, "--dry-run")
    assert "#SBATCH --gres=gpu:1" in rehearsed.stdout and "--array=0-1%" in rehearsed.stdout
    assert not out.exists() and cluster.drained()
    told.hold()
    cluster.submit(calm.recipe, out, one, SCANS=str(told.path))
    record = json.loads((out / ".d4a/slurm.json").read_text())
    arrays = {step["name"]: step for group in record["groups"] for step in group if step["kind"] != "driver"}
    assert list(arrays) == ["scan text", "scan text (round 2)", "pack text"]
    assert len(arrays["scan text"]["jobs"]) > 1 and arrays["scan text (round 2)"]["kind"] == "gpu"
    refused = cluster.d4a("curate", calm.recipe, "--out", out, code=1)
    assert "scancel " in refused.stderr and refused.stderr.strip().endswith(record["groups"][-1][0]["jobs"][0])
    told.release()
    cluster.until(cluster.drained)
    assert_same(out, calm)
    assert told.count == calm.units
    # cards are asked for and seen where a model runs, and there alone
    assert "cards " in logs(out, "scan-text-round-2") and "cards " not in logs(out, "pack-text")
    assert "finished" in cluster.d4a("slurm", "status", out).stdout
    assert all(row["left"] == 0 for row in cluster.status(out).values())
    cluster.d4a("curate", calm.recipe, "--out", out, "--device", "cpu")  # nobody holds it any more


def test_a_failed_element_leaves_nothing_pending_and_resume_does_what_is_missing(cluster, calm, told, tmp_path: Path) -> None:
    source, recipe, out = tmp_path / "in", tmp_path / "r.yaml", tmp_path / "out"
    write_text_inputs(source, files=3)
    recipe.write_text(calm.recipe.read_text().replace(str(calm.source), str(source)))
    cluster.nodes("drain")
    cluster.submit(recipe, out, SCANS=str(told.path))
    victim = source / "part-00.jsonl"
    before = victim.stat()
    victim.touch()
    cluster.nodes("resume")
    cluster.until(cluster.drained)
    row = cluster.status(out)["scan text"]
    assert row["failed"] and row["left"] and row["done"] and "changed since the sources were listed" in Path(row["logs"][0]).read_text()
    assert not (out / "dataset.json").exists()
    assert "stopped: nothing is queued" in cluster.d4a("slurm", "status", out).stdout
    lacking = cluster.d4a("slurm", "drive", out, "driver 1", code=1).stderr  # should its job begin all the same
    assert f"{row['left']} units of scan text are not done" in lacking and "d4a slurm resume" in lacking
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    told.hold(told.count)
    cluster.d4a("slurm", "resume", out, SCANS=str(told.path))
    assert cluster.status(out)["scan text"]["units"] == row["left"]
    told.release()
    cluster.until(cluster.drained)
    # the recipe names another folder; the shards are the same
    assert json.loads((out / "dataset.json").read_text())["dataset_id"] == json.loads((calm.out / "dataset.json").read_text())["dataset_id"]
    assert told.count <= calm.units + row["failed"] * ELEMENT


def test_out_of_time_it_goes_back_into_the_queue_and_so_it_does_when_its_node_loses_power(cluster, calm, told, tmp_path: Path) -> None:
    out = tmp_path / "out"
    one = cluster.other_templates(tmp_path / "site", 'source "$1/el', 'workers=1\nsource "$1/el')
    told.hold(behind=1)  # a unit is done and one is in hand when the signal comes
    cluster.submit(calm.recipe, out, one, nodes=1, SCANS=str(told.path))
    cluster.until(lambda: told.count == 2)
    (job,) = (job for job, state, _ in cluster.queue() if state == "RUNNING")
    cluster.call("scancel", "--signal=USR1", "--batch", job)
    cluster.until(lambda: "goes back into the queue" in logs(out, "scan-text"))
    first = calm.units // 2 + 1  # of the first round, one of them twice
    told.hold(behind=first)
    cluster.until(lambda: told.count > first)
    (node,) = cluster.call("squeue", "-h", "-t", "R", "-o", "%N").stdout.split()
    cluster.node("crash", node)
    told.release()
    cluster.node("boot", node)
    cluster.until(cluster.drained)
    assert_same(out, calm)
    assert calm.units + 1 < told.count <= calm.units + 1 + ELEMENT


def test_killed_at_random_and_resumed(cluster, calm, told, tmp_path: Path) -> None:
    out, rng = tmp_path / "out", random.Random(7)
    told.hold()
    cluster.submit(calm.recipe, out, SCANS=str(told.path))
    for victim in ("scan-text.jsonl", "driver 1", "driver 2", "pack-text.jsonl"):
        if found := seen(cluster, out, victim):
            time.sleep(rng.uniform(0, 0.5))
            with contextlib.suppress(ProcessLookupError):  # it may be over before
                os.kill(rng.choice(found), signal.SIGKILL)
        if victim == "scan-text.jsonl":  # which cannot be over
            told.release()
        cluster.until(cluster.drained)
        if not (out / "dataset.json").exists():
            cluster.d4a("slurm", "resume", out)
    cluster.until(cluster.drained)
    assert "Killed" in logs(out, "*")
    assert_same(out, calm)


def seen(cluster, out: Path, word: str) -> list[int]:
    """The processes of a step, as soon as there are some; none where it was over before anyone looked."""
    while not (found := processes(out, word)):
        if cluster.drained():
            break
        time.sleep(0.05)
    return found


def processes(out: Path, word: str) -> list[int]:
    """Ids of the d4a processes of this dataset's jobs whose arguments hold a word; nodes' processes are seen from outside."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if "d4a.curator" in words and str(out) in " ".join(words) and word in " ".join(words):
            found.append(int(folder.name))
    return found


def test_begun_here_gone_on_there_and_finished_here(cluster, calm, told, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*D4A, "curate", calm.recipe, "--out", out, "--workers", "1", "--device", "cpu"]
    told.hold(behind=1)
    environment = {**cluster.environment, "SCANS": str(told.path)}
    with subprocess.Popen([*map(str, command)], env=environment, stderr=subprocess.DEVNULL) as here:
        cluster.until(lambda: told.count == 2 or here.poll() is not None)
        here.send_signal(signal.SIGINT)
    assert here.returncode == 130
    cluster.submit(calm.recipe, out, SCANS=str(told.path))
    assert cluster.status(out)["scan text"]["units"] == calm.units / 2 - 1  # the first round, less what was done here
    cluster.until(lambda: told.count > 2)
    cluster.call("scancel", *{job.split("_")[0] for job, _, _ in cluster.queue()})
    cluster.until(cluster.drained)
    told.release()
    cluster.d4a("curate", calm.recipe, "--out", out, "--device", "cpu", SCANS=str(told.path))
    assert_same(out, calm)
    assert told.count <= calm.units + 1 + 2 * ELEMENT


def test_records_that_kill_the_workers_of_elements(cluster, tmp_path: Path) -> None:
    out, here = tmp_path / "out", tmp_path / "here"
    recipe = write(tmp_path, {"0.17": "kill SIGSEGV", "0.2048": "raise", "1.2499": "kill SIGKILL"})
    cluster.call(*D4A, "slurm", "submit", recipe, "--out", out, "--nodes", 2, "--templates", cluster.templates)
    cluster.call(*D4A, "curate", recipe, "--out", here)
    cluster.until(cluster.drained)
    assert published(out) == published(here), logs(out, "*")[-3000:]
    ledger = ds.dataset(sorted((out / "ledger").glob("*.parquet"))).to_table().to_pylist()
    assert [row["key"] for row in ledger if row["reason"] == "crashed"] == ["0.17", "0.2048", "1.2499"]


def test_a_user_who_is_nobody_in_particular(cluster, tmp_path: Path) -> None:
    """The other tests are root's. The recipe is one that compiles little: this user has no kernels yet."""
    out, recipe = cluster.home / "out", cluster.home / "r.yaml"
    write_text_inputs(cluster.home / "in", files=1)
    flow = f"text: {{sources: [{{path: {cluster.home / 'in'}}}], stages: [{{use: text.dedup.exact}}]}}"
    recipe.write_text(f"name: x\n{flow}\noutput: {{path: {out}}}\n")
    cluster.nodes("drain")
    cluster.somebody(*D4A, "slurm", "submit", recipe, "--nodes", 2, "--templates", cluster.templates)
    cluster.somebody("scancel", "--user=somebody")
    assert "stopped: nothing is queued" in cluster.somebody(*D4A, "slurm", "status", out)
    cluster.nodes("resume")
    cluster.somebody(*D4A, "slurm", "resume", out)
    cluster.until(cluster.drained)
    assert "finished" in cluster.somebody(*D4A, "slurm", "status", out), logs(out, "*")[-3000:]
    assert {path.stat().st_uid for path in out.rglob("*")} == {cluster.home.stat().st_uid} != {0}
    cluster.d4a("curate", recipe, "--out", tmp_path / "out")
    assert published(out) == published(tmp_path / "out")


def test_where_squeue_is_not(cluster, calm, tmp_path: Path) -> None:
    """Whether jobs are alive cannot be asked: refused, but for --take-over; the jobs then stop by themselves."""
    out = tmp_path / "out"
    cluster.nodes("drain")
    cluster.submit(calm.recipe, out)
    elsewhere = {"PATH": str(tmp_path)}
    refused = cluster.d4a("curate", calm.recipe, "--out", out, "--device", "cpu", code=1, **elsewhere)
    assert "squeue does not answer" in refused.stderr and "--take-over" in refused.stderr
    cluster.d4a("curate", calm.recipe, "--out", out, "--take-over", "--device", "cpu", **elsewhere)
    assert_same(out, calm)
    cluster.nodes("resume")
    cluster.until(cluster.drained)
    assert_same(out, calm)
    assert "another run has taken over this dataset" in logs(out, "driver-1")
