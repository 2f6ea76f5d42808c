"""image.decode: every file is decoded once, at its header's word checked first; later stages see small fixed-size views.

Full-size pixels never leave this stage: a batch of photographs would not fit beside a model. The price is that a new
kind of view has to be added here (see views.py).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from ...curator.options import Options, judge, measure
from ...curator.stage import Judgement, Transform, Value
from ...curator.wording import did_you_mean
from .picture import Picture, RefusedError, read_picture
from .pillow import quiet
from .sniff import READABLE
from .views import View, parse_view


class DecodeOptions(Options):
    """What is too large to decode, and which formats stay."""

    max_pixels: int = measure(100_000_000, "Larger pictures are refused by their header, before they are decoded [pixels].", ge=1)
    formats: list[str] | None = judge(
        None, f"Formats that stay, of {', '.join(READABLE)}; others are dropped as `other_format`; null: all."
    )

    @field_validator("formats")
    @classmethod
    def _known(cls, formats: list[str] | None) -> list[str] | None:
        for name in formats or ():
            if name not in READABLE:
                raise ValueError(f"no format is called {name!r}: {did_you_mean(name, READABLE) or ', '.join(READABLE)}")
        return formats


class Decode(Transform):
    """Decode images and offer views of them; refuse what cannot be decoded.

    Formats: JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF and, with pillow-heif, HEIC, told by content. EXIF orientation is applied,
    transparency laid over white, CMYK, palettes and 1 and 16 bits become 8-bit RGB; of an animation the first frame counts. Colour
    profiles are not applied.
    Reasons: too_many_pixels, truncated_image, broken_image, not_an_image, unsupported_format.
    """

    name = "image.decode"
    version = 2
    derives = True
    Options = DecodeOptions
    libraries: ClassVar[tuple[str, ...]] = ("pillow",)
    offers: ClassVar[tuple[str, ...]] = ("gray64", "rgb224", "letterbox640")  # examples: `can_offer` knows every size
    values: ClassVar[tuple[Value, ...]] = (
        Value("format", pa.string(), "Format by content: jpeg, png, webp, gif, tiff, bmp, avif or heic.", packed="format"),
        Value("width", pa.int32(), "Width of the upright picture [pixels].", packed="width"),
        Value("height", pa.int32(), "Height of the upright picture [pixels].", packed="height"),
        Value(
            "frames",
            pa.int32(),
            "Frames or pages in the file, 1 for a still picture; null where the file breaks off or never ends.",
        ),
        Value("mode", pa.string(), "Pixel layout in the file, in Pillow's words: L, RGB, RGBA, P, CMYK, I;16, ..."),
        Value("exif_orientation", pa.int8(), "EXIF orientation, 1 to 8, 1 where there is none; width, height and views have it applied."),
        Value("alpha", pa.bool_(), "Whether the file has transparency."),
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """The file's bytes."""
        return ("bytes",)

    def can_offer(self, column: str) -> bool:
        """`gray<N>`, `rgb<N>` and `letterbox<N>`, N from 1 to 9999."""
        return parse_view(column) is not None

    def change(self, batch: pa.RecordBatch, wanted: frozenset[str]) -> pa.RecordBatch:
        """Add the values and the wanted views; fill `reason` and `detail` of what cannot be decoded."""
        views = [view for view in map(parse_view, sorted(wanted)) if view is not None]
        found = self._decode(batch, views)
        added = {value.name: pa.array([_value(one, value.name) for one in found], value.type) for value in self.values}
        for view in views:
            rows = [one.views[view.name] if isinstance(one, Picture) else None for one in found]
            added[view.name] = pa.array(rows, pa.binary(view.row_bytes))
        for name in ("reason", "detail"):
            words = batch.column(name).to_pylist()
            for place, one in enumerate(found):
                if isinstance(one, RefusedError):
                    words[place] = getattr(one, name) or None
            added[name] = pa.array(words, pa.string())
        columns = {name: batch.column(name) for name in batch.schema.names} | added
        return pa.RecordBatch.from_pydict(columns)

    def judge(self, values: pa.Table) -> Judgement:
        """Drop what `formats` does not name."""
        verdict = Judgement.keep_all(values.num_rows)
        if self.options.formats is not None:
            found = values.column("format").to_numpy(zero_copy_only=False)
            other = values.column("format").is_valid().to_numpy() & ~np.isin(found.astype(str), self.options.formats)
            verdict.drop(other, "other_format", np.full(len(other), np.nan), np.nan)
            verdict.detail = np.full(len(other), None, np.object_)
            verdict.detail[other] = found[other]
        return verdict

    def _decode(self, batch: pa.RecordBatch, views: list[View]) -> list[Picture | RefusedError | None]:
        """What became of each record; None for those without bytes."""
        found: list[Picture | RefusedError | None] = []
        with quiet(self.options.max_pixels):
            for scalar in batch.column("bytes"):
                data = scalar.as_py()
                try:
                    found.append(None if data is None else read_picture(data, views, self.options.max_pixels))
                except RefusedError as refused:
                    found.append(refused)
        return found


def _value(one: Picture | RefusedError | None, name: str) -> Any:
    """A value of a record; of a refused file only its size is known, unless a broken header claims more than a column holds."""
    if not isinstance(one, RefusedError):
        return getattr(one, name, None)
    claimed = dict(zip(("width", "height"), one.size or (), strict=False)).get(name, 0)
    return claimed if 0 < claimed < 2**31 else None  # `detail` says it anyway
