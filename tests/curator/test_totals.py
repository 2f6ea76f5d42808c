"""Values that are counts: their sums are said in the summary and on the page, of the records that reached the stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TEXTS = ["write to ann@b.org", "ann@b.org, bob@b.org and 62.3.3.25", "nothing here", "cy@b.org " * 6, "cy@b.org " * 6]
RECIPE = """
name: totals
text:
  sources: [{{path: "{source}"}}]
  stages:
    - {{use: text.dedup.exact}}
    - {{use: text.pii, max_found: 5, mode: {mode}}}
output: {{path: out}}
"""


@pytest.mark.parametrize("mode", ["judge", "annotate"])
def test_totals_are_told_whether_a_stage_judges_or_not(tmp_path: Path, d4a, mode: str) -> None:
    source, recipe = tmp_path / "in.jsonl", tmp_path / "recipe.yaml"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    recipe.write_text(RECIPE.format(source=source, mode=mode))
    told = json.loads(d4a("curate", recipe, "--json").stdout)
    (row,) = [stage for stage in told["flows"][0]["stages"] if stage["label"] == "text.pii"]
    assert row["in"] == 4 and row["kept"] == (3 if mode == "judge" else 4)
    assert (row["notes"]["email"], row["notes"]["email records"]) == (9, 3)
    assert (row["notes"]["ip"], row["notes"]["ip records"]) == (1, 1)
    assert row["notes"]["card"] == 0
    said = " ".join(d4a("curate", recipe).stdout.split())
    assert "email 9, email records 3" in said and "card" not in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert "text.pii: email 9" in page and "text.pii: email records 3" in page


def test_rules_are_idle_only_where_a_record_reached_them(tmp_path: Path, d4a) -> None:
    source, recipe = tmp_path / "in.jsonl", tmp_path / "recipe.yaml"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    stages = "{use: text.clean, min_chars: MIN}, {use: text.pii, max_found: 100}"
    for least, idle in ((1, ["text.clean: too_short", "text.pii: too_much_pii"]), (1000, [])):
        recipe.write_text(
            f"name: r\ntext: {{sources: [{{path: {source}}}], stages: [{stages.replace('MIN', str(least))}]}}\noutput: {{path: out}}\n"
        )
        assert json.loads(d4a("curate", recipe, "--json").stdout)["flows"][0]["silent_rules"] == idle
