"""Fast Similarity Sketching on a card: one block of threads a document, bins in shared memory, the same bits as modalities/text/fss.py.

Shingles are hashed anew in every round: a few products, where keeping them would cost memory traffic. In numba's simulator
(NUMBA_ENABLE_CUDASIM=1) it runs without a card, a thread at a time; it has not run on one. It can gain the sketch's share of a scan and
no more: texts are cut into tokens on the CPU all the same.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from numba import cuda as _cuda
from numba import uint64

cuda = cast(Any, _cuda)  # which has no types
Hashes = npt.NDArray[np.uint64]

BINS = 256
_THREADS = 128  # of a block
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_TO_BIN, _TO_VALUE, _32 = np.uint64(56), np.uint64(24), np.uint64(32)
_VALUE = np.uint64(0xFFFFFFFF)
_0 = np.uint64(0)


def sketch(
    hashes: Hashes, offsets: npt.NDArray[np.int64], fingerprints: Hashes, ngram: int, base: np.uint64, mix: np.uint64, rounds: Hashes,
    threads: int = _THREADS,
) -> npt.NDArray[np.uint32]:  # fmt: skip
    """Sketches of the sets of shingles, `ngram` consecutive tokens each.

    hashes        (m,) uint64      tokens of n documents, one behind the other
    offsets       (n + 1,) int64   document i has hashes[offsets[i]:offsets[i + 1]]
    fingerprints  (n,) uint64      the one shingle of a document of fewer tokens
    base, mix     order within a shingle, and its last multiplier
    rounds        (512,) uint64    a multiplier a round
    threads       of a block; no result depends on it
    returns       (n, 256) uint32
    """
    count = len(fingerprints)
    if not count:
        return np.empty((0, BINS), np.uint32)
    out = cuda.device_array((count, BINS), np.uint32)
    arrays = [cuda.to_device(np.ascontiguousarray(array)) for array in (hashes, offsets, fingerprints, rounds)]
    # a column of no tokens has no memory to point at
    arrays[0] = arrays[0] if len(hashes) else cuda.to_device(np.zeros(1, np.uint64))
    _sketch[count, threads](*arrays, np.int64(ngram), base, mix, out)
    found: npt.NDArray[np.uint32] = out.copy_to_host()
    return found


@cuda.jit  # type: ignore[untyped-decorator]
def _sketch(hashes: Any, offsets: Any, fingerprints: Any, rounds: Any, ngram: Any, base: Any, mix: Any, out: Any) -> None:
    bins = cuda.shared.array(BINS, uint64)
    document, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    first, tokens = offsets[document], offsets[document + 1] - offsets[document]
    count = tokens - ngram + 1 if tokens >= ngram and tokens > 0 else 1
    for bin_ in range(thread, BINS, threads):
        bins[bin_] = _EMPTY
    cuda.syncthreads()
    full = 0
    number = _0
    for turn in range(BINS):  # `full` is the same for all threads: none waits for another that left
        if not full:
            mark, multiplier = number << _32, rounds[turn]
            for k in range(thread, count, threads):
                y = _shingle(hashes, first + k, tokens, fingerprints[document], ngram, base, mix) * multiplier
                cuda.atomic.min(bins, np.int64(y >> _TO_BIN), mark | (y >> _TO_VALUE & _VALUE))
            cuda.syncthreads()
            own = 1
            for bin_ in range(thread, BINS, threads):
                own &= 0 if bins[bin_] == _EMPTY else 1
            full = cuda.syncthreads_and(own)
        number += np.uint64(1)
    for bin_ in range(thread, BINS, threads):
        if bins[bin_] == _EMPTY:  # rounds 256 .. 511: everything into one bin
            for k in range(count):
                y = _shingle(hashes, first + k, tokens, fingerprints[document], ngram, base, mix) * rounds[BINS + bin_]
                bins[bin_] = min(bins[bin_], y >> _TO_VALUE & _VALUE)
        out[document, bin_] = np.uint32(bins[bin_] & _VALUE)


@cuda.jit(device=True, inline="always")  # type: ignore[untyped-decorator]
def _shingle(hashes: Any, at: Any, tokens: Any, fingerprint: Any, ngram: Any, base: Any, mix: Any) -> Any:
    """The hash of the shingle that begins at a token; of a document of fewer tokens its fingerprint."""
    if tokens < ngram or tokens == 0:
        return fingerprint
    state = _0
    for k in range(ngram):
        state = state * base + hashes[at + k]
    return (state ^ (state >> _32)) * mix
