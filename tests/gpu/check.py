"""What a first card has to show, in the order of what hangs on it: `make gpu-check`.

Every check runs in a process of its own, for an error of CUDA ends all that a process does on a card, and a hanging kernel must not
end the rest; in the environment that install.sh made for it, or in this one where there is none. Everything is compared with the CPU.
One table comes at the end, everything else that was said is in the log. Without a card: one line, exit code 3. Only the standard
library is imported until a check runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
LOG, TABLE = Path("out/gpu-check.log"), Path("out/gpu-check.txt")
SECONDS = 600
DRIVER = Path(__file__).parents[2] / "curator" / "backends" / "driver.py"


class DiffersError(Exception):
    """The card computes something else than the CPU."""


@dataclass(frozen=True)
class Check:
    """One question to a card: the function of checks.py that has the name, with _ for a space.

    limit  seconds after which it is given up
    place  the environment below .venv-gpu that it runs in
    """

    name: str
    question: str
    limit: int
    place: str = "rapids"


CHECKS = [
    Check("machine", "which card and versions; who would compute", 60),
    Check("sketch kernel", "is the FSS kernel right, and how fast", 75),
    Check("vectors", "does cuDF's 32-bit product wrap at 2^32, as derived from the source", 60),
    Check("dataset", "is it the same dataset to the byte, by both schemes", 150),
    Check("unicode", "is cuDF's signature the CPU kernel's for any text", 100),
    Check("homes", "k-means and visits: do equal sums and ties hold on the card", 75),
    Check("pairs", "neighbours: the same pairs", 60),
    Check("clip", "CLIP in fp32 and bf16: how far from the CPU, and how fast", 100, "torch"),
    Check("yolo", "YOLO: how far from the CPU, and how fast", 60, "torch"),
    Check("long texts", "is cuDF right from 256 KiB a text on (64 blocks, atomics of block scope)", 75),
    Check("columns", "nulls, empty texts, slices", 40),
    Check("hash speed", "what cuDF gains", 60),
]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold a card to what the CPU computes.")
    parser.add_argument("--card", action="store_true", help="only say whether there is one")
    parser.add_argument("--extra", action="store_true", help="only print the extra of d4a whose packages the driver runs")
    parser.add_argument("--only", metavar="NAME", action="append", choices=[check.name for check in CHECKS], help="this check; repeatable")
    parser.add_argument("--one", metavar="NAME", help="run a check in this process, and print its number as JSON")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for all checks together")
    return parser.parse_args()


def load_driver() -> Any:
    """curator/backends/driver.py by its path, for d4a need not be installed here."""
    spec = importlib.util.spec_from_file_location("driver", DRIVER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    asked, driver = parse(), load_driver()
    count, why = driver.cards()
    if not count:
        print(f"gpu-check: no CUDA device answers: {why}", file=sys.stderr)
        return 3
    if driver.cuda() < 12:
        print(f"gpu-check: the driver runs CUDA {driver.cuda()}; cuDF and CuPy need 12 or newer", file=sys.stderr)
        return 3
    if asked.extra:
        print("gpu" if driver.cuda() >= 13 else "gpu-cu12")
        return 0
    if asked.card:
        print(f"gpu-check: {why}, CUDA {driver.cuda()}")
        return 0
    if asked.one:
        print(json.dumps(one(next(check for check in CHECKS if check.name == asked.one))))
        return 0
    chosen = [check for check in CHECKS if not asked.only or check.name in asked.only]
    rows = list(all_of(chosen, time.monotonic() + asked.seconds))
    show(rows)
    return int(any(result != "ok" for _, result, _ in rows))


def one(check: Check, scale: float = 1.0) -> dict[str, str]:
    """Result and number of a check, in this process."""
    try:
        import checks

        return {"result": "ok", "number": getattr(checks, check.name.replace(" ", "_"))(scale)}
    except DiffersError as error:
        return {"result": "DIFFERS", "number": str(error)}
    except Exception as error:  # of CUDA, RMM, cuDF, torch, or a library that is missing: each has its own kind
        import traceback

        traceback.print_exc()
        return {"result": "FAILED", "number": (str(error).strip() or type(error).__name__).splitlines()[0]}


def all_of(checks: list[Check], deadline: float) -> Iterator[tuple[Check, str, str]]:
    """(check, result, number) of each, in a process of its own. Ctrl-C ends a check, and leaves no time for those behind it."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("w") as log:
        for check in checks:
            left = min(check.limit, deadline - time.monotonic())
            if left < 5:
                yield check, "not run", "the time is up"
                continue
            print(f"{check.name}: {check.question} … ", end="", flush=True)
            log.write(f"\n== {check.name}\n")
            log.flush()
            start = time.monotonic()
            try:
                result, number = _told(check, left, log)
            except KeyboardInterrupt:
                result, number, deadline = "not run", "interrupted", start
            print(f"{result} in {time.monotonic() - start:.0f} s: {number}", flush=True)
            yield check, result, number


def _told(check: Check, seconds: float, log: Any) -> tuple[str, str]:
    python = Path(".venv-gpu") / check.place / "bin" / "python"
    command = [str(python.absolute()) if python.exists() else sys.executable, __file__, "--one", check.name]
    # a session of its own: what a check starts in turn ends with it, else it would hold the card
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
    try:
        said, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return "TIME OUT", f"after {seconds:.0f} s"
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    log.write(said)
    log.flush()
    try:
        told = json.loads(said.splitlines()[-1])
        return told["result"], told["number"]
    except (IndexError, ValueError):
        return "FAILED", f"exit code {child.returncode}"


def show(rows: list[tuple[Check, str, str]]) -> None:
    """The table, on the terminal and in a file."""
    cells = [("check", "result", "what it answers", "number")]
    cells += [(check.name, result, check.question, number) for check, result, number in rows]
    widths = [max(len(row[k]) for row in cells) for k in range(3)]
    text = "".join("  ".join(f"{cell:{width}}" for cell, width in zip(row, [*widths, 0], strict=True)) + "\n" for row in cells)
    TABLE.write_text(text, encoding="utf-8")
    print(f"\n{text}\n{TABLE.absolute()}; what else was said: {LOG.absolute()}")


if __name__ == "__main__":
    from check import main as imported  # else checks.py would import this file once more, with another DiffersError

    sys.exit(imported())
