"""Speed and memory of text.dedup.substring: its sketch, its search, and JSONL in -> shards out.

    python tests/bench/bench_substring.py [FILE.jsonl] [--min-tokens 50]

User CPU time of one process, the sketch best of several rounds, as a multiple of a plain floor in the same run: `orjson.loads` of every
line. Then whole runs in processes of their own, with the stage and without any, and their peak memory. Without a file, some megabytes of
text in six languages are made up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.dataset as ds
from bench_text import made_up, timed
from d4a.curator.stage import Workspace
from d4a.modalities.text.substring import Substring, SubstringOptions
from d4a.modalities.text.tokens import tokenise


class Texts:
    """All texts of a file, as the search sees them."""

    def __init__(self, batches: list[pa.Array], sketches: list[pa.Array], folder: Path) -> None:
        self._text, self._sketch = pa.chunked_array(batches), sketches
        self.size, self.workspace = len(self._text), Workspace(folder, 1 << 30)

    def column(self, name: str) -> pa.ChunkedArray:
        return pa.compute.binary_length(self._text)

    def chunks(self, name: str):
        start = 0
        for column in self._sketch:
            yield np.arange(start, start + len(column)), column
            start += len(column)

    def payload(self, indices: np.ndarray, column: str = "") -> pa.Array:
        return self._text.take(pa.array(indices)).combine_chunks()


def whole(source: Path, stages: str) -> tuple[float, float, dict[str, object]]:
    """User CPU seconds and peak megabytes of a run in one process, and its summary."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder, "recipe.yaml")
        recipe.write_text(
            f"name: bench\ntext:\n  sources: [{{path: '{source}'}}]\n  stages: [{stages}]\noutput: {{path: '{folder}/out'}}\n"
        )
        command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", "1", "--json"]
        with Path(folder, "told").open("w") as told_to:
            process = subprocess.Popen(command, stdout=told_to, stderr=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed")
        scores = ds.dataset(sorted(map(str, Path(folder, "out/scores").glob("*.parquet")))) if stages else None
        told = json.loads(Path(folder, "told").read_bytes())["flows"][0]
        if scores is not None:
            told["chars"] = sum(filter(None, scores.to_table(columns=["text.dedup.substring.cut_chars"]).column(0).to_pylist()))
        return used.ru_utime, used.ru_maxrss / 1024, told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--min-tokens", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = given.file or made_up(Path(folder, "made.jsonl"))
        cut = f"{{use: text.dedup.substring, min_tokens: {given.min_tokens}}}"
        whole(source, cut)  # compiles
        # before this process holds the texts: what it holds counts as its children's
        runs = {"no stage": whole(source, ""), f"cut from {given.min_tokens} tokens": whole(source, cut)}
        lines = source.read_bytes().splitlines()
        texts = [orjson.loads(line)["text"] for line in lines]
        arrays = [pa.array(texts[k : k + 500], pa.large_string()) for k in range(0, len(texts), 500)]
        size = sum(len(text.encode()) for text in texts) / 1e6
        stage = Substring(SubstringOptions(min_tokens=given.min_tokens))
        batches = [pa.record_batch({"text": array}) for array in arrays]
        stage.sketch(batches[0])
        floor = min(timed(lambda: [orjson.loads(line) for line in lines]) for _ in range(3))
        print(f"{len(texts):,} texts, {size:.1f} MB; parsing them takes {floor:.3f} s\n")
        sketches: list[pa.Array] = []

        def sketch() -> None:
            sketches[:] = [stage.sketch(batch)["fingerprints"] for batch in batches]

        rows = [("tokens alone", min(timed(lambda: [tokenise(a) for a in arrays]) for _ in range(3)))]
        rows.append(("sketch", min(timed(sketch) for _ in range(3))))
        entered = Texts(arrays, sketches, Path(folder))
        found = [stage.spans(entered)]  # compiles
        rows.append(("search", min(timed(lambda: found.append(stage.spans(entered))) for _ in range(2))))
        for name, seconds in rows:
            print(f"{name:32} {size / seconds:8.0f} MB/s/core   {seconds / floor:6.1f} x parsing")
        held = sum(array.nbytes for array in sketches) / 1e6
        print(f"sketches hold {held:.1f} MB; {found[0].notes}; {len(found[0].record):,} passages\n")
        for name, (seconds, memory, told) in runs.items():
            print(
                f"JSONL in, shards out: {name:20} {size / seconds:6.1f} MB/s/core, {memory:6.0f} MB at most; kept {told['kept']:,}", end=""
            )
            print(f" of {told['records']:,}" + (f"; {told['chars']:,} characters cut" if "chars" in told else ""))


if __name__ == "__main__":
    main()
