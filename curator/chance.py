"""Keyed hashes: every draw of d4a (split, order, sample) rests on seed, content and key, and on no generator's state.

So a record draws the same number whatever is added or taken away beside it. One hash a record in Python costs a microsecond; a
mixing function over arrays would be quicker, and another definition to keep for ever.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt


def keyed_hashes(purpose: str, seed: int, *columns: list[Any]) -> npt.NDArray[np.uint64]:
    """(n,) uint64 keyed by purpose and seed: the only source of chance in d4a. Columns hold bytes."""
    start = hashlib.blake2b(f"{purpose}\0{seed}\0".encode(), digest_size=8)
    found = []
    for parts in zip(*columns, strict=True):
        hashed = start.copy()
        for part in parts:
            hashed.update(len(part).to_bytes(4, "little") + part)
        found.append(hashed.digest())
    return np.frombuffer(b"".join(found), "<u8")
