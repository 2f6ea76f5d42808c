"""Distributions of measured values: exact counts, from two readings of the scores.

The first reading takes a few row groups to decide where bins lie, the second counts every value. Each threshold is a
border of bins, so the two sides of it are counted exactly. Memory: one row group, and 10,000 names a text column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..stage import Floats, Ints
from .content import Column, Threshold

BINS = 48
TOP = 10
_SAMPLE_ROWS = 500_000
_MOST_NAMES = 10_000
_NAME_CHARACTERS = 80
_LARGEST = 1e300  # beyond it differences overflow; such values are counted in the outer bins


@dataclass(frozen=True)
class Axis:
    """Bins of a number.

    borders  (b,) float64 ascending; bin i of b + 1 is [borders[i - 1], borders[i]), open at both ends of the row
    first, last   indices of the borders between which is drawn
    log      whether it is drawn on a logarithmic scale
    """

    borders: Floats
    first: int
    last: int
    log: bool


@dataclass
class Numbers:
    """How often each number occurs.

    counts   (b + 1,) int64 by the bins of the axis
    missing  records without the value
    """

    column: Column
    whole: bool
    axis: Axis
    counts: Ints
    missing: int = 0
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, values: pa.ChunkedArray) -> None:
        """Count some more."""
        found = _floats(values)
        self.missing += len(values) - len(found)
        if len(found):
            self.counts += np.bincount(np.searchsorted(self.axis.borders, found, side="right"), minlength=len(self.counts))
            self.lowest, self.highest = min(self.lowest, float(found.min())), max(self.highest, float(found.max()))

    @property
    def measured(self) -> int:
        """Records with the value."""
        return int(self.counts.sum())

    def dropped_bins(self) -> npt.NDArray[np.bool_]:
        """(b + 1,) bool: bins on the dropped side of a threshold."""
        lower = np.concatenate([[-np.inf], self.axis.borders])
        upper = np.concatenate([self.axis.borders, [np.inf]])
        out = np.zeros(len(lower), bool)
        for limit in self.column.thresholds:
            border = limit.border(self.whole)
            out |= upper <= border if limit.keep == "min" else lower >= border
        return out

    def beyond(self, limit: Threshold) -> int:
        """Records on the dropped side of one threshold."""
        at = int(np.searchsorted(self.axis.borders, limit.border(self.whole)))
        return int(self.counts[: at + 1].sum() if limit.keep == "min" else self.counts[at + 1 :].sum())


@dataclass
class Names:
    """How often each string occurs; `counts` is None once there are too many different ones to be classes."""

    column: Column
    counts: Counter[str] | None
    measured: int = 0
    missing: int = 0

    def add(self, values: pa.ChunkedArray) -> None:
        """Count some more."""
        self.missing += values.null_count
        self.measured += len(values) - values.null_count
        if self.counts is None:
            return
        short = pc.utf8_slice_codeunits(values.cast(pa.string()).drop_null(), 0, _NAME_CHARACTERS)
        table = pc.value_counts(short.combine_chunks())
        if len(table) > _MOST_NAMES:
            self.counts = None
            return
        self.counts.update(dict(zip(table.field(0).to_pylist(), table.field(1).to_pylist(), strict=True)))
        if len(self.counts) > _MOST_NAMES:
            self.counts = None

    def top(self) -> list[tuple[str, int]]:
        """The most frequent, then by name."""
        return sorted((self.counts or {}).items(), key=lambda item: (-item[1], item[0]))[:TOP]


def measure(paths: Sequence[Path], columns: Sequence[Column]) -> list[Numbers | Names]:
    """Distributions of those of the columns that the scores have and that are numbers, strings or flags, in the order given."""
    if not paths:
        return []
    schema = pq.read_schema(paths[0])
    drawn = [column for column in columns if column.full in schema.names and _drawable(schema.field(column.full).type)]
    numeric = [column for column in drawn if _numeric(schema.field(column.full).type)]
    sample = _sample(paths, [column.full for column in numeric])
    found: list[Numbers | Names] = []
    for column in drawn:
        if column in numeric:
            whole = pa.types.is_integer(schema.field(column.full).type)
            axis = choose_axis(_floats(sample.column(column.full)), whole, column.thresholds)
            found.append(Numbers(column, whole, axis, np.zeros(len(axis.borders) + 1, np.int64)))
        else:
            found.append(Names(column, Counter()))
    if found:
        for table in row_groups(paths, [column.full for column in drawn]):
            for one in found:
                one.add(table.column(one.column.full))
    return found


def row_groups(paths: Sequence[Path], names: list[str], every: int = 1) -> Iterator[pa.Table]:
    """Row groups of some Parquet files as tables, one after the other; `every`: only each n-th."""
    index = 0
    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                if index % every == 0:
                    yield file.read_row_group(group, columns=names)
                index += 1


def _sample(paths: Sequence[Path], names: list[str]) -> pa.Table:
    total = sum(pq.read_metadata(path).num_rows for path in paths)
    tables = list(row_groups(paths, names, max(1, total // _SAMPLE_ROWS)))
    return pa.concat_tables(tables) if tables else pq.read_schema(paths[0]).empty_table().select(names)


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _drawable(kind: pa.DataType) -> bool:
    return _numeric(kind) or bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind))


def _floats(values: pa.ChunkedArray) -> Floats:
    """The values that are numbers."""
    found: Floats = values.drop_null().cast(pa.float64()).to_numpy()
    return found[~np.isnan(found)]


# --------------------------------------------------------------------------------------------------- axes


def choose_axis(sample: Floats, whole: bool, thresholds: Sequence[Threshold]) -> Axis:
    """Bins for what a sample shows: the bulk of it, and thresholds that are not far from it.

    Logarithmic where the upper end is more than 20 times the median; a few extreme values are left to the outer bins.
    """
    borders = sorted({limit.border(whole) for limit in thresholds})
    sample = np.sort(sample[np.abs(sample) < _LARGEST])
    if not len(sample):
        return Axis(np.array(borders or [0.0]), 0, 0, False)
    low, median, high = _bulk(sample)
    if whole and sample[-1] - sample[0] < BINS:
        low, high = float(sample[0]), float(sample[-1])
    log = bool(sample[0] >= 0 and median > 0 and high > 20 * median)
    if log:
        low = max(low, float(sample[sample > 0][0]), 1.0 if whole else 0.0, high / 1e9)
        reach = [limit for limit in borders if low / 30 <= limit <= high * 30]
        low, high = min([low, *(limit / 1.1 for limit in reach)]), max([high, *(limit * 1.1 for limit in reach)])
    else:
        span = (high - low) or max(abs(high) * 0.1, 1.0)
        reach = [limit for limit in borders if low - span <= limit <= high + span]
        low, high = min([low, *(limit - span / 24 for limit in reach)]), max([high, *(limit + span / 24 for limit in reach)])
    regular = _log_borders(low, high, whole) if log else _even_borders(low, high, whole)
    every = _snap(regular, reach, borders)
    first, last = (int(np.searchsorted(every, border)) for border in (regular[0], regular[-1]))
    return Axis(every, first, last, log)


def _bulk(sample: Floats) -> tuple[float, float, float]:
    """Where the values lie: lowest, median, highest, without half a percent at an end where that lies far away."""
    low, median, high = (float(q) for q in np.quantile(sample, [0.005, 0.5, 0.995]))
    if sample[-1] - sample[0] <= 2 * (high - low):
        return float(sample[0]), median, float(sample[-1])
    return low, median, high


def _even_borders(low: float, high: float, whole: bool) -> Floats:
    if whole:
        step = max(1.0, float(np.ceil((high - low + 1) / BINS)))
        start = float(np.floor(low)) - 0.5
        return start + step * np.arange(int(np.ceil((high + 0.5 - start) / step)) + 1, dtype=np.float64)
    if low == high:
        low, high = low - (abs(low) * 0.05 or 0.5), high + (abs(high) * 0.05 or 0.5)
    borders = np.linspace(low, high, BINS + 1)
    borders[-1] = np.nextafter(borders[-1], np.inf)  # bins are closed at their left end: let the highest value in
    return borders


def _log_borders(low: float, high: float, whole: bool) -> Floats:
    borders: Floats = np.geomspace(low, np.nextafter(high, np.inf), BINS + 1)
    return np.unique(np.floor([*np.maximum(borders[:-1], 1), high + 1])) - 0.5 if whole else borders


def _snap(regular: Floats, reach: list[float], borders: list[float]) -> Floats:
    """Borders with every threshold among them: near ones move the closest inner border, others are put in."""
    every, taken = regular.copy(), set[int]()
    for limit in reach:
        if not regular[0] < limit < regular[-1]:
            continue
        at = int(np.argmin(np.abs(regular - limit)))
        if 0 < at < len(regular) - 1 and at not in taken:
            every[at] = limit
            taken.add(at)
    return np.unique(np.concatenate([every, borders]))
