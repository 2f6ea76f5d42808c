"""What a card computes in place of the CPU, bit for bit the same: cuDF hashes, CuPy compares and finds nearest centroids.

Sums are of whole numbers that float32 holds exactly, so their order does not matter. That is why cuML is not used: its k-means adds up
clusters in float32 by atomics, and past 2**24, so its centroids depend on the card and on the day. Nor are bands grouped here: a core
sorts the keys of one band of ten million records in 0.1 to 2 s, for which a card would have to be sent 120 MB and leave the rest of the
search where it is. Everything takes and gives NumPy arrays. The CPU's twins are named function by function.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..columns import buffers

Grid = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

WIDE = (
    256 * 1024
)  # bytes of a text from which cuDF takes another way: many blocks, atomics of block scope. Not for those until a card confirms it
_MOST = 2**31 - 1  # values in a column of cuDF, and bytes that offsets of 32 bits can name
_PRODUCTS = 1 << 26  # of vectors and centroids at a time: 256 MB, held some five times over


def minhash(texts: pa.Array, width: int, a: npt.NDArray[Any], b: npt.NDArray[Any], seed: int, most: int = _MOST) -> npt.NDArray[Any]:
    """MinHash signatures over windows of `width` code points, by cuDF's `Series.str.minhash`; twin of modalities/text/minhash.py.

    texts    (n,) string or large_string   null counts as empty
    width    at least 2
    a, b     (K,) uint32 or uint64   permutations; the width of the hash is theirs
    most     values, and bytes of text, that one call may have
    returns  (n, K) of a's dtype
    """
    import cudf

    offsets, data = buffers(texts)
    out = np.empty((len(texts), len(a)), a.dtype)
    columns = cudf.Series(a), cudf.Series(b)
    for start, end in _portions(offsets, max(1, most // len(a)), most):
        # offsets from 0 and of 32 bits: the plainest column there is
        begin, stop = offsets[start], offsets[end]
        places = pa.py_buffer((offsets[start : end + 1] - begin).astype(np.int32))
        portion = pa.StringArray.from_buffers(end - start, places, pa.py_buffer(data[begin:stop]))
        column = cudf.Series.from_arrow(portion).str
        hashed = column.minhash if a.dtype == np.uint32 else column.minhash64
        found = hashed(seed, a=columns[0], b=columns[1], width=width).to_arrow()
        out[start:end] = found.flatten().to_numpy().reshape(end - start, len(a))
    return out


def _portions(offsets: Ints, rows: int, size: int) -> Iterator[tuple[int, int]]:
    """[start, end) of consecutive texts: at most so many rows, and bytes unless it is one row."""
    start, count = 0, len(offsets) - 1
    while start < count:
        fitting = int(np.searchsorted(offsets, offsets[start] + size, "right")) - 1
        end = min(max(fitting, start + 1), start + rows, count)
        yield start, end
        start = end


def alike(left: Grid, right: Grid, least: np.float32) -> tuple[Ints, Ints]:
    """Rows i of `left` and j of `right` whose product is `least` or more, by i and j; twin of `Proposals._propose` in dedup/neighbours.py.

    left   (n, d) float32   unit vectors
    right  (m, d) float32
    Float32 rounds as the order of its sums will have it: `least` leaves room for that, and who calls decides in float64.
    """
    import cupy

    i, j = cupy.nonzero(cupy.asarray(left) @ cupy.asarray(right).T >= least)
    return cupy.asnumpy(i), cupy.asnumpy(j)


class Visits(NamedTuple):
    """Homes of some vectors, and the other clusters that they look into; see `Clusters` in dedup/clusters.py.

    home     (n,) int64
    row      (v,) int64   vectors, ascending, and of one vector the nearest border first …
    cluster  (v,) int64   … the cluster behind it
    """

    home: Ints
    row: Ints
    cluster: Ints


class Centroids:
    """Centroids that stay on the card; twin of `_nearest` and `assign` in dedup/clusters.py.

    found    (k, d) float32   on the grid of dedup/clusters.py, as are all rows: whole numbers whose products float32 sums exactly
    inverse  (k, k) float32   1 / distance of each two, 0 for equal ones; None: nobody visits
    """

    def __init__(self, found: Grid, inverse: Grid | None = None) -> None:
        import cupy

        self._found = cupy.asarray(found)
        self._inverse: Any = None if inverse is None else cupy.asarray(inverse)

    def nearest(self, rows: Grid) -> tuple[Ints, Grid]:
        """The nearest centroid of each of (n, d) rows, the first of equal ones, and the product with it."""
        import cupy

        home, closeness = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
        for start, products in self._products(rows):
            home[start : start + len(products)] = cupy.asnumpy(cupy.argmax(products, axis=1))
            closeness[start : start + len(products)] = cupy.asnumpy(cupy.max(products, axis=1))
        return home, closeness

    def visits(self, rows: Grid, reach: np.float32, most: int) -> Visits:
        """Homes, and the clusters whose border with the home is within reach, the nearest first and at most `most` a row."""
        import cupy

        parts = []
        for start, products in self._products(rows):
            home = cupy.argmax(products, axis=1)
            if self._inverse is None:
                parts.append(Visits(cupy.asnumpy(home), np.zeros(0, np.int64), np.zeros(0, np.int64)))
                continue
            places = cupy.arange(len(products))
            distance = (products[places, home][:, None] - products) * self._inverse[home]
            within = distance <= reach
            within[places, home] = False
            row, cluster = cupy.nonzero(within)
            # stable sorts, the minor key first: by row, then by distance, then by cluster
            by = cupy.argsort(distance[row, cluster])
            by = by[cupy.argsort(row[by])]
            row, cluster = row[by], cluster[by]
            first = cupy.searchsorted(row, places)
            few = cupy.arange(len(row)) - first[row] < most
            parts.append(Visits(cupy.asnumpy(home), cupy.asnumpy(row[few]) + start, cupy.asnumpy(cluster[few])))
        if not parts:
            return Visits(*(np.zeros(0, np.int64) for _ in range(3)))
        return Visits(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _products(self, rows: Grid) -> Iterator[tuple[int, Any]]:
        """Products of rows with all centroids, on the card, some rows at a time."""
        import cupy

        step = max(1, _PRODUCTS // len(self._found))
        for start in range(0, len(rows), step):
            yield start, cupy.asarray(rows[start : start + step]) @ self._found.T
