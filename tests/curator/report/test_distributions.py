"""Counts on both sides of a threshold are exact, whatever the values, the thresholds and the bins drawn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.report.charts import histogram
from d4a.curator.report.content import Column, Threshold
from d4a.curator.report.distributions import Names, Numbers, measure
from hypothesis import given, settings
from hypothesis import strategies as st
from small_report import write

FLOATS = st.one_of(st.floats(-50, 50), st.floats(), st.sampled_from([0.0, 0.5, 1.0, 1e-300, 1e300, -1.7e308, 1.7e308, -0.0]), st.none())
LIMITS = st.lists(
    st.tuples(st.sampled_from(["min", "max"]), st.one_of(st.floats(-60, 60), st.sampled_from([0.0, 0.5, 1.0, 1e9]))), max_size=3
)


def numbers(folder: Path, values: pa.Array, limits: list[tuple[str, float]], rows_a_group: int = 7) -> Numbers:
    paths = write(folder, "scores", pa.table({"s.v": values}), 40, rows_a_group)
    found = measure(paths, [Column("s", "v", "", tuple(Threshold(keep, limit) for keep, limit in limits))])[0]
    assert isinstance(found, Numbers)
    return found


def check(found: Numbers, values: list[float]) -> None:
    array = np.array(values, float)
    assert found.measured == len(array)
    out = np.zeros(len(array), bool)
    for limit in found.column.thresholds:
        beyond = array < limit.limit if limit.keep == "min" else array > limit.limit
        assert found.beyond(limit) == beyond.sum(), limit
        out |= beyond
    assert found.counts[found.dropped_bins()].sum() == out.sum()
    with np.errstate(all="raise", under="ignore"):
        assert not re.search("nan|inf", re.sub("<(title|desc).*?</", "", histogram(found, "k")))
    assert found.axis.first <= found.axis.last < len(found.axis.borders) and (np.diff(found.axis.borders) > 0).all()


@settings(max_examples=150, deadline=None)
@given(st.lists(FLOATS, max_size=60), LIMITS)
def test_sides_of_floats(tmp_path_factory, values: list, limits: list) -> None:
    found = numbers(tmp_path_factory.mktemp("f"), pa.array(values, pa.float64()), limits)
    real = [value for value in values if value is not None and not np.isnan(value)]
    check(found, real)
    assert found.missing == len(values) - len(real)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.integers(-20, 20), st.integers(0, 10**9)), max_size=60), LIMITS)
def test_sides_of_whole_numbers(tmp_path_factory, values: list, limits: list) -> None:
    check(numbers(tmp_path_factory.mktemp("i"), pa.array(values, pa.int64()), limits), values)


def test_the_value_at_a_threshold_stays(tmp_path: Path) -> None:
    found = numbers(tmp_path, pa.array([0.1, 0.2, 0.3, 0.4]), [("min", 0.2), ("max", 0.3)])
    assert [found.beyond(limit) for limit in found.column.thresholds] == [1, 1]


def test_a_long_tail_is_drawn_on_a_logarithmic_axis_and_outliers_do_not_squash_the_rest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = numbers(tmp_path, pa.array(rng.lognormal(6, 2, 5000).astype(np.int64) + 1), [("min", 50.0)])
    assert words.axis.log
    (tmp_path / "b").mkdir()
    side = numbers(tmp_path / "b", pa.array([*rng.normal(500, 50, 5000), 1e6]), [])
    inside = side.counts[side.axis.first + 1 : side.axis.last + 1]
    assert not side.axis.log and (inside > 0).sum() > 20 and 0.98 * 5000 < inside.sum() < 5001


def test_few_whole_numbers_have_a_bar_each(tmp_path: Path) -> None:
    found = numbers(tmp_path, pa.array([1] * 95 + [3] * 4 + [6]), [])
    inside = found.counts[found.axis.first + 1 : found.axis.last + 1]
    assert inside.tolist() == [95, 0, 4, 0, 0, 1]


def test_names_are_counted_and_too_many_are_not(tmp_path: Path) -> None:
    few = ["en"] * 30 + ["de"] * 10 + [f"l{i:02d}" for i in range(15)] + [None]
    paths = write(tmp_path, "scores", pa.table({"s.few": few, "s.flag": [i % 3 == 0 for i in range(56)]}), 20, 20)
    language, flag = measure(paths, [Column("s", "few", ""), Column("s", "flag", ""), Column("s", "absent", "")])
    assert isinstance(language, Names) and isinstance(flag, Names)
    assert language.top()[:3] == [("en", 30), ("de", 10), ("l00", 1)] and len(language.top()) == 10
    assert (language.measured, language.missing) == (55, 1) and dict(flag.top()) == {"false": 37, "true": 19}
    (tmp_path / "b").mkdir()
    many = measure(
        write(tmp_path / "b", "scores", pa.table({"s.many": [f"url{i}" for i in range(20_000)]}), 9000, 9000), [Column("s", "many", "")]
    )
    assert isinstance(many[0], Names) and many[0].counts is None and many[0].measured == 20_000


@pytest.mark.parametrize("kind", [pa.binary(4), pa.list_(pa.int64())])
def test_what_has_no_drawing_is_left_out(tmp_path: Path, kind: pa.DataType) -> None:
    paths = write(tmp_path, "scores", pa.table({"s.v": pa.array([None, None], kind)}), 10, 10)
    assert measure(paths, [Column("s", "v", "")]) == []
