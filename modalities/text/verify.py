"""The exact similarity of many pairs of texts, read back from the payload in bounded memory.

Pairs are taken one connected group of texts at a time, so that as a rule each text is read and shingled once;
storing every text's shingles in the scan would make that certain and would cost more than the text itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import kernel, part
from ...curator.stage import Entered, Floats, Ints
from .fss import ShingleSets
from .jaccard import jaccard

TEXT_BYTES = 128 * 2**20  # text in memory at a time; shingles of words take about 1.5 times as much, of characters 16 times

_WORD_BYTES = 8  # with what stands around it

Sets = Callable[[pa.Array], ShingleSets]  # the shingle sets of a column of texts
Compare = Callable[[ShingleSets, Ints, Ints], Floats]  # the similarity of sets a[k] and b[k]


def exact_similarity(
    entered: Entered, a: Ints, b: Ints, sets: Sets, count: str, text_bytes: int = TEXT_BYTES, compare: Compare = jaccard
) -> Floats:
    """(p,) float64: similarity of the shingle sets of records a[k] and b[k], by default the Jaccard index.

    count  the value that says how many words, or shingles, a record has
    """
    found = np.empty(len(a), np.float64)
    text_bytes = min(text_bytes, max(1 << 20, entered.workspace.memory // 16))
    sizes = entered.column("payload_bytes").to_numpy()
    if entered.settled:  # the evidence of earlier datasets, which had the bytes of theirs, is gone
        sizes = np.concatenate([_WORD_BYTES * entered.column(count).to_numpy()[: entered.settled], sizes[entered.settled :]])
    place = np.empty(len(sizes), np.int64)
    for pairs in portions(a, b, sizes, text_bytes):
        records = _distinct(a[pairs], b[pairs], len(sizes))
        place[records] = np.arange(len(records))
        found[pairs] = compare(sets(entered.payload(records, "text")), place[a[pairs]], place[b[pairs]])
    return found


def _distinct(a: Ints, b: Ints, size: int) -> Ints:
    """The records in two arrays, ascending."""
    if len(a) < size // 64:
        return np.unique(np.concatenate([a, b]))
    seen = np.zeros(size, np.bool_)
    seen[a] = seen[b] = True
    return np.flatnonzero(seen)


def portions(a: Ints, b: Ints, sizes: Ints, text_bytes: int) -> Iterator[Ints]:
    """Indices of pairs, a portion at a time, whose records have at most `text_bytes` together (one pair may have more)."""
    if not len(a):
        return
    group = np.arange(len(sizes), dtype=np.int64)
    _connect(a, b, group)
    order = np.empty(len(a), np.int64)
    _by_group(a, group, np.zeros(len(sizes) + 1, np.int64), order)
    portion = np.empty(len(a), np.int64)
    _fill(a[order], b[order], sizes.astype(np.int64), text_bytes, portion)
    yield from np.split(order, np.flatnonzero(np.diff(portion)) + 1)


@kernel
def _connect(a: Ints, b: Ints, group: Ints) -> None:
    """Give all records of a connected component its least index."""
    for k in range(a.size):
        x, y = _root(group, a[k]), _root(group, b[k])
        group[max(x, y)] = min(x, y)
    for record in range(group.size):
        group[record] = group[group[record]]  # its parent is smaller, hence a root by now


@part
def _root(group: Ints, record: int) -> int:
    while group[record] != record:
        group[record] = group[group[record]]
        record = group[record]
    return record


@kernel
def _by_group(a: Ints, group: Ints, ends: Ints, order: Ints) -> None:
    """Indices of pairs by group, in a group as they come; `ends` holds zeros."""
    for record in a:
        ends[group[record] + 1] += 1
    for record in range(group.size):
        ends[record + 1] += ends[record]
    for k in range(a.size):
        order[ends[group[a[k]]]] = k
        ends[group[a[k]]] += 1


@kernel
def _fill(a: Ints, b: Ints, sizes: Ints, text_bytes: int, portion: Ints) -> None:
    """Number the pairs by portion: a new one begins where the records seen in it would exceed text_bytes."""
    seen = np.full(sizes.size, -1, np.int64)
    number, held = 0, 0
    for k in range(a.size):
        more = (sizes[a[k]] if seen[a[k]] != number else 0) + (sizes[b[k]] if seen[b[k]] != number else 0)
        if held and held + more > text_bytes:
            number += 1
            held = 0
            more = sizes[a[k]] + sizes[b[k]]
        held += more
        seen[a[k]] = seen[b[k]] = number
        portion[k] = number
