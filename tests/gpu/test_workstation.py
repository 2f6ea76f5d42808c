"""configs/gpu-workstation.yaml on a machine without a card: what is said, and that nothing but the card's share is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from card_driver import with_driver
from conftest import Command
from d4a.curator.doctor import cuda_devices

TEXTS = ["the quick brown fox jumps over the lazy dog and runs through the old forest until the night comes down on it " * 3, "a note"]
TEXT_ONLY = """extends: gpu-workstation
image: null
text:
  sources: [{path: in.jsonl}]
  stages:
    - {use: text.dedup.exact}
    - {use: text.dedup.fuzzy, scheme: minhash, shingle: characters, ngram: 24, threshold: 0.8}
output: {path: out}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = [{"id": str(k), "text": text} for k, text in enumerate([*TEXTS, TEXTS[0] + "and sleeps."])]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.yaml").write_text(TEXT_ONLY)
    return tmp_path / "r.yaml"


def test_the_recipe_is_sound(d4a: Command) -> None:
    assert "gpu-workstation: good; text, image" in d4a("check", "gpu-workstation").stdout


def test_the_plan_says_who_computes_and_why(d4a: Command, recipe: Path) -> None:
    told = " ".join(d4a("plan", recipe).stdout.split())
    assert "text.dedup.fuzzy computes on the CPU: the device is cpu" in told


@pytest.mark.skipif(find_spec("cudf") is not None, reason="a library that is there would ask the driver for more")
def test_a_card_is_found_for_sketches_without_a_word(d4a: Command, recipe: Path, tmp_path: Path) -> None:
    driver = with_driver(tmp_path / "driver")
    told = " ".join(d4a("plan", recipe, env=driver).stdout.split())
    assert "device cuda, precision fp32 (the driver counts 1 device)" in told
    assert "text.dedup.fuzzy computes on the CPU: cudf is not installed; pip install 'd4a[gpu]'" in told
    assert "embeddings are compared" not in told
    fss = ["--set", "text.dedup.fuzzy.scheme=fss", "--set", "text.dedup.fuzzy.shingle=words", "--set", "text.dedup.fuzzy.ngram=5"]
    assert "numba_cuda is not installed" in d4a("plan", recipe, *fss, env=driver).stdout
    assert "the device is cpu" in d4a("plan", recipe, "--device", "cpu", env=driver).stdout
    loaded = "import sys; from d4a.curator.cli import app; app(sys.argv[1:], standalone_mode=False); print('torch' in sys.modules)"
    command = [sys.executable, "-c", loaded, "plan", recipe]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=driver, timeout=300)
    assert done.stdout.endswith("False\n"), done.stdout + done.stderr


def test_the_cpu_does_the_cards_work(d4a: Command, recipe: Path, tmp_path: Path) -> None:
    d4a("curate", recipe)  # the longer text stays
    kept = json.loads((tmp_path / "out/dataset.json").read_text())
    assert sum(shard["samples"] for shard in kept["shards"]) == 2
    assert "text.dedup.fuzzy: near_duplicate" in d4a("why", "out", "0").stdout


def test_cuda_without_a_card_is_exit_code_3(d4a: Command, recipe: Path) -> None:
    if cuda_devices()[0]:
        pytest.skip("this machine has a CUDA device")
    told = d4a("curate", recipe, "--device", "cuda", code=3).stderr
    assert "no CUDA device answers" in told
