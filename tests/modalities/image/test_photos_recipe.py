"""The shipped recipe for a photo collection: shots of nothing go, and what is only dark or soft stays."""

from __future__ import annotations

import image_makers as makers
import pyarrow.parquet as pq
from PIL import Image, ImageEnhance, ImageFilter


def test_photos_keeps_dim_and_soft_pictures_and_drops_shots_of_nothing(tmp_path, d4a):
    folder = tmp_path / "in"
    folder.mkdir()
    scenes = [makers.scene(seed, (640, 480)) for seed in range(4)]
    pictures = {
        "sharp.jpg": (scenes[0], None),
        "night.jpg": (ImageEnhance.Brightness(scenes[1]).enhance(0.3), None),
        "soft.jpg": (scenes[2].filter(ImageFilter.GaussianBlur(3)), None),
        "blurred.jpg": (scenes[3].filter(ImageFilter.GaussianBlur(19)), "blurry"),
        "cap.jpg": (Image.effect_noise((640, 480), 8).point(lambda level: level // 8).convert("RGB"), "dark"),
        "sky.jpg": (Image.new("RGB", (640, 480), (120, 130, 160)), "flat"),
        "glare.jpg": (Image.effect_noise((640, 480), 8).point(lambda level: 251 + level % 5).convert("RGB"), "light"),
        "again.png": (scenes[0].resize((320, 240)), "near_duplicate"),
    }
    for name, (picture, _) in pictures.items():
        (folder / name).write_bytes(makers.encode(picture, "PNG" if name.endswith("png") else "JPEG"))
    d4a("curate", "photos", "--set", f"image.sources.0.path={folder}", "--out", "out")
    rows = pq.read_table(tmp_path / "out/ledger").to_pylist()
    assert {row["key"]: row["reason"] for row in rows} == {name: reason for name, (_, reason) in pictures.items()}
