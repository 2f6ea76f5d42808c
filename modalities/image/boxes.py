"""Boxes that came with an image, in the form in which image.detect records those it finds."""

from __future__ import annotations

from typing import Any

from .pillow import open_image, orientation, quiet
from .sniff import SNIFF_BYTES, canvas_size, readable, sniff

_MAX_PIXELS = 1_000_000_000  # only the header is read; decoding has its own limit
_SWAPPED = 5  # EXIF orientations from here on exchange width and height


Pair = tuple[float, float]


def box(name: str, corner: Pair, size: Pair, picture: Pair, confidence: float) -> dict[str, Any]:
    """A box from its left upper corner, its size and the upright picture's, all in pixels; given boxes have confidence 1."""
    share = size[0] * size[1] / (picture[0] * picture[1]) if picture[0] * picture[1] else 0.0
    return {"class": name, "confidence": confidence, "area": round(share, 4), "box": [*corner, *size]}


def upright_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of the upright picture by the header of its file; None where that says nothing."""
    kind = sniff(data[:SNIFF_BYTES])
    canvas = canvas_size(data[:SNIFF_BYTES], kind)  # what opening would allocate
    if not readable(kind) or canvas == (0, 0):
        return None
    if canvas is not None and kind == "gif":
        return canvas
    try:
        with quiet(_MAX_PIXELS if canvas is None else _MAX_PIXELS // 10):
            image = open_image(data, kind)
            width, height = image.size
            turned = kind != "tiff" and orientation(image) >= _SWAPPED  # Pillow itself turns TIFF files
            return (height, width) if turned else (width, height)
    except Exception:  # image.decode will say what is wrong with it
        return None
