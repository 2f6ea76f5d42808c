"""Pictures drawn from a seed, near copies of them, and every odd kind of image file a crawl holds."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tiff", "BMP": "bmp", "AVIF": "avif"}


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A gradient, clouds of noise, a dozen shapes and a line of text: like no scene of another seed."""
    rng = random.Random(seed)
    noise = np.random.default_rng(seed)
    width, height = size
    corners = [[rng.randrange(256) for _ in range(3)] for _ in range(4)]
    ground = Image.fromarray(np.array(corners, np.uint8).reshape(2, 2, 3)).resize(size, Image.Resampling.BICUBIC)
    clouds = Image.fromarray(noise.integers(0, 256, (rng.randint(5, 12), rng.randint(5, 12), 3), np.uint8))
    picture = Image.blend(ground, clouds.resize(size, Image.Resampling.BICUBIC), 0.45)
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, side = rng.randrange(width), rng.randrange(height), rng.randint(width // 16, width // 4)
        box = (x - side // 2, y - side // 2, x + side // 2, y + rng.randint(1, side))
        colour = tuple(rng.randrange(256) for _ in range(3))
        rng.choice([draw.ellipse, draw.rectangle])(box, fill=colour)
    words = "".join(rng.choice("ABCDEFGHKLMNRSTX") for _ in range(8))
    draw.text((rng.randrange(width // 2), rng.randrange(height)), words, fill="white", font=ImageFont.load_default(size=width // 10))
    return picture.filter(ImageFilter.GaussianBlur(0.7))


def encode(picture: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    """The picture as a file of that format."""
    out = io.BytesIO()
    picture.save(out, form, **({"quality": 88} if form == "JPEG" else {}) | options)
    return out.getvalue()


def cropped(picture: Image.Image, share: float, rng: random.Random) -> Image.Image:
    """Less `share` of the area, same shape, placed at random."""
    width, height = (int(side * (1 - share) ** 0.5) for side in picture.size)
    x, y = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    return picture.crop((x, y, x + width, y + height))


def watermarked(picture: Image.Image) -> Image.Image:
    """With a half-transparent word across it."""
    layer = Image.new("RGBA", picture.size)
    font = ImageFont.load_default(size=picture.width // 12)
    ImageDraw.Draw(layer).text((picture.width * 0.1, picture.height * 0.6), "SAMPLE example", font=font, fill=(255, 255, 255, 130))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _brighter(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Contrast(ImageEnhance.Brightness(picture).enhance(1.25)).enhance(0.85)


Variant = Callable[[Image.Image, random.Random], bytes]
NEAR_COPIES: dict[str, Variant] = {
    "reencode": lambda picture, rng: encode(picture, quality=35),
    "format": lambda picture, rng: encode(picture, rng.choice(["PNG", "WEBP", "TIFF", "BMP", "AVIF"])),
    "resize": lambda picture, rng: encode(picture.resize((picture.width // 2, picture.height // 2))),
    "stretch": lambda picture, rng: encode(picture.resize((picture.width, picture.height * 3 // 4))),
    "bright": lambda picture, rng: encode(_brighter(picture)),
    "flip": lambda picture, rng: encode(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "watermark": lambda picture, rng: encode(watermarked(picture)),
    "crop05": lambda picture, rng: encode(cropped(picture, 0.05, rng)),
    "crop10": lambda picture, rng: encode(cropped(picture, 0.10, rng)),
    "crop20": lambda picture, rng: encode(cropped(picture, 0.20, rng)),
    "trim10": lambda picture, rng: encode(picture.crop((0, picture.height // 10, picture.width, picture.height))),
    "flip_crop": lambda picture, rng: encode(cropped(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.10, rng), quality=60),
}


def png_chunk(tag: bytes, data: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))


def png_bomb(side: int = 60_000) -> bytes:
    """A header that claims side x side pixels, and next to no data."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")


def webp_bomb() -> bytes:
    """A lossless header that claims 16,384 x 16,384 pixels."""
    body = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", 0x3FFF | 0x3FFF << 14) + bytes(5)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def gif_bomb() -> bytes:
    """A small canvas with a first frame of 65,535 x 65,535 pixels."""
    return (
        b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0, 0, 0) + b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x44\x01\0;"
    )


def tiff_bomb(side: int = 60_000) -> bytes:
    """A bare directory that claims side x side grey pixels in one strip."""
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, side), (279, 4, 100)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def sixteen_bit(picture: Image.Image) -> Image.Image:
    """Its luma over the whole range of 16 bits."""
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)


def turned(picture: Image.Image, orientation: int, form: str = "JPEG", **options: object) -> bytes:
    """A file whose pixels are stored turned, so that its EXIF orientation makes it upright."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture.transpose(undo) if undo is not None else picture, form, exif=exif, **options)


def odd_files(picture: Image.Image) -> dict[str, tuple[str, bytes]]:
    """kind -> (file name, bytes): what a crawl of images holds beside plain images."""
    jpeg = encode(picture)
    spinning = [picture.resize((96, 96)).rotate(angle) for angle in (0, 90, 180)]
    return {
        "truncated": ("truncated.jpg", jpeg[: len(jpeg) // 2]),
        "zero": ("zero.jpg", b""),
        "wrongext": ("wrongext.jpg", encode(picture, "PNG")),
        "bomb": ("bomb.png", png_bomb()),
        "garbage": ("garbage.jpg", b"\xff\xd8\xff\xe0" + random.Random(0).randbytes(4000)),
        "notimage": ("notimage.jpg", b"<html><body>404 Not Found</body></html>"),
        "cmyk": ("cmyk.jpg", encode(picture.convert("CMYK"))),
        "gray16": ("gray16.png", encode(sixteen_bit(picture), "PNG")),
        "animated": ("animated.gif", encode(spinning[0], "GIF", save_all=True, append_images=spinning[1:], duration=80)),
        "exifrot": ("exifrot.jpg", turned(picture, 6)),
        "palette": ("palette.png", encode(picture.convert("RGBA").quantize(64), "PNG")),
        "tiny": ("tiny.png", encode(picture.resize((24, 24)), "PNG")),
        "longaspect": ("longaspect.jpg", encode(picture.resize((1600, 60)))),
        "flat": ("flat.jpg", encode(Image.new("RGB", (512, 512), (90, 120, 200)))),
    }
