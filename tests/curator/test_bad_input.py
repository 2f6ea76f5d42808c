"""Hostile and unlucky users: odd folders, odd ids, damaged state. One clear line, a row with a reason, or the same bytes again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from d4a.curator.engines.local import LocalEngine
from small_corpus import write_recipe, write_text_inputs


def published(root: Path) -> dict[str, str]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and ".d4a" not in path.parts and path.name != "report.html"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def ledger(root: Path) -> list[dict[str, object]]:
    return ds.dataset(sorted((root / "ledger").glob("*.parquet"))).to_table().to_pylist()


def flip_a_byte(path: Path) -> None:
    with path.open("r+b") as file:  # in place: a link to the file sees it too
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0] ^ 1
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """in/a.txt and in/sub/b.txt."""
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/a.txt").write_text("a text about rivers")
    (tmp_path / "in/sub/b.txt").write_text("another one about bridges")
    return tmp_path / "in"


# ---------------------------------------------------------------------------------------------- sources


def test_a_source_that_is_nowhere_is_named_with_the_setting_that_changes_it(tmp_path: Path, folder: Path, d4a) -> None:
    assert "--set text.sources.0.path=PATH" in d4a("plan", "web-text", code=1).stderr
    assert "2 files" in d4a("plan", "web-text", "--set", f"text.sources.0.path={folder}").stdout


def test_two_links_upwards_do_not_run_for_ever(tmp_path: Path, folder: Path, d4a) -> None:
    for name in ("one", "two"):
        (folder / "sub" / name).symlink_to("..")
    d4a("curate", write_recipe(tmp_path / "r.yaml", folder / "**/*.txt", tmp_path / "a"))
    assert [row["source"] for row in ledger(tmp_path / "a")] == ["a.txt", "sub/b.txt"]
    told = d4a("curate", write_recipe(tmp_path / "r.yaml", folder, tmp_path / "b")).stdout
    assert len(ledger(tmp_path / "b")) == 2 and "(link to a folder) 2" in told


@pytest.mark.parametrize("way", ["sub/../out", "link/out"])
def test_output_inside_the_source_is_not_read_whatever_its_name(tmp_path: Path, folder: Path, d4a, way: str) -> None:
    (tmp_path / "link").symlink_to(folder)
    out = tmp_path / way if way.startswith("link") else folder / way
    recipe = write_recipe(tmp_path / "r.yaml", folder, out)
    d4a("curate", recipe)
    before = published(out)
    d4a("curate", recipe, "--fresh")
    assert len(ledger(out)) == 2 and published(out) == before


def test_what_a_user_keeps_in_the_output_is_neither_read_nor_removed(tmp_path: Path, folder: Path, d4a) -> None:
    out = tmp_path / "out"
    d4a("curate", write_recipe(tmp_path / "r.yaml", folder, out))
    (out / "text/mine.txt").write_text("precious")
    for source in (out / "text/mine.txt", out / "text", out / "text/*.txt", out):
        refused = d4a("curate", write_recipe(tmp_path / "s.yaml", source, out), code=2)
        assert "the source lies inside the output folder" in refused.stderr
    (folder / "a.txt").unlink()
    d4a("curate", tmp_path / "r.yaml")
    assert (out / "text/mine.txt").read_text() == "precious" and len(ledger(out)) == 1


def test_a_foreign_manifest_removes_nothing_outside(tmp_path: Path, folder: Path, d4a) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "precious.txt").write_text("precious")
    names = ["../precious.txt", "text/../../precious.txt", str(tmp_path / "precious.txt")]
    (tmp_path / "out/dataset.json").write_text(json.dumps({"files": dict.fromkeys(names), "shards": [{"path": names[0]}]}))
    d4a("curate", write_recipe(tmp_path / "r.yaml", folder, tmp_path / "out"))
    assert (tmp_path / "precious.txt").exists() and len(ledger(tmp_path / "out")) == 2


def test_names_that_are_no_text(tmp_path: Path, folder: Path, d4a) -> None:
    for name in (b"x\xff.txt", b"skipped.\xff", b"new\nline.txt"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("some words")
    told = d4a("curate", write_recipe(tmp_path / "r.yaml", folder, tmp_path / "a")).stdout
    rows = {row["source"]: row["reason"] for row in ledger(tmp_path / "a")}
    assert rows["x\\udcff.txt"] == "name_not_utf8" and "new\nline.txt" in rows and "\\udcff 1" in told
    assert "name_not_utf8" in d4a("why", tmp_path / "a", os.fsdecode(b"x\xff.txt")).stdout


def test_a_permission_given_later_is_noticed(tmp_path: Path, folder: Path) -> None:
    """Neither size nor time of the file changes."""
    plain = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    if plain and not shutil.which("setpriv"):
        pytest.skip("root reads everything")
    recipe = write_recipe(tmp_path / "r.yaml", folder, tmp_path / "a")
    for mode, reasons in ((0, {None, "permission_denied"}), (0o600, {None})):
        (folder / "a.txt").chmod(mode)
        subprocess.run(
            [*plain, sys.executable, "-m", "d4a.curator", "curate", str(recipe), "--workers", "1"], check=True, capture_output=True
        )
        assert {row["reason"] for row in ledger(tmp_path / "a")} == reasons


@pytest.mark.parametrize("setting", ["text.partition_bytes=1", "output.shard_bytes=9999999999TB", "text.sources.0.path=", "output.path="])
def test_settings_that_no_machine_can_work_with(tmp_path: Path, folder: Path, d4a, setting: str) -> None:
    refused = d4a("curate", write_recipe(tmp_path / "r.yaml", folder, tmp_path / "a"), "--set", setting, code=2)
    assert setting in refused.stderr and "Traceback" not in refused.stderr


def test_an_output_path_that_no_file_system_takes(tmp_path: Path, folder: Path, d4a) -> None:
    refused = d4a("curate", write_recipe(tmp_path / "r.yaml", folder, tmp_path / ("n" * 300)), code=1)
    assert "cannot write: File name too long" in refused.stderr


def test_a_folder_in_the_way_of_a_file_is_named(tmp_path: Path, folder: Path, d4a) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", folder, tmp_path / "a")
    d4a("curate", recipe)
    blocked = tmp_path / "a/text/train/000000.tar"
    blocked.unlink()
    blocked.mkdir()
    assert f"{blocked}: cannot write: Is a directory" in d4a("curate", recipe, code=1).stderr
    assert not (tmp_path / "a/dataset.json").exists()
    blocked.rmdir()
    d4a("curate", recipe)
    d4a("verify", tmp_path / "a")


# -------------------------------------------------------------------------------------------------- ids


def test_an_empty_id_is_none(tmp_path: Path, d4a) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.jsonl").write_text('{"id": "", "text": "one"}\n{"id": "b", "text": "two"}\n')
    d4a("curate", write_recipe(tmp_path / "r.yaml", tmp_path / "in", tmp_path / "a"))
    assert [row["key"] for row in ledger(tmp_path / "a")] == ["x.jsonl#0", "b"]


def test_one_huge_id_costs_its_own_size_only(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ids = ["x" * 1_000_000, *map(str, range(1, 1500))]
    lines = (json.dumps({"id": one, "text": f"text number {one[:9]} of some"}) for one in ids)
    (tmp_path / "in/x.jsonl").write_text("\n".join(lines))
    recipe = write_recipe(tmp_path / "r.yaml", tmp_path / "in", tmp_path / "a")
    program = (
        "import atexit\n"  # the status, for getrusage tells the greater memory of the process that started this one
        "told = lambda: [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0]\n"
        "atexit.register(lambda: print(told()))\n"
        "from d4a.curator.cli import main\n"
        "from d4a.curator.engines import local\n"
        "local.LocalEngine.run = lambda self, units, work: map(work, units)\n"  # in this process
        "main()\n"
    )
    command = [sys.executable, "-c", program, "curate", str(recipe), "--workers", "1"]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    assert peak < 1_500_000  # kB; an array as wide as the longest id would take 6 GB


# ----------------------------------------------------------------------------------------- rounds, engine


def test_rounds_that_nothing_enters(tmp_path: Path, folder: Path, d4a) -> None:
    recipe = tmp_path / "r.yaml"
    stages = "[{use: text.clean, min_chars: 1000000}, {use: text.dedup.exact}, {use: text.clean, as: again}, {use: text.dedup.fuzzy}]"
    recipe.write_text(f"name: x\ntext:\n  sources: [{{path: {folder}}}]\n  stages: {stages}\noutput: {{path: {tmp_path / 'a'}}}\n")
    assert "0 of 2 records kept" in d4a("curate", recipe).stdout
    assert {row["reason"] for row in ledger(tmp_path / "a")} == {"too_short"} and "whole" in d4a("verify", tmp_path / "a").stdout


def test_a_label_like_a_column_of_the_evidence(tmp_path: Path, folder: Path, d4a) -> None:
    recipe = tmp_path / "r.yaml"
    stages = "[{use: text.clean, as: size.json}, {use: text.language, as: row, mode: annotate}, {use: text.dedup.exact, as: entry}]"
    recipe.write_text(f"name: x\ntext:\n  sources: [{{path: {folder}}}]\n  stages: {stages}\noutput: {{path: {tmp_path / 'a'}}}\n")
    d4a("curate", recipe)
    assert len(ledger(tmp_path / "a")) == 2


def test_no_unit_is_lost_to_an_exception_that_means_the_end() -> None:
    engine = LocalEngine(1, 1 << 30)
    with pytest.raises(RuntimeError):
        list(engine.run([iter(()), iter(())], next))
    engine.close()


# ---------------------------------------------------------------------------------------- damaged files


def test_damaged_state_is_noticed_and_made_again(tmp_path: Path, d4a) -> None:
    write_text_inputs(tmp_path / "in")
    recipe = write_recipe(tmp_path / "r.yaml", tmp_path / "in", tmp_path / "a")
    d4a("curate", recipe, "--out", tmp_path / "calm", "--set", "output.seed=3")
    d4a("curate", recipe, "--out", tmp_path / "whole")
    for kind in ("evidence", "payload", "verdicts", "manifest"):
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "a")
        flip_a_byte(sorted((tmp_path / "a/.d4a").rglob(f"{kind}*"))[0])
        again = d4a("curate", recipe, "--set", "output.seed=3", code=None)
        if again.returncode:
            assert "damaged since it was written" in again.stderr
            d4a("curate", recipe, "--set", "output.seed=3")
        assert published(tmp_path / "a") == published(tmp_path / "calm")


def test_a_damaged_dataset_is_seen_and_published_again(tmp_path: Path, d4a) -> None:
    write_text_inputs(tmp_path / "in")
    recipe = write_recipe(tmp_path / "r.yaml", tmp_path / "in", tmp_path / "a")
    d4a("curate", recipe)
    before = published(tmp_path / "a")
    for name in ("text/train/000000.tar", "ledger/text-000000.parquet", "text/index.json", "README.md"):
        flip_a_byte(tmp_path / "a" / name)
        assert name in d4a("verify", tmp_path / "a", code=1).stderr
        d4a("curate", recipe)
        assert published(tmp_path / "a") == before
    times = (tmp_path / "a/text/train/000000.tar").stat()
    flip_a_byte(tmp_path / "a/text/train/000000.tar")
    os.utime(tmp_path / "a/text/train/000000.tar", ns=(times.st_atime_ns, times.st_mtime_ns))  # a disk that rots
    d4a("curate", recipe, "--fresh")
    assert published(tmp_path / "a") == before
