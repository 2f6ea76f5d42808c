"""image.quality and image.size: measured values by their definitions, and the reason that each kind of poor picture gets."""

import image_makers as makers
import numpy as np
import pyarrow as pa
import pytest
from d4a.modalities.image.decode import Decode, DecodeOptions
from d4a.modalities.image.quality import Quality, QualityOptions
from d4a.modalities.image.size import Size, SizeOptions
from PIL import Image, ImageFilter
from pydantic import ValidationError

SCENE = makers.scene(5, (640, 480))
LEVELS = np.asarray(SCENE).astype(float)


def decoded(*files):
    schema = pa.schema([("bytes", pa.large_binary()), ("reason", pa.string()), ("detail", pa.string())])
    batch = pa.RecordBatch.from_pydict({"bytes": files, "reason": [None] * len(files), "detail": [None] * len(files)}, schema=schema)
    return Decode(DecodeOptions()).change(batch, frozenset({"gray256"}))


def measured(*files, stage=Quality, options=QualityOptions):
    return pa.table(stage(options()).measure(decoded(*files)))


def reasons(stage, table):
    found = stage.judge(table)
    return [None if keep else found.reasons[code] for keep, code in zip(found.keep, found.reason, strict=True)]


def shot(levels):
    return makers.encode(Image.fromarray(levels.clip(0, 255).astype(np.uint8)))


def test_each_kind_of_poor_picture_gets_its_reason():
    rng = np.random.default_rng(0)
    dots = np.full((256, 256), 255, np.uint8)
    dots[::4, ::4] = 0
    poor = {
        None: makers.encode(SCENE),
        "blurry": makers.encode(SCENE.filter(ImageFilter.GaussianBlur(8))),
        "dark": shot(LEVELS * 0.25),
        "light": shot(255 - (255 - LEVELS) * 0.04),
        "flat": shot(120 + rng.normal(0, 2, LEVELS.shape)),
        "low_information": makers.encode(Image.fromarray(dots), "PNG"),
    }
    assert reasons(Quality(QualityOptions()), measured(*poor.values())) == list(poor)
    null = dict.fromkeys(("min_brightness_p99", "max_brightness_p5", "max_flatness", "min_entropy", "min_sharpness"))
    assert reasons(Quality(QualityOptions(**null)), measured(*poor.values())) == [None] * len(poor)


def test_values_are_what_their_definitions_say():
    halves = np.zeros((256, 256), np.uint8)
    halves[:, 128:] = 255
    noise = np.random.default_rng(3).integers(0, 256, (256, 256), np.uint8)
    files = [makers.encode(Image.fromarray(levels), "PNG") for levels in (halves, noise)]
    half, noisy = measured(*files).to_pylist()
    # two of the 254 inner columns are an edge, of +255 and of -255
    assert half == {
        "sharpness": 2 / 254 * 255**2,
        "brightness": 0.5,
        "brightness_p5": 0.0,
        "brightness_p99": 1.0,
        "contrast": 0.5,
        "entropy": 1.0,
        "flatness": 1.0,
        "bytes_per_pixel": len(files[0]) / 256**2,
        "scale": 256.0,
        "grayscale": True,
    }
    grey = noise.astype(np.int64)
    laplace = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    wanted = [laplace.var(), grey.mean() / 255, grey.std() / 255, -(shares * np.log2(shares)).sum(), 0.0]
    assert [noisy[name] for name in ("sharpness", "brightness", "contrast", "entropy", "flatness")] == pytest.approx(wanted, rel=1e-6)
    assert [noisy[f"brightness_p{p}"] for p in (5, 99)] == [np.sort(grey.ravel())[grey.size * p // 100] / 255 for p in (5, 99)]


def test_what_only_some_ask_for():
    files = [makers.encode(SCENE.resize((side, side))) for side in (200, 210, 220, 230, 240, 900)]
    files.append(makers.encode(SCENE.resize((250, 250)).convert("L")))
    table = measured(*files)
    assert reasons(Quality(QualityOptions(odd_size=3)), table) == [None] * 5 + ["odd_size", None]
    assert reasons(Quality(QualityOptions(odd_size=3)), table.slice(0, 0)) == []
    assert reasons(Quality(QualityOptions(drop_grayscale=True)), table) == [None] * 6 + ["grayscale"]
    starved = makers.encode(SCENE, quality=1)
    assert reasons(Quality(QualityOptions(min_bytes_per_pixel=0.05, min_sharpness=None)), measured(files[0], starved)) == [
        None,
        "few_bytes_per_pixel",
    ]


def test_presets_of_size_are_the_published_thresholds():
    def judged(**options):
        return reasons(Size(SizeOptions(**options)), table)

    bounds = [(200, 600, 5000), (199, 300, 5000), (200, 601, 5000), (200, 400, 4999), (150, 150, 900), (1000, 20_001, 9999)]
    short, long, size = (pa.array(column) for column in zip(*bounds, strict=True))
    table = pa.table({"min_side": short, "max_side": long, "aspect": [b / a for a, b, _ in bounds], "bytes": size})
    assert judged(preset="datacomp") == [None, "too_small", "too_long", None, "too_small", "too_long"]
    assert judged(preset="coyo") == [None, "too_small", "too_long", "too_few_bytes", "too_small", "too_long"]
    assert judged(preset="laion") == [None, None, None, "too_few_bytes", "too_few_bytes", None]
    assert judged(preset="obelics") == ["too_long", None, "too_long", None, None, "too_large"]
    assert judged(preset="laion", min_bytes=None, max_aspect=20)[-1] == "too_long"
    with pytest.raises(ValidationError, match="nothing stays"):
        SizeOptions(preset="obelics", max_side_px=100)


def test_size_is_that_of_the_upright_file():
    odd = makers.odd_files(SCENE)
    files = [makers.turned(SCENE, 6), odd["tiny"][1], odd["longaspect"][1]]
    table = measured(*files, stage=Size, options=SizeOptions)
    assert table.to_pylist()[0] == {"min_side": 480, "max_side": 640, "aspect": 640 / 480, "bytes": len(files[0])}
    assert reasons(Size(SizeOptions()), table) == [None, "too_small", "too_small"]
    assert reasons(Size(SizeOptions(min_side_px=10)), table) == [None, None, "too_long"]
    assert reasons(Size(SizeOptions(min_side_px=None, max_aspect=None)), table) == [None] * 3
