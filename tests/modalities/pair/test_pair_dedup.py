"""pair.dedup: one survivor of a picture with a caption, however both were copied; neither of them alone is enough."""

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.columns import fixed_column
from d4a.curator.dedup.keepers import choose_keepers
from d4a.modalities.image import phash_index
from d4a.modalities.pair import dedup
from d4a.modalities.pair.dedup import PairDedup, PairDedupOptions
from entered_pictures import Reached
from image_makers import encode, scene
from PIL import Image

SURF = "A man riding a wave on top of a surfboard"


def grey(picture):
    return np.asarray(picture.convert("L").resize((64, 64), Image.Resampling.BOX))


def reached(stage, pairs, **others):
    """`pairs`: (picture, caption, JPEG quality) of each record."""
    files = [encode(picture, quality=quality) for picture, _, quality in pairs]
    texts = pa.array([caption for _, caption, _ in pairs], pa.large_string())
    batch = pa.RecordBatch.from_pydict({"gray64": fixed_column(np.stack([grey(picture) for picture, _, _ in pairs])), "text": texts})
    digest = np.array([np.frombuffer(data[:200] + data[-200:], np.uint8).astype(np.uint64).cumsum()[[-2, -1]] for data in files])
    sizes = pa.array([len(data) for data in files])
    return Reached({**stage.sketch(batch), "digest": fixed_column(digest), "payload_bytes": sizes}, others)


def twins(pairs, others=None, **options):
    """index of every dropped record -> (index of its twin, similarity)."""
    stage = PairDedup(PairDedupOptions.model_validate(options))
    entered = reached(stage, pairs, **(others or {}))
    found = stage.pairs(entered)
    assert len({(min(a, b), max(a, b)) for a, b in zip(found.a, found.b, strict=True)}) == len(found.a)
    kept = choose_keepers(found.a, found.b, found.similarity, stage.order(entered), stage.threshold)
    return {int(k): (int(kept.twin[k]), round(float(kept.similarity[k]), 4)) for k in np.flatnonzero(kept.twin >= 0)}


@pytest.fixture(scope="module")
def pairs():
    one, two = scene(1), scene(2)
    return [
        (one, SURF, 90),
        (one, "a MAN riding a wave, on top of a surfboard!", 90),  # the same words
        (one.resize((160, 120)), SURF + " at sea", 60),  # two words more
        (one, "Aerial view of a beach", 90),  # another caption of the picture
        (two, SURF, 90),  # the caption of another picture
        (two, SURF, 50),
    ]


def test_picture_and_caption_must_both_be_the_same(pairs):
    """The longest caption stays, of equal ones the larger file."""
    assert twins(pairs) == {0: (2, 0.8), 1: (2, 0.8), 5: (4, 1.0)}
    assert twins(pairs, threshold=1.0) == {1: (0, 1.0), 5: (4, 1.0)}
    assert twins(pairs, image="exact") == {1: (0, 1.0)}


def test_the_caption_that_fits_best_stays(pairs):
    score = pa.array([0.2, 0.3, 0.25, 0.1, None, 0.01])
    assert twins(pairs, {"pair.clip_score.score": score}) == {0: (1, 1.0), 2: (1, 0.8), 4: (5, 1.0)}
    assert twins(pairs, {"pair.clip_score.score": score}, keep="first") == {1: (0, 1.0), 2: (0, 0.8), 5: (4, 1.0)}


def test_pictures_without_structure_are_told_apart_by_their_bytes():
    white, grey_one = Image.new("RGB", (80, 80), "white"), Image.new("RGB", (80, 80), "grey")
    assert twins([(white, "an empty page", 90), (white, "an empty page", 90), (grey_one, "an empty page", 90)]) == {1: (0, 1.0)}


def test_every_pair_of_many_copies_is_found_as_by_comparing_all():
    """Forty records of four pictures, each in two sizes, under captions of a few words."""
    rng = np.random.default_rng(5)
    scenes = [one for seed in range(4) for one in (scene(seed), scene(seed).resize((200, 150)))]
    captions = [" ".join(rng.choice(["red", "car", "dog", "on", "a", "road"], 5)) for _ in range(12)]
    many = [(scenes[rng.integers(8)], captions[rng.integers(12)], 90) for _ in range(40)]
    found = twins(many, threshold=0.6)
    words = [set(caption.split()) for _, caption, _ in many]
    number = [next(k for k, one in enumerate(scenes) if one is picture) // 2 for picture, _, _ in many]
    alike = {
        (a, b): len(words[a] & words[b]) / len(words[a] | words[b])
        for a in range(40)
        for b in range(40)
        if a != b and number[a] == number[b]
    }
    stayed = [k for k in range(40) if k not in found]
    assert not [(a, b) for a in stayed for b in stayed if alike.get((a, b), 0) >= 0.6]
    for one, (twin, similarity) in found.items():
        assert twin in stayed and similarity == round(alike[one, twin], 4) >= 0.6


def test_a_threshold_moves_above_pairs_from_without_a_new_search():
    def key(**options):
        return PairDedup(PairDedupOptions.model_validate(options)).search_key()

    assert key(threshold=0.7) == key(threshold=0.9) != key(threshold=0.4)
    assert key(keep="first") != key() != key(image_threshold=0.95)


def test_a_picture_of_many_captions_is_compared_with_those_that_are_preferred(monkeypatch):
    """With three of them: a fourth is still dropped for one of these, and pictures alike are compared both ways."""
    monkeypatch.setattr(dedup, "_MOST", 3)
    one, small = scene(1), scene(1).resize((160, 120))
    longest = ["a b c d e f g h", "i j k l m n o", "q r s t u v"]
    many = [(one, caption, 90) for caption in [*longest, "w x y z", "q r s t u"]]
    assert twins(many) == {4: (2, 0.8333)}
    assert twins([*many, (small, "w x y z", 90), (small, "i j k l m n", 90)]) == {4: (2, 0.8333), 5: (3, 1.0), 6: (1, 0.8571)}


def test_an_index_of_pictures_finds_what_comparing_all_finds(pairs, monkeypatch):
    found = twins(pairs)
    monkeypatch.setattr(phash_index, "EXACT_UP_TO", 0)
    assert twins(pairs) == found
