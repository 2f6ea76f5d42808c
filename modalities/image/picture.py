"""From the bytes of one file to views of its upright picture, or to the reason why there are none.

Pillow decodes everything. Faster decoders exist for JPEG alone, and none of them reads all eight formats or reports a cut file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from .pillow import flatten, has_alpha, mute, open_image, orientation, to_rgb, upright
from .sniff import SNIFF_BYTES, canvas_size, readable, sniff, tiff_pages, unreadable
from .views import View

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


def read_picture(data: bytes, views: Sequence[View], max_pixels: int) -> Picture:
    """Decode one file and render views of it; to be called inside `quiet`.

    Raises RefusedError: too_many_pixels (before anything is decoded), truncated_image, broken_image; not_an_image, unsupported_format.
    """
    kind = sniff(data[:SNIFF_BYTES])
    if not readable(kind):
        raise RefusedError(*unreadable(kind))
    try:
        canvas = canvas_size(data[:SNIFF_BYTES], kind)
        if canvas is not None and canvas[0] * canvas[1] > max_pixels:
            raise _too_large(canvas)
        with mute() if kind == "tiff" else nullcontext():
            return _decoded(data, kind, views, max_pixels)
    except RefusedError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(_claimed_size(data, kind)) from None
    except UnidentifiedImageError:
        raise RefusedError("broken_image", f"no readable {kind} header") from None
    except Exception as error:
        # decoders raise nearly every kind of exception on broken files; none may end the run
        raise _broken(error, cut=_shorter_than_it_says(data, kind)) from None


def _decoded(data: bytes, kind: str, views: Sequence[View], max_pixels: int) -> Picture:
    image = open_image(data, kind)
    if max(image.width * image.height, _tile_pixels(image)) > max_pixels:
        raise _too_large(image.size)
    mode, alpha = image.mode, has_alpha(image)
    if kind == "png":  # its EXIF data may stand behind the pixels; where those are broken, let it show here
        image.load()
    turned = orientation(image)
    size = image.size[::-1] if turned >= 5 and kind != "tiff" else image.size  # Pillow itself turns TIFF files
    rendered: dict[str, bytes] = {}
    for shrink, group in _by_scale(image, views).items():
        decoded = upright(_decode(open_image(data, kind) if rendered else image, shrink, group), kind, turned)
        coloured = to_rgb(decoded) if decoded.mode == "YCbCr" else decoded
        rendered.update({view.name: view.render(decoded if view.kind == "gray" else coloured) for view in group})
    return Picture(kind, *size, tiff_pages(data) if kind == "tiff" else _frames(image), mode, turned, alpha, rendered)


def _by_scale(image: Image.Image, views: Sequence[View]) -> dict[int, list[View]]:
    """Views by the scale to decode at: one for all but very large views. Only JPEG can be decoded small."""
    if image.format not in _JPEG:
        return {1: list(views)}
    scales: dict[int, list[View]] = {}
    for view in views:
        scales.setdefault(view.shrink(*image.size), []).append(view)
    return scales or {8: []}  # nothing but the file's health is wanted: the smallest decode will do


def _decode(image: Image.Image, shrink: int, views: Sequence[View]) -> Image.Image:
    """Load the first frame, over white: as L, as RGB, or for both as YCbCr, whose Y is that L and which `to_rgb` makes that RGB."""
    if image.format in _JPEG:
        grey = {view.kind == "gray" for view in views}
        layout = "YCbCr" if len(grey) == 2 else "L" if grey == {True} else None
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
        return open_image(data, kind).size
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
