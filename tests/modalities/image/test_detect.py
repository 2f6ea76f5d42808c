"""image.detect with a real detector on real photographs: boxes, rules, and a worker that must not use the network."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.columns import fixed_column
from d4a.curator.errors import MachineError, UsageError
from d4a.curator.stage import Machine
from d4a.modalities.image.detect import Detect, upright
from d4a.modalities.image.detect_options import DetectOptions
from d4a.modalities.image.label_forms import coco_json, yolo_text
from d4a.modalities.image.views import parse_view
from PIL import Image
from pydantic import ValidationError

MODEL = "package:nudenet/320n.onnx"
_PACKAGE = find_spec("ultralytics")
ASSETS = Path(_PACKAGE.submodule_search_locations[0] if _PACKAGE else "", "assets")


def boxes_table(*images):
    """A table of `boxes` and `count`, from lists of (class, confidence, area); None: not measured."""
    texts = [
        None if each is None else json.dumps([{"class": n, "confidence": c, "area": a, "box": [0, 0, 1, 1]} for n, c, a in each])
        for each in images
    ]
    return pa.table({"boxes": texts, "count": pa.array([None if each is None else len(each) for each in images], pa.int32())})


def judged(table, **rules):
    """[(reason, value, threshold, detail)], None for the kept."""
    found = Detect(DetectOptions(**rules)).judge(table)
    return [
        None if keep else (found.reasons[found.reason[i]], found.value[i], found.threshold[i], found.detail[i])
        for i, keep in enumerate(found.keep)
    ]


# ---------------------------------------------------------------------------------------- rules, without a model


def test_rules_drop_with_class_count_threshold_and_the_surest_box():
    table = boxes_table([("person", 0.83, 0.21), ("person", 0.4, 0.6)], [("person", 0.3, 0.05)], [], None)
    assert judged(table, drop_if={"person": ">= 2"}) == [("has_person", 2, 2, "person 0.83 area 0.21"), None, None, None]
    sure = {"person": {"count": ">= 1", "confidence": ">= 0.35", "area": ">= 0.5"}}
    assert judged(table, drop_if=sure) == [("has_person", 1, 1, "person 0.40 area 0.6"), None, None, None]


def test_require_drops_what_has_none_or_the_wrong_number():
    table = boxes_table([("traffic light", 0.9, 0.1)] * 3, [("car", 0.5, 0.1), ("car", 0.4, 0.1)], [], None)
    assert judged(table, require={"traffic light": "<= 2", "car": ">= 0"})[0] == (
        "count_of_traffic_light",
        3,
        2,
        "traffic light 0.90 area 0.1",
    )
    assert judged(table, require={"traffic light": ">= 1"}) == [
        None,
        ("no_traffic_light", 0, 1, "saw 2 car"),
        ("no_traffic_light", 0, 1, "nothing was found"),
        None,
    ]


def test_drop_if_can_ask_for_absence():
    assert judged(boxes_table([("cat", 0.9, 0.1)], []), drop_if={"cat": "== 0"}) == [None, ("no_cat", 0, 0, "nothing was found")]


def test_the_first_reason_does_not_depend_on_how_the_recipe_was_ordered():
    table = boxes_table([("cat", 0.9, 0.1), ("dog", 0.9, 0.1)])
    assert judged(table, drop_if={"dog": ">= 1", "cat": ">= 1"}) == judged(table, drop_if={"cat": ">= 1", "dog": ">= 1"})


def test_keep_if_asks_for_one_of_several():
    table = boxes_table([("cat", 0.9, 0.1)], [("dog", 0.9, 0.1), ("cow", 0.3, 0.1)], [("cow", 0.9, 0.1)], [], None)
    wanted = {"cat": ">= 1", "dog": {"confidence": ">= 0.5"}}
    found = judged(table, keep_if=wanted)
    assert [each and (each[0], each[3]) for each in found] == [
        None,
        None,
        ("nothing_wanted", "saw 1 cow"),
        ("nothing_wanted", "nothing was found"),
        None,
    ]
    assert [each and each[0] for each in judged(table, keep_if=wanted, drop_if={"cow": ">= 1"})] == [
        None,
        "has_cow",
        "has_cow",
        "nothing_wanted",
        None,
    ]


def test_presets_drop_bare_skin_and_rules_beside_them_count():
    table = boxes_table([("BUTTOCKS_EXPOSED", 0.6, 0.1)], [("FEMALE_BREAST_EXPOSED", 0.3, 0.1)], [("BELLY_EXPOSED", 0.9, 0.3)])
    reasons = {preset: [each and each[0] for each in judged(table, preset=preset)] for preset in ("nsfw", "nsfw-strict")}
    assert reasons == {
        "nsfw": ["has_buttocks_exposed", None, None],
        "nsfw-strict": ["has_buttocks_exposed", "has_female_breast_exposed", None],
    }
    assert [each and each[0] for each in judged(table, preset="nsfw", drop_if={"BELLY_EXPOSED": ">= 1"})] == [
        None,
        None,
        "has_belly_exposed",
    ]
    assert DetectOptions(preset="nsfw").model == MODEL and DetectOptions(preset="nsfw", model="own.onnx").model == "own.onnx"


def test_label_forms_are_those_of_trainers():
    boxes = [{"class": "dog", "confidence": 0.5, "area": 0.01, "box": [40.0, 10.0, 40.0, 20.0]}]
    assert yolo_text(boxes, {"cat": 0, "dog": 1}, 400, 200) == "1 0.150000 0.100000 0.100000 0.100000\n"
    assert json.loads(coco_json(boxes, {"cat": 0, "dog": 1})) == [
        {"category_id": 1, "bbox": [40.0, 10.0, 40.0, 20.0], "area": 800.0, "iscrowd": 0, "score": 0.5}
    ]


def test_without_rules_everything_stays():
    assert judged(boxes_table([("person", 0.9, 0.9)], [])) == [None, None]


def test_a_rule_below_what_is_recorded_is_refused():
    with pytest.raises(ValidationError, match=r"boxes of confidence 0.1 are not recorded; lower min_confidence, which is 0.25"):
        DetectOptions(drop_if={"person": {"confidence": ">= 0.1"}})
    assert DetectOptions(min_confidence=0.05, drop_if={"person": {"confidence": ">= 0.1"}}).min_confidence == 0.05


def test_keys_know_the_model_but_not_its_folder():
    here, there = (DetectOptions(model=f"{folder}/best.pt").of_kind("measure") for folder in ("/home/a", "/home/b"))
    assert here == there and here["model"] == "best.pt"


def test_boxes_go_back_to_the_pixels_of_the_whole_image():
    names = ("cat", "dog")
    # 400 x 200 in a letterbox of 320: scaled by 0.8 to 320 x 160, 80 rows of padding above
    rows = np.array([[32, 88, 64, 104, 0.5, 1], [0, 80, 320, 240, 0.75, 0], [0, 0, 320, 79, 0.9, 0], [-8, 70, 8, 96, 0.75, 1]], np.float32)
    assert upright(rows, 320, 400, 200, names) == [
        {"class": "cat", "confidence": 0.75, "area": 1.0, "box": [0.0, 0.0, 400.0, 200.0]},
        {"class": "dog", "confidence": 0.75, "area": 0.0025, "box": [0.0, 0.0, 10.0, 20.0]},
        {"class": "dog", "confidence": 0.5, "area": 0.01, "box": [40.0, 10.0, 40.0, 20.0]},
    ]


# ------------------------------------------------------------------------------------------ with a real model


def letterbox(picture, side):
    view = parse_view(f"letterbox{side}").render(picture)
    return np.frombuffer(view, np.uint8).reshape(side, side, 3)


def batch_of(pictures, side):
    columns = {
        f"letterbox{side}": fixed_column(np.stack([letterbox(p, side) for p in pictures])),
        "width": pa.array([p.width for p in pictures], pa.int32()),
        "height": pa.array([p.height for p in pictures], pa.int32()),
    }
    return pa.RecordBatch.from_pydict(columns)


@pytest.fixture(scope="module")
def photographs():
    if _PACKAGE is None or not find_spec("onnxruntime") or not find_spec("nudenet"):  # not imported: d4a must do that in its own way
        pytest.skip("needs the extras detect and standin")
    bus, zidane = (Image.open(ASSETS / name).convert("RGB") for name in ("bus.jpg", "zidane.jpg"))
    return [bus, zidane, Image.new("RGB", (100, 300), (90, 120, 90))]


def opened(**options):
    stage = Detect(DetectOptions(model=MODEL, **options))
    stage.open(stage.prepare(Machine()))
    return stage


@pytest.fixture(scope="module")
def measured(photographs):
    return pa.table(opened().measure(batch_of(photographs, 320)))


@pytest.mark.models
def test_faces_are_found_where_they_are(measured, photographs):
    bus, zidane, empty = (json.loads(text) for text in measured.column("boxes").to_pylist())
    assert measured.column("count").to_pylist() == [len(bus), len(zidane), 0] and empty == []
    (face,) = zidane  # the man on the right
    assert face["class"] == "FACE_MALE" and face["box"] == pytest.approx([898, 129, 167, 157], abs=5)
    assert {box["class"] for box in bus} == {"FEET_COVERED"}
    shoes = [(270, 837), (707, 845)]  # seen by eye; each lies in a box of its own
    assert [sum(x < px < x + w and y < py < y + h for x, y, w, h in (box["box"] for box in bus)) for px, py in shoes] == [1, 1]
    for picture, boxes in zip(photographs, (bus, zidane), strict=False):
        for box in boxes:
            x, y, w, h = box["box"]
            assert x >= 0 and y >= 0 and x + w <= picture.width + 0.1 and y + h <= picture.height + 0.1
            assert box["area"] == pytest.approx(w * h / (picture.width * picture.height), abs=2e-4)
        assert [box["confidence"] for box in boxes] == sorted((box["confidence"] for box in boxes), reverse=True)


@pytest.mark.models
def test_rules_drop_photographs_by_what_is_on_them(measured):
    assert [each and each[0] for each in judged(measured, drop_if={"FACE_MALE": ">= 1"})] == [None, "has_face_male", None]
    assert [each and each[0] for each in judged(measured, require={"FEET_COVERED": ">= 1"})][1:] == ["no_feet_covered"] * 2
    Detect(DetectOptions(preset="nsfw-strict")).prepare(Machine())  # or the model would not know a class
    assert judged(measured, preset="nsfw-strict") == [None] * 3


@pytest.mark.models
def test_the_same_bytes_alone_in_company_and_again(measured, photographs):
    wanted = measured.column("boxes").to_pylist()
    stage = opened(batch_size=3)
    assert [stage.measure(batch_of([p], 320))["boxes"][0].as_py() for p in photographs] == wanted
    assert stage.measure(batch_of(photographs[::-1] * 2, 320))["boxes"].to_pylist() == wanted[::-1] * 2


@pytest.mark.models
def test_boxes_are_those_of_ultralytics_predict(photographs):
    from d4a.models import weights

    stage = opened(min_confidence=0.05)
    squares = [letterbox(p, 320) for p in photographs[:2]]
    found = stage._detector.detect(np.stack(squares), 0.05, 0.7)
    weights.keep_private()
    from ultralytics import YOLO

    peer = YOLO(str(weights.locate(MODEL)), task="detect")
    for square, rows in zip(squares, found, strict=True):
        result = peer.predict(square[:, :, ::-1], imgsz=320, conf=0.05, iou=0.7, verbose=False)[0].boxes.data.numpy()
        assert len(rows) > 1
        np.testing.assert_allclose(rows, result, atol=1e-3)


@pytest.fixture(scope="module")
def checkpoint(photographs, tmp_path_factory):
    """A .pt file of 80 classes with random weights: its boxes mean nothing, but must be the same."""
    from d4a.models import weights

    weights.go_offline()
    import torch
    from ultralytics import YOLO

    torch.manual_seed(3)
    square = letterbox(photographs[0], 320)
    net = YOLO("yolo11n.yaml")
    for layer in net.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0  # one pass sets the scales, else all boxes are equally unlikely
    with torch.no_grad():
        net.model.train()(torch.from_numpy(np.stack([square, square[::-1]])).permute(0, 3, 1, 2) / 255)
    for branch in net.model.eval().model[-1].cv3:
        torch.nn.init.normal_(branch[-1].weight, std=0.3)
    path = tmp_path_factory.mktemp("checkpoint") / "random.pt"
    net.save(path)
    return path


@pytest.mark.models
def test_a_pt_checkpoint_gives_what_ultralytics_gives(photographs, checkpoint):
    from d4a.models import yolo
    from ultralytics import YOLO

    square = letterbox(photographs[0], 320)
    detector = yolo.load(str(checkpoint), "cpu", 2)
    assert len(detector.card.names) == 80
    rows = detector.detect(square[None], 0.25, 0.7)[0]
    rows[:, :4] = rows[:, :4].clip(0, 320)  # predict() cuts boxes at the border; d4a does so later, at the image's own
    result = YOLO(checkpoint).predict(square[:, :, ::-1], imgsz=320, conf=0.25, iou=0.7, verbose=False)[0]
    assert len(rows) > 10
    np.testing.assert_allclose(rows, result.boxes.data.numpy(), atol=0.01)


@pytest.mark.models
def test_persons_and_faces_are_counted_where_the_model_knows_them(measured, photographs, checkpoint):
    assert measured.column("faces").to_pylist() == [0, 1, 0] and measured.column("persons").null_count == 3
    stage = Detect(DetectOptions(model=str(checkpoint), image_px=320))
    stage.open(stage.prepare(Machine()))
    batch = batch_of(photographs[:1], 320)
    (commonest, times), *_ = Counter(box["class"] for box in json.loads(stage.measure(batch)["boxes"][0].as_py())).most_common()
    names = tuple("person" if name == commonest else f"class {name}" for name in stage._detector.card.names)
    stage._detector = replace(stage._detector, card=replace(stage._detector.card, names=names))
    found = stage.measure(batch)
    assert found["persons"].to_pylist() == [times] and found["faces"].to_pylist() == [None]


def test_labels_asked_for_later_cost_no_scan():
    plain, asked = Detect(DetectOptions()), Detect(DetectOptions(labels=["yolo", "coco"]))
    assert plain.options.of_kind("measure") == asked.options.of_kind("measure")
    assert [(value.name, value.type) for value in plain.values] == [(value.name, value.type) for value in asked.values]
    assert {value.packed for value in asked.values} - {value.packed for value in plain.values} == {"yolo", "coco"}


@pytest.mark.models
def test_labels_are_in_every_sample(photographs, tmp_path, d4a):
    (tmp_path / "in").mkdir()
    for name in ("bus.jpg", "zidane.jpg"):
        shutil.copy(ASSETS / name, tmp_path / "in")
    stages = [{"use": "image.decode"}, {"use": "image.detect", "model": MODEL, "labels": ["yolo", "coco"]}]
    recipe = {"name": "x", "image": {"sources": [{"path": "in"}], "stages": stages}, "output": {"path": "out", "order": "input"}}
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    d4a("curate", "r.yaml")
    numeric = json.loads((tmp_path / "out/dataset.json").read_text())["numeric"]["image/image.detect"]
    classes = numeric["classes"].split(", ")
    for sample in samples(tmp_path):
        boxes, coco = sample["boxes"], sample["coco"]
        assert [classes[one["category_id"]] for one in coco] == [box["class"] for box in boxes] != []
        assert [one["bbox"] for one in coco] == [box["box"] for box in boxes]
        lines = [line.split() for line in sample["yolo"].splitlines()]
        assert [int(line[0]) for line in lines] == [one["category_id"] for one in coco]
        for (_, _, _, w, h), box in zip(lines, boxes, strict=True):
            assert float(w) * float(h) == pytest.approx(box["area"], abs=1e-4)


def samples(folder):
    """The .json members of the shard."""
    with tarfile.open(folder / "out/image/train/000000.tar") as tar:
        return [json.load(tar.extractfile(member)) for member in tar.getmembers() if member.name.endswith(".json")]


@pytest.mark.models
def test_image_size_is_the_models_own_unless_asked_for(photographs):
    assert Detect(DetectOptions(model=MODEL)).needs == ("letterbox320", "width", "height")
    assert Detect(DetectOptions(model=MODEL, image_px=640)).needs[0] == "letterbox640"
    assert Detect(DetectOptions()).needs[0] == "letterbox640"


@pytest.mark.models
def test_unknown_classes_are_found_before_the_run(photographs):
    with pytest.raises(UsageError, match="knows no class 'face_male'") as caught:
        opened(drop_if={"face_male": ">= 1"})
    assert "FACE_MALE" in caught.value.hint


@pytest.mark.models
def test_files_that_are_no_detector_are_one_line(photographs, tmp_path):
    for name in ("broken.onnx", "broken.pt"):
        (tmp_path / name).write_bytes(b"not a network")
        with pytest.raises(MachineError, match="not a") as caught:
            Detect(DetectOptions(model=str(tmp_path / name))).prepare(Machine())
        assert "\n" not in caught.value.what


WORKER = """
import sys, json
seen = []
events = "socket.connect socket.getaddrinfo socket.sendto subprocess.Popen os.system os.exec os.posix_spawn os.fork".split()
def watch(event, arguments):
    if event in events and arguments[:1] != ("/sbin/ldconfig",):  # ctypes looking for a library, of torch's
        seen.append(f"{{event}} {{arguments}}")
sys.addaudithook(watch)
sys.path[:0] = [{tests!r}]
from test_detect import Detect, DetectOptions, Image, batch_of
from d4a.curator.stage import Machine
pictures = [Image.open(p).convert("RGB") for p in sys.argv[3:]]
found = []
for model in sys.argv[1:3]:
    stage = Detect(DetectOptions(model=model, image_px=320))
    stage.open(stage.prepare(Machine()))
    found.append(stage.measure(batch_of(pictures, 320))["boxes"].to_pylist())
print(json.dumps([found[0], seen]))
"""


@pytest.mark.models
def test_ultralytics_opens_no_socket_starts_no_process_prints_nothing_and_leaves_home_alone(measured, photographs, checkpoint, tmp_path):
    files = [str(ASSETS / name) for name in ("bus.jpg", "zidane.jpg")]
    program = WORKER.format(tests=str(Path(__file__).parent))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("YOLO_", "HF_", "ORT_"))} | {
        "HOME": str(tmp_path),
        "PYTHONHASHSEED": "7",
    }
    command = [sys.executable, "-c", program, MODEL, str(checkpoint), *files]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    boxes, seen = json.loads(done.stdout)
    assert seen == [] and boxes == measured.column("boxes").to_pylist()[:2] and done.stderr == ""
    written = {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*") if path.is_file()}
    assert written <= {(".cache", "d4a")}  # settings of ultralytics; no identity of onnxruntime's telemetry
