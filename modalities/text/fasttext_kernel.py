"""The kernel behind text.language's fastText models: words, n-grams, average and classifier over Arrow buffers.

A word that comes again is summed once (a direct-mapped table of some thousand words), which is most of the speed;
its sum is added as one number, so whether it was in the table changes no bit. A word's sum is float32 as in fastText,
a text's float64, and the exponential is our own, so scores are the same bits on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import kernel, part, read_only
from ...curator.columns import Bytes, Offsets, buffers
from ...curator.stage import Floats, Ints
from .fasttext import END_OF_LINE, LABEL, LOSSES, Matrix, Network, huffman_tree
from .fasttext_loss import Indices, descend, most_sure, score, sigmoid_table, softmax

Numbers = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint64]

_REMEMBERED = 1 << 19  # numbers in the table of words: 2 MiB
_LONGEST_REMEMBERED = 32  # bytes
_GATHERED = 1024  # rows of a word that are added at once
_TREE, _SOFTMAX = LOSSES[1], LOSSES[3]


class _Shape(NamedTuple):
    """The numbers of a model that decide how a text is walked; `magic` and `shift` divide by `buckets`."""

    words: int
    shortest: int
    longest: int
    word_ngrams: int
    buckets: np.uint64
    magic: np.uint64
    shift: np.uint64
    pruned: bool
    end_of_line: int
    tree: bool
    softmax: bool


class _Tables(NamedTuple):
    """The arrays of a model.

    slots            (2^n,) int32   dictionary entry of a hash, -1: none; open addressing
    words, offsets   the dictionary's bytes
    kept             (buckets / 32 + 1,) uint64   which of 32 buckets were kept, and << 32 how many before them
    inputs           (rows * dim,) float32
    outputs          (dim, labels) float32     transposed, so that all labels are summed side by side
    children         (2 k - 1, 2) int32
    sigmoid          (513,) float64
    """

    slots: Indices
    words: Bytes
    offsets: Offsets
    kept: Bits
    inputs: Numbers
    outputs: Matrix
    children: Indices
    sigmoid: Floats


@dataclass(frozen=True)
class FastText:
    """A fastText model that names the label of a text.

    Every white space of fastText (space, \\t, \\n, \\v, \\f, \\r, NUL) separates words and a text ends with one `</s>`, as where
    datatrove predicts text.replace("\\n", " "); CCNet and DCLM delete line ends, which glues words together.
    """

    network: Network

    @property
    def labels(self) -> tuple[str, ...]:
        """Names, one a label."""
        return self.network.labels

    def identify(self, texts: pa.Array) -> tuple[Ints, Floats]:
        """The most probable label of each text, and its probability.

        texts    (n,) large_string, without nulls
        returns  (n,) int64 index into labels, -1 where no word and no n-gram is known; (n,) float64, rounded to 4 decimals

        Joulin et al. 2016; the arithmetic is that of facebookresearch/fastText, where every factor of a probability gets 1e-5.
        """
        offsets, data = buffers(texts)
        label, probability = np.full(len(texts), -1, np.int64), np.zeros(len(texts))
        _identify(read_only(data), offsets, self._shape, self._tables, label, probability)
        return label, probability

    @cached_property
    def _shape(self) -> _Shape:
        net = self.network
        bits = max(1, (max(net.buckets, 1) - 1).bit_length())
        return _Shape(
            words=len(net.word_offsets) - 1 - len(net.labels),
            shortest=net.shortest,
            longest=net.longest,
            word_ngrams=net.word_ngrams,
            buckets=np.uint64(max(net.buckets, 1)),
            magic=np.uint64((1 << (31 + bits)) // max(net.buckets, 1)),
            shift=np.uint64(31 + bits),
            pruned=net.kept is not None,
            end_of_line=_row_of(END_OF_LINE, net),
            tree=net.loss == _TREE,
            softmax=net.loss == _SOFTMAX,
        )

    @cached_property
    def _tables(self) -> _Tables:
        net = self.network
        slots = np.full(1 << (2 * len(net.word_offsets)).bit_length(), -1, np.int32)
        _fill_slots(read_only(net.words), net.word_offsets, slots)
        kept = _bitmap(net.kept, net.buckets)
        children = huffman_tree(net.counts) if net.loss == _TREE else np.zeros((0, 2), np.int32)
        outputs = np.ascontiguousarray(net.outputs.T)
        return _Tables(slots, read_only(net.words), net.word_offsets, kept, net.inputs.ravel(), outputs, children, sigmoid_table())


def _row_of(word: bytes, net: Network) -> int:
    """The dictionary entry of a word, -1 where there is none."""
    starts, sizes = net.word_offsets[: -len(net.labels) - 1], np.diff(net.word_offsets)[: -len(net.labels)]
    equal = [k for k in np.flatnonzero(sizes == len(word)) if net.words[starts[k] : starts[k] + len(word)].tobytes() == word]
    return int(equal[-1]) if equal else -1


def _bitmap(kept: Ints | None, buckets: int) -> Bits:
    flags = np.zeros((buckets // 32 + 1) * 32, np.uint8)
    flags[kept if kept is not None else []] = 1
    bits = np.packbits(flags, bitorder="little").view("<u4").astype(np.uint64)
    before = np.concatenate([[0], np.cumsum(np.bitwise_count(bits), dtype=np.uint64)[:-1]]).astype(np.uint64)
    return bits | before << np.uint64(32)


_SEED, _PRIME = np.uint64(2166136261), np.uint64(16777619)
_32_BITS = np.uint64(0xFFFFFFFF)
_PAIR = np.uint64(116049371)  # fastText's multiplier for word n-grams
_1, _2, _4, _5, _31, _32, _56 = (np.uint64(k) for k in (1, 2, 4, 5, 31, 32, 56))
_TWOS, _FOURS, _EIGHTS = (np.uint64(k) for k in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
_ONES = np.uint64(0x0101010101010101)
_OPEN, _CLOSE = ord("<"), ord(">")
_LABEL_BYTES = np.frombuffer(LABEL.encode(), np.uint8)
_END_BYTES = np.frombuffer(END_OF_LINE, np.uint8)
_SEPARATES = np.isin(np.arange(256), [ord(c) for c in " \t\n\v\f\r\0"])


@part
def _step(state: np.uint64, byte: np.uint8) -> np.uint64:
    """FNV-1a as fastText has it: bytes are signed; only the low 32 bits count."""
    return (state ^ np.uint64(np.int64(np.int8(byte)))) * _PRIME


@part
def _hash(data: Bytes, begin: int, end: int) -> np.uint64:
    state = _SEED
    for i in range(begin, end):
        state = _step(state, data[i])
    return state & _32_BITS


@part
def _same(a: Bytes, i: int, b: Bytes, k: int, size: int) -> bool:
    for n in range(size):  # noqa: SIM110 Numba compiles no generator
        if a[i + n] != b[k + n]:
            return False
    return True


@part
def _is_label(data: Bytes, begin: int, length: int) -> bool:
    return length >= len(_LABEL_BYTES) and _same(data, begin, _LABEL_BYTES, 0, len(_LABEL_BYTES))


@part
def _entry(data: Bytes, begin: int, end: int, state: np.uint64, slots: Indices, words: Bytes, offsets: Offsets) -> np.int64:
    """The dictionary's entry of the word data[begin:end], or -1."""
    mask = len(slots) - 1
    k = np.int64(state) & mask
    while slots[k] >= 0:
        entry = np.int64(slots[k])
        size = offsets[entry + 1] - offsets[entry]
        if size == end - begin and _same(data, begin, words, offsets[entry], size):
            return entry
        k = (k + 1) & mask
    return np.int64(-1)


@kernel
def _fill_slots(words: Bytes, offsets: Offsets, slots: Indices) -> None:
    mask = len(slots) - 1
    for entry in range(len(offsets) - 1):
        k = np.int64(_hash(words, offsets[entry], offsets[entry + 1])) & mask
        while slots[k] >= 0:
            k = (k + 1) & mask
        slots[k] = entry


@kernel
def _identify(data: Bytes, offsets: Offsets, shape: _Shape, tables: _Tables, label: Ints, probability: Floats) -> None:
    dim, labels = tables.outputs.shape
    longest = 0
    for d in range(len(label)):
        longest = max(longest, int(offsets[d + 1] - offsets[d]))
    marked, rows = np.empty(longest + 2, np.uint8), np.empty(_GATHERED + min(shape.longest, longest + 2) + 1, np.int32)
    hashes = np.empty(longest // 2 + 2 if shape.word_ngrams > 1 else 1, np.int64)
    remembered = np.int64(256)
    while remembered * 2 * dim <= _REMEMBERED:
        remembered *= 2
    sums, at = np.empty((remembered, dim), np.float32), np.full(remembered, -1, np.int64)
    size, count = np.empty(remembered, np.int64), np.empty(remembered, np.int64)
    hidden, scores = np.empty(dim), np.empty(labels)
    waiting, reached = np.empty(len(tables.children) + 1, np.int32), np.empty(len(tables.children) + 1)
    for d in range(len(label)):
        found = _sum_text(data, offsets[d], offsets[d + 1], shape, tables, (marked, rows, hashes, sums, at, size, count), hidden)
        if found == 0:
            continue
        for k in range(dim):
            hidden[k] /= found
        score(hidden, tables.outputs, scores)
        if shape.tree:
            best, share = descend(scores, tables.children, waiting, reached)
        elif shape.softmax:
            best, share = softmax(scores)
        else:
            best, share = most_sure(scores, tables.sigmoid)
        label[d], probability[d] = best, math.floor(min(share, 1.0) * 1e4 + 0.5) / 1e4


@part
def _sum_text(data: Bytes, i: int, end: int, shape: _Shape, tables: _Tables, scratch: Any, hidden: Floats) -> np.int64:
    """Sum the rows of a text's words and n-grams into `hidden`; returns their number, 0 where nothing but `</s>` is known."""
    marked, rows, hashes, sums, at, size, count = scratch
    hidden[:] = 0
    found, words = np.int64(0), np.int64(0)
    while True:
        while i < end and _SEPARATES[data[i]]:
            i += 1
        if i == end:
            break
        begin, state = i, _SEED
        while i < end and not _SEPARATES[data[i]]:
            state = _step(state, data[i])
            i += 1
        state &= _32_BITS
        length = i - begin
        if length == len(_END_BYTES) and _same(data, begin, _END_BYTES, 0, length):
            break  # fastText reads no further
        k = np.int64(state) & (len(at) - 1)
        if length <= _LONGEST_REMEMBERED and at[k] >= 0 and size[k] == length and _same(data, begin, data, at[k], length):
            known = count[k]
        else:
            at[k], size[k] = begin, length if length <= _LONGEST_REMEMBERED else 0
            entry = _entry(data, begin, i, state, tables.slots, tables.words, tables.offsets)
            if entry >= shape.words or (entry < 0 and _is_label(data, begin, length)):
                known, sums[k] = np.int64(-1), 0
            else:
                known = _sum_word(data, begin, i, entry, shape, tables.kept, tables.inputs, marked, rows, sums[k])
            count[k] = known
        for n in range(len(hidden)):
            hidden[n] += sums[k, n]
        found += max(known, 0)
        if shape.word_ngrams > 1 and known >= 0:
            hashes[words] = np.int32(state)
            words += 1
    if shape.word_ngrams > 1:
        hashes[words] = np.int32(_hash(_END_BYTES, 0, len(_END_BYTES)))
        found += _sum_word_ngrams(hashes, int(words) + 1, shape, tables.kept, tables.inputs, hidden)
    if found and shape.end_of_line >= 0:
        _add_row(tables.inputs, np.int64(shape.end_of_line), hidden)
        found += 1
    return found


@part
def _sum_word(
    data: Bytes,
    begin: int,
    end: int,
    entry: np.int64,
    shape: _Shape,
    kept: Bits,
    inputs: Numbers,
    marked: Bytes,
    rows: Indices,
    total: Numbers,
) -> np.int64:
    """Sum the rows of a word (`entry` of the dictionary, -1: unknown) and of its n-grams; returns their number."""
    for k in range(len(total)):
        total[k] = 0
    rows[0], n, found = entry, np.int64(entry >= 0), np.int64(0)
    behind = 0
    if shape.longest > 0:
        behind = end - begin + 2
        marked[0], marked[behind - 1] = _OPEN, _CLOSE
        for i in range(begin, end):
            marked[i - begin + 1] = data[i]
    for start in range(behind):
        if marked[start] & 0xC0 == 0x80:
            continue
        state, i = _SEED, start
        for characters in range(1, shape.longest + 1):
            if i >= behind:
                break
            state = _step(state, marked[i])
            i += 1
            while i < behind and marked[i] & 0xC0 == 0x80:
                state = _step(state, marked[i])
                i += 1
            if characters >= shape.shortest and not (characters == 1 and (start == 0 or i == behind)):
                rows[n], there = _row(_remainder(state & _32_BITS, shape), shape, kept)
                n += there  # a row that is not there is written over: no branch has to be guessed
        if n >= _GATHERED:
            _add_rows(inputs, rows, n, total)
            found += n
            n = np.int64(0)
    _add_rows(inputs, rows, n, total)
    return found + n


@part
def _remainder(hashed: np.uint64, shape: _Shape) -> np.uint64:
    """hashed % buckets for 32 bits: a product with the reciprocal gives the quotient, or one less."""
    rest = hashed - (hashed * shape.magic >> shape.shift) * shape.buckets
    return rest - shape.buckets if rest >= shape.buckets else rest


@part
def _row(bucket: np.uint64, shape: _Shape, kept: Bits) -> tuple[np.int64, np.int64]:
    """(row of a bucket, 1 if the bucket was kept, else 0)."""
    if not shape.pruned:
        return shape.words + np.int64(bucket), np.int64(1)
    block, bit = kept[np.int64(bucket >> _5)], bucket & _31
    row = shape.words + np.int64(block >> _32) + np.int64(_count_ones(block & ((_1 << bit) - _1)))
    return row, np.int64(block >> bit & _1)


@part
def _count_ones(word: np.uint64) -> np.uint64:
    word = word - (word >> _1 & _TWOS)
    word = (word & _FOURS) + (word >> _2 & _FOURS)
    return ((word + (word >> _4)) & _EIGHTS) * _ONES >> _56


@part
def _add_rows(inputs: Numbers, rows: Indices, n: np.int64, total: Numbers) -> None:
    width = len(total)
    for k in range(n):
        first = np.int64(rows[k]) * width
        for lane in range(width):
            total[lane] += inputs[first + lane]


@part
def _add_row(inputs: Numbers, row: np.int64, hidden: Floats) -> None:
    for k in range(len(hidden)):
        hidden[k] += inputs[row * len(hidden) + k]


@part
def _sum_word_ngrams(hashes: Ints, words: int, shape: _Shape, kept: Bits, inputs: Numbers, hidden: Floats) -> np.int64:
    """Sum the rows of n-grams of words, 2 to `word_ngrams`; returns their number."""
    found = np.int64(0)
    for i in range(words):
        state = np.uint64(hashes[i])
        for j in range(i + 1, min(words, i + shape.word_ngrams)):
            state = state * _PAIR + np.uint64(hashes[j])
            row, there = _row(state % shape.buckets, shape, kept)
            if there:
                _add_row(inputs, row, hidden)
                found += 1
    return found
