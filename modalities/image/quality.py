"""image.quality: blurred, dark, overexposed and empty pictures, by integer statistics of one grey view.

The view has 256 x 256 pixels. Measured on 100 photographs and a blur of 1 % of the long side: at thresholds that drop no sharp one,
64 see 22 of the blurred, 128 see 76, 256 see 86, and 512, where grain counts as edges, 56. Beside hashes it costs 0.7 ms an image.
A learned score (aesthetics, CLIP-IQA) would know more, and would need a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import kernel, read_only
from ...curator.columns import buffers, fixed_rows
from ...curator.options import Options, judge
from ...curator.stage import Columns, Filter, Floats, Ints, Judgement, Rule, Value, judge_rules

SIDE = 256
_PIXELS, _INNER = SIDE**2, (SIDE - 2) ** 2
_BLOCK, _FLAT_RANGE = 16, 8
_LOG_BITS = 24
_WITHOUT_COLOUR = ["1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"]


class QualityOptions(Options):
    """How poor a picture may be."""

    min_brightness_p99: float | None = judge(
        0.32, "Least `brightness_p99`: what stays below is `dark`; null: any. cleanvision's `dark` takes 0.32.", ge=0, le=1
    )
    max_brightness_p5: float | None = judge(
        0.95, "Largest `brightness_p5`: what is above is `light`; null: any. cleanvision's `light` takes 0.95.", ge=0, le=1
    )
    max_flatness: float | None = judge(0.9, "Largest `flatness`: what is above is `flat`, an empty picture; null: any.", ge=0, le=1)
    min_entropy: float | None = judge(
        1.0,
        "Least `entropy`: what is below is `low_information`; null: any. cleanvision's `low_information` takes 3 bits of three channels'"
        " joint histogram, which are 1.4 bits of luma.",
        ge=0,
        le=8,
    )
    min_sharpness: float | None = judge(
        10.0, "Least `sharpness`: what is below is `blurry`; null: any. A blur of 1 % of the long side leaves 5.", ge=0
    )
    min_brightness: float | None = judge(None, "Least `brightness` (mean); what is below is `dark`; null: any.", ge=0, le=1)
    max_brightness: float | None = judge(None, "Largest `brightness` (mean); what is above is `light`; null: any.", ge=0, le=1)
    min_contrast: float | None = judge(None, "Least `contrast`; what is below is `low_contrast`; null: any.", ge=0, le=1)
    min_bytes_per_pixel: float | None = judge(
        None, "Least `bytes_per_pixel`; what is below is `few_bytes_per_pixel`: blown up, or compressed to death; null: any.", ge=0
    )
    drop_grayscale: bool = judge(False, "Drop pictures without colour channels, as `grayscale`.")
    odd_size: float | None = judge(
        None,
        "Interquartile ranges that sqrt(width height) may lie outside the quartiles of all pictures that reached the stage; beyond it"
        " is `odd_size`; null: any. cleanvision takes 3.",
        ge=0,
    )


class Quality(Filter):
    """Measure sharpness, brightness, contrast, entropy and flatness of pictures, and drop those that are poor.

    All but the last three values are statistics of `gray256`: the luma of the whole picture, squeezed to 256 x 256 by area averaging.
    They are counted in whole numbers, so they are the same on every machine. A picture of fewer pixels is stretched in steps, which count
    as edges: small pictures are never blurry. Colour is judged by the file's pixel layout: a grey photograph in RGB has colour channels.
    """

    name = "image.quality"
    Options = QualityOptions
    options: QualityOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value(
            "sharpness",
            pa.float64(),
            "Variance of the Laplacian (kernel 0 1 0, 1 -4 1, 0 1 0) over the 254 x 254 inner pixels (Pech-Pacheco et al. 2000).",
        ),
        Value("brightness", pa.float64(), "Mean level / 255."),
        Value("brightness_p5", pa.float64(), "Least level / 255 that at least 5 % of the pixels do not exceed."),
        Value("brightness_p99", pa.float64(), "Least level / 255 that at least 99 % of the pixels do not exceed."),
        Value("contrast", pa.float64(), "Standard deviation of the levels / 255: RMS contrast (Peli 1990)."),
        Value("entropy", pa.float64(), "Shannon entropy of the histogram of 256 levels [bits], logarithms cut to 24 binary places."),
        Value(
            "flatness",
            pa.float64(),
            "Share of the 256 blocks of 16 x 16 pixels whose levels differ by 8 at most: blocks without activity, as PIQE has them"
            " (Venkatanath et al. 2015). The share of the most frequent level would take clip art on white for empty.",
        ),
        Value("bytes_per_pixel", pa.float64(), "Bytes of the file / (width height)."),
        Value("scale", pa.float64(), "sqrt(width height) [pixels]."),
        Value("grayscale", pa.bool_(), "Whether the file has no colour channels."),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """One grey view, and what image.decode found out about the file."""
        return (f"gray{SIDE}", "bytes", "width", "height", "mode")

    def rules(self) -> Sequence[Rule]:
        """What is dark or empty would be blurry too: the plainest reason first."""
        return (
            Rule("brightness_p99", "min", "min_brightness_p99", "dark"),
            Rule("brightness", "min", "min_brightness", "dark"),
            Rule("brightness_p5", "max", "max_brightness_p5", "light"),
            Rule("brightness", "max", "max_brightness", "light"),
            Rule("flatness", "max", "max_flatness", "flat"),
            Rule("entropy", "min", "min_entropy", "low_information"),
            Rule("contrast", "min", "min_contrast", "low_contrast"),
            Rule("sharpness", "min", "min_sharpness", "blurry"),
            Rule("bytes_per_pixel", "min", "min_bytes_per_pixel", "few_bytes_per_pixel"),
        )

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """All from one pass over the view, and from numbers of the file."""
        views = read_only(fixed_rows(batch.column(f"gray{SIDE}"), np.uint8, (SIDE, SIDE)))
        levels, laplace, flat = np.zeros((len(views), 256), np.int64), np.zeros((len(views), 2), np.int64), np.zeros(len(views), np.int64)
        _count(views, levels, laplace, flat)
        lengths = np.diff(buffers(batch.column("bytes"))[0])
        area = np.prod([batch.column(side).to_numpy().astype(np.int64) for side in ("width", "height")], axis=0)
        measured: dict[str, npt.NDArray[Any]] = {
            **_of_levels(levels),
            "sharpness": (_INNER * laplace[:, 1] - laplace[:, 0] ** 2) / _INNER**2,
            "flatness": flat / (SIDE // _BLOCK) ** 2,
            "bytes_per_pixel": lengths / area,
            "scale": np.sqrt(area),
            "grayscale": np.isin(batch.column("mode").to_numpy(zero_copy_only=False), _WITHOUT_COLOUR),
        }
        return {value.name: pa.array(measured[value.name], value.type) for value in self.values}

    def judge(self, values: pa.Table) -> Judgement:
        """The rules; then what only some ask for: colour, and a size like the others'."""
        verdict = judge_rules(self.rules(), self.options, values)
        if self.options.drop_grayscale:
            grey = values.column("grayscale").fill_null(False).to_numpy(zero_copy_only=False)
            verdict.drop(grey, "grayscale", np.ones(len(grey)), np.nan)
        if self.options.odd_size is not None:
            scale = values.column("scale").to_numpy(zero_copy_only=False)
            low, high = _usual(scale[~np.isnan(scale)], self.options.odd_size)
            verdict.drop(scale < low, "odd_size", scale, low)
            verdict.drop(scale > high, "odd_size", scale, high)
        return verdict


def _of_levels(levels: Ints) -> dict[str, Floats]:
    """Statistics of histograms.

    levels  (n, 256) int64  pixels of each level, 65,536 in all
    """
    grades = np.arange(256)
    total, squares = levels @ grades, levels @ grades**2
    below = levels.cumsum(axis=1)
    return {
        "brightness": total / (_PIXELS * 255),
        "brightness_p5": (below * 100 < 5 * _PIXELS).sum(axis=1) / 255,
        "brightness_p99": (below * 100 < 99 * _PIXELS).sum(axis=1) / 255,
        "contrast": np.sqrt(_PIXELS * squares - total**2) / (_PIXELS * 255),
        "entropy": 16 - (levels * _logarithms()[levels]).sum(axis=1) / (_PIXELS << _LOG_BITS),  # log2 of 65,536 is 16
    }


@cache
def _logarithms() -> Ints:
    """(65537,) int64: log2 of each number in steps of 2^-24, 0 for 0; by squaring in whole numbers, as libraries' last digits differ."""
    numbers = np.maximum(np.arange(_PIXELS + 1, dtype=np.uint64), 1)
    whole = (np.frexp(numbers)[1] - 1).astype(np.uint64)
    rest = numbers << (np.uint64(31) - whole)  # from 1 to 2, in steps of 2^-31
    found = whole
    for _ in range(_LOG_BITS):
        rest = rest * rest >> np.uint64(31)
        above = rest >> np.uint64(32)
        found, rest = found << np.uint64(1) | above, rest >> above
    return found.astype(np.int64)


def _usual(scales: Floats, factor: float) -> tuple[float, float]:
    """From `factor` interquartile ranges below the lower quartile to as many above the upper one; quartiles are scales that occur."""
    if not len(scales):
        return 0.0, np.inf
    last = len(scales) - 1
    lower, upper = np.sort(scales)[[last // 4, last - last // 4]].tolist()
    reach = factor * (upper - lower)
    return lower - reach, upper + reach


@kernel
def _count(views: npt.NDArray[np.uint8], levels: Ints, laplace: Ints, flat: Ints) -> None:
    """Count each view.

    views    (n, 256, 256) uint8
    levels   (n, 256) int64  pixels of each level
    laplace  (n, 2) int64    sum of the Laplacian over inner pixels, and of its squares
    flat     (n,) int64      blocks whose levels differ by 8 at most
    """
    for i in range(len(views)):
        view = views[i]
        for y in range(SIDE):
            for x in range(SIDE):
                levels[i, view[y, x]] += 1
        for y in range(1, SIDE - 1):
            total = squares = np.int64(0)
            for x in range(1, SIDE - 1):
                edge = np.int32(view[y - 1, x]) + np.int32(view[y + 1, x]) + np.int32(view[y, x - 1]) + np.int32(view[y, x + 1])
                edge -= np.int32(4) * np.int32(view[y, x])
                total += edge
                squares += edge * edge
            laplace[i, 0] += total
            laplace[i, 1] += squares
        for block in range((SIDE // _BLOCK) ** 2):
            top, left = block // (SIDE // _BLOCK) * _BLOCK, block % (SIDE // _BLOCK) * _BLOCK
            least, most = np.uint8(255), np.uint8(0)
            for y in range(top, top + _BLOCK):
                for x in range(left, left + _BLOCK):
                    least, most = min(least, view[y, x]), max(most, view[y, x])
            flat[i] += most - least <= _FLAT_RANGE
