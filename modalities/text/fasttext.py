"""fastText's model files, .bin and .ftz, read into arrays that a kernel can walk.

Product-quantised matrices are multiplied out while reading: lid.176.ftz then takes 3 MB instead of 1, and a sum over
rows is all that is left to do. The fasttext package would read the same files, but answers one text at a time, and its
last digits depend on the machine.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...curator.columns import Bytes, Offsets
from ...curator.errors import UsageError
from ...curator.stage import Ints

Matrix = npt.NDArray[np.float32]

END_OF_LINE = b"</s>"
LABEL = "__label__"
_MAGIC, _VERSION = 793712314, 12
_SUPERVISED = 3
LOSSES = {1: "hierarchical softmax", 2: "negative sampling", 3: "softmax", 4: "one-vs-all"}
_CENTROIDS = 256
_GREATEST = 1e30  # of a weight: sums of millions stay numbers
_MOST_COUNTED = 10**15  # fastText's mark of a tree node that is not made yet


@dataclass(frozen=True)
class Network:
    """A supervised fastText model.

    labels           k names, without `__label__`, the most frequent first
    counts           (k,) int64         how often each was in the training texts; they shape the tree of hierarchical softmax
    loss             one of LOSSES' values
    shortest, longest  lengths of the character n-grams of a word [characters]; longest 0: words only
    word_ngrams      longest word n-gram; 1: words only
    buckets          n-grams are hashed into so many
    words, word_offsets  (bytes,) uint8, (w + k + 1,) int64   the dictionary: w words, then the labels as they are written in the file
    kept             (p,) int64 buckets that were not pruned, ascending; None: all of them
    inputs           (w + p or w + buckets, dim) float32      a row for each word, then for each (kept) bucket
    outputs          (k, dim) float32   a row for each label, or for each inner node of the tree
    """

    labels: tuple[str, ...]
    counts: Ints
    loss: str
    shortest: int
    longest: int
    word_ngrams: int
    buckets: int
    words: Bytes
    word_offsets: Offsets
    kept: Ints | None
    inputs: Matrix
    outputs: Matrix


def read(path: Path) -> Network:
    """Read a model file of version 12, whatever its matrices and its loss.

    Raises UsageError where the file is cut, damaged, foreign, or no classifier, and OSError where it cannot be read.
    Joulin et al. 2016 (fastText.zip); layout as in facebookresearch/fastText: args.cc, dictionary.cc, quantmatrix.cc.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise _refusal(path, "is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return _network(_Cursor(path, view))


class _Cursor:
    """A place in a file, moved by what is taken from there; everything taken is a copy."""

    def __init__(self, path: Path, view: mmap.mmap) -> None:
        self.path, self.view, self.at = path, view, 0

    def array(self, dtype: str, size: int) -> npt.NDArray[Any]:
        """`size` numbers, little-endian as on every machine that fastText writes on."""
        kind = np.dtype(dtype).newbyteorder("<")
        self.check(0 <= size <= (len(self.view) - self.at) // kind.itemsize, "is cut off or damaged")
        taken = np.frombuffer(self.view, kind, size, self.at).astype(dtype)
        self.at += size * kind.itemsize
        return taken

    def integers(self, dtype: str, size: int) -> list[int]:
        """`size` numbers as Python's."""
        return [int(number) for number in self.array(dtype, size)]

    def check(self, fine: bool, what: str) -> None:
        """Raises UsageError unless `fine`."""
        if not fine:
            raise _refusal(self.path, what)


def _refusal(path: Path, what: str) -> UsageError:
    return UsageError(f"{path.name} {what}", str(path), "give a supervised fastText model: lid.176.bin, lid.176.ftz, GlotLID's model.bin …")


def _network(file: _Cursor) -> Network:
    file.check(file.view[:4] == _MAGIC.to_bytes(4, "little"), "is no fastText model file")
    version = file.integers("i4", 2)[1]
    file.check(version == _VERSION, f"is of fastText's file version {version}; {_VERSION} is read")
    dim, _, _, _, _, word_ngrams, loss, model, buckets, shortest, longest, _ = file.integers("i4", 12)
    file.array("f8", 1)
    file.check(model == _SUPERVISED, "holds word vectors, not a classifier")
    file.check(loss in LOSSES and dim > 0 and buckets >= 0 and (buckets > 0 or (longest <= 0 and word_ngrams <= 1)), "is damaged")
    size, words, labels = file.integers("i4", 3)
    _, pruned = file.integers("i8", 2)
    file.check(words >= 0 and labels > 0 and size == words + labels, "is damaged")
    names, counts = _dictionary(file, words, labels)
    first_to_row = file.array("i4", 2 * max(pruned, 0)).reshape(-1, 2).astype(np.int64)
    quantised = file.integers("i1", 1)[0] != 0
    inputs = (_quantised if quantised else _dense)(file, dim)
    kept, inputs = _order_by_bucket(file, inputs, words, buckets, first_to_row if pruned >= 0 else None)
    outputs = (_quantised if file.integers("i1", 1)[0] and quantised else _dense)(file, dim)
    file.check(len(outputs) == labels, "is damaged")
    return Network(
        labels=tuple(name.decode("utf-8", "replace").removeprefix(LABEL) for name in names[words:]),
        counts=np.array(counts[words:], np.int64),
        loss=LOSSES[loss],
        shortest=shortest,
        longest=max(longest, 0),
        word_ngrams=max(word_ngrams, 1),
        buckets=buckets,
        words=np.frombuffer(b"".join(names), np.uint8),
        word_offsets=np.cumsum([0, *map(len, names)], dtype=np.int64),
        kept=kept,
        inputs=inputs,
        outputs=outputs,
    )


def _dictionary(file: _Cursor, words: int, labels: int) -> tuple[list[bytes], list[int]]:
    """Words and labels as written, and their counts."""
    names: list[bytes] = []
    counts: list[int] = []
    view, at = file.view, file.at
    for k in range(words + labels):
        end = view.find(b"\0", at)
        file.check(end >= 0 and end + 10 <= len(view), "is cut off or damaged")
        names.append(view[at:end])
        counts.append(int.from_bytes(view[end + 1 : end + 9], "little", signed=True))
        file.check(view[end + 9] == (k >= words) and counts[-1] >= 0, "is damaged")
        at = end + 10
    file.at = at
    file.check(sum(counts[words:]) < _MOST_COUNTED, "is damaged")
    return names, counts


def _order_by_bucket(file: _Cursor, inputs: Matrix, words: int, buckets: int, first_to_row: Ints | None) -> tuple[Ints | None, Matrix]:
    """The kept buckets, ascending, and the rows in that order: a bucket's row is then the number of kept ones before it."""
    if first_to_row is None:
        file.check(len(inputs) >= words + buckets, "is damaged")
        return None, inputs
    first, row = first_to_row.T
    order = np.argsort(first, kind="stable")
    kept = first[order]
    file.check(len(inputs) >= words and (np.diff(kept) > 0).all(), "is damaged")
    file.check(((row >= 0) & (row < len(inputs) - words) & (first >= 0) & (first < max(buckets, 1))).all(), "is damaged")
    return kept, inputs[np.concatenate([np.arange(words), words + row[order]])]


def _dense(file: _Cursor, dim: int) -> Matrix:
    rows, columns = file.integers("i8", 2)
    file.check(rows >= 0 and columns == dim, "is damaged")
    return _finite(file, file.array("f4", rows * columns).reshape(rows, columns))


def _quantised(file: _Cursor, dim: int) -> Matrix:
    """A product-quantised matrix, multiplied out: sub-vectors of a row are centroids, times the row's norm."""
    with_norms = file.integers("i1", 1)[0] != 0
    rows, columns = file.integers("i8", 2)
    size = file.integers("i4", 1)[0]
    file.check(rows >= 0 and columns == dim, "is damaged")
    codes = file.array("u1", size)
    centroids = _centroids(file, dim)
    file.check(size == rows * len(centroids), "is damaged")
    codes = codes.reshape(rows, len(centroids))
    matrix = np.concatenate([table[codes[:, k]] for k, table in enumerate(centroids)], axis=1)
    if with_norms:
        norm_codes = file.array("u1", rows)
        with np.errstate(over="ignore", invalid="ignore"):  # of damaged files, which are refused below
            matrix *= _centroids(file, 1)[0][norm_codes]
    return _finite(file, matrix)


def _centroids(file: _Cursor, dim: int) -> list[Matrix]:
    """One (256, width) table for each sub-vector; the last may be narrower."""
    whole, parts, width, last = file.integers("i4", 4)
    file.check(whole == dim and parts > 0 and width > 0 and last == dim - (parts - 1) * width and 0 < last <= width, "is damaged")
    flat = file.array("f4", dim * _CENTROIDS)
    starts = [part * _CENTROIDS * width for part in range(parts)]
    return [flat[start : start + _CENTROIDS * width].reshape(_CENTROIDS, -1) for start in starts]


def _finite(file: _Cursor, matrix: Matrix) -> Matrix:
    if matrix.size:  # least and greatest are NaN where any number is
        file.check(bool(matrix.min() > -_GREATEST and matrix.max() < _GREATEST), "is damaged: weights that are no numbers")
    return matrix


def huffman_tree(counts: Ints) -> npt.NDArray[np.int32]:
    """The tree of hierarchical softmax, as fastText builds it.

    counts   (k,) int64, descending
    returns  (2 k - 1, 2) int32  left and right child of a node, -1 of a leaf; leaf i is label i, the root is last
    """
    leaves = len(counts)
    children = np.full((2 * leaves - 1, 2), -1, np.int32)
    weight = [int(count) for count in counts] + [_MOST_COUNTED] * (leaves - 1)
    leaf, node = leaves - 1, leaves
    for parent in range(leaves, 2 * leaves - 1):
        for side in range(2):
            if leaf >= 0 and weight[leaf] < weight[node]:
                children[parent, side] = leaf
                leaf -= 1
            else:
                children[parent, side] = node
                node += 1
        weight[parent] = weight[children[parent, 0]] + weight[children[parent, 1]]
    return children
