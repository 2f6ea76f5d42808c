"""Speed of reading text and of every text stage, on one core.

    python tests/bench/bench_text.py [FILE.jsonl] [--rounds 5]

CPU time (user) of one process, best of several interleaved rounds, and as a multiple of a plain floor in the same
run: `orjson.loads` of every line. Without a file, some megabytes of text in six languages are made up. Then the
sketch of text.dedup.fuzzy by scheme and length of document, and what the first call of each kernel costs.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import random
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow as pa
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parents[1]))

from d4a.curator.errors import D4AError
from d4a.curator.modality import Entry
from d4a.curator.recipe import Source
from d4a.curator.registry import modality, stage_class, stage_names
from d4a.curator.stage import Cut, Dedup, Filter, Machine, Transform
from planted_texts import planted

_PR_SET_CHILD_SUBREAPER = 36
Work = Callable[[], object]
SKETCHES: dict[str, dict[str, object]] = {
    "fss words": {},
    "fss char 24": {"shingle": "characters", "ngram": 24},
    "minhash words": {"scheme": "minhash"},
    "slimpajama": {"preset": "slimpajama"},
    "nemo": {"preset": "nemo"},
    "nemo, 64 bits": {"preset": "nemo", "bits": 64},
    "refinedweb": {"preset": "refinedweb"},
}
QUALITY = ("text.quality.repetition", "text.quality.gopher", "text.quality.c4", "text.quality.fineweb")


def cpu() -> float:
    """User CPU seconds of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def timed(work: Work) -> float:
    start = cpu()
    work()
    return cpu() - start


def commands_cpu() -> float:
    """User CPU seconds of all commands so far, and of all that they started: from now on also of what ends after its command.

    The process that workers are forked from is such a one.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def made_up(path: Path) -> None:
    """Documents of 0.1 to 100 kB, composed of planted texts."""
    draw = random.Random(0)
    texts = [one.text for one in planted(originals=600, seed=0)]
    with path.open("wb") as out:
        for k in range(1500):
            parts = draw.sample(texts, draw.choice([1, 1, 2, 5, 40]))
            out.write(orjson.dumps({"id": str(k), "text": "\n".join(parts), "url": f"https://example.org/{k}"}) + b"\n")


def stage_work(name: str, batches: list[pa.RecordBatch]) -> Work:
    """What the scan does with the batches in this stage. Raises D4AError where the machine lacks something."""
    stage = stage_class(name)(stage_class(name).Options())
    facts = stage.prepare(Machine())
    stage.open(facts)
    if isinstance(stage, Transform):
        return lambda: [stage.change(batch, frozenset()) for batch in batches]
    act = stage.sketch if isinstance(stage, Dedup | Cut) else stage.measure if isinstance(stage, Filter) else None
    assert act is not None
    return lambda: [act(batch) for batch in batches]


def chain_work(names: tuple[str, ...], batches: list[pa.RecordBatch]) -> Work:
    """Stages one after the other over each batch, as the scan has them: what one stage laid out the next one uses."""
    stages = [stage_class(name)(stage_class(name).Options()) for name in names]

    def run(batch: pa.RecordBatch) -> None:
        for stage in stages:
            if isinstance(stage, Transform):
                batch = stage.change(batch, frozenset())
                batch = batch.filter(batch.column("reason").is_null())
            elif isinstance(stage, Filter):
                stage.measure(batch)

    return lambda: [run(batch) for batch in batches]


def works(path: Path, batches: list[pa.RecordBatch]) -> dict[str, Work]:
    """Everything that is measured, the floor first."""
    lines = path.read_bytes().splitlines()
    found: dict[str, Work] = {
        "floor: orjson.loads": lambda: [orjson.loads(line) for line in lines],
        "read (JSON lines)": lambda: read(path),
    }
    for name in stage_names():
        if name.startswith("text.") and stage_class(name).cost != "model":
            try:
                found[name] = stage_work(name, batches)
            except (D4AError, ImportError, ValidationError) as error:
                print(f"{name}: not measured: {error}")
    found["the four quality rules"] = chain_work(QUALITY, batches)
    return found


def read(path: Path) -> list[pa.RecordBatch]:
    status = path.stat()
    entry = Entry(str(path.parent), path.name, status.st_size, status.st_mtime_ns, 0, status.st_size)
    return list(modality("text").read(entry, Source(path=str(path))))


def by_length(batches: list[pa.RecordBatch], rounds: int) -> None:
    fuzzy = stage_class("text.dedup.fuzzy")
    stages = {name: fuzzy(fuzzy.Options(**options)) for name, options in SKETCHES.items()}
    texts = [text for batch in batches for text in batch.column("text").to_pylist() if text]
    print(f"\n{'text.dedup.fuzzy, sketch, MB/s':28} {'documents':>9} " + " ".join(f"{name:>16}" for name in SKETCHES))
    other = pa.record_batch({"text": pa.array(["another column"], pa.large_string())})  # or the tokens of the last one would be at hand
    for length in (200, 1_000, 4_000, 16_000, 64_000):
        cut = [text[:length] for text in texts if len(text) >= length]
        if not cut:
            continue
        cut = (cut * (1 + 2_000_000 // (len(cut) * length)))[: max(1, 4_000_000 // length)]
        batch = pa.record_batch({"text": pa.array(cut, pa.large_string())})
        seconds = [min(timed(lambda s=stage, b=batch: (s.sketch(other), s.sketch(b))) for _ in range(rounds)) for stage in stages.values()]
        print(f"{length:10,} characters        {len(cut):9,} " + " ".join(f"{batch.nbytes / 1e6 / each:16.0f}" for each in seconds))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file", type=Path, nargs="?")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or Path(folder, "made_up.jsonl")
        if given.file is None:
            made_up(path)
        batches = read(path)
        measured = works(path, batches)
        first = {name: timed(work) for name, work in measured.items()}
        best = dict.fromkeys(measured, float("inf"))
        for _ in range(given.rounds):
            for name, work in measured.items():
                best[name] = min(best[name], timed(work))
        megabytes = sum(batch.column("text").nbytes for batch in batches) / 1e6
        floor = next(iter(best.values()))
        print(
            f"{megabytes:.1f} MB of text, {sum(len(batch) for batch in batches):,} documents; user CPU of one core, best of {given.rounds}"
        )
        print(f"{'':28} {'MB/s':>8} {'x floor':>8} {'first call, s':>14}")
        for name, seconds in best.items():
            print(f"{name:28} {megabytes / seconds:8.0f} {seconds / floor:8.2f} {first[name] - seconds:14.2f}")
        by_length(batches, given.rounds)


if __name__ == "__main__":
    main()
