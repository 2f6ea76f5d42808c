"""What a run says of itself while it runs."""

from __future__ import annotations

import json

import pytest
from d4a.curator import progress
from d4a.curator.progress import Reporter


def test_a_long_unit_says_in_a_log_that_it_lives(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter() as reporter:
        reporter.step("decide text", 1)
        reporter.tick()
        monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
        reporter.tick(retried=1)
        reporter.advance(7)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["decide text: 0/1 units", "decide text: 0/1 units, 1 ran again"] and lines[2].startswith(
        "decide text: 1/1 units, 7 rec"
    )


def test_json_lines_count_units_records_and_what_ran_again(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter("json") as reporter:
        reporter.step("scan text", 3, reused=1)
        reporter.advance(10)
        reporter.tick(retried=2)
        reporter.advance(5)
        reporter.step("decide text", 1)
        reporter.tick(retried=3)
        reporter.advance(0)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all(line.pop("seconds") >= 0 for line in said)
    names = ("step", "done", "total", "reused", "records", "retried")
    rows = [("scan text", 1, 3, 1, 0, 0), ("scan text", 3, 3, 1, 15, 2), ("decide text", 0, 1, 0, 0, 0), ("decide text", 1, 1, 0, 0, 1)]
    assert said == [dict(zip(names, row, strict=True)) for row in rows]
