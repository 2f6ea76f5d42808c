"""Pairs of vectors above a cosine threshold, exactly: a blocked matrix product proposes, float64 decides.

Every pair is looked at, so nothing is missed and nothing depends on a seed; that is quadratic. Clustering first
(SemDeDup) would be linear and misses pairs that fall into different clusters: not worth it below a million vectors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import D4AError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ROWS, _COLUMNS = 2048, 8192  # one tile of products: 64 MB
_VERIFY = 8192  # pairs whose cosine is recomputed at a time


class Neighbours(NamedTuple):
    """Pairs at or above a floor.

    a, b        (p,) int64    indices of the vectors, a < b, sorted by (a, b)
    similarity  (p,) float64  cosine, at most 1
    """

    a: Ints
    b: Ints
    similarity: Floats


def neighbours(vectors: npt.NDArray[Any], floor: float, max_pairs: int = 100_000_000) -> Neighbours:
    """All pairs of vectors with cosine >= floor.

    vectors  (n, d) float16 or float32   of any length; a zero vector is like nothing

    A tile of the product in float32 proposes pairs with a margin for its rounding; the cosine of a proposed pair
    is then computed in float64, summed in one fixed order, so that the result is the same on every machine.
    Costs n^2 d operations on all cores (100,000 x 512: about a minute on two), 4 n d bytes and 24 bytes a pair.
    Raises D4AError above max_pairs, before memory runs out.
    """
    n, d = vectors.shape
    unit = _unit(vectors)
    margin = 2e-7 * (d + 8)  # float32 rounding: at most d 2^-24 for a product of unit vectors, and as much for their lengths
    found: list[Neighbours] = []
    total = 0
    for top in range(0, n, _ROWS):
        for left in range(top - top % _COLUMNS, n, _COLUMNS):
            tile = unit[top : top + _ROWS] @ unit[left : left + _COLUMNS].T
            rows, columns = np.divmod(np.flatnonzero(tile >= np.float32(floor - margin)), tile.shape[1])
            a, b = rows + top, columns + left
            pairs = _verified(vectors, a[a < b], b[a < b], floor)
            found.append(pairs)
            total += len(pairs.a)
            if total > max_pairs:
                hint = "raise the floor, or remove exact and perceptual duplicates first"
                raise D4AError(f"more than {max_pairs:,} pairs among {n:,} vectors have a cosine >= {floor:g}", hint=hint)
    return _sorted(found)


def cosines(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> Floats:
    """Cosine of each row of `left` (p, d) with the same row of `right`, in float64; 0 where a row is zero, exactly 1 for equal rows."""
    x, y = left.astype(np.float64), right.astype(np.float64)
    lengths = np.sqrt(_sum(x * x) * _sum(y * y))
    return np.minimum(_sum(x * y) / np.where(lengths > 0, lengths, 1), 1.0)


def _sum(terms: Floats) -> Floats:
    """Sums of rows by halving: additions of whole columns in a fixed order, where np.sum's order depends on the processor."""
    while terms.shape[1] > 1:
        half = terms.shape[1] // 2
        rest = terms[:, 2 * half :]
        terms = terms[:, :half] + terms[:, half : 2 * half]
        terms = np.concatenate([terms, rest], axis=1) if rest.shape[1] else terms
    return terms[:, 0] if terms.shape[1] else np.zeros(len(terms))


def _unit(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    unit = vectors.astype(np.float32)
    for start in range(0, len(unit), _ROWS):
        rows = unit[start : start + _ROWS]
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=rows, where=lengths > 0)
    return unit


def _verified(vectors: npt.NDArray[Any], a: Ints, b: Ints, floor: float) -> Neighbours:
    parts = [cosines(vectors[a[i : i + _VERIFY]], vectors[b[i : i + _VERIFY]]) for i in range(0, len(a), _VERIFY)]
    similarity = np.concatenate(parts) if parts else np.zeros(0)
    keep = similarity >= floor
    return Neighbours(a[keep], b[keep], similarity[keep])


def _sorted(found: list[Neighbours]) -> Neighbours:
    if not found:
        return Neighbours(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    a, b, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((b, a))
    return Neighbours(a[order], b[order], similarity[order])
