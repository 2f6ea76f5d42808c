"""Views: small fixed-size pictures of an image that later stages ask for by name (`gray64`, `rgb224`, `letterbox640`).

Each view has a definition of its own and does not depend on which others are asked for. One shared decode would be
cheaper where a JPEG feeds several, and would make hashes depend on the rest of the recipe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from PIL import Image

_NAME = re.compile(r"(gray|rgb|letterbox)([1-9]\d{0,3})")
_PADDING = (114, 114, 114)  # YOLO's letterbox grey
_LONGEST = 16  # a picture longer than 16:1 is cut to its middle before its short side is resized: an 1 x 1,000,000 strip would fill memory


@dataclass(frozen=True)
class View:
    """One view of side N.

    gray<N>       N x N bytes       luma of the whole picture, squeezed to a square by area averaging
    rgb<N>        N x N x 3 bytes   short side resized to N (bicubic, antialiased), centre cut out: what CLIP's preprocessing gives
    letterbox<N>  N x N x 3 bytes   long side resized to N (bilinear, antialiased), centred on grey: what YOLO is fed
    JPEG files are decoded at 1/2, 1/4 or 1/8 where that leaves at least 2 N pixels on the side that becomes N (gray: on both).
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

    def floor(self, width: int, height: int) -> tuple[int, int]:
        """The smallest (width, height) at which a picture of that size may be decoded for this view."""
        if self.kind == "letterbox":
            longest = max(width, height)
            return max(1, 2 * self.side * width // longest), max(1, 2 * self.side * height // longest)
        return 2 * self.side, 2 * self.side

    def render(self, picture: Image.Image) -> bytes:
        """The view of an upright picture of mode L or RGB."""
        mode = "L" if self.kind == "gray" else "RGB"
        if picture.mode != mode:  # `convert` would copy
            picture = picture.convert(mode)
        if self.kind == "gray":
            return picture.resize((self.side, self.side), Image.Resampling.BOX).tobytes()
        return (_centre(picture, self.side) if self.kind == "rgb" else _letterbox(picture, self.side)).tobytes()


def parse_view(name: str) -> View | None:
    """The view of that name, or None."""
    match = _NAME.fullmatch(name)
    return View(match[1], int(match[2])) if match else None


def _centre(picture: Image.Image, side: int) -> Image.Image:
    if max(picture.size) > _LONGEST * min(picture.size):
        picture = _middle(picture)
    width, height = picture.size
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return picture.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))


def _middle(picture: Image.Image) -> Image.Image:
    longest = _LONGEST * min(picture.size)
    left, top = max(0, picture.width - longest) // 2, max(0, picture.height - longest) // 2
    return picture.crop((left, top, left + min(picture.width, longest), top + min(picture.height, longest)))


def _letterbox(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    canvas = Image.new("RGB", (side, side), _PADDING)
    canvas.paste(picture.resize(size, Image.Resampling.BILINEAR), ((side - size[0]) // 2, (side - size[1]) // 2))
    return canvas
