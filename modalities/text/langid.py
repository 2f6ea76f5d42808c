"""The kernel behind text.language: py3langid's automaton and naive Bayes over Arrow buffers.

The tables (67 MB) do not fit a cache, so a walk waits for memory at every byte. Four documents therefore walk side by
side, and frequent bytes are neighbours in a row. Sums are float32 in a fixed order and the exponential is our own,
because a C library's last bit depends on the machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.backends.cpu import kernel, part
from ...curator.columns import Bytes, Offsets, buffers
from ...curator.stage import Floats, Ints
from .normalise import normalise

_LANES = 16  # classes are padded to a multiple of it
_NEVER = -1e30  # prior of a padded class
_SIDE_BY_SIDE = 4


@dataclass(frozen=True)
class Model:
    """An Aho-Corasick automaton over bytes, and the naive Bayes weights of the features (byte n-grams) that it meets.

    labels   k names, one a class; a name may stand for two classes
    first    (k,) int64              the first class of the same name
    columns  (256,) uint8            byte -> column of `moves`
    moves    (rows * 256,) uint32    state that follows; many states share a row
    states   (s,) uint64             start of the state's row << 32 | its feature + 1 (0: none)
    weights  (f + 1, lanes)          log P(feature | class) * scale; int16 where that is exact, else float32; row 0 is empty
    priors   (lanes,) float32        log P(class) * scale
    """

    labels: tuple[str, ...]
    first: Ints
    columns: Bytes
    moves: npt.NDArray[np.uint32]
    states: npt.NDArray[np.uint64]
    weights: npt.NDArray[Any]
    priors: npt.NDArray[np.float32]
    scale: float

    @classmethod
    def pack(cls, weights: Any, priors: Any, labels: list[str], moves: Any, rows: Any, features: Any) -> Model:
        """From the arrays of py3langid's `load_model`, in its order."""
        table = np.asarray(moves, np.uint32).reshape(-1, 256)
        by_use = np.argsort(-(table != table[0]).sum(axis=0), kind="stable")  # bytes that features are made of, first
        columns = np.empty(256, np.uint8)
        columns[by_use] = np.arange(256)
        states = (np.asarray(rows).astype(np.uint64) << np.uint64(40)) | (np.asarray(features, np.int64) + 1).astype(np.uint64)
        packed, scale = _pack_weights(np.asarray(weights, np.float32))
        padded = np.full(packed.shape[1], _NEVER, np.float32)
        padded[: len(labels)] = np.asarray(priors, np.float32) * np.float32(scale)
        first = np.array([labels.index(label) for label in labels], np.int64)
        return cls(tuple(labels), first, columns, table[:, by_use].ravel(), states, packed, padded, scale)

    def identify(self, texts: pa.Array) -> tuple[Ints, Floats]:
        """The most probable class of each text, written as the training texts were, and its probability: see `classify`."""
        return classify(as_trained(texts), self)


def _pack_weights(weights: npt.NDArray[np.float32]) -> tuple[npt.NDArray[Any], float]:
    """Padded weights with an empty row in front, and their scale: half the memory as int16 where no bit is lost."""
    scaled = weights * np.float32(512)
    exact = bool((scaled == np.rint(scaled)).all() and np.abs(scaled).max() <= np.iinfo(np.int16).max)
    lanes = -(-weights.shape[1] // _LANES) * _LANES
    packed = np.zeros((len(weights) + 1, lanes), np.int16 if exact else np.float32)
    packed[1:, : weights.shape[1]] = scaled if exact else weights
    return packed, 512.0 if exact else 1.0


def as_trained(texts: pa.Array) -> pa.Array:
    """Texts as the model's training texts were written: NFC, and lower case where all is in capitals."""
    capitals = pc.utf8_is_upper(texts)
    if pc.any(capitals).as_py():
        texts = pc.replace_with_mask(texts, capitals, pc.utf8_lower(texts.filter(capitals)))
    return normalise(texts, "NFC")


def classify(texts: pa.Array, model: Model) -> tuple[Ints, Floats]:
    """The most probable class of each text, and its probability.

    texts    (n,) large_string, without nulls
    returns  (n,) int64 index into model.labels, -1 where the text has no feature; (n,) float64 probability, rounded to 4 decimals

    Lui & Baldwin 2012 (langid.py); probabilities as py3langid's `norm_probs`: scores divided by the root of the length in bytes.
    """
    offsets, data = buffers(texts)
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    order = np.argsort(lengths, kind="stable")  # neighbours walk side by side
    label, probability = np.full(len(texts), -1, np.int64), np.zeros(len(texts))
    weight_of_count = np.log1p(np.arange(longest + 1, dtype=np.float64)).astype(np.float32)
    hits = np.empty((_SIDE_BY_SIDE, longest + 1), np.int32)
    tables = model.columns, model.moves, model.states, model.weights, model.priors, model.first
    _classify(offsets, data, order, tables, model.scale, weight_of_count, hits, label, probability)
    return label, probability


@kernel
def _classify(
    offsets: Offsets, data: Bytes, order: Ints, tables: Any, scale: float, weight_of_count: Any, hits: Any, label: Ints, probability: Floats
) -> None:
    columns, moves, states, weights, priors, first = tables
    counts = np.zeros(len(weights), np.int32)
    scores = np.empty(len(priors), np.float32)
    posterior = np.empty(len(first), np.float64)
    starts, lengths, met = np.zeros(4, np.int64), np.zeros(4, np.int64), np.zeros(4, np.int64)
    for group in range(0, len(order), 4):
        size = min(4, len(order) - group)
        lengths[:] = 0
        for k in range(size):
            starts[k] = offsets[order[group + k]]
            lengths[k] = offsets[order[group + k] + 1] - starts[k]
        _walk(data, starts, lengths, columns, moves, states, hits, met)
        for k in range(size):
            if met[k]:
                _score(hits[k, : met[k]], counts, weights, priors, weight_of_count, scores)
                document = order[group + k]
                label[document], probability[document] = _decide(scores, first, scale * math.sqrt(lengths[k]), posterior)


@kernel
def _walk(data: Bytes, starts: Ints, lengths: Ints, columns: Bytes, moves: Any, states: Any, hits: Any, met: Ints) -> None:
    """Features that four documents meet: hits[k, :met[k]], numbered from 1."""
    row, feature = np.uint64(32), np.uint64(0xFFFFFFFF)
    a = b = c = d = states[0]
    s, t, u, v = starts
    w = x = y = z = 0
    together = lengths.min()
    for i in range(together):
        a = states[moves[np.int64(a >> row) + columns[data[s + i]]]]
        b = states[moves[np.int64(b >> row) + columns[data[t + i]]]]
        c = states[moves[np.int64(c >> row) + columns[data[u + i]]]]
        d = states[moves[np.int64(d >> row) + columns[data[v + i]]]]
        # written always, kept only where there is a feature: no branch to guess wrong
        hits[0, w] = a & feature
        hits[1, x] = b & feature
        hits[2, y] = c & feature
        hits[3, z] = d & feature
        w += hits[0, w] != 0
        x += hits[1, x] != 0
        y += hits[2, y] != 0
        z += hits[3, z] != 0
    for k, (state, n) in enumerate(((a, w), (b, x), (c, y), (d, z))):
        for i in range(starts[k] + together, starts[k] + lengths[k]):
            state = states[moves[np.int64(state >> row) + columns[data[i]]]]
            hits[k, n] = state & feature
            n += hits[k, n] != 0
        met[k] = n


@kernel
def _score(hits: Any, counts: Any, weights: Any, priors: Any, weight_of_count: Any, scores: Any) -> None:
    """Naive Bayes scores of one document, features in the order in which they are first met; `counts` is zero before and after."""
    distinct = 0
    for i in range(len(hits)):
        feature = hits[i]
        hits[distinct] = feature
        distinct += counts[feature] == 0
        counts[feature] += 1
    scores[:] = 0
    for i in range(distinct):
        feature = hits[i]
        factor = weight_of_count[counts[feature]]
        counts[feature] = 0
        row = weights[feature]
        for j in range(len(scores)):
            scores[j] += factor * np.float32(row[j])
    scores += priors


@kernel
def _decide(scores: Any, first: Ints, temperature: float, posterior: Floats) -> tuple[int, float]:
    """Best class and its probability, classes of one name taken together."""
    best = scores.max()
    total = 0.0
    posterior[:] = 0
    for j in range(len(first)):
        share = exponential((np.float64(scores[j]) - best) / temperature)
        posterior[first[j]] += share
        total += share
    label = int(posterior.argmax())
    return label, math.floor(posterior[label] / total * 1e4 + 0.5) / 1e4


@part
def exponential(x: float) -> float:
    """exp(x) for x <= 0 to 1e-8, from operations that IEEE 754 defines to the bit."""
    if x < -20:
        return 0.0
    twos = math.floor(x / math.log(2.0) + 0.5)
    rest = x - twos * math.log(2.0)
    series = 1.0
    for n in range(8, 0, -1):
        series = 1.0 + series * rest * (1.0 / n)
    return math.ldexp(series, int(twos))


def prefixes(texts: pa.Array, max_bytes: int) -> pa.Array:
    """The first `max_bytes` bytes of each text, without a character cut in two.

    texts  (n,) large_string, without nulls
    """
    offsets, data = buffers(texts)
    starts, ends = offsets[:-1], np.minimum(offsets[1:], offsets[:-1] + max_bytes)
    for _ in range(3):
        cut_texts = np.flatnonzero(ends < offsets[1:])
        ends[cut_texts] -= (data[ends[cut_texts]] & 0xC0) == 0x80
    cut = np.concatenate([[0], np.cumsum(ends - starts)])
    copied = np.empty(cut[-1], np.uint8)
    _copy(data, starts, cut, copied)
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(cut), pa.py_buffer(copied))


@kernel
def _copy(data: Bytes, starts: Ints, cut: Ints, copied: Bytes) -> None:
    for i in range(len(starts)):
        copied[cut[i] : cut[i + 1]] = data[starts[i] : starts[i] + cut[i + 1] - cut[i]]
