"""How much memory pair searches get: an option that changes no byte of the dataset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from d4a.curator.doctor import memory_bytes, memory_share
from small_corpus import published, write_recipe, write_text_inputs


def test_a_dataset_is_the_same_for_any_memory(tmp_path: Path, d4a) -> None:
    write_text_inputs(tmp_path / "in")
    datasets, notes = [], []
    for memory in ("1MB", "1GiB"):
        out = tmp_path / f"out-{memory}"
        recipe = write_recipe(tmp_path / f"{memory}.yaml", tmp_path / "in", out)
        told = json.loads(d4a("curate", recipe, "--memory", memory, "--json").stdout)
        notes.append([stage.get("notes") for stage in told["flows"][0]["stages"]])
        datasets.append(published(out))
    assert datasets[0] == datasets[1]
    assert notes[0] == notes[1]
    assert any("candidate_pairs" in (note or {}) for note in notes[0])


@pytest.mark.parametrize(("size", "message"), [("2 miles", "not a size: '2 miles'"), ("0", "'0' is no memory at all")])
def test_a_memory_that_is_none_is_refused(size: str, message: str, tmp_path: Path, d4a) -> None:
    write_text_inputs(tmp_path / "in", files=1)
    recipe = write_recipe(tmp_path / "r.yaml", tmp_path / "in", tmp_path / "out")
    assert message in d4a("curate", recipe, "--memory", size, code=2).stderr


def test_the_share_is_said_and_less_than_the_memory(tmp_path: Path, d4a) -> None:
    assert 0 < memory_share() <= memory_bytes() // 4
    write_text_inputs(tmp_path / "in", files=1)
    assert "pair searches may use" in d4a("plan", write_recipe(tmp_path / "r.yaml", tmp_path / "in", tmp_path / "out")).stdout
