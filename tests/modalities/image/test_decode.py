"""image.decode: every odd file is decoded rightly or refused with a reason, and views are what they claim."""

import io
import struct
import time
from importlib.util import find_spec

import image_makers as makers
import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.columns import fixed_rows
from d4a.modalities.image.decode import Decode, DecodeOptions
from d4a.modalities.image.views import parse_view
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

SCENE = makers.scene(1)
GREY = frozenset({"gray64"})
USUAL = "gray64 gray256 rgb224 rgb336 rgb512 letterbox320 letterbox640"


def batch_of(*files):
    schema = pa.schema([("bytes", pa.large_binary()), ("reason", pa.string()), ("detail", pa.string())])
    return pa.RecordBatch.from_pydict({"bytes": files, "reason": [None] * len(files), "detail": [None] * len(files)}, schema=schema)


def decode(*files, wanted=GREY, **options):
    return Decode(DecodeOptions(**options)).change(batch_of(*files), frozenset(wanted))


def row(data, wanted=GREY, **options):
    return decode(data, wanted=wanted, **options).to_pylist()[0]


def pixels(data, view="rgb64"):
    found = decode(data, wanted={view})
    assert found.column("reason")[0].as_py() is None, found.column("detail")[0].as_py()
    shape = (64, 64) if view == "gray64" else (64, 64, 3)
    return fixed_rows(found.column(view), np.uint8, shape)[0].astype(int)


def away(one, other):
    """Mean difference of two views [grey levels]."""
    return np.abs(one - other).mean()


ODD = makers.odd_files(SCENE)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("truncated", "truncated_image"), ("bomb", "too_many_pixels"), ("garbage", "truncated_image"), ("notimage", "not_an_image")],
)
def test_what_cannot_be_decoded_gets_a_reason(kind, reason):
    found = row(ODD[kind][1])
    assert found["reason"] == reason and found["detail"]
    assert found["gray64"] is None and found["format"] is None


@pytest.mark.parametrize("kind", ["wrongext", "cmyk", "gray16", "exifrot", "palette"])
def test_odd_but_whole_files_look_like_their_original(kind):
    tolerance = 12 if kind == "cmyk" else 6
    assert away(pixels(ODD[kind][1], "gray64"), pixels(makers.encode(SCENE, "PNG"), "gray64")) < tolerance


def test_values_of_odd_files():
    facts = {
        kind: row(ODD[kind][1]) for kind in ("wrongext", "gray16", "animated", "exifrot", "palette", "tiny", "longaspect", "flat", "cmyk")
    }
    assert facts["wrongext"]["format"] == "png"
    assert facts["gray16"]["mode"] == "I;16" and facts["cmyk"]["mode"] == "CMYK" and facts["palette"]["mode"] == "P"
    assert facts["animated"]["frames"] == 3 and facts["flat"]["frames"] == 1
    assert facts["exifrot"]["exif_orientation"] == 6 and (facts["exifrot"]["width"], facts["exifrot"]["height"]) == SCENE.size
    assert (facts["tiny"]["width"], facts["longaspect"]["width"]) == (24, 1600)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(form, orientation):
    data = makers.turned(SCENE, orientation, form)
    assert (row(data)["width"], row(data)["height"]) == SCENE.size
    assert away(pixels(data), pixels(makers.encode(SCENE, "PNG"))) < 8


@pytest.mark.parametrize(
    ("bomb", "size"),
    [
        (makers.png_bomb(), (60_000, 60_000)),
        (makers.webp_bomb(), (16_384, 16_384)),
        (makers.tiff_bomb(), (60_000, 60_000)),
        (makers.gif_bomb(), (10, 10)),
    ],
)
def test_bombs_are_refused_by_their_header(bomb, size):
    found = row(bomb)
    assert (found["reason"], found["detail"]) == ("too_many_pixels", f"{size[0]}x{size[1]}")
    assert (found["width"], found["height"]) == size


def test_a_header_that_claims_more_than_any_integer():
    found = row(makers.tiff_bomb(2**32 - 1))
    assert (found["reason"], found["detail"]) == ("too_many_pixels", "4294967295x4294967295")
    assert found["width"] is None and found["height"] is None


def tiff_of(pages, last=0):
    """A TIFF file of one-pixel pages; `last`: where the chain goes on behind the last one."""
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    size = len(body) + 4
    links = [*(10 + size * page for page in range(1, pages)), last]
    return b"II*\0" + struct.pack("<I", 10) + bytes(2) + b"".join(body + struct.pack("<I", link) for link in links)


def test_pages_of_tiff_files():
    assert [row(tiff_of(pages))["frames"] for pages in (1, 7)] == [1, 7]
    assert row(tiff_of(3, last=10))["frames"] == 3  # a chain that bites its tail
    assert row(tiff_of(3)[:-60])["frames"] is None
    for big in (False, True):
        several = makers.encode(SCENE.resize((8, 8)), "TIFF", save_all=True, append_images=[SCENE.resize((9, 9))] * 4, big_tiff=big)
        assert row(several)["frames"] == 5
    started = time.process_time()
    assert row(tiff_of(100_000))["frames"] == 100_000  # Pillow's own counting takes minutes
    assert time.process_time() - started < 5


def test_max_pixels_is_the_limit_also_above_that_of_pillow():
    data = makers.encode(Image.new("1", (10_000, 10_001)), "PNG")
    assert row(data)["reason"] == "too_many_pixels"
    assert row(data, max_pixels=100_010_000)["reason"] is None
    small = makers.encode(SCENE)
    assert row(small, max_pixels=320 * 240)["reason"] is None
    assert row(small, max_pixels=320 * 240 - 1)["detail"] == "320x240"


def test_transparency_is_laid_over_white():
    clear = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    for form in ("PNG", "WEBP"):
        assert pixels(makers.encode(clear, form, **({"lossless": True} if form == "WEBP" else {}))).min() >= 254
    half = Image.new("LA", (80, 80), (0, 128))
    assert set(np.unique(pixels(makers.encode(half, "PNG")))) <= {126, 127, 128}
    palette = Image.new("P", (80, 80), 0)
    palette.putpalette([10, 20, 30])
    assert pixels(makers.encode(palette, "PNG", transparency=0)).min() == 255
    found = row(makers.encode(palette, "PNG", transparency=0))
    assert found["alpha"] is True and found["mode"] == "P"


def test_deep_and_odd_layouts_keep_their_brightness():
    ramp = np.tile(np.arange(64, dtype=np.uint16) * 1040, (64, 1))
    expected = (ramp.astype(int) * 255 + 32767) // 65535
    for form in ("PNG", "TIFF"):
        assert np.abs(pixels(makers.encode(Image.fromarray(ramp), form), "gray64") - expected).max() <= 1
    floats = Image.fromarray((ramp / 65520).astype(np.float32))
    assert np.abs(pixels(makers.encode(floats, "TIFF"), "gray64") - expected).max() <= 2
    bilevel = SCENE.convert("1")
    assert set(np.unique(pixels(makers.encode(bilevel.resize((64, 64)), "PNG"), "gray64"))) == {0, 255}
    white = makers.encode(Image.new("CMYK", (64, 64), (0, 0, 0, 0)))
    assert pixels(white).min() >= 250  # CMYK in JPEG is stored inverted


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    for form in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        data = makers.encode(frames[0], form, save_all=True, append_images=frames[1:])
        assert row(data)["frames"] == 2, form
        red, green, blue = pixels(data).mean((0, 1))
        assert red > 200 and green < 60 and blue < 60, form


LARGE = makers.scene(2, (1400, 1100))  # rgb700 is decoded whole, the rest at a half
LAYOUTS = {
    "YCbCr": makers.encode(LARGE),
    "YCbCr at full resolution, progressive": makers.encode(LARGE, subsampling=0, progressive=True),
    "RGB": makers.encode(LARGE, keep_rgb=True),
    "CMYK": makers.encode(LARGE.convert("CMYK")),
    "grey": makers.encode(LARGE.convert("L")),
    "turned": makers.turned(LARGE, 6),
    "PNG": makers.encode(LARGE, "PNG"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_view_does_not_depend_on_the_others_asked_for(layout):
    views = {"gray64", "gray256", "rgb64", "rgb224", "letterbox64", "rgb700"}
    together = row(LAYOUTS[layout], views)
    for view in views:
        assert row(LAYOUTS[layout], {view})[view] == together[view]
    assert "gray64" not in row(LAYOUTS[layout], {"rgb64"})


@pytest.mark.parametrize("layout", ["YCbCr", "YCbCr at full resolution, progressive", "RGB", "turned"])
def test_jpeg_files_keep_their_colours(layout):
    whole = makers.encode(LARGE, "PNG")
    assert away(pixels(LAYOUTS[layout]), pixels(whole)) < 4 and away(pixels(LAYOUTS[layout], "gray64"), pixels(whole, "gray64")) < 2


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_one_decode_serves_all_usual_views_of_a_jpeg(width, height):
    usual, large = ({parse_view(name).shrink(width, height) for name in names.split()} for names in (USUAL, "rgb2000 letterbox2000"))
    (shrink,) = usual
    assert shrink == 1 or (min(width, height) >= 512 * shrink and max(width, height) >= 640 * shrink)
    assert shrink == 8 or min(width, height) < 1024 * shrink or max(width, height) < 1280 * shrink
    assert max(large) <= shrink


@pytest.mark.models
@pytest.mark.skipif(find_spec("torchvision") is None, reason="needs the extra image")
@pytest.mark.parametrize("size", [(320, 240), (241, 333), (100, 90), (224, 224)])
def test_rgb_is_what_clip_preprocessing_gives(size):
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    picture = makers.scene(3, size)
    theirs = Compose([Resize(224, InterpolationMode.BICUBIC), CenterCrop(224)])(picture)
    mine = np.frombuffer(row(makers.encode(picture, "PNG"), {"rgb224"})["rgb224"], np.uint8).reshape(224, 224, 3).astype(int)
    away_by = np.abs(mine - np.asarray(theirs))  # only the part that stays is resized, and its place is rounded
    assert away_by.max() <= 2 and away_by.mean() < 0.03


def test_a_jpeg_decoded_small_is_close_to_one_decoded_whole():
    picture = makers.scene(4, (1600, 1200))
    data = makers.encode(picture, quality=95)
    assert away(pixels(data), pixels(makers.encode(Image.open(io.BytesIO(data)), "PNG"))) < 2.5


def test_letterbox_fits_the_long_side_and_pads_with_grey():
    view = pixels(makers.encode(Image.new("RGB", (200, 50), "white"), "PNG"), "letterbox64")
    inside = np.flatnonzero((view == 255).all((1, 2)))
    assert (inside.min(), inside.max()) == (24, 39)
    assert (view[:24] == 114).all() and (view[40:] == 114).all()


def test_a_strip_of_a_million_pixels_is_viewed_without_a_million_columns():
    data = makers.encode(Image.new("RGB", (1_000_000, 1), "red"), "PNG")
    found = row(data, {"rgb224", "gray64", "letterbox640"})
    assert found["reason"] is None and len(found["rgb224"]) == 224 * 224 * 3


def test_can_offer_knows_the_views():
    offers = Decode(DecodeOptions()).can_offer
    assert offers("gray64") and offers("rgb336") and offers("letterbox640")
    assert not offers("rgb") and not offers("rgb0") and not offers("gray64x") and not offers("depth64")


def test_refused_records_and_missing_bytes_stay_in_their_rows():
    found = decode(makers.encode(SCENE), None, b"GIF89a", makers.encode(SCENE, "PNG")).to_pylist()
    assert [each["format"] for each in found] == ["jpeg", None, None, "png"]
    assert [each["reason"] for each in found] == [None, None, "broken_image", None]
    assert decode().num_rows == 0


WHOLE = [makers.encode(makers.scene(5, (90, 70)), form) for form in makers.SUFFIXES]
WHOLE.append(makers.encode(makers.scene(5, (90, 70)), "TIFF", compression="tiff_lzw"))
WHOLE.append(makers.encode(makers.scene(5, (90, 70)).convert("1"), "TIFF", compression="group4"))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(WHOLE), st.integers(0, 10_000), st.binary(min_size=1, max_size=8), st.booleans())
def test_no_damage_raises(data, at, junk, cut):
    at %= len(data)
    damaged = data[:at] if cut else data[:at] + junk + data[at + len(junk) :]
    first, again = row(damaged, max_pixels=10**6), row(damaged, max_pixels=10**6)
    assert first == again and (first["reason"] is None) == (first["gray64"] is not None)


def test_decoders_say_nothing_on_stderr(capfd):
    fax = makers.encode(SCENE.convert("1"), "TIFF", compression="group4")
    middle = len(fax) // 2
    row(fax[:middle] + b"\xff" * 40 + fax[middle + 40 :])
    row(makers.encode(SCENE, "TIFF", compression="tiff_lzw")[:3000])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_file_cut_short_is_called_truncated(form):
    data = makers.encode(SCENE, form)
    assert {row(data[: int(len(data) * share)])["reason"] for share in (0.3, 0.6, 0.95)} == {"truncated_image"}


def test_formats_that_stay():
    table = pa.Table.from_batches([decode(*(makers.encode(SCENE, form) for form in ("JPEG", "PNG", "GIF")), ODD["garbage"][1])])
    found = Decode(DecodeOptions(formats=["jpeg", "png"])).judge(table.filter(table.column("reason").is_null()))
    assert found.keep.tolist() == [True, True, False] and found.reasons == ["other_format"] and found.detail[2] == "gif"
    with pytest.raises(ValidationError, match="did you mean `jpeg`"):
        DecodeOptions(formats=["jpg"])
