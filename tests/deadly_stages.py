"""A package of another author whose stages crash on records that say so: `kill SIGSEGV`, `raise`, `sleep`, `eat`."""

from __future__ import annotations

from pathlib import Path

MODULE = '''
import os
import re
import signal
import time

import pyarrow as pa

from d4a.curator.options import Options
from d4a.curator.stage import Filter, Rule, Value

ORDER = re.compile(r"please (kill|raise|sleep|eat|once) ?([A-Z]*)")


def obey(verb, word, path):
    if verb == "kill":
        os.kill(os.getpid(), getattr(signal, word))
    if verb == "raise":
        raise ValueError(f"what is this? {object()}")
    if verb == "sleep":
        time.sleep(1000)
    if verb == "eat":
        held = bytearray(1 << 30)
        held[:: 4096] = bytes(len(held[:: 4096]))
        time.sleep(1000)
    if verb == "once" and not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)


class Deadly(Filter):
    """Does what texts ask for."""

    name = "text.acme.deadly"
    Options = Options
    values = (Value("length", pa.int64(), "characters"),)

    def measure(self, batch):
        texts = batch.column("text").to_pylist()
        for text in texts:
            if found := ORDER.search(text):
                obey(*found.groups(), __file__ + ".once")
        return {"length": pa.array(map(len, texts), pa.int64())}

    def rules(self):
        return []
'''


def install(folder: Path) -> dict[str, str]:
    """Write the module and its metadata, as pip would; returns the environment in which it is installed."""
    info = folder / "deadly_stages-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "deadly_stages.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly-stages\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[d4a.stages]\ntext.acme.deadly = deadly_stages:Deadly\n")
    return {"PYTHONPATH": str(folder)}
