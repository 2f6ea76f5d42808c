"""How the decision about near-duplicates and the layout grow: memory, user CPU and disk of `text.dedup.fuzzy` over many records.

    python tests/bench/bench_scale.py [N ...] [--memory 1GB] [--folder FOLDER]

For every N (default: 1 M and 10 M, which takes half an hour and 30 GB) texts of 60 words are made up, scanned, decided on and laid
out, the latter two in processes of their own, whose peaks of resident memory are read. Of the texts 10 % are copies of one template that
differ in case, 1 % are the template with a word changed (they share buckets, which are cut), and 9 % are copies of
another text with one word changed.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
from d4a.curator.plan import make_plan, save_plan
from d4a.curator.recipe import Recipe, parse_bytes
from d4a.curator.stage import Machine
from d4a.curator.store import Store
from d4a.curator.units import run_unit

WORDS, LETTERS, AT_ONCE = 60, 5, 100_000
STAGE, WIDTH = "text.dedup.fuzzy", 11
HEAD, TAIL = b'{"text": "', b'"}\n'
Words = npt.NDArray[np.uint16]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("records", type=int, nargs="*")
    options.add_argument("--memory", default="1GB")
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options.add_argument("--act", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.act:
        print(orjson.dumps(done(given.folder, given.act, int(str(parse_bytes(given.memory))))).decode())
        return
    used = ["us/record", "system s", "memory MB", "spilled MB"]
    heads = ["records", "dropped", "candidates", "verified", "cut", "scan s", "evidence MB"]
    print(" ".join(f"{head:>{WIDTH}}" for head in [*heads, "decide: s", *used, "lay out: s", *used]))
    for records in given.records or [1_000_000, 10_000_000]:
        folder = Path(tempfile.mkdtemp(prefix="bench-scale-", dir=given.folder))
        try:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            evidence = scanned(folder, records)
            seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
            cells = []
            for act in ("decide", "layout"):
                command = [sys.executable, __file__, "--act", act, "--memory", given.memory, "--folder", str(folder)]
                row = orjson.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                if act == "decide":
                    cells += [
                        f"{n:,}" for n in (records, *(row[k] for k in ("dropped", "candidate_pairs", "verified_pairs", "capped_bands")))
                    ]
                    cells += [f"{seconds:,.1f}", f"{evidence / 1e6:,.0f}"]
                cells += [f"{n:,.1f}" for n in (row["user"], 1e6 * row["user"] / records, row["system"])]
                cells += [f"{n / 1e6:,.0f}" for n in (row["memory"], row["spilled"])]
            print(" ".join(f"{cell:>{WIDTH}}" for cell in cells), flush=True)
        finally:
            shutil.rmtree(folder)


# ----------------------------------------------------------------------------------------------------------- records


def texts(records: int) -> Iterator[Words]:
    """Numbers of words, (m, 60) a piece; equal for equal `records`."""
    draw = np.random.default_rng(records)
    template = draw.integers(0, 4096, WORDS, dtype=np.uint16)
    for start in range(0, records, AT_ONCE):
        size = min(AT_ONCE, records - start)
        piece = draw.integers(0, 4096, (size, WORDS), dtype=np.uint16)
        kind = draw.random(size)
        like = np.flatnonzero((kind >= 0.10) & (kind < 0.20))
        piece[like] = piece[draw.integers(0, size, len(like))]
        piece[kind < 0.11] = template
        changed = np.flatnonzero((kind >= 0.10) & (kind < 0.20))
        piece[changed, draw.integers(0, WORDS, len(changed))] = draw.integers(0, 4096, len(changed), dtype=np.uint16)
        yield piece


def lines(piece: Words) -> npt.NDArray[np.uint8]:
    """JSON lines of equal length; every second one begins with a capital."""
    letters = np.random.default_rng(0).integers(ord("a"), ord("z") + 1, (4096, LETTERS + 1), dtype=np.uint8)
    letters[:, LETTERS] = ord(" ")
    body = letters[piece].reshape(len(piece), -1)
    body[::2, 0] -= 32
    ends = [np.broadcast_to(np.frombuffer(end, np.uint8), (len(piece), len(end))) for end in (HEAD, TAIL)]
    return np.hstack([ends[0], body, ends[1]])


# -------------------------------------------------------------------------------------------------------------- acts


def scanned(folder: Path, records: int) -> int:
    """Write texts, and scan them a partition after the other; returns the bytes of their evidence."""
    (folder / "texts").mkdir()
    for number, piece in enumerate(texts(records)):
        lines(piece).tofile(folder / "texts" / f"{number:05}.jsonl")
    flow = {"sources": [{"path": str(folder / "texts" / "*.jsonl")}], "stages": [{"use": STAGE, "label": STAGE}]}
    recipe = Recipe.model_validate({"name": "bench", "text": flow, "output": {"path": str(folder / "out")}})
    store = Store(folder / "out")
    store.make()
    plan = make_plan(recipe, "", Machine(), store.root)
    unit = {"root": str(store.root), "plan": save_plan(store, plan), "flow": "text", "run": "bench", "round": 0, "before": ""}
    (store.state / "run").write_text("bench")
    (folder / "unit.json").write_bytes(orjson.dumps(unit))
    for ordinal in range(len(plan.flows[0].partitions)):
        run_unit({**unit, "kind": "scan", "partition": ordinal})
    return sum(path.stat().st_size for path in store.state.rglob("evidence-*.parquet"))


def done(folder: Path, act: str, memory: int) -> dict[str, float]:
    """Decide or lay out, and say what it took."""
    spilled = _Spilled()
    spilled.start()
    before = resource.getrusage(resource.RUSAGE_SELF)
    unit = orjson.loads((folder / "unit.json").read_bytes())
    result = run_unit({**unit, "kind": act, "key": "bench", "decided": ["bench"], "memory": memory})
    after = resource.getrusage(resource.RUSAGE_SELF)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {
        "dropped": result["records"] - result["kept"],
        "user": after.ru_utime - before.ru_utime,
        "system": after.ru_stime - before.ru_stime,
        "memory": int(peak.split()[1]) * 1024,
        "spilled": spilled.most,
        **(result["stages"][-1]["notes"] if act == "decide" else {}),
    }


class _Spilled(threading.Thread):
    """Looks now and then how large this process's files without a name are."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0

    def run(self) -> None:
        while True:
            size = 0
            for descriptor in Path("/proc/self/fd").iterdir():
                with contextlib.suppress(OSError):
                    status = descriptor.stat()
                    size += status.st_size if status.st_nlink == 0 else 0
            self.most = max(self.most, size)
            time.sleep(0.1)


if __name__ == "__main__":
    main()
