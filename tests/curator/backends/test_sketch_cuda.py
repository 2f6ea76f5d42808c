"""The card's sketch in numba's simulator, which has to be chosen before numba is imported: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

# a text without a token is one shingle, so bins stay empty to the end; a barrier costs the simulator a millisecond: one such text is enough
PROGRAM = """
import numpy as np
import pyarrow as pa
from d4a.curator.backends.sketch_cuda import sketch
from d4a.curator.stage import Facts
from d4a.modalities.text import fss
from d4a.modalities.text.fuzzy import FuzzyText
from d4a.modalities.text.fuzzy_options import FuzzyOptions
from d4a.modalities.text.tokens import Tokens

random = np.random.default_rng(1)
for ngram, threads, sizes in ((5, 2, [1500, 40, 0]), (1, 3, [300, 90]), (5, 2, [])):
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    tokens = Tokens(random.integers(0, 2**64, offsets[-1], np.uint64), offsets, random.integers(0, 2**64, len(sizes), np.uint64))
    expected = fss.signatures(tokens, ngram)
    found = sketch(*tokens, ngram, fss.BASE, fss.MIX, fss.ROUNDS, threads=threads)
    print(found.dtype, found.shape == expected.shape == (len(sizes), 256), np.array_equal(found, expected), len(np.unique(expected)))

texts = pa.array([" ".join(f"w{k * k % 997}" for k in range(1200)), None], pa.large_string())
for some in (texts[:1], texts[:0]):
    sketched = []
    for who in ("cpu", "rapids"):
        stage = FuzzyText(FuzzyOptions())
        stage.open(Facts(local={"backend": who}))
        sketched.append(stage.sketch(pa.record_batch({"text": some})))
    print(sketched[0] == sketched[1], len(sketched[0]["signature"]))

"""


def test_the_card_sketches_as_the_cpu_does() -> None:
    command = [sys.executable, "-W", "ignore::RuntimeWarning", "-c", PROGRAM]  # NumPy warns of products that wrap
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"})
    told = ["uint32 True True 768", "uint32 True True 512", "uint32 True True 0", "True 1", "True 0", ""]
    assert done.stdout.split("\n") == told, done.stdout + done.stderr


COMPILED = """
from d4a.curator.backends import sketch_cuda
from numba import cuda, types

longs, offsets, out = (types.Array(kind, rank, "C") for kind, rank in ((types.uint64, 1), (types.int64, 1), (types.uint32, 2)))
given = (longs, offsets, longs, longs, types.int64, types.uint64, types.uint64, out)
code, _ = cuda.compile_ptx(sketch_cuda._sketch.py_func, given, cc=(9, 0))
print("atom.shared.min.u64" in code, ".local" in code, "f64" in code)
"""


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs numba-cuda with its compiler; no card")
def test_the_kernel_compiles_for_a_card_in_whole_numbers_alone() -> None:
    """64 unsigned bits beside a signed word become floating point in Numba, which no simulator shows."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=300)
    assert done.stdout == "True False False\n", done.stdout + done.stderr
