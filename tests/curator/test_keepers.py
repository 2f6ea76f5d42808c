"""Which twin stays, what counts as a twin, and duplicates that are only marked."""

from __future__ import annotations

import json
import random
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_corpus import document

RECIPE = """
name: keepers
text:
  sources: [{{path: "{folder}/old.jsonl"}}, {{path: "{folder}/new.jsonl"}}]
  stages:
    - {{use: text.field, as: stars, name: stars}}
    - {{use: text.field, as: day, name: meta.day, type: date}}
    - {{use: {use}, {options}}}
output: {{path: "{folder}/out", order: input}}
"""
EXACT, FUZZY = "text.dedup.exact", "text.dedup.fuzzy"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two sources of one text each, with stars and days; `old-2` and `new-2` are longer by a few words."""
    text = document(random.Random(0), 40)
    rows = {
        "old": [("old-1", text, 3, "2020-01-01"), ("old-2", text, 1, "2024-05-01T00:00:00+02:00")],
        "new": [("new-1", text, 5, None), ("new-2", text, None, "2019-01-01"), ("new-3", document(random.Random(1)), 9, "2025-01-01")],
    }
    for name, found in rows.items():
        lines = [json.dumps({"id": i, "text": t, "stars": s, "meta": {"day": d}}) for i, t, s, d in found]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def curate(folder: Path, d4a: Any, use: str, options: str, code: int = 0) -> list[dict[str, Any]]:
    """The ledger."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(folder=folder, use=use, options=options))
    done = d4a("curate", recipe, code=code)
    return pq.read_table(folder / "out" / "ledger").to_pylist() if code == 0 else [{"error": done.stderr}]


def kept(rows: list[dict[str, Any]]) -> list[str]:
    return [row["key"] for row in rows if row["verdict"] == "kept"]


@pytest.mark.parametrize("use", [EXACT, FUZZY])
def test_each_policy_keeps_the_twin_it_names(corpus: Path, d4a: Any, use: str) -> None:
    for keep, stays in {
        "first": "old-1",
        "longest": "old-1",
        "{highest: stars.value}": "new-1",
        "{lowest: stars.value}": "old-2",
        "{highest: day.value}": "old-2",
        "[sources, {highest: stars.value}]": "old-1",
        "[sources, {lowest: stars.value}]": "old-2",
        "[{lowest: day.value}, first]": "new-2",
    }.items():
        rows = curate(corpus, d4a, use, f"keep: {keep}")
        assert kept(rows) == [stays, "new-3"], keep
        assert {row["twin"] for row in rows if row["verdict"] == "dropped"} == {stays}


@pytest.mark.parametrize("use", [EXACT, FUZZY])
def test_only_across_sources_leaves_the_copies_of_one_source(corpus: Path, d4a: Any, use: str) -> None:
    assert kept(curate(corpus, d4a, use, "only_across_sources: true, keep: first")) == ["old-1", "old-2", "new-3"]
    assert kept(curate(corpus, d4a, use, "only_across_sources: true, keep: {highest: stars.value}")) == ["new-1", "new-2", "new-3"]


@pytest.mark.parametrize("use", [EXACT, FUZZY])
def test_tags_keep_all_and_say_the_clusters(corpus: Path, d4a: Any, use: str) -> None:
    rows = curate(corpus, d4a, use, "mode: tag, keep: first")
    assert len(kept(rows)) == 5
    scores = {row["key"]: row for row in pq.read_table(corpus / "out" / "scores").to_pylist()}
    assert [scores[key][f"{use}.cluster_size"] for key in ("old-1", "new-2", "new-3")] == [4, 4, 1]
    assert [scores[key][f"{use}.cluster"] for key in ("old-1", "new-2", "new-3")] == ["old-1", "old-1", None]
    with tarfile.open(next((corpus / "out" / "text" / "train").glob("*.tar"))) as tar:
        samples = [json.load(tar.extractfile(member)) for member in tar if member.name.endswith(".json")]  # type: ignore[arg-type]
    said = {sample["key"]: (sample.get(f"{use}.cluster"), sample[f"{use}.cluster_size"]) for sample in samples}
    assert said["new-1"] == ("old-1", 4) and said["new-3"] == (None, 1)
    # what dropping would have made of it, with the sizes that rehydration needs
    curate(corpus, d4a, use, "keep: first")
    dropped = {row["key"]: row for row in pq.read_table(corpus / "out" / "scores").to_pylist()}
    assert [dropped[key][f"{use}.cluster_size"] for key in ("old-1", "new-2", "new-3")] == [4, 4, 1]


def test_what_cannot_be_preferred_by_is_refused(corpus: Path, d4a: Any) -> None:
    (row,) = curate(corpus, d4a, EXACT, "keep: {highest: stars.valu}", code=2)
    assert "did you mean stars.value?" in row["error"]
    (row,) = curate(corpus, d4a, EXACT, "keep: best", code=2)
    assert "keep" in row["error"] and "longest" in row["error"]


def test_only_a_dedup_has_something_to_tag(corpus: Path, d4a: Any) -> None:
    (row,) = curate(corpus, d4a, "text.field", "as: again, name: stars, mode: tag", code=2)
    assert "nothing to tag" in row["error"]
