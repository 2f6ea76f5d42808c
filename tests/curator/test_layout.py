"""The end of the decision: what it places does not depend on the memory it was given, and it needs little of it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from d4a.curator.scan.names import unique_keys
from small_corpus import published, write_text_inputs

RECIPE = """name: small
text:
  sources: [{{path: "{folder}/a", licence: MIT}}, {{path: "{folder}/b", licence: CC0-1.0}}]
  partition_bytes: 20000
  stages:
    - use: text.clean
    - use: text.language
    - {{use: text.dedup.exact, mode: tag}}
    - {{use: text.dedup.fuzzy, mode: tag}}
    - {{use: text.clean, as: later}}
    - {{use: text.dedup.exact, as: again}}
output: {{path: "{folder}/out", shard_bytes: 20KiB, split: {{val: 0.1, test: 0.2}}, order: {order}}}
"""


@pytest.mark.parametrize("order", ["shuffle", "input"])
def test_a_dataset_is_the_same_whether_its_layout_fits_in_memory(tmp_path: Path, d4a, order: str) -> None:
    write_text_inputs(tmp_path / "a", files=2)
    write_text_inputs(tmp_path / "b", files=1, seed=1)
    (tmp_path / "r.yaml").write_text(RECIPE.format(folder=tmp_path, order=order))
    for memory in ("20kB", "1GiB"):
        d4a("curate", "r.yaml", "--memory", memory, "--out", memory)
    found = published(tmp_path / "20kB")
    assert found == published(tmp_path / "1GiB")
    assert {path.split("/")[1] for path in found if path.endswith(".tar")} == {"train", "val", "test"}
    assert sum(path.endswith(".tar") for path in found) > 10
    scores = ds.dataset(tmp_path / "20kB" / "scores").to_table().to_pylist()
    assert any(row["text.dedup.fuzzy.cluster"] for row in scores) and any(row["text.language.score"] for row in scores)


def test_a_layout_needs_little_memory_for_a_record(tmp_path: Path) -> None:
    """Of the process that lays out, beyond what it held before: so it is measured in a copy of it that begins there."""
    (tmp_path / "in").mkdir()
    rng, records = random.Random(0), 60_000
    for number in range(6):
        texts = (" ".join(str(rng.random()) for _ in range(3)) for _ in range(records // 6))
        (tmp_path / f"in/{number}.jsonl").write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
    recipe = f"name: x\ntext:\n  sources: [{{path: {tmp_path / 'in'}}}]\n  stages: [{{use: text.dedup.exact}}]\noutput: {{path: out}}\n"
    (tmp_path / "r.yaml").write_text(recipe)
    program = """
import os
from d4a.curator import units
from d4a.curator.cli import main
from d4a.curator.engines import local

def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

def measured(*arguments, real=units.lay_out):
    if (child := os.fork()) == 0:
        before = kilobytes("VmRSS")
        real(*arguments)
        open("peak", "w").write(str(kilobytes("VmHWM") - before))
        os._exit(0)
    os.waitpid(child, 0)
    return real(*arguments)

units.lay_out = measured
local.LocalEngine.run = lambda self, units, work: map(work, units)  # in this process
main()
"""
    command = [sys.executable, "-c", program, "curate", "r.yaml", "--workers", "1", "--memory", "4MB"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, timeout=300)
    assert 1000 * int((tmp_path / "peak").read_text()) / records < 4500


def test_repeated_keys_are_told_apart_in_input_order() -> None:
    keys = ["a", "a~2", "a", "b", "a", "b", "a~2", "c"]
    found = unique_keys(pa.array(keys, pa.large_string())).to_pylist()
    assert found == ["a", "a~2", "a~3", "b", "a~4", "b~2", "a~2~2", "c"]


def test_an_id_that_is_another_records_source_is_told_apart(tmp_path: Path, d4a) -> None:
    lines = [{"text": "one"}, {"id": "x.jsonl#0", "text": "two"}, {"id": "x.jsonl#0~2", "text": "three"}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "r.yaml").write_text("name: x\ntext: {sources: [{path: x.jsonl}], stages: []}\noutput: {path: out}\n")
    d4a("curate", "r.yaml")
    ledger = ds.dataset(tmp_path / "out" / "ledger").to_table().to_pylist()
    assert [row["key"] for row in ledger] == ["x.jsonl#0", "x.jsonl#0~3", "x.jsonl#0~2"]
