"""Spherical k-means, and pairs of vectors above a cosine found through its clusters: nearly linear where `neighbours` is quadratic.

A vector is compared with its own cluster and with those across whose border a neighbour may lie. Vectors and centroids lie on a grid
of whole numbers on which float32 products are exact in any order of summation, so every machine makes the same clusters.
Graphs (HNSW) would look at fewer pairs, but what they find depends on the order of insertion and promises nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends import rapids
from ..backends.cpu import kernel
from ..backends.device import COMPARED, Backend, compare_once
from .neighbours import Ints, Neighbours, Proposals, lengths

Grid = npt.NDArray[np.float32]

# steps of the grid in a length of 1: no partial sum of a product of two vectors on it reaches 2**24, up to 30,000 dimensions
_STEPS = 4000
_ROWS = 4096  # vectors put on the grid at a time
_ON_CARD = 1 << 16  # and sent to a card
_PRODUCTS = 1 << 22  # of a block of vectors with all centroids: 16 MB
_COLUMNS = 64  # of vectors that are summed at a time
_SAMPLE = 64  # vectors a centroid that training looks at; faiss takes up to 256 and says that 39 are enough


class Clusters(NamedTuple):
    """Clusters of vectors, and the vectors that look over a border.

    home      (n,) int64    the cluster of every vector: the centroid of the greatest cosine, the first of equal ones
    visitor   (v,) int64    vectors that are compared with the members of another cluster …
    visited   (v,) int64    … and those clusters
    number    of clusters
    """

    home: Ints
    visitor: Ints
    visited: Ints
    number: int


def on_grid(vectors: npt.NDArray[Any]) -> Grid:
    """Unit vectors as whole numbers.

    vectors  (n, d) float16 or float32   of any length
    returns  (n, d) float32              4000 x the unit vector, rounded: the same on every machine; zero where the vector is
    """
    out = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS].astype(np.float64)
        length = lengths(rows)
        np.rint(rows * (_STEPS / np.where(length > 0, length, 1))[:, None], out=rows)
        out[start : start + _ROWS] = rows
    return out


def centroids(vectors: npt.NDArray[Any], count: int, iterations: int, seed: int, backend: Backend = "cpu") -> Grid:
    """Centroids of spherical k-means (Lloyd's algorithm on a sample).

    vectors     (n, d) float16 or float32
    count       k, from 1 to n
    iterations  at most: it ends where nothing moves
    seed        chooses the sample of 64 vectors a centroid, and the k of them that are the first centroids
    returns     (k, d) float32   on the grid

    A cluster that loses all its vectors takes the sampled vector farthest from its centroid. Takes 256 k d bytes.
    Dhillon, Modha 2001.
    """
    chosen = _shuffled(len(vectors), seed)[: min(len(vectors), _SAMPLE * count)]
    sample = on_grid(vectors[np.sort(chosen)])
    found = sample[np.searchsorted(np.sort(chosen), chosen[:count])]
    before: Ints | None = None
    for _ in range(iterations):
        home, closeness = _nearest(sample, found) if backend == "cpu" else _nearest_by_card(sample, found)
        if before is not None and np.array_equal(home, before):
            break
        before, found = home, _means(sample, home, closeness, count)
    return found


def assign(vectors: npt.NDArray[Any], found: Grid, floor: float, visits: int | None, backend: Backend = "cpu") -> Clusters:
    """Homes and visits of vectors.

    vectors  (n, d) float16 or float32
    found    (k, d) float32   centroids, on the grid
    floor    cosine of the pairs that are wanted
    visits   clusters that a vector visits at most, the nearest borders first; None: all that it must

    Of two vectors an angle a apart with different homes, one at least lies within a / 2 of the border between them, as the
    straight way from one to the other crosses it. So without a limit on visits no pair above the floor is missed. Takes 4 k^2 bytes.
    """
    count = len(found)
    most = count - 1 if visits is None else min(visits, count - 1)
    reach = np.float32(_reach(floor, found.shape[1]))
    inverse = _inverse_distances(found) if most else None
    if backend == "rapids":
        return _assign_by_card(vectors, found, inverse, reach, most, lambda: assign(vectors[:COMPARED], found, floor, visits))
    home = np.empty(len(vectors), np.int64)
    visitors, visited = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    step = max(1, _PRODUCTS // count)
    for start in range(0, len(vectors), step):
        products = on_grid(vectors[start : start + step]) @ found.T
        here = home[start : start + step]
        here[:] = products.argmax(axis=1)
        near = np.full((len(products), most), -1, np.int32)
        if inverse is not None:
            _visits(products, here, inverse, reach, near)
        row, place = np.nonzero(near >= 0)
        visitors.append(row + start)
        visited.append(near[row, place].astype(np.int64))
    return Clusters(home, np.concatenate(visitors), np.concatenate(visited), count)


def cluster_pairs(
    vectors: npt.NDArray[Any], clusters: Clusters, floor: float, max_pairs: int = 100_000_000, backend: Backend = "cpu"
) -> tuple[Neighbours, int]:
    """Pairs of vectors with cosine >= floor among members of a cluster, and between them and its visitors.

    vectors  (n, d) float16 or float32   as given to `assign`; read cluster by cluster, so that a memory map may be given
    returns  the pairs, and how many were compared

    Costs as many products as pairs compared, 24 bytes a pair found, and 20 bytes a visit.
    Raises D4AError above max_pairs, before memory runs out.
    """
    proposals = Proposals(vectors, floor, max_pairs, backend)
    compared = 0
    for members, visitors in _by_cluster(clusters):
        proposals.among(members)
        proposals.between(members, visitors)
        compared += len(members) * (len(members) - 1) // 2 + len(members) * len(visitors)
    return proposals.distinct(), compared


def _by_cluster(clusters: Clusters) -> Iterator[tuple[Ints, Ints]]:
    """(members, visitors) of each cluster, in ascending order."""
    edges = np.arange(1, clusters.number)
    at_home = np.argsort(clusters.home, kind="stable")
    abroad = np.argsort(clusters.visited, kind="stable")
    members = np.split(at_home, np.searchsorted(clusters.home[at_home], edges))
    visitors = np.split(clusters.visitor[abroad], np.searchsorted(clusters.visited[abroad], edges))
    yield from zip(members, visitors, strict=True)


def _shuffled(n: int, seed: int) -> Ints:
    """(n,) int64: all indices in an order that the seed chooses."""
    state = np.arange(n, dtype=np.uint64) + (np.uint64(seed) << np.uint64(32)) + np.uint64(1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(state ^ (state >> np.uint64(31)), kind="stable")


def _nearest(rows: Grid, found: Grid) -> tuple[Ints, npt.NDArray[np.float32]]:
    """The nearest centroid of each row, and the product with it."""
    home, closeness = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    step = max(1, _PRODUCTS // len(found))
    for start in range(0, len(rows), step):
        products = rows[start : start + step] @ found.T
        home[start : start + step] = products.argmax(axis=1)
        closeness[start : start + step] = products.max(axis=1)
    return home, closeness


def _nearest_by_card(rows: Grid, found: Grid) -> tuple[Ints, npt.NDArray[np.float32]]:
    home, closeness = rapids.Centroids(found).nearest(rows)
    compare_once("nearest centroids", home[:COMPARED], lambda: _nearest(rows[:COMPARED], found)[0])
    return home, closeness


def _assign_by_card(
    vectors: npt.NDArray[Any], found: Grid, inverse: Grid | None, reach: np.float32, most: int, first: Callable[[], Clusters]
) -> Clusters:
    """`assign` on a card; `first` are the clusters of the first vectors as the CPU finds them."""
    centres, parts = rapids.Centroids(found, inverse), []
    for start in range(0, len(vectors), _ON_CARD):
        looked = centres.visits(on_grid(vectors[start : start + _ON_CARD]), reach, most)
        parts.append((looked.home, looked.row + start, looked.cluster))
    home, visitor, visited = (np.concatenate(column) for column in zip(*parts, strict=True))
    few = visitor < COMPARED
    mine = np.concatenate([home[:COMPARED], visitor[few], visited[few]])
    compare_once("homes and visits", mine, lambda: np.concatenate(first()[:3]))
    return Clusters(home, visitor, visited, len(found))


def _means(sample: Grid, home: Ints, closeness: npt.NDArray[np.float32], count: int) -> Grid:
    """Directions of the clusters' sums; sums of whole numbers are exact."""
    sizes = np.bincount(home, minlength=count)
    by_home = np.argsort(home, kind="stable")
    starts = np.cumsum(sizes) - sizes
    starts = np.minimum(starts, len(home) - 1)
    sums = np.empty((count, sample.shape[1]))
    for first in range(0, sample.shape[1], _COLUMNS):
        part = sample[:, first : first + _COLUMNS][by_home].astype(np.float64)
        sums[:, first : first + _COLUMNS] = np.add.reduceat(part, starts, axis=0)
    means = on_grid(sums)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        means[empty] = sample[np.argsort(closeness, kind="stable")[: len(empty)]]
    return means


def _reach(floor: float, width: int) -> float:
    """Sine of half the angle of the floor, and of what rounding to the grid adds to it: half a step a dimension for each of two."""
    angle = np.arccos(min(max(floor, 0.0), 1.0)) + 2 * np.arcsin(min(1.0, 0.5 * np.sqrt(width) / _STEPS))
    return float(np.sin(angle / 2) * (_STEPS + 0.5 * np.sqrt(width)))


def _inverse_distances(found: Grid) -> Grid:
    """(k, k) float32: 1 / distance of each two centroids; 0 for equal ones, which have no border."""
    squares = np.square(found, dtype=np.float64).sum(axis=1)  # whole numbers: exact in any order
    inverse = np.zeros((len(found), len(found)), np.float32)
    step = max(1, _PRODUCTS // len(found))
    for start in range(0, len(found), step):
        rows = slice(start, start + step)
        distance = np.sqrt(squares[rows, None] + squares - 2.0 * (found[rows] @ found.T).astype(np.float64))
        np.divide(1.0, distance, out=inverse[rows], where=distance > 0, casting="same_kind")
    return inverse


@kernel
def _visits(products: Grid, home: Ints, inverse: Grid, reach: np.float32, near: npt.NDArray[np.int32]) -> None:
    """The clusters whose border with the home is within reach, the nearest first, as many as fit `near`.

    The distance of a vector to a border is (its product with the home's centroid - with the other) / distance of the centroids.
    """
    most = near.shape[1]
    best = np.empty(most, np.float32)
    for row in range(products.shape[0]):
        own = products[row, home[row]]
        count = 0
        for other in range(products.shape[1]):
            distance = (own - products[row, other]) * inverse[home[row], other]
            if distance > reach or other == home[row] or (count == most and distance >= best[most - 1]):
                continue
            place = min(count, most - 1)
            while place > 0 and best[place - 1] > distance:
                best[place], near[row, place] = best[place - 1], near[row, place - 1]
                place -= 1
            best[place], near[row, place] = distance, other
            count = min(count + 1, most)
