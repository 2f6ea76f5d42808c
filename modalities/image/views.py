"""Views: small fixed-size pictures of an image that later stages ask for by name (`gray64`, `rgb224`, `letterbox640`).

A file is decoded once for all of them, and a view is the same whatever others are asked for. So a JPEG is decoded at one scale for all;
where grey and colour are wanted as YCbCr, which holds the luma that is decoded alone where only grey is, and from which the same RGB is
made that libjpeg makes. Hashes alone cost up to a quarter more than at the scale that would do for them; hashes, quality and a model cost
two thirds of what a decode for each took, and two fifths where photographs are large. Grey made of RGB would cost hashes half as much
again; colours converted after resizing would cost less, and a network sees the difference (cosine .9986 instead of .9998).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from PIL import Image

_NAME = re.compile(r"(gray|rgb|letterbox)([1-9]\d{0,3})")
_PADDING = (114, 114, 114)  # YOLO's letterbox grey
_SHORT, _LONG = 512, 640  # what a JPEG decoded small has at least: gray256 makes each pixel of 2 x 2, letterbox640 of one
_GAP = 2.0  # averaged by whole factors down to twice a view's size, then resized: looks the same, at a fifth of the time on 12 megapixels


@dataclass(frozen=True)
class View:
    """One view of side N.

    gray<N>       N x N bytes       luma of the whole picture, squeezed to a square by area averaging
    rgb<N>        N x N x 3 bytes   short side resized to N (bicubic, antialiased), centre cut out: what CLIP's preprocessing gives
    letterbox<N>  N x N x 3 bytes   long side resized to N (bilinear, antialiased), centred on grey: what YOLO is fed
    """

    kind: str
    side: int

    @property
    def name(self) -> str:
        """As in `needs`."""
        return f"{self.kind}{self.side}"

    @property
    def row_bytes(self) -> int:
        """Size of one row of the column."""
        return self.side * self.side * (1 if self.kind == "gray" else 3)

    def shrink(self, width: int, height: int) -> int:
        """By how much a JPEG of that size is decoded smaller, in both directions: 1, 2, 4 or 8.

        At least 512 pixels stay on the short side and 640 on the long one, and N on the side that becomes N: the same for all views up
        to gray512, rgb512 and letterbox640. A larger view may take a decode of its own.
        """
        short, long = (0, self.side) if self.kind == "letterbox" else (self.side, 0)
        most = min(min(width, height) // max(short, _SHORT), max(width, height) // max(long, _LONG))
        return next((factor for factor in (8, 4, 2) if factor <= most), 1)

    def render(self, picture: Image.Image) -> bytes:
        """The view of an upright picture of mode L or RGB; a grey one also of YCbCr."""
        if self.kind == "gray":
            return _luma(picture).resize((self.side, self.side), Image.Resampling.BOX, reducing_gap=_GAP).tobytes()
        return (_centre(picture, self.side) if self.kind == "rgb" else _letterbox(picture, self.side)).tobytes()


def parse_view(name: str) -> View | None:
    """The view of that name, or None."""
    match = _NAME.fullmatch(name)
    return View(match[1], int(match[2])) if match else None


def _luma(picture: Image.Image) -> Image.Image:
    if picture.mode == "YCbCr":
        return picture.getchannel("Y")
    return picture if picture.mode == "L" else picture.convert("L")


def _centre(picture: Image.Image, side: int) -> Image.Image:
    """The centre of the resized picture, of which no more than that is computed."""
    width, height = picture.size
    across, down = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    left, top = round((across - side) / 2), round((down - side) / 2)
    box = (left * width / across, top * height / down, (left + side) * width / across, (top + side) * height / down)
    return picture.resize((side, side), Image.Resampling.BICUBIC, box, _GAP).convert("RGB")


def _letterbox(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    canvas = Image.new("RGB", (side, side), _PADDING)
    small = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=_GAP).convert("RGB")
    canvas.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return canvas
