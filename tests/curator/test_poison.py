"""Records that crash a stage cost themselves: workers that really die, on chosen records, and the same dataset each time."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from deadly_stages import install
from small_corpus import published, write_recipe, write_text_inputs


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """With the deadly stage installed."""
    found = install(tmp_path / "site")
    return {**found, "PYTHONPATH": os.pathsep.join(filter(None, (found["PYTHONPATH"], os.environ.get("PYTHONPATH"))))}


def write(tmp_path: Path, orders: dict[str, str]) -> Path:
    """Texts in two files of several batches, and a recipe; `orders`: id of a record -> what its text asks for."""
    write_text_inputs(tmp_path / "in", files=3)
    for number in range(3):
        lines = [json.dumps({"id": f"calm-{number}-{k}", "text": f"number {number} {k} of many texts"}) for k in range(5000)]
        for one in [one for one in orders if one.startswith(f"{number}.")]:
            lines[int(one.split(".")[1])] = json.dumps({"id": one, "text": f"here is text {one}, please {orders[one]} now"})
        (tmp_path / f"in/many-{number}.jsonl").write_text("\n".join(lines) + "\n")
    return write_recipe(
        tmp_path / "r.yaml", tmp_path / "in", tmp_path / "a", partition_bytes="200000", more="\n    - use: text.acme.deadly"
    )


def crashed(root: Path) -> dict[str, tuple[str, str, str]]:
    rows = ds.dataset(sorted((root / "ledger").glob("*.parquet"))).to_table().to_pylist()
    return {r["key"]: (r["stage"], r["reason"], r["detail"]) for r in rows if r["reason"] in ("crashed", "timeout")}


def test_records_that_crash_a_stage_cost_themselves_whatever_the_workers(tmp_path: Path, env: dict[str, str], d4a) -> None:
    orders = {"0.17": "kill SIGSEGV", "0.2100": "kill SIGABRT", "0.2101": "raise", "1.4999": "kill SIGKILL", "2.0": "raise"}
    recipe = write(tmp_path, orders)
    told = json.loads(d4a("curate", recipe, "--workers", 1, "--json", env=env).stdout)
    assert crashed(tmp_path / "a") == {
        "0.17": ("text.acme.deadly", "crashed", "SIGSEGV"),
        "0.2100": ("text.acme.deadly", "crashed", "SIGABRT"),
        "0.2101": ("text.acme.deadly", "crashed", "ValueError: what is this? <object object at 0x…>"),
        "1.4999": ("text.acme.deadly", "crashed", "SIGKILL"),
        "2.0": ("text.acme.deadly", "crashed", "ValueError: what is this? <object object at 0x…>"),
    }
    (stage,) = (row for row in told["flows"][0]["stages"] if row["label"] == "text.acme.deadly")
    assert stage["reasons"] == {"crashed": 5}
    d4a("curate", recipe, "--workers", 2, "--out", tmp_path / "b", env=env)
    assert published(tmp_path / "a") == published(tmp_path / "b")
    again = json.loads(d4a("curate", recipe, "--workers", 1, "--json", env=env).stdout)
    assert again["flows"][0]["scanned"] == 0 and not again["published"]
