"""From the bytes of one file to an upright picture in L or RGB, or to the reason why not.

Pillow decodes everything; its own checks are turned from warnings into refusals. Faster decoders exist for JPEG alone,
and none of them reads all eight formats or reports a cut file.
"""

from __future__ import annotations

import io
import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from .sniff import SNIFF_BYTES, canvas_size, readable, sniff, tiff_pages, unreadable
from .views import View

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
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_JPEG = ("JPEG", "MPO")


class RefusedError(Exception):
    """A file that gives no picture: the word in the ledger, a few words more, and its size where that is known."""

    def __init__(self, reason: str, detail: str = "", size: tuple[int, int] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.size = reason, detail, size


@dataclass(frozen=True)
class Picture:
    """What is known of one decoded file.

    width, height  of the upright picture [pixels]
    frames         None where the file breaks off behind the first
    views          name -> bytes, as `View.render` gives them
    """

    format: str
    width: int
    height: int
    frames: int | None
    mode: str
    exif_orientation: int
    alpha: bool
    views: dict[str, bytes]


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
def _mute() -> Iterator[None]:
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


def read_picture(data: bytes, views: Sequence[View], max_pixels: int) -> Picture:
    """Decode one file and render views of it; to be called inside `quiet`.

    Raises RefusedError: too_many_pixels (before anything is decoded), truncated_image, broken_image; not_an_image, unsupported_format.
    """
    kind = sniff(data[:SNIFF_BYTES])
    if not readable(kind):
        raise RefusedError(*unreadable(kind))
    try:
        return _read(data, kind, views, max_pixels)
    except RefusedError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(_claimed_size(data, kind)) from None
    except Exception as error:
        # decoders raise nearly every kind of exception on broken files; none may end the run
        raise _broken(error, cut=_shorter_than_it_says(data, kind)) from None


def _read(data: bytes, kind: str, views: Sequence[View], max_pixels: int) -> Picture:
    canvas = canvas_size(data[:SNIFF_BYTES], kind)
    if canvas is not None and canvas[0] * canvas[1] > max_pixels:
        raise _too_large(canvas)
    with _mute() if kind == "tiff" else nullcontext():
        return _decoded(data, kind, views, max_pixels)


def _decoded(data: bytes, kind: str, views: Sequence[View], max_pixels: int) -> Picture:
    image = _open(data, kind)
    if max(image.width * image.height, _tile_pixels(image)) > max_pixels:
        raise _too_large(image.size)
    mode, alpha = image.mode, has_alpha(image)
    if kind == "png":  # its EXIF data may stand behind the pixels; where those are broken, let it show here
        image.load()
    turned = orientation(image)
    size = image.size[::-1] if turned >= 5 and kind != "tiff" else image.size  # Pillow itself turns TIFF files
    rendered: dict[str, bytes] = {}
    for shrink, group in _by_scale(image, views).items():
        decoded = upright(_decode(_open(data, kind) if rendered else image, shrink, group), kind, turned)
        rendered.update({view.name: view.render(decoded) for view in group})
    return Picture(kind, *size, tiff_pages(data) if kind == "tiff" else _frames(image), mode, turned, alpha, rendered)


def pillow_format(kind: str) -> str:
    """What Pillow calls a format that `sniff` calls `kind`; it learns HEIF from pillow-heif, which turns such pictures upright itself."""
    if kind != "heic":
        return kind.upper()
    import pillow_heif

    pillow_heif.register_heif_opener()
    return "HEIF"


def _open(data: bytes, kind: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=(pillow_format(kind),))
    except UnidentifiedImageError:
        raise RefusedError("broken_image", f"no readable {kind} header") from None


def _by_scale(image: Image.Image, views: Sequence[View]) -> dict[int, list[View]]:
    """Views by the scale to decode at: one for all but very large views. Only JPEG can be decoded small."""
    if image.format not in _JPEG:
        return {1: list(views)}
    scales: dict[int, list[View]] = {}
    for view in views:
        scales.setdefault(view.shrink(*image.size), []).append(view)
    return scales or {8: []}  # nothing but the file's health is wanted: the smallest decode will do


def _decode(image: Image.Image, shrink: int, views: Sequence[View]) -> Image.Image:
    """Load the first frame, over white, as L, RGB or YCbCr, whose Y is what L would be."""
    if image.format in _JPEG:
        layout = "L" if all(view.kind == "gray" for view in views) else "YCbCr"
        size = max(1, image.width // shrink), max(1, image.height // shrink)
        image.draft(layout if _stores_luma(image) else None, size)
    image.load()
    return image if image.mode == "YCbCr" else flatten(image)


def _stores_luma(image: Image.Image) -> bool:
    """Whether a JPEG of three components holds YCbCr; told as libjpeg does, by JFIF, by Adobe's marker, or by the components' names."""
    if "jfif" in image.info:
        return True
    if "adobe_transform" in image.info:
        return bool(image.info["adobe_transform"])
    return [layer[0] for layer in image.layer] != [*b"RGB"]  # type: ignore[attr-defined]


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


def _frames(image: Image.Image) -> int | None:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # the first frame is whole, and it is the one that counts
        return None


def _tile_pixels(image: Image.Image) -> int:
    """Pixels of one tile of a TIFF file: a small picture may claim a huge one."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0)) if image.format == "TIFF" else 0


def _too_large(size: tuple[int, int] | None) -> RefusedError:
    return RefusedError("too_many_pixels", f"{size[0]}x{size[1]}" if size else "", size)


def _claimed_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """Size in the header of a file that Pillow refused as too large, for the ledger."""
    canvas = canvas_size(data[:SNIFF_BYTES], kind)
    if canvas is not None:  # of a GIF whose first frame is larger than its canvas
        return canvas
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        return _open(data, kind).size
    except Exception:  # refused already; this is for the detail
        return None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _shorter_than_it_says(data: bytes, kind: str) -> bool:
    """Whether a WebP file ends before its header says: its decoder does not tell."""
    return kind == "webp" and len(data) < 8 + int.from_bytes(data[4:8], "little")


def _broken(error: Exception, cut: bool) -> RefusedError:
    """What the decoder said, without what changes from run to run."""
    text = re.sub(r"<[^>]*>|0x[0-9a-fA-F]+", "", str(error)).strip()[:120]
    cut = cut or "truncated" in text.lower() or isinstance(error, EOFError)
    plain = text and isinstance(error, OSError | SyntaxError | EOFError | ValueError)
    return RefusedError("truncated_image" if cut else "broken_image", text if plain else f"{type(error).__name__} {text}".strip())
