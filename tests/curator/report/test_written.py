"""Every run writes the page: beside the dataset, outside its promise of equal bytes, with commands that work."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from pathlib import Path

from d4a.curator.explain import Previews
from small_corpus import write_recipe, write_text_inputs
from small_report import Page


def test_a_run_writes_a_page_whose_commands_work(tmp_path: Path, d4a) -> None:
    write_text_inputs(tmp_path / "in")
    out = tmp_path / "out"
    recipe = write_recipe(tmp_path / "r.yaml", tmp_path / "in", out)
    d4a("curate", recipe)
    page = Page((out / "report.html").read_bytes())
    dataset = json.loads((out / "dataset.json").read_text())
    assert "report.html" not in dataset["files"]
    assert dataset["dataset_id"] in page.text and "no preview" not in page.text
    for stage in dataset["flows"]["text"]["stages"]:
        assert stage["label"] in page.text
    commands = [unescape(command) for command in re.findall(r"<code>(d4a why .*?)</code>", page.source)]
    assert len(commands) >= 3
    told = [d4a(*shlex.split(command)[1:], cwd=out).stdout for command in commands]
    assert any("twin" in one for one in told) and any("sample" in one for one in told)


def test_a_lost_page_is_written_again_and_a_whole_one_is_left_alone(tmp_path: Path, d4a) -> None:
    write_text_inputs(tmp_path / "in")
    out = tmp_path / "out"
    recipe = write_recipe(tmp_path / "r.yaml", tmp_path / "in", out)
    d4a("curate", recipe)
    first = (out / "report.html").stat().st_mtime_ns
    d4a("curate", recipe)
    assert (out / "report.html").stat().st_mtime_ns == first
    (out / "report.html").unlink()
    d4a("curate", recipe)
    Page((out / "report.html").read_bytes())
    d4a("verify", out)


def test_a_record_without_payload_has_no_preview_of_another(tmp_path: Path, d4a) -> None:
    (tmp_path / "in").mkdir()
    lines = ['{"id": "a", "text": "the first text of all"}', '{"id": "broken", "text": ', '{"id": "c", "text": "the last text of all"}']
    (tmp_path / "in" / "few.jsonl").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    d4a("curate", write_recipe(tmp_path / "r.yaml", tmp_path / "in", out))
    views = Previews(out).get("text", [0, 1, 2])
    assert views == {0: {"text/plain": b"the first text of all"}, 2: {"text/plain": b"the last text of all"}}
