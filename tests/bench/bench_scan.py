"""Speed of the scan of text as a unit runs it: files in, evidence and stored text out, on one core; and how soon it starts.

    python tests/bench/bench_scan.py [FILE.jsonl] [--rounds 5]

User CPU time of one process, best of several rounds, kernels compiled before, and as a multiple of a plain floor in the same
run: `orjson.loads` of every line. Then the wall time from the command to the commit of the evidence of ten records: with an
empty kernel cache, as on a new machine, and with a full one. Without a file, some megabytes of text in six languages are made up.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import orjson
import pyarrow as pa
from bench_text import commands_cpu, made_up, timed
from d4a.curator.load.files import digest, load
from d4a.curator.plan import make_plan
from d4a.curator.scan.partition import finished, scan_partition
from d4a.curator.stage import Machine
from d4a.curator.store import Store

QUALITY = (
    "{use: text.quality.repetition}, {use: text.quality.gopher}, {use: text.quality.c4, variant: datatrove}, {use: text.quality.fineweb}"
)
CHAINS = {
    "read and store only": "",
    "Gopher quality, repetition, C4, FineWeb": QUALITY,
    "text.clean and the same": "{use: text.clean}, " + QUALITY,
    "text.clean, text.language and the same": "{use: text.clean}, {use: text.language}, " + QUALITY,
}


def scan(source: Path, chain: str) -> float:
    """User CPU seconds of scanning the file with the stages of a chain."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder, "recipe.yaml")
        recipe.write_text(f"name: bench\ntext:\n  sources: [{{path: '{source}'}}]\n  stages: [{chain}]\noutput: {{path: '{folder}/out'}}\n")
        loaded = load(str(recipe))
        plan = make_plan(loaded, digest(loaded), Machine(), Path(folder, "out"))
        store = Store(Path(folder, "out"))
        flow = plan.flow("text")
        return timed(lambda: [finished(scan_partition(store, flow, 0, k, None, None, lambda: None)) for k in range(len(flow.partitions))])


def packed(source: Path, folder: Path) -> Path:
    """The file as .zst."""
    target = folder / f"{source.name}.zst"
    with pa.CompressedOutputStream(str(target), "zstd") as out:
        out.write(source.read_bytes())
    return target


def start(source: Path, folder: Path, workers: int) -> tuple[float, float, float]:
    """Seconds of a command over ten records, kernels cached in a folder: wall until their evidence is there, wall and CPU of all."""
    few, recipe, out = folder / "few.jsonl", folder / "recipe.yaml", folder / "out"
    with source.open("rb") as lines:
        few.write_bytes(b"".join(islice(lines, 10)))
    chain = CHAINS["text.clean and the same"]
    recipe.write_text(f"name: bench\ntext:\n  sources: [{{path: '{few}'}}]\n  stages: [{chain}]\noutput: {{path: '{out}'}}\n")
    shutil.rmtree(out, ignore_errors=True)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "kernels")}
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", str(workers), "--json"]
    started, before = time.perf_counter(), commands_cpu()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as running:
        while not any(out.glob(".d4a/scan/text/*/*/*/manifest.json")) and running.poll() is None:
            time.sleep(0.002)
        committed = time.perf_counter() - started
    assert running.returncode == 0, command
    whole = time.perf_counter() - started
    return committed, whole, commands_cpu() - before


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file", type=Path, nargs="?")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--workers", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = (given.file or Path(folder, "made_up.jsonl")).absolute()
        if given.file is None:
            made_up(path)
        lines = path.read_bytes().splitlines()
        megabytes = path.stat().st_size / 1e6
        floor = min(timed(lambda: [orjson.loads(line) for line in lines]) for _ in range(given.rounds))
        print(f"{megabytes:.1f} MB of JSON lines; user CPU of one core, best of {given.rounds}")
        print(f"{'':44} {'MB/s':>8} {'x floor':>8}")
        print(f"{'floor: orjson.loads':44} {megabytes / floor:8.0f} {1:8.2f}")
        for source, suffix in ((path, ""), (packed(path, Path(folder)), ", from .zst")):
            for name, chain in CHAINS.items():
                scan(source, chain)
                best = min(scan(source, chain) for _ in range(given.rounds))
                print(f"{name + suffix:44} {megabytes / best:8.1f} {best / floor:8.2f}")
        print(f"\n{'ten records, seconds':44} {'evidence':>8} {'command':>8} {'CPU':>8}")
        for what in ("kernels to compile", *["kernels cached"] * given.rounds):
            committed, whole, cpu = start(path, Path(folder), given.workers)
            print(f"{what:44} {committed:8.2f} {whole:8.2f} {cpu:8.2f}")


if __name__ == "__main__":
    main()
