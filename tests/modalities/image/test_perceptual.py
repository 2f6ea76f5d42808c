"""image.dedup.perceptual and image.dedup.exact: which near copies are found, and that nothing else is."""

import random
from collections import Counter

import image_makers as makers
import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.dedup.keepers import choose_keepers
from d4a.curator.scan.payload import digests
from d4a.modalities.image import phash
from d4a.modalities.image.decode import Decode, DecodeOptions
from d4a.modalities.image.exact import ExactImage
from d4a.modalities.image.perceptual import Perceptual, PerceptualOptions
from entered_pictures import Reached
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from pydantic import ValidationError


def reached(files, stage=None):
    """What Decide hands on after image.decode and the stage have run over the files."""
    stage = stage or Perceptual(PerceptualOptions())
    schema = pa.schema([("bytes", pa.large_binary()), ("reason", pa.string()), ("detail", pa.string())])
    columns = {"bytes": files, "reason": [None] * len(files), "detail": [None] * len(files)}
    batch = Decode(DecodeOptions()).change(pa.RecordBatch.from_pydict(columns, schema=schema), frozenset({"gray64"}))
    payload = batch.column("bytes")
    return Reached(
        {**stage.sketch(batch), "digest": digests(payload), "payload_bytes": pa.array([len(f) for f in files], pa.int64())}, memory=1 << 20
    )


def duplicates(files, **options):
    """{(a, b): similarity} at or above the threshold."""
    stage = Perceptual(PerceptualOptions(**options))
    found = stage.pairs(reached(files, stage))
    each = zip(found.a.tolist(), found.b.tolist(), found.similarity.tolist(), strict=True)
    return {(min(a, b), max(a, b)): similarity for a, b, similarity in each if similarity >= stage.threshold}


def planted(scenes=36):
    """(files, groups, kinds): scenes, three near copies of each in turn, and one other for every fourth."""
    rng = random.Random(0)
    files, groups, kinds = [], [], []
    names = list(makers.NEAR_COPIES)
    for number in range(scenes):
        picture = makers.scene(number)
        chosen = [names[(3 * number + k) % len(names)] for k in range(3)]
        for kind in ["base", *chosen]:
            files.append(makers.encode(picture) if kind == "base" else makers.NEAR_COPIES[kind](picture, rng))
            groups.append(number)
            kinds.append(kind)
    return files, groups, kinds


def test_near_copies_are_found_and_different_scenes_are_not_paired():
    files, groups, kinds = planted()
    found = duplicates(files)
    assert {groups[a] == groups[b] for a, b in found} == {True}
    missed = Counter()
    for index, kind in enumerate(kinds):
        base = index - index % 4
        if kind != "base" and (base, index) not in found:
            missed[kind] += 1
    assert sum(missed.values()) <= 2, missed
    everything = sum(groups[a] == groups[b] for a in range(len(files)) for b in range(a))
    assert len(found) / everything > 0.95


def test_neither_does_a_bright_mark_hide_a_copy_nor_a_bright_spot_make_one():
    files = []
    for number in range(6):
        dark = ImageEnhance.Brightness(makers.scene(number, (320, 320))).enhance(0.35)
        spot = Image.new("L", dark.size)
        ImageDraw.Draw(spot).ellipse((120, 120, 200, 200), fill=255)
        dark.paste("white", mask=spot.filter(ImageFilter.GaussianBlur(20)))
        marked = dark.copy()
        ImageDraw.Draw(marked).rectangle((200, 20, 310, 40), fill="white")
        files += [makers.encode(dark), makers.encode(marked)]
    assert sorted(duplicates(files)) == [(2 * number, 2 * number + 1) for number in range(6)]


def test_similarity_does_not_depend_on_the_order_of_records():
    files, _, _ = planted(8)
    shuffled = random.Random(1).sample(range(len(files)), len(files))
    plain, moved = duplicates(files), duplicates([files[i] for i in shuffled])
    assert {tuple(sorted((shuffled[a], shuffled[b]))): s for (a, b), s in moved.items()} == plain


def test_similarity_is_one_for_the_same_pixels_and_falls_with_the_damage():
    picture = makers.scene(3)
    rng = random.Random(2)
    files = [makers.encode(picture, "PNG"), makers.encode(picture, "BMP"), makers.encode(picture, quality=30)]
    files.append(makers.encode(makers.watermarked(makers.cropped(picture, 0.1, rng)), quality=30))
    found = duplicates(files, threshold=0.5, pairs_from=0.5)
    assert found[0, 1] == 1.0
    assert 1.0 > found[0, 2] > found[0, 3] > 0.8


def test_a_higher_threshold_finds_a_subset():
    files, _, _ = planted(8)
    counts = [set(duplicates(files, threshold=t)) for t in (0.8, 0.9, 0.97)]
    assert counts[0] >= counts[1] > counts[2]


def test_flat_pictures_match_nothing_and_are_counted():
    flat = [makers.encode(Image.new("RGB", (200, 150), colour)) for colour in ("white", "white", "grey", "#fefefe")]
    framed = [makers.encode(Image.new("RGB", size, "white").crop((-1, -1, size[0] + 1, size[1] + 1))) for size in ((300, 200), (150, 150))]
    stage = Perceptual(PerceptualOptions())
    found = stage.pairs(reached([*flat, *framed, makers.encode(makers.scene(1))], stage))
    assert len(found.a) == 0
    assert found.notes == {"images_compared_with_all_others": 1, "flat_images": 6}


def test_copies_of_one_thumbnail_need_few_pairs_and_lose_to_the_same_keeper():
    picture = makers.scene(5)
    rng = random.Random(0)
    near = [makers.encode(picture, quality=q) for q in (90, 50, 20)] + [makers.encode(makers.cropped(picture, 0.1, rng))]
    files = [makers.encode(makers.scene(6))] * 5
    for index in range(60):
        files.append(near[index % 4])
    stage = Perceptual(PerceptualOptions())
    entered = reached(files, stage)
    few = stage.pairs(entered)
    assert len(few.a) < 400
    thumbs = np.array([np.frombuffer(row, np.uint8).reshape(32, 32) for row in entered.own["thumb"].to_pylist()])
    every = phash.similar_pairs(thumbs, 0.5)
    order = stage.preference(entered)
    one = choose_keepers(few.a, few.b, few.similarity, order, 0.9)
    other = choose_keepers(*every, order, 0.9)
    assert (one.twin < 0).sum() == 2
    assert ((one.twin < 0) == (other.twin < 0)).all()


def test_the_larger_picture_is_kept_then_the_larger_file():
    picture = makers.scene(7, (640, 480))
    files = [makers.encode(picture.resize((320, 240)), quality=95), makers.encode(picture, quality=40), makers.encode(picture, quality=90)]
    stage = Perceptual(PerceptualOptions())
    assert stage.preference(reached(files, stage)).tolist() == [2, 1, 0]


def test_only_a_threshold_below_the_floor_searches_again():
    def key(**options):
        return Perceptual(PerceptualOptions(**options)).search_key()

    assert key(threshold=0.85) == key(threshold=0.95)
    assert key(threshold=0.6) != key(threshold=0.85) != key(threshold=0.85, min_contrast=5)
    with pytest.raises(ValidationError):
        PerceptualOptions(threshold=1.0)


def test_no_records_give_no_pairs():
    nothing = reached([])
    assert len(Perceptual(PerceptualOptions()).pairs(nothing).a) == 0
    assert len(ExactImage(ExactImage.Options()).pairs(nothing).a) == 0


def test_exact_pairs_are_equal_bytes_only():
    one, other = makers.encode(makers.scene(1)), makers.encode(makers.scene(1), "PNG")
    files = [one, other, one, makers.encode(makers.scene(2)), other, one]
    found = ExactImage(ExactImage.Options()).pairs(reached(files))
    assert sorted(zip(found.a.tolist(), found.b.tolist(), strict=True)) == [(0, 2), (0, 5), (1, 4)]
    assert (found.similarity == 1.0).all()
    kept = choose_keepers(found.a, found.b, found.similarity, ExactImage(ExactImage.Options()).preference(reached(files)), 1.0)
    assert np.flatnonzero(kept.twin < 0).tolist() == [0, 1, 3]


# ------------------------------------------------------------------------------------------------- hashes


def test_mirroring_negates_the_odd_terms_only():
    thumb = np.asarray(makers.scene(8).convert("L").resize((32, 32)))[None]
    word, mirrored = phash.hashes(thumb)[0, 0], phash.hashes(thumb[:, :, ::-1])[0, 0]
    differing = int(word ^ mirrored)
    odd = sum(1 << (8 * v + u) for v in range(8) for u in range(1, 8, 2))
    assert differing & ~odd == 0
    assert (differing & odd).bit_count() >= 31  # a term that is nearly zero may keep its sign


def test_spectra_are_those_of_a_cosine_transform():
    thumb = np.asarray(makers.scene(9).convert("L").resize((32, 32))).astype(np.float64)
    rows, spectrum = np.empty((32, 16)), np.empty((16, 16))
    phash.transform(thumb, np.zeros(4, np.int64), phash.cosines(), rows, spectrum)
    edges = np.arange(33) / 32
    basis = np.array([np.diff(edges if k == 0 else np.sin(np.pi * k * edges) / (np.pi * k)) for k in range(16)])
    assert spectrum / 2**28 == pytest.approx(basis @ thumb @ basis.T, abs=0.05)


def test_windows_are_their_own_mirror_images():
    margins = {tuple(window) for window in phash.WINDOWS.tolist()}
    assert len(margins) == 24
    assert {(right, left, top, bottom) for left, right, top, bottom in margins} == margins


def test_hashes_and_similarity_are_these_bits_on_every_machine():
    y, x = np.mgrid[:32, :32]
    surface = x * x * 7 + y * 13 * x
    thumbs = np.stack([surface // 9 % 251, (surface + (x > y) * 9) // 9 % 251]).astype(np.uint8)
    ranks = phash.equalised(thumbs)
    assert [ranks.min(), ranks.max()] == [6, 253] and phash.names(ranks)[:, 0].tolist() == [0xB291C602EB5A4E88, 0x3F57748DD507AD71]
    words = phash.hashes(thumbs)[:, 0]
    assert [int(word) for word in words[:2]] == [0x981C38383070E000, 0xA9989C183870E000]
    assert int(np.bitwise_xor.reduce(words)) == 0x325C84C0F85450B0
    assert phash.similar_pairs(thumbs, 0.5)[2].tolist() == [float.fromhex("0x1.fb74bca55fd6dp-1")]
