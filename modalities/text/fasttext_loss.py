"""fastText's losses: from the average of a text's rows to its best label and that label's probability.

The formulas are those of facebookresearch/fastText's loss.cc, quirks included, because thresholds of recipes were chosen on its
scores: every probability gets 1e-5 before its logarithm, and one-vs-all reads the logistic function from a table.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import part
from ...curator.stage import Floats
from .fasttext import Matrix
from .langid import exponential

Indices = npt.NDArray[np.int32]

_NOT_ZERO = 1e-5
_SIGMOIDS = 512  # steps of the table, over [-8, 8]


def sigmoid_table() -> Floats:
    """(513,) float64: fastText's table of the logistic function, of float32 numbers."""
    return np.array([1 / (1 + math.exp(8 - k / 32)) for k in range(_SIGMOIDS + 1)]).astype(np.float32).astype(np.float64)


@part
def score(hidden: Floats, outputs: Matrix, scores: Floats) -> None:
    """A number for each label, or for each inner node of the tree."""
    scores[:] = 0
    for k in range(len(outputs)):
        for j in range(len(scores)):
            scores[j] += hidden[k] * outputs[k, j]


@part
def descend(scores: Floats, children: Indices, waiting: Indices, reached: Floats) -> tuple[np.int64, float]:
    """The leaf of the greatest probability, depth first, left before right, and of equals the last: fastText's order."""
    leaves = (len(children) + 1) // 2
    waiting[0], reached[0], depth = len(children) - 1, 1.0, 1
    best, most = np.int64(-1), -1.0
    while depth:
        depth -= 1
        node, share = waiting[depth], reached[depth]
        if share < most:
            continue
        if children[node, 0] < 0:
            best, most = np.int64(node), share
            continue
        right = _sigmoid(scores[node - leaves])
        waiting[depth], reached[depth] = children[node, 1], share * (right + _NOT_ZERO)
        waiting[depth + 1], reached[depth + 1] = children[node, 0], share * (1 - right + _NOT_ZERO)
        depth += 2
    return best, most


@part
def _sigmoid(x: float) -> float:
    small = exponential(-abs(x))
    return 1 / (1 + small) if x >= 0 else small / (1 + small)


@part
def softmax(scores: Floats) -> tuple[np.int64, float]:
    """The label of the greatest score, of equals the last, and its probability."""
    best = np.int64(0)
    for j in range(len(scores)):
        if scores[j] >= scores[best]:
            best = np.int64(j)
    total = 0.0
    for j in range(len(scores)):
        total += exponential(scores[j] - scores[best])
    return best, 1 / total + _NOT_ZERO


@part
def most_sure(scores: Floats, sigmoid: Floats) -> tuple[np.int64, float]:
    """One-vs-all and negative sampling: fastText's table of the logistic function, and of equals the last."""
    best, most = np.int64(0), -1.0
    for j in range(len(scores)):
        x = scores[j]
        share = 0.0 if x < -8 else 1.0 if x > 8 else float(sigmoid[int((x + 8) * 32)])
        if share >= most:
            best, most = np.int64(j), share
    return best, most + _NOT_ZERO
