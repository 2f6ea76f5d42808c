"""Speed of the whole text path: raw JSONL in, deduplicated shards out, as a user runs it.

    python tests/bench/bench_curate.py [FILE.jsonl] [--rounds 3]

User CPU time of `d4a curate` with one worker (start, scan, decide, pack, publish), best of several rounds, and as a
multiple of a plain floor in the same run: `orjson.loads` of every line of the same file. Then the same with another
threshold, which must not scan. Without a file, some megabytes of text in six languages are made up.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import orjson
from bench_text import cpu, made_up

RECIPE = """name: bench
text:
  sources: [{{path: "{source}"}}]
  stages:
    - use: text.clean
    - {{use: text.language}}
    - {{use: text.quality.gopher}}
    - use: text.dedup.exact
    - use: text.dedup.fuzzy
output: {{path: "{out}"}}
"""


def parse(path: Path) -> float:
    """User CPU seconds of parsing every line."""
    started = cpu()
    with path.open("rb") as file:
        for line in file:
            orjson.loads(line)
    return cpu() - started


def curate(recipe: Path, *arguments: str) -> float:
    """User CPU seconds of the command and all it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", "1", "--json", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


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
        recipe, out = Path(folder, "r.yaml"), Path(folder, "out")
        recipe.write_text(RECIPE.format(source=source.absolute(), out=out))
        rows: dict[str, list[float]] = {"parse with orjson": [], "d4a curate": [], "another threshold": []}
        for number in range(given.rounds):
            shutil.rmtree(out, ignore_errors=True)
            rows["parse with orjson"].append(parse(source))
            rows["d4a curate"].append(curate(recipe))
            rows["another threshold"].append(curate(recipe, "--set", f"text.dedup.fuzzy.threshold=0.{90 + number}"))
        size = source.stat().st_size / 1e6
        floor = min(rows["parse with orjson"])
        print(f"{size:.1f} MB of JSONL, user CPU, best of {given.rounds}")
        for name, seconds in rows.items():
            best = min(seconds)
            print(f"{name:<20} {best:8.2f} s {size / best:9.1f} MB/s/core {best / floor:8.1f} x parsing")


if __name__ == "__main__":
    main()
