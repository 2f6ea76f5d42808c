"""Speed of the whole text path: raw JSONL in, deduplicated shards out, as a user runs it.

    python tests/bench/bench_curate.py [FILE.jsonl] [--rounds 3]

User CPU time of `d4a curate` with one worker (start, scan, decide, pack, publish), best of several rounds, and as a
multiple of a plain floor in the same run: `orjson.loads` of every line of the same file. Then the same with another
threshold, which must not scan. The last line is what a large corpus costs: `text.dedup.fuzzy` alone, less the same command
on ten records, which is start. Without a file, some megabytes of text in six languages are made up.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import orjson
from bench_text import commands_cpu, cpu, made_up

RECIPE = "name: bench\ntext:\n  sources: [{{path: '{source}'}}]\n  stages: [{stages}]\noutput: {{path: '{out}'}}\n"
WHOLE = "{use: text.clean}, {use: text.language}, {use: text.quality.gopher}, {use: text.dedup.exact}, {use: text.dedup.fuzzy}"
FUZZY = "{use: text.dedup.fuzzy}"
NET = "JSONL in -> deduplicated shards out"


def parse(path: Path) -> float:
    """User CPU seconds of parsing every line."""
    started = cpu()
    with path.open("rb") as file:
        for line in file:
            orjson.loads(line)
    return cpu() - started


def curate(folder: Path, source: Path, stages: str, *arguments: str, fresh: bool = True) -> float:
    """User CPU seconds of the command and all it starts."""
    recipe, out = folder / "r.yaml", folder / "out"
    recipe.write_text(RECIPE.format(source=source.absolute(), stages=stages, out=out))
    if fresh:
        shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", "1", "--json", *arguments]
    before = commands_cpu()
    subprocess.run(command, check=True, capture_output=True)
    return commands_cpu() - before


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = given.file or Path(folder, "made-up.jsonl")
        if given.file is None:
            made_up(source)
        few = Path(folder, "few.jsonl")
        with source.open("rb") as lines:
            few.write_bytes(b"".join(islice(lines, 10)))
        rows: dict[str, list[float]] = {name: [] for name in ("parse with orjson", "d4a curate", "another threshold", "start", "fuzzy")}
        for number in range(given.rounds):
            another = ["--set", f"text.dedup.fuzzy.threshold=0.{90 + number}"]
            rows["parse with orjson"].append(parse(source))
            rows["d4a curate"].append(curate(Path(folder), source, WHOLE))
            rows["another threshold"].append(curate(Path(folder), source, WHOLE, *another, fresh=False))
            rows["start"].append(curate(Path(folder), few, FUZZY))
            rows["fuzzy"].append(curate(Path(folder), source, FUZZY))
        size = source.stat().st_size / 1e6
        best = {name: min(seconds) for name, seconds in rows.items()}
        best[NET] = best.pop("fuzzy") - best["start"]
        print(f"{size:.1f} MB of JSONL, user CPU, best of {given.rounds}")
        for name, seconds in best.items():
            print(f"{name:<36} {seconds:8.2f} s {size / seconds:9.1f} MB/s/core {seconds / best['parse with orjson']:8.1f} x parsing")


if __name__ == "__main__":
    main()
