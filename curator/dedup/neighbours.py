"""Pairs of vectors above a cosine threshold, exactly: a blocked matrix product proposes, float64 decides.

Every pair is looked at, so nothing is missed and nothing depends on a seed; that is quadratic. `clusters.py` looks at
few pairs and proposes and decides by the same class.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends import rapids
from ..backends.device import Backend, compare_once
from ..errors import D4AError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Units = npt.NDArray[np.float32]

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


def neighbours(vectors: npt.NDArray[Any], floor: float, max_pairs: int = 100_000_000, backend: Backend = "cpu") -> Neighbours:
    """All pairs of vectors with cosine >= floor.

    vectors  (n, d) float16 or float32   of any length; a zero vector is like nothing; read in blocks, a memory map will do

    Costs n^2 d operations on all cores (100,000 x 512: about a minute on two), 120 MB at d = 512, and 24 bytes a pair.
    Raises D4AError above max_pairs, before memory runs out.
    """
    found = Proposals(vectors, floor, max_pairs, backend)
    found.among(np.arange(len(vectors)))
    return found.distinct()


class Proposals:
    """Collects pairs of vectors with cosine >= floor among those that it is told to compare.

    A tile of the product in float32 proposes pairs with a margin for its rounding; the cosine of a proposed pair
    is then computed in float64, summed in one fixed order, so that the result is the same on every machine.

    vectors    (n, d) float16 or float32
    max_pairs  D4AError is raised above so many, before memory runs out
    backend    who proposes
    """

    def __init__(self, vectors: npt.NDArray[Any], floor: float, max_pairs: int, backend: Backend = "cpu") -> None:
        self._vectors, self._floor, self._most, self._backend = vectors, floor, max_pairs, backend
        # float32 rounding: at most d 2^-24 for a product of unit vectors, and as much for their lengths
        self._least = np.float32(floor - 2e-7 * (vectors.shape[1] + 8))
        self._found: list[Neighbours] = []
        self._count = 0

    def among(self, rows: Ints) -> None:
        """Compare every two of the vectors at `rows`, which ascend."""
        for top in range(0, len(rows), _ROWS):
            upper = rows[top : top + _ROWS]
            units = unit_rows(self._vectors[upper])
            for left in range(top, len(rows), _COLUMNS):
                right = rows[left : left + _COLUMNS]
                self._propose(upper, right, units, unit_rows(self._vectors[right]), once=True)

    def between(self, rows: Ints, others: Ints) -> None:
        """Compare each vector at `rows` with each one at `others`; the two share none."""
        for top in range(0, len(rows), _ROWS):
            upper = rows[top : top + _ROWS]
            units = unit_rows(self._vectors[upper])
            for left in range(0, len(others), _COLUMNS):
                right = others[left : left + _COLUMNS]
                self._propose(upper, right, units, unit_rows(self._vectors[right]), once=False)

    def distinct(self) -> Neighbours:
        """The pairs, every one once."""
        if not self._found:
            return Neighbours(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        a, b, similarity = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        order = np.lexsort((b, a))
        a, b, similarity = a[order], b[order], similarity[order]
        new = np.ones(len(a), bool)
        new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
        return Neighbours(a[new], b[new], similarity[new])

    def _propose(self, rows: Ints, others: Ints, left: Units, right: Units, once: bool) -> None:
        if self._backend == "cpu":
            pairs = self._decided(rows, others, _alike(left, right, self._least), once)
        else:
            pairs = self._decided(rows, others, rapids.alike(left, right, self._least), once)
            compare_once(
                "pairs of embeddings",
                np.stack(pairs[:2]),
                lambda: np.stack(self._decided(rows, others, _alike(left, right, self._least), once)[:2]),
            )
        self._found.append(pairs)
        self._count += len(pairs.a)
        if self._count <= self._most:
            return
        self._found = [self.distinct()]
        self._count = len(self._found[0].a)
        if self._count > self._most:
            n, floor = len(self._vectors), self._floor
            hint = "raise the floor, or remove exact and perceptual duplicates first"
            raise D4AError(f"more than {self._most:,} pairs among {n:,} vectors have a cosine >= {floor:g}", hint=hint)

    def _decided(self, rows: Ints, others: Ints, proposed: tuple[Ints, Ints], once: bool) -> Neighbours:
        a, b = rows[proposed[0]], others[proposed[1]]
        if once:
            a, b = a[a < b], b[a < b]
        return self._verified(np.minimum(a, b), np.maximum(a, b))

    def _verified(self, a: Ints, b: Ints) -> Neighbours:
        vectors = self._vectors
        parts = [cosines(vectors[a[i : i + _VERIFY]], vectors[b[i : i + _VERIFY]]) for i in range(0, len(a), _VERIFY)]
        similarity = np.concatenate(parts) if parts else np.zeros(0)
        keep = similarity >= self._floor
        return Neighbours(a[keep], b[keep], similarity[keep])


def _alike(left: Units, right: Units, least: np.float32) -> tuple[Ints, Ints]:
    """Rows i of `left` and j of `right` whose product is `least` or more, by i and j; twin of backends/rapids.py."""
    tile = left @ right.T
    i, j = np.divmod(np.flatnonzero(tile >= least), tile.shape[1])
    return i, j


def unit_rows(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(n, d) float32: the vectors divided by their lengths; zero where they are."""
    unit = vectors.astype(np.float32)
    length = np.sqrt(np.einsum("ij,ij->i", unit, unit))[:, None]
    np.divide(unit, length, out=unit, where=length > 0)
    return unit


def lengths(rows: Floats) -> Floats:
    """(n,) float64: lengths of vectors, the same on every machine."""
    return np.sqrt(_sum(rows * rows))


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
