"""Speed of the scan of text as a unit runs it: files in, evidence and stored text out, on one core; and how soon it starts.

    python tests/bench/bench_scan.py [FILE.jsonl] [--rounds 5]

User CPU time of one process, best of several rounds, kernels compiled before, and as a multiple of a plain floor in the same
run: `orjson.loads` of every line. Then the wall time from the command to the first record measured: with an empty kernel
cache, as on a new machine, and with a full one. Without a file, some megabytes of text in six languages are made up.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import orjson
import pyarrow as pa
from bench_text import made_up, timed
from d4a.curator.load import digest, load
from d4a.curator.plan import make_plan
from d4a.curator.scan import scan_partition
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
        return timed(lambda: [scan_partition(store, flow, 0, k, None, lambda: None) for k in range(len(flow.partitions))])


def packed(source: Path, folder: Path) -> Path:
    """The file as .zst."""
    target = folder / f"{source.name}.zst"
    with pa.CompressedOutputStream(str(target), "zstd") as out:
        out.write(source.read_bytes())
    return target


def start(source: Path, cache: Path) -> tuple[float, float]:
    """(wall, user CPU) seconds of a whole command over ten records, kernels cached in a folder."""
    few = cache / "few.jsonl"
    with source.open("rb") as lines:
        few.write_bytes(b"".join(line for line, _ in zip(lines, range(10), strict=False)))
    recipe = cache / "recipe.yaml"
    recipe.write_text(
        f"name: bench\ntext:\n  sources: [{{path: '{few}'}}]\n  stages: [{CHAINS['text.clean and the same']}]\noutput: {{path: out}}\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache / "kernels")}
    command = [
        sys.executable,
        "-m",
        "d4a.curator",
        "curate",
        str(recipe),
        "--workers",
        "1",
        "--fresh",
        "--json",
        "--out",
        str(cache / "out"),
    ]
    started, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    after = os.times()
    return time.perf_counter() - started, after.children_user - before.children_user


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file", type=Path, nargs="?")
    options.add_argument("--rounds", type=int, default=5)
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
        first, again = start(path, Path(folder)), start(path, Path(folder))
        print(f"a command over ten records, kernels to compile: {first[0]:.1f} s ({first[1]:.1f} s CPU)")
        print(f"the same again: {again[0]:.1f} s ({again[1]:.1f} s CPU)")


if __name__ == "__main__":
    main()
