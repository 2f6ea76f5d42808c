"""MinHash signatures by cuDF on a card, or by the kernel of minhash.py: the same bits, so a signature's key knows nothing of it.

Only windows of characters go to the card: words are cut on the CPU, and hashing them is the smaller part of that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.backends import rapids
from ...curator.backends.device import COMPARED, Backend, Choice, choose, compare_once
from ...curator.errors import MachineError
from .minhash import Permutations, Units, minhash


def who_hashes(device: str, units: Units, window: int) -> Choice:
    """Who computes such signatures on a machine with this device, and why."""
    if units != "characters":
        return Choice("cpu", "words are cut on the CPU, and hashing them is the smaller part of that")
    if window < 2:
        return Choice("cpu", "cuDF takes windows of two characters or more")
    return choose(device, "cudf")


def minhash_by(backend: Backend, texts: pa.Array, units: Units, window: int, permutations: Permutations) -> npt.NDArray[Any]:
    """The signatures of `minhash`, whoever computes them. Raises MachineError where the card fails, or computes something else."""
    if backend == "cpu":
        return minhash(texts, units, window, permutations)
    wide = pc.fill_null(pc.binary_length(texts), 0).to_numpy() >= rapids.WIDE
    there, here = np.flatnonzero(~wide), np.flatnonzero(wide)
    out = np.empty((len(texts), len(permutations.a)), permutations.a.dtype)
    if len(there):
        out[there] = _on_card(texts.take(pa.array(there)) if len(here) else texts, window, permutations)
        some = pa.array(there[:COMPARED])
        what = f"MinHash signatures of {8 * out.itemsize} bits"
        compare_once(what, out[there[:COMPARED]], lambda: minhash(texts.take(some), units, window, permutations))
    if len(here):
        out[here] = minhash(texts.take(pa.array(here)), units, window, permutations)
    return out


def _on_card(texts: pa.Array, window: int, permutations: Permutations) -> npt.NDArray[Any]:
    try:
        return rapids.minhash(texts, window, *permutations)
    except Exception as error:  # of the driver, of RMM, of cuDF: each has its own kind
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = "fewer --workers leave each more of the card's memory; --device cpu gives the same signatures"
        raise MachineError(f"the card failed to hash {len(texts):,} texts: {first}", hint=hint) from error
