"""PDF: the text layer, what has none, and documents that would take the machine with them."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from d4a.curator.errors import MachineError
from d4a.modalities.text import pdf as reader
from d4a.modalities.text import pdf_process
from pdf_files import bomb, encrypted, pdf
from text_files import only_problem, rows, written


@pytest.mark.parametrize("name", ["a.pdf", "a.pdf.gz"])
def test_pages_are_joined_by_a_blank_line(tmp_path: Path, name: str) -> None:
    data = pdf([["A docu-", "ment about rivers."], [], ["Page \\(three\\), caf\xe9"]], b"(A title)")
    (row,) = rows(written(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data))
    assert row["text"] == "A docu-\nment about rivers.\n\nPage (three), café"
    assert row["meta"] == '{"pages":3,"title":"A title"}' and row["line"] is None


def test_a_document_without_text_says_how_long_it_is(tmp_path: Path) -> None:
    assert only_problem(written(tmp_path / "a.pdf", pdf([[], []]))) == ("no_text_layer", "2 pages")


def test_what_is_wrong_with_a_pdf_is_said(tmp_path: Path) -> None:
    assert only_problem(written(tmp_path / "a.pdf", encrypted()))[0] == "encrypted_pdf"
    whole = pdf([["text"]])
    for data in (b"no PDF", b"%PDF-1.7\n", whole[:200], whole.replace(b"/Pages 2", b"/Pages 9"), b"%PDF-1.4" + bytes(999)):
        assert only_problem(written(tmp_path / "a.pdf", data))[0] == "broken_pdf"
    assert only_problem(written(tmp_path / "a.pdf", b""))[0] == "empty_file"


@pytest.mark.parametrize("title", [b"<FEFFD800>", b"<FEFF00>", b"()"])
def test_a_title_that_is_no_text_is_left_out(tmp_path: Path, title: bytes) -> None:
    (row,) = rows(written(tmp_path / "a.pdf", pdf([["text"]], title)))
    assert row["text"] == "text" and row["meta"] in ('{"pages":1}', '{"pages":1,"title":"\ufffd"}')


def test_too_many_pages(tmp_path: Path) -> None:
    count = pdf_process.MAX_PAGES + 1
    assert only_problem(written(tmp_path / "a.pdf", pdf([[]] * count))) == ("too_many_pages", f"{count} pages; the limit is {count - 1}")


def test_a_bomb_costs_its_document_only(tmp_path: Path) -> None:
    reason, detail = only_problem(written(tmp_path / "bomb.pdf", bomb()))
    assert reason == "pdf_crashed" and detail is not None and "1024 MiB" in detail
    assert rows(written(tmp_path / "good.pdf", pdf([["a text"]])))[0]["text"] == "a text"


def test_a_document_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader._process.close()
    program = "import resource, sys; sys.stdin.buffer.read(8); resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass"
    started = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    monkeypatch.setattr(reader._process, "_running", started)
    monkeypatch.setattr(reader._process, "_owner", os.getpid())
    assert only_problem(written(tmp_path / "a.pdf", pdf([["text"]]))) == (
        "pdf_too_slow",
        f"more than {pdf_process.CPU_SECONDS} s of CPU time",
    )
    assert started.returncode == -signal.SIGXCPU


def test_random_damage_never_ends_the_reader(tmp_path: Path) -> None:
    whole = pdf([["some text", "in two lines"], ["and a page"]], b"(t)")
    for place in range(0, len(whole), 23):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        assert len(rows(written(tmp_path / "a.pdf", bytes(damaged)))) == 1


def test_without_pypdfium2_a_document_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    with pytest.raises(MachineError, match=r"pip install 'd4a\[text\]'"):
        reader.check_pdf()
    reason, detail = only_problem(written(tmp_path / "a.pdf", pdf([["text"]])))
    assert reason == "missing_extra" and detail is not None and "pypdfium2" in detail
