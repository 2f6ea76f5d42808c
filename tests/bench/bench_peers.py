"""d4a beside datatrove and dolma: the same rules over the same JSON lines, each tool in an environment of its own.

    python tests/bench/bench_peers.py [FILE.jsonl] [--megabytes 8] [--language en] [--repeats 3] [--environments .venv-peers]

FILE has `text`, and `lang` where only one language is wanted; without a file, text in six invented languages is made up, on which
verdicts say little. Environments are made from PyPI at first use (dolma wants Python 3.12 at most). Every measurement is one process
that reads, judges and writes each length class, again and again where that takes less than 0.3 s, after a warm-up; user CPU without
start-up; tools take turns, repeats show the spread. datatrove stops at a document's first reason, d4a measures all values.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from bench_text import made_up
from peer_run import RULES

TOOLS = ("d4a", "datatrove", "dolma")
PINS = {
    "datatrove": ["datatrove==0.10.1", "spacy==3.8.18", "orjson==3.13.0", "regex==2026.11.15"],
    # s3fs 2023.6.0, which dolma wants, fits these only: pip looks for them for ten minutes and more
    "dolma": ["dolma==1.2.1", "aiobotocore==2.5.0", "botocore==1.29.76", "boto3==1.26.76"],
}
LENGTHS = ((200, 1_000), (1_000, 4_000), (4_000, 20_000), (20_000, 10**9))
Runs = dict[tuple[str, str], list[dict[str, Any]]]  # (rule, tool): what peer_run.py printed, one a repeat


def environment(tool: str, folder: Path) -> Path | None:
    """The Python of a tool's environment, which is made anew where its pins have changed; None where that fails."""
    if tool == "d4a":
        return Path(sys.executable)
    home, python = folder / tool, folder / tool / "bin" / "python"
    made = home / "pins.txt"
    if not made.is_file() or made.read_text().split() != PINS[tool]:
        print(f"making {home}: {' '.join(PINS[tool])}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--prefer-binary"]
        if subprocess.run([*pip, *PINS[tool]], stdout=sys.stderr).returncode:
            print(f"{tool} is left out: it could not be installed", file=sys.stderr)
            return None
        made.write_text("\n".join(PINS[tool]))
    return python


def divide(path: Path, folder: Path, language: str, megabytes: float) -> dict[str, float]:
    """Write a file of JSON lines for each length class, and one to warm up with; returns name -> MB of text."""
    records = [json.loads(line) for line in path.open()]
    records = [record for record in records if record.get("lang", language) == language]
    random.Random(0).shuffle(records)
    sizes: dict[str, float] = {}
    for least, most in LENGTHS:
        texts = [record["text"] for record in records if least <= len(record["text"]) < most]
        size, lines = 0, []
        for k, text in enumerate(texts):
            if size >= megabytes * 1e6 / len(LENGTHS):
                break
            size += len(text.encode())
            lines.append(json.dumps({"id": f"{least}-{k}", "text": text, "source": "bench"}) + "\n")
        if lines:
            name = f"{least:,} - {most:,}" if most < 10**9 else f"{least:,} and more"
            (folder / f"{name}.jsonl").write_text("".join(lines))
            (folder / "warm up.jsonl").write_text("".join(lines[:5]))
            sizes[name] = size / 1e6
    return sizes


def run(python: Path, tool: str, rule: str, files: list[Path]) -> dict[str, Any] | None:
    """One process; None, and its last line of error, where the tool has no such rule or fails."""
    with tempfile.TemporaryDirectory() as out:
        command = [str(python), str(Path(__file__).with_name("peer_run.py")), tool, rule, out, str(files[0].with_name("warm up.jsonl"))]
        done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True)
    if done.returncode:
        print(f"{tool} {rule}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}", file=sys.stderr)
        return None
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def measure(pythons: dict[str, Path], rules: list[str], files: list[Path], repeats: int) -> Runs:
    runs: Runs = defaultdict(list)
    wanted = [(rule, tool) for rule in rules for tool in pythons if RULES[rule][TOOLS.index(tool)]]
    for repeat in range(repeats):
        for rule, tool in wanted:
            if repeat == len(runs[rule, tool]):  # what failed once is not tried again
                result = run(pythons[tool], tool, rule, files)
                runs[rule, tool] += [result] if result else []
                print(f"\rrepeat {repeat + 1}: {rule}, {tool}        ", end="", file=sys.stderr)
    print(file=sys.stderr)
    return {key: found for key, found in runs.items() if found}


def show_speed(runs: Runs, sizes: dict[str, float], tools: list[str]) -> None:
    heads = "".join(f" | {tool + ', user s/GB':^25} {'MB/s/core':>9} {'x':>4}" for tool in tools)
    print(f"{'':18} {'characters':17} {'MB':>5}{heads}")
    classes = [(name, [k], size) for k, (name, size) in enumerate(sizes.items())]
    classes.append(("all of these", list(range(len(sizes))), sum(sizes.values())))
    for rule in dict.fromkeys(rule for rule, _ in runs):
        for name, parts, size in classes:
            cells, floor = "", 0.0
            for tool in tools:
                seconds = [sum(one["passes"][k]["user_s"] for k in parts) / size * 1000 for one in runs.get((rule, tool), [])]
                if not seconds:
                    cells += f" | {'-':^25} {'-':>9} {'-':>4}"
                    continue
                middle = median(seconds)
                floor = floor or middle
                spread = f"{min(seconds):,.1f} - {middle:,.1f} - {max(seconds):,.1f}"
                cells += f" | {spread:^25} {1000 / middle:9.2f} {middle / floor:4.0f}"
            print(f"{rule:18} {name:17} {size:5.1f}{cells}")


def show_costs(runs: Runs) -> None:
    print(f"\n{'':18} {'':10} {'wall s':>20} {'start-up s':>10} {'peak MB':>8}  used")
    for (rule, tool), found in runs.items():
        wall = [sum(one["wall_s"] for one in each["passes"]) for each in found]
        start, peak = median(each["start_s"] for each in found), max(each["peak_mb"] for each in found)
        spread = f"{min(wall):.2f} - {median(wall):.2f} - {max(wall):.2f}"
        print(f"{rule:18} {tool:10} {spread:>20} {start:10.1f} {peak:8.0f}  {found[0]['used']}")


def show_agreement(runs: Runs) -> None:
    """Verdicts of d4a beside datatrove's, which names the first of several reasons."""
    print(f"\n{'verdicts':18} {'datatrove':28} {'documents':>9} {'same verdict':>13}  d4a names")
    for rule in dict.fromkeys(rule for rule, _ in runs):
        if (rule, "d4a") not in runs or (rule, "datatrove") not in runs:
            continue
        ours, theirs = (
            {k: v for part in runs[rule, tool][0]["reasons"].values() for k, v in part.items()} for tool in ("d4a", "datatrove")
        )
        same = sum((ours[k] is None) == (theirs[k] is None) for k in theirs)
        print(f"{rule:18} {'all':28} {len(theirs):9,} {same / len(theirs):13.4f}")
        for reason, count in sorted(Counter(theirs.values()).items(), key=lambda pair: -pair[1]):
            names = Counter(ours[k] for k in theirs if theirs[k] == reason)
            agreed = names[None] if reason is None else count - names[None]
            listed = ", ".join(f"{name or 'kept'} {n}" for name, n in names.most_common(4))
            print(f"{'':18} {reason or 'kept':28} {count:9,} {agreed / count:13.4f}  {listed}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file", type=Path, nargs="?")
    options.add_argument("--megabytes", type=float, default=8, help="of text in all length classes together")
    options.add_argument("--language", default="en", help="records of FILE whose `lang` is another are left out")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--environments", type=Path, default=Path(".venv-peers"))
    options.add_argument("--tools", nargs="+", choices=TOOLS, default=TOOLS)
    options.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    given = options.parse_args()
    found = {tool: environment(tool, given.environments.absolute()) for tool in given.tools}
    pythons = {tool: python for tool, python in found.items() if python is not None}
    folder = Path(tempfile.mkdtemp())
    try:
        path = given.file or folder / "made up.jsonl"
        if given.file is None:
            made_up(path)
        sizes = divide(path, folder, given.language, given.megabytes)
        runs = measure(pythons, given.rules, [folder / f"{name}.jsonl" for name in sizes], given.repeats)
    finally:
        shutil.rmtree(folder)
    print(f"{path.name}, language {given.language}; {given.repeats} repeats, min - median - max; JSON lines in, each tool's own output out")
    show_speed(runs, sizes, list(pythons))
    show_costs(runs)
    show_agreement(runs)


if __name__ == "__main__":
    main()
