"""What a first card has to show, in the order of what hangs on it: `make gpu-check`.

Every check runs in a process of its own, for an error of CUDA ends all that a process does on a card, and a hanging kernel must not
end the rest. Everything is compared with the CPU; one table comes at the end, everything else that was said is in the log.
Without a card: one line, exit code 3. Only the standard library is imported until a check runs.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
LOG = Path("out/gpu-check.log")
SECONDS = 600


class DiffersError(Exception):
    """The card computes something else than the CPU."""


@dataclass(frozen=True)
class Check:
    """One question to a card.

    run    takes a share of the full size; returns what was measured, or raises DiffersError
    limit  seconds after which it is given up
    """

    name: str
    question: str
    limit: int
    run: Callable[[float], str]


def card() -> tuple[int, str]:
    """(number of cards, why there is none), from the driver alone: nothing of CUDA need be installed."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return 0, str(error)
    count = ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return count.value, f"the driver answers with error {status}" if status else "the driver counts no device"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold a card to what the CPU computes.")
    parser.add_argument("--card", action="store_true", help="only say whether there is one")
    parser.add_argument("--only", metavar="NAME", action="append", help="this check; repeatable")
    parser.add_argument("--one", metavar="NAME", help="run a check in this process, and print its number as JSON")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for all checks together")
    return parser.parse_args()


def main() -> int:
    asked = parse()
    count, why = card()
    if not count:
        print(f"gpu-check: no CUDA device answers: {why}", file=sys.stderr)
        return 3
    if asked.card:
        print(f"gpu-check: {count} CUDA device{'' if count == 1 else 's'}")
        return 0
    from checks import CHECKS

    if asked.one:
        print(json.dumps(one(next(check for check in CHECKS if check.name == asked.one))))
        return 0
    chosen = [check for check in CHECKS if not asked.only or check.name in asked.only]
    rows = list(all_of(chosen, time.monotonic() + asked.seconds))
    show(rows)
    return int(any(result != "ok" for _, result, _ in rows))


def one(check: Any, scale: float = 1.0) -> dict[str, str]:
    """Result and number of a check, in this process."""
    try:
        return {"result": "ok", "number": check.run(scale)}
    except DiffersError as error:
        return {"result": "DIFFERS", "number": str(error)}
    except Exception as error:  # of CUDA, RMM, cuDF, torch: each has its own kind
        import traceback

        traceback.print_exc()
        return {"result": "FAILED", "number": (str(error).strip() or type(error).__name__).splitlines()[0]}


def all_of(checks: list[Any], deadline: float) -> Iterator[tuple[Any, str, str]]:
    """(check, result, number) of each, in a process of its own."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("w") as log:
        for check in checks:
            left = min(check.limit, deadline - time.monotonic())
            if left < 5:
                yield check, "not run", "the time is up"
                continue
            print(f"{check.name}: {check.question}", flush=True)
            log.write(f"\n== {check.name}\n")
            log.flush()
            yield check, *_told(check, left, log)


def _told(check: Any, seconds: float, log: Any) -> tuple[str, str]:
    command = [sys.executable, __file__, "--one", check.name]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as expired:
        log.write(str(expired.stdout or ""))
        return "TIME OUT", f"after {seconds:.0f} s"
    log.write(done.stdout)
    log.flush()
    try:
        told = json.loads(done.stdout.splitlines()[-1])
        return told["result"], told["number"]
    except (IndexError, ValueError):
        return "FAILED", f"exit code {done.returncode}"


def show(rows: list[tuple[Any, str, str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("check", "what it answers", "result", "number", box=box.SIMPLE_HEAD)
    for check, result, number in rows:
        table.add_row(check.name, check.question, result, number)
    Console(highlight=False, markup=False).print(table)
    print(f"log: {LOG.absolute()}")


if __name__ == "__main__":
    sys.exit(main())
