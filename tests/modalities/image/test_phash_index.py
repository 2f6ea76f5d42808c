"""The index of near copies: it finds what comparing all with all finds, and look-alikes without end stay few pairs."""

import numpy as np
import pytest
from d4a.curator.stage import Workspace
from d4a.modalities.image import phash, phash_index
from d4a.modalities.image.phash_index import similar_pairs


def surfaces(count, seed=0):
    """(count, 64, 64) smooth random surfaces with the spectrum of photographs: amplitude falls with frequency."""
    rng, frequency = np.random.default_rng(seed), np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.rfftfreq(64), indexing="ij"))
    noise = np.fft.rfft2(rng.normal(size=(count, 64, 64))) / np.maximum(frequency, 1 / 64)
    rough = np.fft.irfft2(noise)
    return 128 + 50 * (rough - rough.mean((1, 2), keepdims=True)) / rough.std((1, 2), keepdims=True)


def shrunk(pictures):
    """Thumbnails of pictures: means of cells."""
    side = pictures.shape[1] // 32
    return np.clip(np.rint(pictures.reshape(-1, 32, side, 32, side).mean((2, 4))), 0, 255).astype(np.uint8)


def edited(pictures, seed=1):
    """Thumbnails of near copies: in turn noisy, mirrored and darker, cropped at a corner."""
    rng = np.random.default_rng(seed)
    cropped = pictures[:, 4:60, :56].repeat(4, axis=1).repeat(4, axis=2)  # 224 = 7 x 32
    thumbs = [shrunk(pictures + rng.normal(0, 20, pictures.shape)), shrunk(pictures[:, :, ::-1] * 0.8), shrunk(cropped)]
    return np.choose(np.arange(len(pictures))[:, None, None] % 3, thumbs)


@pytest.fixture(scope="module")
def thumbs():
    pictures = surfaces(1800)
    return np.concatenate([shrunk(pictures), edited(pictures[:600])])


def found(thumbs, folder, memory=1 << 30):
    pairs = similar_pairs(thumbs, 0.8, Workspace(folder, memory))
    return dict(zip(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True), pairs.similarity.tolist(), strict=True)), pairs.notes


def test_the_index_finds_what_brute_force_finds_and_measures_the_same(thumbs, tmp_path):
    a, b, similarity = phash.similar_pairs(thumbs, 0.8)
    every = dict(zip(zip(a.tolist(), b.tolist(), strict=True), similarity.tolist(), strict=True))
    mine, notes = found(thumbs, tmp_path)
    assert len(every) > 500
    assert all(every[pair] == value for pair, value in mine.items())
    duplicates = [pair for pair, value in every.items() if value >= 0.9]
    assert sum(pair in mine for pair in duplicates) >= 0.99 * len(duplicates)
    assert notes["compared_pairs"] < 0.01 * len(thumbs) ** 2 / 2
    assert notes["capped_buckets"] == notes["images_with_capped_proposals"] == 0


def test_neither_memory_nor_the_order_of_pictures_decides(thumbs, tmp_path):
    some = thumbs[1500:2100]
    plain, _ = found(some, tmp_path)
    assert plain == found(some, tmp_path, memory=4096)[0]
    order = np.random.default_rng(2).permutation(len(some))
    moved, _ = found(some[order], tmp_path)
    assert plain == {tuple(sorted((int(order[a]), int(order[b])))): value for (a, b), value in moved.items()}


def test_of_look_alikes_without_end_the_most_preferred_are_compared(tmp_path):
    rng = np.random.default_rng(3)
    alike = np.clip(shrunk(surfaces(1, 5)) + rng.integers(-2, 3, (1500, 32, 32)), 0, 255).astype(np.uint8)
    mine, notes = found(alike, tmp_path)
    assert notes["capped_buckets"] >= 1
    assert notes["images_with_capped_proposals"] == len(alike)
    assert notes["compared_pairs"] <= phash_index.ASKED * len(alike)
    assert all((0, number) in mine for number in range(1, len(alike)))


def test_very_many_pictures_that_are_alike_ask_the_index(thumbs, tmp_path):
    """All with all would take closer looks by the square of their number; a few of natural pictures do not ask it."""
    alike = np.clip(shrunk(surfaces(1, 5)) + np.random.default_rng(4).integers(-2, 3, (800, 32, 32)), 0, 255).astype(np.uint8)
    crowded, natural = (phash_index.near_pairs(some, 0.8, Workspace(tmp_path, 1 << 30)) for some in (alike, thumbs[1500:2100]))
    assert crowded.notes["images_with_capped_proposals"] == len(alike) and set(crowded.b.tolist()) == set(range(1, len(alike)))
    assert natural.notes == {"images_compared_with_all_others": 600}
