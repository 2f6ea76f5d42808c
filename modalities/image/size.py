"""image.size: too small, too large and too long pictures, judged by their sides and by the bytes of their file.

Area and megapixels would be a third measure of the same two numbers; side, aspect and bytes are what the published pipelines use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from ...curator.columns import buffers
from ...curator.options import Options, judge
from ...curator.stage import Columns, Filter, Rule, Value

_ANY: dict[str, Any] = {"min_side_px": None, "max_side_px": None, "max_aspect": None, "min_bytes": None}
# what each one asks of the picture itself; the rest of the pipelines is told of in the docstring of Size
PRESETS: dict[str, dict[str, Any]] = {
    "datacomp": {**_ANY, "min_side_px": 200, "max_aspect": 3.0},  # baselines/apply_filter.py, basic
    "coyo": {**_ANY, "min_side_px": 200, "max_aspect": 3.0, "min_bytes": 5000},  # README of COYO-700M
    "laion": {**_ANY, "min_bytes": 5000},  # Schuhmann et al. 2021
    "obelics": {**_ANY, "min_side_px": 150, "max_side_px": 20_000, "max_aspect": 2.0},  # config_filter_web_documents.yaml
}


class SizeOptions(Options):
    """How small, how large and how long a picture may be."""

    preset: Literal["datacomp", "coyo", "laion", "obelics"] | None = judge(
        None, "Thresholds as published, and no others; options that stand beside it override it. What each one sets stands above."
    )
    min_side_px: int | None = judge(64, "Least shorter side of the upright picture [pixels]; null: any.", ge=1)
    max_side_px: int | None = judge(None, "Greatest longer side [pixels]; null: any.", ge=1)
    max_aspect: float | None = judge(3.0, "Largest longer side / shorter side; null: any.", ge=1)
    min_bytes: int | None = judge(None, "Least size of the file [bytes]; null: any.", ge=1)

    @model_validator(mode="before")
    @classmethod
    def _begin_with_the_preset(cls, given: Any) -> Any:
        return {**PRESETS.get(str(given.get("preset")), {}), **given} if isinstance(given, dict) else given


class Size(Filter):
    """Drop pictures by their sides, aspect ratio and bytes.

    Presets set the thresholds of published pipelines that concern the size of a picture, in brackets what of them is elsewhere.

    datacomp: shorter side from 200, aspect up to 3, of the basic filter (captions, CLIP score, clusters of images).

    coyo: shorter side from 200, aspect up to 3, 5 kB and more (NSFW, perceptual hashes, captions).

    laion: 5 kB and more, of LAION-400M (captions, CLIP score, NSFW).

    obelics: shorter side from 150, longer side up to 20,000, aspect up to 2 (formats: `image.decode`; documents, NSFW, addresses).

    5 kB are 5,000 bytes. Sizes are those of the upright picture as the file has it; the pipelines judged what they had downloaded.
    """

    name = "image.size"
    version = 2
    Options = SizeOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("min_side", pa.int32(), "min(width, height) of the upright picture [pixels]."),
        Value("max_side", pa.int32(), "max(width, height) of the upright picture [pixels]."),
        Value("aspect", pa.float64(), "max(width, height) / min(width, height)."),
        Value("bytes", pa.int64(), "Size of the file [bytes]."),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The size that image.decode found, and the file."""
        return ("width", "height", "bytes")

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """Sides, aspect ratio and bytes."""
        sides = batch.column("width"), batch.column("height")
        short, long = pc.min_element_wise(*sides, skip_nulls=False), pc.max_element_wise(*sides, skip_nulls=False)
        aspect = pc.divide(long.cast(pa.float64()), short.cast(pa.float64()))
        lengths = np.diff(buffers(batch.column("bytes"))[0])
        return {"min_side": short, "max_side": long, "aspect": aspect, "bytes": pa.array(lengths)}

    def rules(self) -> Sequence[Rule]:
        """Too small, too large, too long, too few bytes."""
        return (
            Rule("min_side", "min", "min_side_px", "too_small"),
            Rule("max_side", "max", "max_side_px", "too_large"),
            Rule("aspect", "max", "max_aspect", "too_long"),
            Rule("bytes", "min", "min_bytes", "too_few_bytes"),
        )
