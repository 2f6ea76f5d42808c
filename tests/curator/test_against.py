"""New data against datasets made before: only the new side loses records, and the ledger says where the twin is."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from d4a.curator.dedup import earlier
from d4a.curator.registry import modality
from d4a.curator.shards.manifest import read
from small_corpus import document, sentence

RECIPE = """
name: {name}
text:
  sources: [{{path: "{source}"}}]
  stages: [{{use: text.clean}}, {{use: {use}{options}}}]
output: {{path: "{out}", order: input}}
"""
EXACT, FUZZY = "text.dedup.exact", "text.dedup.fuzzy"
RNG = random.Random(5)
OLD = [document(RNG, 30) for _ in range(4)]
NEW = [OLD[2], document(RNG, 30), OLD[0] + " " + sentence(RNG), document(RNG, 30)]
NEW.append(NEW[1])


def curate(folder: Path, d4a: Any, name: str, texts: list[str], use: str, options: str = "", code: int = 0) -> Any:
    """The ledger, or the error."""
    source, recipe = folder / f"{name}.jsonl", folder / f"{name}.yaml"
    source.write_text("".join(json.dumps({"id": f"{name}-{k}", "text": text}) + "\n" for k, text in enumerate(texts)))
    recipe.write_text(RECIPE.format(name=name, source=source, use=use, options=options, out=folder / name))
    done = d4a("curate", recipe, code=code)
    return pq.read_table(folder / name / "ledger").to_pylist() if code == 0 else done.stderr


def dataset_id(folder: Path) -> str:
    return str(json.loads((folder / "dataset.json").read_text())["dataset_id"])


@pytest.mark.parametrize("use", [EXACT, FUZZY])
def test_only_the_new_side_loses_and_the_twin_is_named(tmp_path: Path, d4a: Any, use: str) -> None:
    curate(tmp_path, d4a, "old", OLD, use)
    rows = {row["key"]: row for row in curate(tmp_path, d4a, "new", NEW, use, f', against: ["{tmp_path}/old"]')}
    name = dataset_id(tmp_path / "old")[:16]
    assert (rows["new-0"]["twin"], rows["new-0"]["survivor"], rows["new-0"]["similarity"]) == (f"{name}:old-2", f"{name}:old-2", 1.0)
    assert rows["new-4"]["twin"] == "new-1" and rows["new-1"]["verdict"] == rows["new-3"]["verdict"] == "kept"
    if use == FUZZY:
        assert rows["new-2"]["twin"] == f"{name}:old-0" and 0.8 < rows["new-2"]["similarity"] < 1
    else:
        assert rows["new-2"]["verdict"] == "kept"
    said = d4a("why", tmp_path / "new", "new-0").stdout
    assert f"{name}:old-2" in said and "in an earlier dataset" in said and "None" not in said


def test_a_chain_of_datasets_equals_one_run_over_all(tmp_path: Path, d4a: Any) -> None:
    """Parts one after the other keep what one run over all parts keeps, where the earlier record is preferred."""
    texts = [*OLD, *NEW, *OLD[1:3], NEW[3] + " " + sentence(RNG)]
    whole = {row["key"]: row["verdict"] for row in curate(tmp_path, d4a, "whole", texts, FUZZY, ", keep: first")}
    earlier: list[str] = []
    kept = []
    for number, part in enumerate((texts[:4], texts[4:8], texts[8:])):
        against = f", keep: first, against: {json.dumps(earlier)}"
        rows = curate(tmp_path, d4a, f"part{number}", part, FUZZY, against)
        kept += [row["verdict"] for row in rows]
        earlier.append(str(tmp_path / f"part{number}"))
    assert kept == list(whole.values())


def test_other_sketches_and_no_dataset_are_refused_before_anything_is_read(tmp_path: Path, d4a: Any) -> None:
    curate(tmp_path, d4a, "old", OLD, FUZZY, ", ngram: 4")
    said = curate(tmp_path, d4a, "new", NEW, FUZZY, f', against: ["{tmp_path}/old"]', code=2)
    assert "no sketches made in the same way" in said and "text.dedup.fuzzy" in said
    said = curate(tmp_path, d4a, "new", NEW, FUZZY, f', against: ["{tmp_path}/nowhere"]', code=2)
    assert "no such dataset" in said
    assert not (tmp_path / "new" / "dataset.json").exists()
    said = curate(tmp_path, d4a, "old", OLD, FUZZY, f', ngram: 4, against: ["{tmp_path}/old"]', code=2)
    assert "is the output itself" in said


def test_sketches_of_an_earlier_dataset_come_a_few_at_a_time(tmp_path: Path, d4a: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    curate(tmp_path, d4a, "old", [document(RNG, 30) for _ in range(8)], FUZZY)
    (sketches,) = read(tmp_path / "old").sketches["text"].values()
    old = earlier.Earlier(tmp_path / "old", "text", modality("text"), FUZZY, sketches)
    monkeypatch.setattr(earlier, "CHUNK_ROWS", 3)
    pieces = list(old.chunks("signature"))
    assert [indices.tolist() for indices, _ in pieces] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [one for _, piece in pieces for one in piece.to_pylist()] == old.column("signature").to_pylist()


@pytest.mark.parametrize("lost", ["sketches", "ledger", "text"])
def test_an_earlier_dataset_that_lacks_a_part_is_one_line(tmp_path: Path, d4a: Any, lost: str) -> None:
    curate(tmp_path, d4a, "old", OLD, FUZZY)
    for path in (tmp_path / "old" / lost).rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    said = curate(tmp_path, d4a, "new", NEW, FUZZY, f', against: ["{tmp_path}/old"]', code=1)
    assert str(tmp_path / "old") in said and "earlier dataset" in said
    assert not (tmp_path / "new" / "dataset.json").exists()


def test_a_changed_byte_in_the_sketches_of_an_earlier_dataset_is_seen(tmp_path: Path, d4a: Any) -> None:
    curate(tmp_path, d4a, "old", OLD, FUZZY)
    (path,) = (tmp_path / "old/sketches").glob("*.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    said = curate(tmp_path, d4a, "new", NEW, FUZZY, f', against: ["{tmp_path}/old"]', code=1)
    assert f"sketches/{path.name} is not as it was published" in said and "d4a verify" in said


def test_another_earlier_dataset_is_searched_anew(tmp_path: Path, d4a: Any) -> None:
    against = f', against: ["{tmp_path}/old"]'
    curate(tmp_path, d4a, "old", OLD[:1], EXACT)
    assert curate(tmp_path, d4a, "new", NEW, EXACT, against)[0]["verdict"] == "kept"
    curate(tmp_path, d4a, "old", OLD, EXACT)
    assert curate(tmp_path, d4a, "new", NEW, EXACT, against)[0]["verdict"] == "dropped"
