"""image.dedup.semantic: near copies found by a real network, and a search that threshold changes do not repeat."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.columns import fixed_column, fixed_rows
from d4a.curator.errors import MachineError, RecipeError
from d4a.curator.load.files import load
from d4a.curator.stage import Machine
from d4a.modalities.image.semantic import SemanticImage, SemanticOptions
from entered_pictures import Reached
from PIL import Image
from pydantic import ValidationError

LITE0 = {"efficientnet": "lite0"}


def photograph(name):
    """One of the two that ultralytics brings; found without importing it."""
    found = find_spec("ultralytics")
    if found is None:
        pytest.skip("needs the extra detect, for its two photographs")
    return Image.open(Path(found.submodule_search_locations[0]) / "assets" / name).convert("RGB")


def stage(**options):
    return SemanticImage(SemanticOptions.model_validate({"model": LITE0, **options}))


def test_needs_and_sketch_follow_the_model():
    assert stage().needs == ("rgb224",)
    assert stage().values[0].type == pa.binary(2560) and stage().values[0].sketch


@pytest.mark.models
@pytest.mark.skipif(find_spec("open_clip") is None, reason="needs the extra image")
def test_a_plan_knows_what_a_clip_model_needs_without_importing_torch():
    code = """import sys
from d4a.modalities.image.semantic import SemanticImage, SemanticOptions
stage = SemanticImage(SemanticOptions.model_validate({"model": {"clip": "ViT-L-14-336", "weights": "openai"}}))
print(stage.needs[0], stage.values[0].type.byte_width, {"torch", "open_clip"} & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["rgb336", "1536", "set()"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"clip": "ViT-B-32"}, "`weights` is missing: without it ViT-B-32 is a random network"),
        ({"clip": "local-dir:/m", "weights": "openai"}, "brings its own weights"),
        ({"efficientnet": "b7"}, "Input should be 'lite0'"),
        ({"clip": "ViT-B-32", "wieghts": "openai"}, "Extra inputs are not permitted"),
    ],
)
def test_mistakes_in_the_model_are_told_once(model, message):
    with pytest.raises(ValidationError, match=message):
        SemanticOptions.model_validate({"model": model})


def test_options_survive_the_plan_and_keys_leave_folders_out():
    options = SemanticOptions.model_validate({"model": {"clip": "ViT-B-32", "weights": "/home/a/vit.pt"}})
    assert SemanticOptions.model_validate(options.model_dump(mode="json")) == options
    assert options.of_kind("measure")["model"] == {"clip": "ViT-B-32", "weights": "vit.pt"}
    assert SemanticOptions().of_kind("measure")["model"] == {"clip": "ViT-B-32", "weights": "laion2b_s34b_b79k"}


def test_a_threshold_moves_above_pairs_from_without_a_new_search():
    assert stage(threshold=0.95).search_key() == stage(threshold=0.91).search_key()
    assert stage(threshold=0.85).search_key() != stage(threshold=0.95).search_key()


def test_larger_pictures_are_preferred_then_more_bytes_then_input_order():
    own = {"payload_bytes": pa.array([10, 30, 30, 20])}
    sizes = {"image.decode.width": pa.array([100, 20, 20, 20], pa.int32()), "image.decode.height": pa.array([9, 30, 30, 30], pa.int32())}
    assert stage().preference(Reached(own, sizes)).tolist() == [0, 1, 2, 3]
    assert stage().preference(Reached(own, {})).tolist() == [1, 2, 3, 0]


def test_pairs_reach_down_to_the_floor_and_say_their_cosine():
    axes = np.eye(3, 1280)
    vectors = np.stack([axes[0], axes[1], 0.92 * axes[0] + np.sqrt(1 - 0.92**2) * axes[2], axes[1]]).astype(np.float16)
    reached = Reached({"embedding": fixed_column(vectors), "payload_bytes": pa.array([1] * 4)}, {})
    found = stage(threshold=0.95).pairs(reached)
    assert list(zip(found.a.tolist(), found.b.tolist(), strict=True)) == [(0, 2), (1, 3)]
    assert found.similarity.tolist() == [pytest.approx(0.92, abs=1e-3), 1.0]
    assert stage(threshold=0.95, pairs_from=0.95).pairs(reached).a.tolist() == [1]


@pytest.mark.models
def test_missing_weights_are_told_when_the_plan_is_made(tmp_path):
    pytest.importorskip("open_clip", reason="needs the extra image")
    with pytest.raises(MachineError, match="no CLIP weights at"):
        stage(model={"clip": "ViT-B-32", "weights": str(tmp_path / "none.pt")}).prepare(Machine())


@pytest.mark.models
def test_a_crop_and_a_small_copy_are_found_and_another_photograph_is_not():
    pytest.importorskip("torch", reason="needs the extra image")
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra standin")
    bus, zidane = photograph("bus.jpg"), photograph("zidane.jpg")
    crop = bus.crop((20, 30, bus.width - 20, bus.height - 30))
    pictures = [zidane, bus, crop, bus.resize((270, 360))]
    pixels = np.stack([np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC)) for picture in pictures])
    batch = pa.RecordBatch.from_pydict({"rgb224": fixed_column(pixels)})

    worker = stage(threshold=0.9, pairs_from=0.8)
    facts = worker.prepare(Machine())
    assert set(facts.numeric) == {"weights", "precision", "device", "torch", "efficientnet_lite_pytorch"}
    assert "/" not in "".join(facts.numeric.values())
    worker.open(facts)
    sketch = worker.sketch(batch)
    assert fixed_rows(sketch["embedding"], np.float16, (1280,)).shape == (4, 1280)
    found = worker.pairs(Reached({**sketch, "payload_bytes": pa.array([1] * 4)}, {}))
    near = found.similarity >= worker.threshold
    alike = set(zip(found.a[near].tolist(), found.b[near].tolist(), strict=True))
    assert alike == {(1, 2), (1, 3), (2, 3)}


@pytest.mark.parametrize(("name", "form"), [("efficientnet-lite0", "{efficientnet: lite0}"), ("ViT-B-32", "{clip: ViT-B-32}")])
def test_a_bare_name_of_a_model_is_told_its_form(tmp_path, name, form):
    stages = f"[{{use: image.decode}}, {{use: image.dedup.semantic, model: {name}}}]"
    (tmp_path / "r.yaml").write_text(f"name: x\nimage: {{sources: [{{path: in}}], stages: {stages}}}\noutput: {{path: out}}\n")
    with pytest.raises(RecipeError, match=f"write `{form}`"):
        load(str(tmp_path / "r.yaml"))
