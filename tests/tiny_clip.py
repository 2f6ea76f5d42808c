"""A CLIP of two layers and random weights that open_clip itself saves and loads: for plumbing only, it knows nothing of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def save_tiny_clip(folder: Path, seed: int = 1) -> Any:
    """Write the model in open_clip's local-dir form; returns it, ready to be asked."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    model = open_clip.CLIP(**CONFIG).eval()
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    config = {"model_cfg": CONFIG, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return model
