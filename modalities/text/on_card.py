"""Sketches by a card, or by the kernels of fss.py and minhash.py: the same bits, so no key knows of it.

MinHash goes to cuDF, for windows of characters only: words are cut on the CPU, and hashing them is the smaller part of that. Fast
Similarity Sketches are a kernel of d4a's own over words cut on the CPU, so little is gained: a core cuts 660 MB/s and sketches 1,760.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.backends import rapids
from ...curator.backends.device import COMPARED, Backend, Choice, choose, compare_once
from ...curator.errors import MachineError
from .fss import BASE, MIX, ROUNDS, Signatures, signatures
from .minhash import Permutations, Units, minhash
from .tokens import Tokens


def who_sketches(device: str) -> Choice:
    """Who computes Fast Similarity Sketches on a machine with this device, and why."""
    return choose(device, "numba_cuda")


def sketches_by(backend: Backend, tokens: Tokens, ngram: int) -> Signatures:
    """The sketches of `signatures`, whoever computes them. Raises MachineError where the card fails, or computes something else."""
    if backend == "cpu":
        return signatures(tokens, ngram)
    found = _by_card(len(tokens.fingerprints), lambda: _sketched(tokens, ngram))
    few = min(len(found), COMPARED)
    if few:
        some = Tokens(tokens.hashes[: tokens.offsets[few]], tokens.offsets[: few + 1], tokens.fingerprints[:few])
        compare_once("Fast Similarity Sketches", found[:few], lambda: signatures(some, ngram))
    return found


def _sketched(tokens: Tokens, ngram: int) -> Signatures:
    from ...curator.backends.sketch_cuda import sketch

    return sketch(*tokens, ngram, BASE, MIX, ROUNDS)


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
        narrow = texts.take(pa.array(there)) if len(here) else texts
        out[there] = _by_card(len(there), lambda: rapids.minhash(narrow, window, *permutations))
        some = pa.array(there[:COMPARED])
        what = f"MinHash signatures of {8 * out.itemsize} bits"
        compare_once(what, out[there[:COMPARED]], lambda: minhash(texts.take(some), units, window, permutations))
    if len(here):
        out[here] = minhash(texts.take(pa.array(here)), units, window, permutations)
    return out


def _by_card(texts: int, work: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    try:
        return work()
    except Exception as error:  # of the driver, of RMM, of cuDF, of Numba: each has its own kind
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = "fewer --workers leave each more of the card's memory; --device cpu gives the same signatures"
        raise MachineError(f"the card failed to sketch {texts:,} texts: {first}", hint=hint) from error
