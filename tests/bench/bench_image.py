"""Speed of reading, decoding and hashing images, on one core, beside a plain decode of the same files in the same run.

    python tests/bench/bench_image.py [FOLDER] [--images 300]

Without a folder, photographs of 0.4 megapixels are drawn from a seed and saved as JPEG. The floor is what a loop with
Pillow costs: open, load, convert to RGB. Prints user CPU per image (best of 3) and the ratio to that floor.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from d4a.curator.columns import fixed_rows
from d4a.curator.modality import reader_schema
from d4a.modalities.image import phash
from d4a.modalities.image.decode import Decode, DecodeOptions
from d4a.modalities.image.modality import Image as ImageModality
from d4a.modalities.image.perceptual import Perceptual, PerceptualOptions
from d4a.modalities.image.picture import RefusedError, read_picture
from d4a.modalities.image.pillow import quiet
from d4a.modalities.image.quality import Quality, QualityOptions
from PIL import Image

BATCH = 32
MAX_PIXELS = DecodeOptions().max_pixels


def drawn(count: int) -> list[bytes]:
    """JPEG files of 776 x 540 pixels, about 100 kB each."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import image_makers as makers

    grain = Image.fromarray(np.random.default_rng(0).integers(0, 256, (540, 776, 3), np.uint8))
    scenes = [makers.scene(seed, (776, 540)) for seed in range(min(count, 40))]
    grainy = (Image.blend(scenes[index % 40], grain, 0.05 + 0.001 * (index // 40)) for index in range(count))
    return [makers.encode(picture, quality=93) for picture in grainy]


def found(folder: Path, count: int) -> list[bytes]:
    """The first `count` files below a folder that decode."""
    files = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        try:
            with quiet(MAX_PIXELS):
                read_picture(data, (), MAX_PIXELS)
        except RefusedError:
            continue
        files.append(data)
        if len(files) == count:
            break
    return files


def plain(files: list[bytes]) -> None:
    """The floor: every file to RGB pixels."""
    for data in files:
        Image.open(io.BytesIO(data)).convert("RGB")


def decoded(files: list[bytes], views: frozenset[str]) -> list[pa.RecordBatch]:
    """image.decode in batches."""
    schema, stage = reader_schema(ImageModality()), Decode(DecodeOptions())
    batches = []
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        empty = {name: [None] * len(some) for name in schema.names}
        batches.append(stage.change(pa.RecordBatch.from_pydict({**empty, "bytes": some}, schema=schema), views))
    return batches


def hashed(batches: list[pa.RecordBatch]) -> np.ndarray:
    """image.dedup.perceptual: thumbnails, and the hashes of all their windows."""
    stage = Perceptual(PerceptualOptions())
    thumbs = np.concatenate([fixed_rows(stage.sketch(batch)["thumb"], np.uint8, (phash.SIDE, phash.SIDE)) for batch in batches])
    phash.hashes(thumbs)
    return thumbs


def measured(batches: list[pa.RecordBatch]) -> list[dict[str, pa.Array]]:
    """image.quality."""
    return [Quality(QualityOptions()).measure(batch) for batch in batches]


def best(work: Callable[[], object]) -> float:
    """Least CPU seconds of three runs."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, nargs="?")
    options.add_argument("--images", type=int, default=300)
    given = options.parse_args()
    files = found(given.folder, given.images) if given.folder else drawn(given.images)
    thumbs = hashed(decoded(files, frozenset({"gray64"})))  # compiles the kernels
    sizes = [len(data) for data in files]
    print(f"{len(files)} images, {sum(sizes) / len(sizes) / 1000:.0f} kB each")
    measured(decoded(files[:1], frozenset({"gray256"})))
    floor = best(lambda: plain(files)) / len(files)
    steps: dict[str, Callable[[], object]] = {
        "plain Pillow decode to RGB": lambda: plain(files),
        "decode + gray64 + hashes": lambda: hashed(decoded(files, frozenset({"gray64"}))),
        "decode + gray64": lambda: decoded(files, frozenset({"gray64"})),
        "decode + gray256 + quality": lambda: measured(decoded(files, frozenset({"gray256"}))),
        "decode + gray64 + gray256": lambda: decoded(files, frozenset({"gray64", "gray256"})),
        "decode + rgb224": lambda: decoded(files, frozenset({"rgb224"})),
        "decode + letterbox640": lambda: decoded(files, frozenset({"letterbox640"})),
        "decode + gray64 + rgb224": lambda: decoded(files, frozenset({"gray64", "rgb224"})),
        "decode + all four": lambda: decoded(files, frozenset({"gray64", "gray256", "rgb224", "letterbox640"})),
    }
    for name, work in steps.items():
        cost = best(work) / len(files)
        print(f"{name:28s} {1000 * cost:6.2f} ms/image  {1 / cost:6.0f} images/s/core  {cost / floor:5.2f} x plain")
    pairs = len(thumbs) * (len(thumbs) - 1) / 2
    cost = best(lambda: phash.similar_pairs(thumbs, 0.8))
    print(f"{'search of all pairs':28s} {1e9 * cost / pairs:6.0f} ns/pair, hashing included")


if __name__ == "__main__":
    main()
