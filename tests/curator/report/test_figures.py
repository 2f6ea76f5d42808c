"""Numbers read true: a share never rounds to all or nothing, and every size has its unit."""

from __future__ import annotations

import re

import pytest
from d4a.curator.report import figures
from d4a.curator.report.markup import clip, name, tag
from d4a.curator.report.stream import draw_stream
from small_report import counts_of, dropped, kept


@pytest.mark.parametrize(
    ("part", "whole", "told"),
    [(0, 5, "0%"), (5, 5, "100%"), (1, 10**6, "<0.1%"), (10**6 - 1, 10**6, ">99.9%"), (1, 3, "33.3%"), (0, 0, "–"), (1, 1000, "0.1%")],
)
def test_shares(part: int, whole: int, told: str) -> None:
    assert figures.share(part, whole) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "–"), (float("nan"), "–"), (float("inf"), "∞"), (-3.0, "−3"), (1234567.0, "1,234,567"), (0.123456, "0.1235"), (1e-9, "1e−09")],
)
def test_measured_values(value: float | None, told: str) -> None:
    assert figures.number(value) == told


def test_sizes_and_ticks() -> None:
    assert [figures.size(n) for n in (0, 1023, 1024, 3 * 2**30)] == ["0 B", "1,023 B", "1.0 KiB", "3.0 GiB"]
    assert [figures.tick(v) for v in (0.0, 999.0, 1000.0, 25_000.0, 2.5e6, -1e9)] == ["0", "999", "1k", "25k", "2.5M", "−1G"]
    assert figures.plural(1, "record") == "1 record" and figures.plural(1000, "record") == "1,000 records"


def test_names_keep_both_ends_and_break_behind_slashes() -> None:
    clipped = clip("a" * 5000 + "/the-file.jpg", 60)
    assert clipped.startswith("aaa") and clipped.endswith("file.jpg") and "(5,013 characters)" in clipped and len(clipped) <= 60
    assert name("a/b&c") == '<bdi class="name">a/<wbr>b&amp;c</bdi>'
    assert tag("a", "<", href='"#') == '<a href="&quot;#">&lt;</a>'


def test_the_stream_is_as_wide_as_its_records() -> None:
    rows = (
        [kept(i) for i in range(30)]
        + [dropped(50 + i, "half", "no") for i in range(50)]
        + [dropped(200 + i, "some", "no") for i in range(20)]
    )
    drawn = str(draw_stream("text", counts_of(rows, ["read", "half", "some"]), [("a", 60), ("b", 40)], [("train", 30)], "k"))
    water = re.findall(r'<path d="M([\d.]+) ([\d.]+)H([\d.]+)V[\d.]+H[\d.]+Z" class="water">', drawn)
    widths = {round(float(right) - float(left)) for left, _, right in water}
    whole = 230
    assert {whole, round(whole * 0.5), round(whole * 0.3)} <= widths
    leaving = re.findall(r'<path d="M([\d.]+) [\d.]+A.*?([\d.]+) [\d.]+Z" class="leaving">', drawn)
    assert [round(float(right) - float(left)) for right, left in leaving] == [round(whole * 0.5), round(whole * 0.2)]
    assert "half drops 50 of 100" in drawn and "−50" in drawn
