"""A driver of NVIDIA's where there is none: it counts a card, and can do no more."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = """
int cuInit(int flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDriverGetVersion(int *version) { *version = %d; return 0; }
"""


def with_driver(folder: Path, version: int = 13000) -> dict[str, str]:
    """This environment, with a driver in `folder` that runs CUDA of this version."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to make a driver with")
    folder.mkdir(exist_ok=True)
    (folder / "driver.c").write_text(SOURCE % version)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "libcuda.so.1", folder / "driver.c"], check=True)
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}
