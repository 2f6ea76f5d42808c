"""Pillow as d4a wants it: quiet, within a limit of pixels, opening a file as what it is; and its pictures in L or RGB, upright.

Its own checks are turned from warnings into refusals. The format is told, not tried: Pillow knows forty, and most have seen less wear.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...curator.backends.cpu import lean, lean_kernel

Plane = npt.NDArray[np.uint8]

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def quiet(max_pixels: int) -> Iterator[None]:
    """Pillow without words on stderr, refusing pictures of more than max_pixels wherever it checks (also inside frames).

    It raises above twice its limit, and warns above the limit: a warning must not decide, for other threads may filter warnings, too.
    """
    log, limit = logging.getLogger("PIL"), Image.MAX_IMAGE_PIXELS
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Image.MAX_IMAGE_PIXELS = max_pixels / 2  # type: ignore[assignment]
            log.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            log.setLevel(level)


@contextmanager
def mute() -> Iterator[None]:
    """Send the process's stderr nowhere: libtiff, in C, writes there what the exception says too."""
    try:
        kept = os.dup(2)
    except OSError:  # a daemon without stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def open_image(data: bytes, kind: str) -> Image.Image:
    """Open a file of a format that `sniff` calls `kind`; nothing is decoded.

    Pillow learns HEIF from pillow-heif, which turns such pictures upright itself. Raises whatever Pillow does.
    """
    if kind == "heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
    return Image.open(io.BytesIO(data), formats=("HEIF" if kind == "heic" else kind.upper(),))


def flatten(image: Image.Image) -> Image.Image:
    """A loaded image as L or RGB: transparency over white, 16 bits scaled to 8."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray(((np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode in ("I", "F"):
        return _stretched(image)
    if has_alpha(image):
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture of mode YCbCr in RGB, bit for bit as libjpeg gives it; Pillow's own conversion rounds otherwise.

    JFIF 1.02; in steps of 2^-16, as jdcolor.c of libjpeg does it.
    """
    planes = [np.array(plane) for plane in image.split()]  # three of them are converted at a fifth of the time that pixels take
    _to_rgb(*(plane.reshape(-1) for plane in planes))
    return Image.merge("RGB", [Image.fromarray(plane) for plane in planes])


@lean_kernel
def _to_rgb(first: Plane, second: Plane, third: Plane) -> None:
    """Luma and both chromas of n pixels become red, green and blue, in place."""
    for i in range(len(first)):
        y, b, r = np.int32(first[i]), np.int32(second[i]) - 128, np.int32(third[i]) - 128
        first[i] = _byte(y + ((91881 * r + 32768) >> 16))
        second[i] = _byte(y + ((32768 - 22554 * b - 46802 * r) >> 16))
        third[i] = _byte(y + ((116130 * b + 32768) >> 16))


@lean
def _byte(value: Any) -> Any:
    return 0 if value < 0 else 255 if value > 255 else value


def _stretched(image: Image.Image) -> Image.Image:
    """32-bit integers and floats have no agreed white: the darkest pixel becomes 0, the brightest 255."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def has_alpha(image: Image.Image) -> bool:
    """Whether any pixel may be transparent."""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none or it makes no sense."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF data is no broken picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(image: Image.Image, kind: str, turned: int) -> Image.Image:
    """The picture turned as its EXIF orientation says; Pillow itself has turned TIFF files."""
    return image if turned == 1 or kind == "tiff" else image.transpose(_UPRIGHT[turned])
