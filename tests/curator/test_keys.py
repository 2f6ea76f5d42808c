"""History must not matter: what decides bytes is in a key, so a run over old state equals a fresh one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from small_corpus import published, write_text_inputs

RECIPE = """name: keys
text:
  sources: [{path: "in/*.jsonl", licence: MIT}]
  stages: [{use: text.clean}, {use: text.dedup.exact}]
output: {path: out}
"""


def rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def twin_folder(root: Path) -> None:
    """The same names, sizes and times under another folder, as archives give them, with other texts."""
    (root / "v2").mkdir()
    for path in sorted((root / "in").iterdir()):
        copy = root / "v2" / path.name
        copy.write_bytes(path.read_bytes().replace(b"river", b"lakes"))
        os.utime(copy, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    rewrite(root / "r.yaml", "in/*", "v2/*")


CHANGES: dict[str, Callable[[Path], None]] = {
    "a field beside the text": lambda root: rewrite(root / "in/part-00.jsonl", '"n": 8', '"n": 9'),
    "a longer field beside the text": lambda root: rewrite(root / "in/part-00.jsonl", '"n": 8', '"n": 88888'),
    "the name of a file": lambda root: (root / "in/part-00.jsonl").rename(root / "in/part-99.jsonl"),
    "the folder": twin_folder,
    "the licence": lambda root: rewrite(root / "r.yaml", "MIT", "CC0-1.0"),
    "a blank line": lambda root: rewrite(root / "in/part-00.jsonl", '{"id": "0-3"', '\n{"id": "0-3"'),
    "the description": lambda root: rewrite(root / "r.yaml", "name: keys", "name: keys\ndescription: other"),
    "the label of a stage": lambda root: rewrite(root / "r.yaml", "{use: text.clean}", "{use: text.clean, as: size}"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_one_place_equals_a_fresh_run(tmp_path: Path, d4a, change: str) -> None:
    write_text_inputs(tmp_path / "in", files=2, records=15)
    (tmp_path / "r.yaml").write_text(RECIPE)
    d4a("curate", "r.yaml")
    before = published(tmp_path / "out")
    CHANGES[change](tmp_path)
    d4a("curate", "r.yaml")
    d4a("curate", "r.yaml", "--out", "fresh")
    assert published(tmp_path / "out") == published(tmp_path / "fresh") != before


def test_why_shows_the_texts_of_the_published_dataset(tmp_path: Path, d4a) -> None:
    """Not those of a run that was interrupted since; and names from the data are no markup."""
    (tmp_path / "in").mkdir()
    words = "one and the same text about a river and a bridge and a stone in the garden of the village"
    (tmp_path / "in/x.jsonl").write_text("".join(json.dumps({"id": f"[red]{i}", "text": f"{words} {i}"}) + "\n" for i in range(3)))
    (tmp_path / "r.yaml").write_text(RECIPE.replace("text.dedup.exact", "text.dedup.fuzzy, threshold: 0.5"))
    d4a("curate", "r.yaml")
    (tmp_path / "in/a.jsonl").write_text(json.dumps({"id": "new", "text": "something else altogether"}) + "\n")
    (tmp_path / "in/broken.jsonl").symlink_to(tmp_path / "nowhere")
    d4a("curate", "r.yaml", "--set", "max_bad_fraction=0.01", code=1)  # the new plan is written, nothing is published
    told = d4a("why", "out", "[red]1").stdout
    assert "[red]0" in told and "20 of 21 and 21 words are the same" in told and "something else" not in told


def test_why_on_a_record_that_no_number_decided(tmp_path: Path, d4a) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.jsonl").write_text(json.dumps({"id": "a", "text": "This is plainly an English sentence, is it not?"}) + "\n")
    (tmp_path / "r.yaml").write_text(RECIPE.replace("{use: text.clean}", "{use: text.language, keep: [de]}"))
    d4a("curate", "r.yaml")
    assert "text.language: language_not_kept (en)" in d4a("why", "out", "a").stdout


def test_names_from_the_data_do_not_steer_the_terminal(tmp_path: Path, d4a) -> None:
    (tmp_path / "in").mkdir()
    rows = [{"id": "\u001b[31mred", "text": "the same words again"}, {"id": "twin", "text": "the same words again"}]
    (tmp_path / "in/x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.yaml").write_text(RECIPE)
    d4a("curate", "r.yaml")
    assert "\x1b" not in (told := d4a("why", "out", "twin").stdout) and "\\x1b[31mred" in told
    assert "\x1b[" not in d4a("why", "out", "\x1b[32mno", code=1).stderr.replace("\x1b[31m\x1b[1m", "").replace("\x1b[0m", "")


def test_a_unit_that_is_none(tmp_path: Path, d4a) -> None:
    assert "no unit in line 0" in d4a("run-unit", tmp_path / "nowhere", 0, code=2).stderr
    (tmp_path / "units").write_text("not json\n")
    assert "no unit in line 0" in d4a("run-unit", tmp_path / "units", 0, code=2).stderr


def test_a_changed_word_list_is_measured_anew_and_a_moved_one_is_not(tmp_path: Path, d4a) -> None:
    source, recipe, blocked = tmp_path / "in.jsonl", tmp_path / "recipe.yaml", tmp_path / "blocked.txt"
    source.write_text("".join(json.dumps({"id": site, "text": "a page", "url": f"https://{site}/"}) + "\n" for site in ("a.org", "b.org")))
    recipe.write_text(
        f"name: x\ntext:\n  sources: [{{path: {source}}}]\n  stages: [{{use: text.url, blocklist: {blocked}}}]\noutput: {{path: out}}\n"
    )
    blocked.write_text("a.org\n")
    d4a("curate", recipe)
    assert "blocked" in d4a("why", "out", "a.org").stdout
    blocked.write_text("b.org\n")
    told = json.loads(d4a("curate", recipe, "--json").stdout)
    assert told["flows"][0]["kept"] == 1 and "blocked" in d4a("why", "out", "b.org").stdout
    moved = tmp_path / "lists" / "blocked.txt"
    moved.parent.mkdir()
    blocked.rename(moved)
    assert "1 reused" in d4a("curate", recipe, "--set", f"text.url.blocklist={moved}").stderr
