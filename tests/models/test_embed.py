"""Embeddings: the same as the library's own, the same in any company, never from a random network."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from d4a.curator.errors import MachineError, UsageError
from d4a.models import embed
from d4a.models.embed import ClipSpec, EfficientNetSpec
from PIL import Image
from pydantic import ValidationError

pytestmark = pytest.mark.models
torch = pytest.importorskip("torch", reason="needs the extra image")
open_clip = pytest.importorskip("open_clip", reason="needs the extra image")

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 300, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A two-layer CLIP of random weights in open_clip's local-dir form: (spec, the model itself)."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(1)
    model = open_clip.CLIP(**CONFIG).eval()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    config = {"model_cfg": CONFIG, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return ClipSpec(clip=f"local-dir:{folder}"), model


def photograph(name):
    """One of the two that ultralytics brings; found without importing it."""
    found = find_spec("ultralytics")
    if found is None:
        pytest.skip("needs the extra detect, for its two photographs")
    return Image.open(Path(found.submodule_search_locations[0]) / "assets" / name).convert("RGB")


def load(spec, precision="fp32", batch=4):
    return embed.load(spec, str(embed.find(spec).path), precision, "cpu", batch)


def pictures(n, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_shape_is_known_from_the_configuration_alone(tiny):
    assert embed.shape(tiny[0]) == (32, 24)
    assert embed.shape(EfficientNetSpec(efficientnet="lite0")) == (224, 1280)
    assert embed.shape(ClipSpec(clip="ViT-L-14-336", weights="openai")) == (336, 768)


def test_embedding_is_open_clips_own(tiny):
    """And in bf16 bit for bit what autocast makes of it, though weights are rounded once and not for every batch."""
    spec, model = tiny
    pixels = pictures(4, 32)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    images = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        wanted = model.encode_image(images, normalize=True).numpy()
        with torch.autocast("cpu", torch.bfloat16):
            rounded = torch.nn.functional.normalize(model.encode_image(images).float(), dim=-1).half().numpy()
    found = load(spec).embed(pixels)
    assert found.dtype == np.float16 and found.shape == (4, 24)
    np.testing.assert_allclose(found, wanted, atol=6e-4)  # float16 has 11 bits
    np.testing.assert_allclose(np.linalg.norm(found.astype(float), axis=1), 1, atol=2e-3)
    coarse = load(spec, "bf16").embed(pixels)
    assert coarse.tobytes() == rounded.tobytes() != found.tobytes()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["tiny", "lite0"])
def test_an_image_gives_the_same_bytes_in_any_company(kind, precision, tiny):
    if kind == "lite0":
        pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra standin")
    spec = tiny[0] if kind == "tiny" else EfficientNetSpec(efficientnet="lite0")
    model = load(spec, precision)
    five, strangers = pictures(5, model.size), pictures(6, model.size, seed=9)
    alone = [model.embed(five[i : i + 1])[0].tobytes() for i in range(5)]
    assert len(set(alone)) == 5
    mixed = np.concatenate([strangers[:3], five[[4, 2, 0]], strangers[3:], five[[1, 3]]])
    among = model.embed(mixed)[[5, 9, 4, 10, 3]]
    assert [row.tobytes() for row in among] == alone


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_threads_of_torch_change_no_byte(precision, tiny):
    """Three would: of EfficientNet in fp32."""
    specs = [tiny[0], *([EfficientNetSpec(efficientnet="lite0")] if find_spec("efficientnet_lite_pytorch") else [])]
    for spec in specs:
        model, found = load(spec, precision), []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(model.embed(pictures(5, model.size)).tobytes())
        assert len(set(found)) == 1


def test_standin_tells_one_photograph_from_another():
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra standin")
    bus, zidane = photograph("bus.jpg"), photograph("zidane.jpg")
    small = bus.resize((bus.width // 3, bus.height // 3))
    flipped = bus.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.stack([np.asarray(picture.resize((224, 224))) for picture in (bus, small, flipped, zidane)])
    found = load(EfficientNetSpec(efficientnet="lite0")).embed(pixels).astype(float)
    near, flip, far = found[1:] @ found[0]
    assert near > 0.97 and flip > 0.9 and far < 0.5


def test_named_model_loads_weights_from_a_file(tmp_path):
    name = "ViT-S-32-alt"  # the smallest that open_clip brings
    torch.manual_seed(2)
    model = open_clip.create_model(name).eval()
    path = tmp_path / "weights.pt"
    torch.save(model.state_dict(), path)
    loaded = load(ClipSpec(clip=name, weights=str(path)))
    path.unlink()  # 140 MB
    pixels = pictures(1, 224)
    config = open_clip.get_model_preprocess_cfg(model)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    images = (images - torch.tensor(config["mean"]).view(3, 1, 1)) / torch.tensor(config["std"]).view(3, 1, 1)
    with torch.inference_mode():
        wanted = model.encode_image(images, normalize=True).numpy()
    np.testing.assert_allclose(loaded.embed(pixels), wanted, atol=6e-4)


def test_random_networks_are_refused():
    with pytest.raises(ValidationError, match="`weights` is missing: without it ViT-B-32 is a random network"):
        ClipSpec(clip="ViT-B-32")


def test_weights_of_another_model_are_one_line(tiny, tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"nothing": torch.zeros(1)}, path)
    with pytest.raises(MachineError, match="the weights do not load as") as caught:
        load(ClipSpec(clip="ViT-S-32-alt", weights=str(path)))
    assert "\n" not in caught.value.what and caught.value.where == str(path)


def test_unknown_model_names_get_a_suggestion():
    with pytest.raises(UsageError, match="open_clip has no model 'ViT-B32'") as caught:
        embed.find(ClipSpec(clip="ViT-B32", weights="openai"))
    assert "ViT-B-32" in caught.value.hint


@pytest.mark.skipif("D4A_CLIP_WEIGHTS" not in os.environ, reason="D4A_CLIP_WEIGHTS names no ViT-B-32 checkpoint, and PyPI has none")
def test_real_clip_tells_one_photograph_from_another():
    bus, zidane = photograph("bus.jpg"), photograph("zidane.jpg")
    pixels = np.stack([np.asarray(picture.resize((224, 224))) for picture in (bus, bus.resize((200, 270)), zidane)])
    found = load(ClipSpec(clip="ViT-B-32", weights=os.environ["D4A_CLIP_WEIGHTS"])).embed(pixels).astype(float)
    assert found[0] @ found[1] > 0.97 and found[0] @ found[2] < 0.8
