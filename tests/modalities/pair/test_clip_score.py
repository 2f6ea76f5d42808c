"""pair.clip_score: open_clip's own cosines, thresholds on them, exact top fractions, and never a random network."""

import os

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.columns import fixed_column
from d4a.curator.errors import UsageError
from d4a.curator.stage import Machine
from d4a.modalities.pair.clip_score import ClipScore, ClipScoreOptions
from d4a.models import embed_caption
from d4a.models.embed import ClipSpec
from image_makers import scene
from PIL import Image
from pydantic import ValidationError
from tiny_clip import MEAN, STD, save_tiny_clip

CAPTIONS = ["a red car", "two dogs &amp; a frisbee", "", "一只红色的猫", " ".join(["word"] * 70), "A RED car", " ".join(["red"] * 25)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(options of the model, the model itself)."""
    pytest.importorskip("open_clip", reason="needs the extra image")
    folder = tmp_path_factory.mktemp("clip")
    return {"clip": f"local-dir:{folder}"}, save_tiny_clip(folder)


def measured(model, pixels, captions, precision="fp32", **options):
    stage = ClipScore(ClipScoreOptions.model_validate({"model": model, "batch_size": 4, **options}))
    stage.open(stage.prepare(Machine(precision=precision)))
    side = pixels.shape[1]
    return stage.measure(pa.RecordBatch.from_pydict({f"rgb{side}": fixed_column(pixels), "text": pa.array(captions, pa.large_string())}))


def pictures(n, side=32):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


@pytest.mark.models
def test_scores_are_open_clips_own_and_tokens_not_read_are_counted(tiny):
    import open_clip
    import torch

    spec, model = tiny
    pixels = pictures(len(CAPTIONS))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    images = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    tokenizer = open_clip.get_tokenizer(spec["clip"])
    with torch.inference_mode():
        wanted = (model.encode_image(images, normalize=True) * model.encode_text(tokenizer(CAPTIONS), normalize=True)).sum(1)
    found = measured(spec, pixels, CAPTIONS)
    assert len(set(found["score"].to_pylist())) == len(CAPTIONS)
    np.testing.assert_allclose(found["score"].to_numpy(), wanted.numpy(), atol=2e-4)
    assert found["unread_tokens"].to_pylist() == [0, 0, 0, 0, 32, 0, 0]  # of 70, 38 and two marks fit


@pytest.mark.models
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_pair_has_the_same_score_in_any_company(tiny, precision):
    pixels = pictures(len(CAPTIONS))
    together = measured(tiny[0], pixels, CAPTIONS, precision)["score"].to_pylist()
    alone = [measured(tiny[0], pixels[k : k + 1], CAPTIONS[k : k + 1], precision)["score"][0].as_py() for k in range(len(CAPTIONS))]
    assert together == alone


def test_models_that_cannot_read_captions_here_are_refused():
    with pytest.raises(ValidationError, match="is a random network"):
        ClipScoreOptions.model_validate({"model": {"clip": "ViT-B-32"}})
    pytest.importorskip("open_clip", reason="needs the extra image")
    with pytest.raises(UsageError, match="a tokenizer of its own"):
        embed_caption.find(ClipSpec(clip="roberta-ViT-B-32", weights="laion2b_s12b_b32k"))


SCORES = [0.31, 0.10, 0.28, 0.35, 0.28, 0.05, 0.28, 0.20, 0.28, 0.02]


@pytest.mark.parametrize(
    ("options", "kept", "said"),
    [
        ({}, [0, 2, 3, 4, 6, 8], ("clip_score_low", 0.1, 0.28)),
        ({"min_score": 0.3}, [0, 3], ("clip_score_low", 0.1, 0.3)),
        ({"top_fraction": 0.4}, [0, 2, 3, 4], ("not_in_top_fraction", 0.1, 0.28)),  # of four that have 0.28 the first two
        ({"top_fraction": 0.01}, [3], ("not_in_top_fraction", 0.1, 0.35)),
        ({"top_fraction": 0.7, "min_score": 0.25}, [0, 2, 3, 4, 6, 8], ("clip_score_low", 0.1, 0.25)),
        ({"top_fraction": 1.0}, list(range(10)), None),
    ],
)
def test_thresholds_and_fractions(options, kept, said):
    verdict = ClipScore(ClipScoreOptions.model_validate(options)).judge(pa.table({"score": SCORES}))
    assert np.flatnonzero(verdict.keep).tolist() == kept
    if said:
        assert (verdict.reasons[verdict.reason[1]], verdict.value[1], verdict.threshold[1]) == said


def test_a_fraction_is_counted_exactly():
    """0.07 * 100 is more than 7 in binary."""
    stage = ClipScore(ClipScoreOptions.model_validate({"top_fraction": 0.07}))
    assert stage.judge(pa.table({"score": np.arange(100) / 1000})).keep.sum() == 7
    assert stage.judge(pa.table({"score": np.arange(101) / 1000})).keep.sum() == 8


@pytest.mark.models
@pytest.mark.skipif("D4A_CLIP_WEIGHTS" not in os.environ, reason="D4A_CLIP_WEIGHTS names no ViT-B-32 checkpoint, and PyPI has none")
def test_real_clip_prefers_the_caption_that_is_true():
    red, blue = (np.asarray(Image.new("RGB", (224, 224), colour)) for colour in ("red", "blue"))
    drawn = np.asarray(scene(1, (224, 224)))
    captions = ["a plain red square", "a plain blue square", "an abstract picture of many coloured shapes"]
    pixels = np.stack([picture for picture in (red, blue, drawn) for _ in captions])
    model = {"clip": "ViT-B-32", "weights": os.environ["D4A_CLIP_WEIGHTS"]}
    score = measured(model, pixels, captions * 3)["score"].to_numpy().reshape(3, 3)
    assert score.argmax(1).tolist() == [0, 1, 2]
