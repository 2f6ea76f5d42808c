"""Stages that cut: what is decided about the whole corpus is applied in the next round, whatever ran before."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from small_corpus import published, write_text_inputs

SUBSTRING = "text.dedup.substring"


def write_recipe(path: Path, source: Path, *stages: str, mode: str = "judge") -> Path:
    """Stages, the cut, and what sees the texts behind it."""
    listed = "".join(f"    - {stage}\n" for stage in stages)
    path.write_text(
        f"name: small\ntext:\n  sources: [{{path: {source}}}]\n  partition_bytes: 20000\n  stages:\n"
        f"    - use: text.clean\n    - {{use: {SUBSTRING}, mode: {mode}}}\n{listed}output: {{path: out, shard_bytes: 64KiB}}\n"
    )
    return path


def table(root: Path, name: str) -> list[dict[str, Any]]:
    return ds.dataset(sorted((root / name).glob("*.parquet"))).to_table().to_pylist()


def texts(root: Path) -> dict[str, str]:
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(map(str, root.glob("text/*/*.tar")))
    return {sample["json"]["key"]: sample["json"]["text"] for sample in webdataset.WebDataset(shards, shardshuffle=False).decode()}


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    flow: dict[str, Any] = json.loads(done.stdout)["flows"][0]
    return flow


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files in which three of ten texts repeat others, whole or with a sentence behind."""
    write_text_inputs(tmp_path / "in", files=4)
    return tmp_path / "in"


def test_characters_add_up_and_every_cut_is_explained(tmp_path: Path, source: Path, d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", source)
    d4a("curate", recipe, "--set", f"text.stages.1.min_tokens={10**4}", "--out", tmp_path / "whole")
    flow = told(d4a("curate", recipe, "--json"))
    before, after = texts(tmp_path / "whole"), texts(tmp_path / "out")
    ledger = {row["key"]: row for row in table(tmp_path / "out", "ledger")}
    scores = {row["key"]: row for row in table(tmp_path / "out", "scores")}
    assert len(before) > len(after) > 100
    for key, text in before.items():
        assert len(text) == len(after.get(key, "")) + ledger[key]["edited_chars"]
        cut, edited = scores[key][f"{SUBSTRING}.cut_chars"], ledger[key]["edited_chars"]
        assert cut <= edited <= cut + 8 and (cut > 0) == (scores[key][f"{SUBSTRING}.cuts"] > 0)
    empty = [key for key, row in ledger.items() if row["reason"] == "empty"]
    assert set(empty) == before.keys() - after.keys() and all(ledger[key]["stage"] == SUBSTRING for key in empty)
    shorter = [key for key in after if after[key] != before[key]]
    assert len(empty) > 5 and len(shorter) > 5
    for key in shorter:
        kept = ledger[key]["detail"].removeprefix("what was cut out of it stands in ")
        assert before[key][:200] in before[kept] and after[key] in before[key]
    assert f"edited      {ledger[shorter[0]]['edited_chars']} characters less; what was cut out" in d4a("why", "out", shorter[0]).stdout
    rows = [stage for stage in flow["stages"] if stage["label"] == SUBSTRING]
    assert rows[1]["reasons"] == {"empty": len(empty)} and rows[1]["notes"]["cuts records"] == len(empty) + len(shorter)
    assert not [name for name in table(tmp_path / "out", "scores")[0] if "fingerprints" in name]
    assert not (tmp_path / "out/sketches").exists()


def test_all_records_that_keep_a_part_are_named_while_they_are_few(tmp_path: Path, d4a) -> None:
    def words(first: int, count: int) -> str:
        return " ".join(f"word{k}" for k in range(first, first + count))

    parts = [words(1000 * k, 60 + 5 * k) for k in range(5)]
    mixed = [f"{parts[1]} {words(7000, 9)} {parts[3]}", " own ".join([*parts, *parts])]
    (tmp_path / "in").mkdir()
    rows = [{"id": f"part {k}", "text": part} for k, part in enumerate(parts)] + [{"id": f"mix{k}", "text": t} for k, t in enumerate(mixed)]
    (tmp_path / "in/x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = d4a("curate", write_recipe(tmp_path / "r.yaml", tmp_path / "in"))
    details = {row["key"]: row["detail"] for row in table(tmp_path / "out", "ledger")}
    assert details["part 1"] is None and details["mix0"] == "what was cut out of it stands in part 3, part 1"
    assert details["mix1"] == "what was cut out of it stands in part 4, part 3, part 2 and 2 others"
    assert "text.dedup.substring (search)" in done.stdout and "text.dedup.substring (cut)" in done.stdout
    assert "text.dedup.substring (search)" in d4a("plan", "r.yaml").stdout


def test_nothing_repeats_in_what_was_cut(tmp_path: Path, source: Path, d4a) -> None:
    d4a("curate", write_recipe(tmp_path / "r.yaml", source))
    (tmp_path / "again").mkdir()
    lines = [json.dumps({"id": key, "text": text}) for key, text in texts(tmp_path / "out").items()]
    (tmp_path / "again/x.jsonl").write_text("\n".join(lines))
    flow = told(d4a("curate", write_recipe(tmp_path / "again.yaml", tmp_path / "again"), "--out", tmp_path / "second", "--json"))
    assert flow["kept"] == len(lines) and not any(row["edited_chars"] for row in table(tmp_path / "second", "ledger"))


def test_same_bytes_whatever_ran_before_and_however_many_workers(tmp_path: Path, source: Path, d4a) -> None:
    """Other lengths, other entering records and other files lead to other cuts; what was cut otherwise is never used."""
    filtered = "{use: text.quality.gopher, min_words: 30}", "{use: text.dedup.fuzzy, threshold: 0.7}"
    recipe = write_recipe(tmp_path / "r.yaml", source, *filtered)
    first = told(d4a("curate", recipe, "--workers", 2, "--json"))
    straight = published(tmp_path / "out")
    assert {row["stage"] for row in table(tmp_path / "out", "ledger")} >= {SUBSTRING, "text.quality.gopher"}
    (source / "part-00b.jsonl").write_text(json.dumps({"id": "new", "text": texts(tmp_path / "out")["0-1"] + " And one more."}) + "\n")
    added = told(d4a("curate", recipe, "--json"))
    assert added["records"] == first["records"] + 1 and 0 < added["scanned"] < first["scanned"] / 2
    d4a("curate", recipe, "--out", tmp_path / "fresh")
    assert published(tmp_path / "out") == published(tmp_path / "fresh")
    (source / "part-00b.jsonl").unlink()
    for detour in (f"{SUBSTRING}.min_tokens=150", "text.clean.min_chars=1200"):
        d4a("curate", recipe, "--set", detour)
        assert published(tmp_path / "out") != straight
    limited = told(d4a("curate", recipe, "--limit", 60, "--json"))
    assert limited["records"] == 60
    back = told(d4a("curate", recipe, "--workers", 2, "--json"))
    assert back["kept"] == first["kept"] and published(tmp_path / "out") == straight
    d4a("curate", recipe, "--out", tmp_path / "alone", env={"PYTHONHASHSEED": "7"})
    assert published(tmp_path / "alone") == straight


def test_a_longer_passage_scans_only_what_is_cut_otherwise(tmp_path: Path, source: Path, d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", source)
    d4a("curate", recipe)
    longer = told(d4a("curate", recipe, "--set", f"{SUBSTRING}.min_tokens=51", "--json"))
    assert longer["scanned"] == 0  # every repeat is longer
    shorter = told(d4a("curate", recipe, "--set", f"{SUBSTRING}.min_tokens=30", "--json"))
    assert shorter["scanned"] == shorter["records"]  # other sketches


def test_annotate_measures_and_cuts_nothing(tmp_path: Path, source: Path, d4a) -> None:
    cut = told(d4a("curate", write_recipe(tmp_path / "r.yaml", source), "--out", tmp_path / "cut", "--json"))
    flow = told(d4a("curate", write_recipe(tmp_path / "a.yaml", source, mode="annotate"), "--json"))
    kept = [row for row in table(tmp_path / "out", "ledger") if row["verdict"] == "kept"]
    assert flow["stages"][-1]["notes"] == cut["stages"][-1]["notes"] and flow["stages"][-1]["reasons"] == {}
    assert len(kept) == flow["kept"] > cut["kept"] and not any(row["edited_chars"] or row["detail"] for row in kept)
    back = told(d4a("curate", write_recipe(tmp_path / "r.yaml", source), "--json"))
    assert back["kept"] == cut["kept"] and published(tmp_path / "out") == published(tmp_path / "cut")


def test_killed_in_the_middle_the_next_run_gives_the_same_bytes(tmp_path: Path, source: Path, d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", source)
    d4a("curate", recipe, "--out", tmp_path / "calm")
    draw, killed = random.Random(4), 0
    for step in ("scan-text.jsonl", "decide-text.jsonl", "scan-text-round-2.jsonl", "lay-out-text.jsonl"):
        program = (
            "import os, pathlib, signal, threading, time\n"
            f"step = pathlib.Path({str(tmp_path / 'rough/.d4a/steps' / step)!r})\n"
            "step.unlink(missing_ok=True)\n"
            "def end():\n"
            "    while not step.exists():\n"
            "        time.sleep(0.002)\n"
            f"    time.sleep({draw.uniform(0, 0.05)})\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "threading.Thread(target=end, daemon=True).start()\n"
        )
        ended = d4a("curate", recipe, "--out", tmp_path / "rough", first=program, code=None).returncode
        assert ended in (0, -signal.SIGKILL)  # the last step may be over before
        killed += ended != 0
    assert killed >= 3
    d4a("curate", recipe, "--out", tmp_path / "rough")
    assert published(tmp_path / "rough") == published(tmp_path / "calm")


def test_images_are_not_cut(tmp_path: Path, d4a) -> None:
    recipe = {"name": "x", "image": {"sources": [{"path": "in"}], "stages": [{"use": SUBSTRING}]}, "output": {"path": "out"}}
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    assert f"`{SUBSTRING}` is no stage for image" in d4a("check", "r.yaml", code=2).stderr
