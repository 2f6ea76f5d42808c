"""image.size: too small and too long pictures, judged by the size that image.decode found.

Area and megapixels would be a third measure of the same two numbers; side and aspect are what DataComp and COYO use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from ...curator.options import Options, judge
from ...curator.stage import Columns, Filter, Rule, Value


class SizeOptions(Options):
    """How small and how long a picture may be."""

    min_side_px: int | None = judge(
        64, "Least shorter side of the upright picture [pixels]; null: any. DataComp's basic filter takes 200.", ge=1
    )
    max_aspect: float | None = judge(3.0, "Largest longer side / shorter side; null: any. DataComp's basic filter and COYO take 3.", ge=1)


class Size(Filter):
    """Drop pictures by shorter side and aspect ratio."""

    name = "image.size"
    Options = SizeOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("min_side", pa.int32(), "min(width, height) of the upright picture [pixels]."),
        Value("aspect", pa.float64(), "max(width, height) / min(width, height)."),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The size that image.decode found."""
        return ("width", "height")

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """Shorter side and aspect ratio."""
        sides = batch.column("width"), batch.column("height")
        short, long = pc.min_element_wise(*sides, skip_nulls=False), pc.max_element_wise(*sides, skip_nulls=False)
        return {"min_side": short, "aspect": pc.divide(long.cast(pa.float64()), short.cast(pa.float64()))}

    def rules(self) -> Sequence[Rule]:
        """Too small, then too long."""
        return (Rule("min_side", "min", "min_side_px", "too_small"), Rule("aspect", "max", "max_aspect", "too_long"))
