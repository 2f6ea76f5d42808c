"""What comes before a model runs ahead of it: the same dataset, whoever dies in the meantime, and forward passes are full."""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset as ds
import pytest
from d4a.curator.errors import D4AError
from d4a.curator.scan.ahead import ahead
from deadly_stages import crashed, install, installing, write

STAGES = "{use: text.acme.early}, {use: text.acme.model}"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """With the deadly stages installed."""
    return install(tmp_path / "site")


@pytest.fixture
def deadly(tmp_path: Path) -> str:
    """With the deadly stages installed: what a command that is forked runs first."""
    return installing(tmp_path / "site")


def test_records_that_crash_a_model_or_what_runs_ahead_of_it_cost_themselves(tmp_path: Path, env: dict[str, str], deadly: str, d4a) -> None:
    """Two in one batch, one in the batch that is read while the model has another, and exceptions on either side."""
    orders = {"0.17": "early kill SIGSEGV", "0.30": "kill SIGABRT", "0.2450": "early raise", "1.1": "raise", "1.2400": "early kill SIGKILL"}
    recipe = write(tmp_path, orders, STAGES)
    d4a("curate", recipe, first=deadly)
    assert crashed(tmp_path / "a") == {
        "0.17": ("text.acme.early", "crashed", "SIGSEGV"),
        "0.30": ("text.acme.model", "crashed", "SIGABRT"),
        "0.2450": ("text.acme.early", "crashed", "ValueError: what is this? <object object at 0x…>"),
        "1.1": ("text.acme.model", "crashed", "ValueError: what is this? <object object at 0x…>"),
        "1.2400": ("text.acme.early", "crashed", "SIGKILL"),
    }
    d4a("curate", recipe, "--workers", 2, "--out", tmp_path / "b", env=env)
    scores = [ds.dataset(sorted((tmp_path / name / "scores").glob("*.parquet"))).to_table() for name in "ab"]
    assert scores[0].drop_columns("text.acme.model.company").equals(scores[1].drop_columns("text.acme.model.company"))


def test_time_is_limited_on_both_sides(tmp_path: Path, env: dict[str, str], d4a) -> None:
    recipe = write(tmp_path, {"0.100": "early sleep", "1.100": "sleep"}, STAGES)
    d4a("curate", recipe, "--workers", 2, "--batch-time", 3, env=env)
    assert crashed(tmp_path / "a") == {"0.100": ("text.acme.early", "timeout", None), "1.100": ("text.acme.model", "timeout", None)}


def test_a_unit_is_read_before_the_model_is_done_with_the_one_before_it(tmp_path: Path, env: dict[str, str], d4a) -> None:
    """Else the model would wait for ever for what is in its next unit."""
    d4a("curate", write(tmp_path, {"0.2499": "await NEXT", "1.0": "early touch NEXT"}, STAGES), "--workers", 1, env=env)
    assert crashed(tmp_path / "a") == {}


def test_forward_passes_are_full(tmp_path: Path, deadly: str, d4a) -> None:
    """But the last one of each of the four units."""
    d4a("curate", write(tmp_path, {}, STAGES), first=deadly)
    company = ds.dataset(sorted((tmp_path / "a/scores").glob("*.parquet"))).to_table().column("text.acme.model.company").to_pylist()
    sizes = [company[0]]
    while sum(sizes) < len(company):
        sizes.append(company[sum(sizes)])
    assert sum(sizes) == 5000 and max(sizes) == 300 and sum(size < 300 for size in sizes) <= 4


def test_an_error_ahead_is_raised_behind_what_came_before_it() -> None:
    def items():
        yield from range(5)
        raise D4AError("gone")

    seen: list[int] = []
    with pytest.raises(D4AError, match="gone"):
        seen.extend(ahead(items()))
    assert seen == list(range(5))


def test_nothing_is_made_any_more_when_nobody_asks() -> None:
    made = []
    source = (made.append(number) or number for number in range(100))
    for item in ahead(source):
        if item == 3:
            break
    assert made[:4] == [0, 1, 2, 3] and len(made) <= 6
    assert next(source) == len(made) - 1  # the thread has let go of it
