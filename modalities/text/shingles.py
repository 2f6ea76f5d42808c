"""Which shingles a text is compared by: runs of words, of what stands between spaces, or of characters, of the text in a normal form.

Every kind gives hashed tokens, so that one sketch and one verification serve them all. Characters cost eight bytes of memory
each for it, a batch at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...curator.backends.cpu import lean_kernel, read_only, scratch
from ...curator.columns import Bytes, Offsets, buffers
from .fss import ShingleSets, shingle_sets
from .minhash import Units
from .normal_form import NormalForm, in_normal_form
from .tokens import END, LIST, MIX, SLACK, Hashes, Tokens, hash_words, mix_in, tokenise
from .unicode import decode

_0, _1, _32 = (np.uint64(k) for k in (0, 1, 32))


class Shingling(NamedTuple):
    """How shingles are made.

    units  words: the tokens of tokens.py. spaced: what stands between spaces. characters: code points
    ngram  units in a shingle; a text of fewer is one shingle
    form   what is done to a text first
    """

    units: Units
    ngram: int
    form: NormalForm

    def prepare(self, texts: pa.Array) -> pa.Array:
        """The texts in the normal form; `tokens` takes these."""
        return in_normal_form(texts, self.form)

    def tokens(self, prepared: pa.Array) -> Tokens:
        """The units of prepared texts, hashed."""
        if self.units == "words":
            return tokenise(prepared)
        return _characters(prepared) if self.units == "characters" else _spaced(prepared)

    def sets(self, texts: pa.Array) -> ShingleSets:
        """The shingle sets of texts as they are."""
        return shingle_sets(self.tokens(self.prepare(texts)), self.ngram)


def _characters(texts: pa.Array) -> Tokens:
    offsets, data = buffers(texts)
    hashes = np.empty(int(offsets[-1] - offsets[0]), np.uint64)  # untouched pages cost nothing
    bounds = np.zeros(len(offsets), np.int64)
    fingerprints = np.empty(len(offsets) - 1, np.uint64)
    _hash_characters(read_only(data), offsets, hashes, bounds, fingerprints)
    return Tokens(hashes[: bounds[-1]], bounds, fingerprints)


@lean_kernel
def _hash_characters(data: Bytes, offsets: Offsets, hashes: Hashes, bounds: Offsets, fingerprints: Hashes) -> None:
    count = _0
    for d in range(offsets.size - 1):
        i, end = np.uint64(offsets[d]), np.uint64(offsets[d + 1])
        listed = LIST
        while i < end:
            code, length = np.uint32(data[i]), _1
            if code >= 0x80:
                code, length = decode(data, i, end)
            i += length
            token = (np.uint64(code) + _1) * MIX
            token = (token ^ token >> _32) * END
            hashes[count] = token
            count += _1
            listed = mix_in(listed, token)
        fingerprints[d] = listed * END
        bounds[d + 1] = count


def _spaced(texts: pa.Array) -> Tokens:
    offsets, data = buffers(texts)
    text = scratch("spaced text", int(np.diff(offsets).max(initial=0)) + 1 + SLACK, np.uint8)
    hashes = np.empty((int(offsets[-1] - offsets[0]) + len(offsets)) // 2 + 1, np.uint64)
    bounds = np.zeros(len(offsets), np.int64)
    fingerprints = np.empty(len(offsets) - 1, np.uint64)
    _hash_spaced(read_only(data), offsets, text, hashes, bounds, fingerprints)
    return Tokens(hashes[: bounds[-1]], bounds, fingerprints)


@lean_kernel
def _hash_spaced(data: Bytes, offsets: Offsets, text: Bytes, hashes: Hashes, bounds: Offsets, fingerprints: Hashes) -> None:
    count = _0
    for d in range(offsets.size - 1):
        start, size = np.uint64(offsets[d]), np.uint64(offsets[d + 1] - offsets[d])
        for k in range(size):
            text[k] = data[start + k]
        text[size] = 0x20
        count, fingerprints[d] = hash_words(text, size + _1, hashes, count)
        bounds[d + 1] = count
