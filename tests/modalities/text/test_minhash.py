"""MinHash against cuDF's published signatures, and against the algorithm written down in whole numbers.

cudf_signatures.json: facts of rapidsai/cudf v26.08.00 (its C++ and Python tests and its documentation), in a form of our own; a text
[s, k] is s repeated k times; terms have one space between them, and cuDF's `ngrams` counts one term less than our window. Rows with an
empty term are left out: no text of ours has one. The derived rows follow the source's C arithmetic, written down below in whole
numbers, and wait for a GPU to confirm them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from d4a.modalities.text.minhash import Permutations, minhash, nemo_permutations, own_permutations
from hypothesis import given, settings
from hypothesis import strategies as st

VECTORS = json.loads(Path(__file__).parents[2].joinpath("cudf_signatures.json").read_text(encoding="utf-8"))
ALL_32, ALL_64 = 2**32 - 1, 2**64 - 1


def column(*texts: str | None) -> pa.Array:
    return pa.array(texts, pa.large_string())


def permutations(vector: dict[str, Any]) -> Permutations:
    dtype = np.uint32 if vector["bits"] == 32 else np.uint64
    return Permutations(np.array(vector["a"], dtype), np.array(vector["b"], dtype), vector["seed"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_signatures_are_those_of_cudf(vector: dict[str, Any]) -> None:
    texts = [text[0] * text[1] if isinstance(text, list) else text for text, _ in vector["rows"]]
    expected = [values or [0] * len(vector["a"]) for _, values in vector["rows"]]
    assert minhash(column(*texts), vector["units"], vector["window"], permutations(vector)).tolist() == expected


def test_unbounded_integers_are_not_what_the_source_computes() -> None:
    derived = next(vector for vector in VECTORS if vector["name"].startswith("derived"))
    text, values = derived["rows"][5]
    h = murmur_32(text.encode(), derived["seed"])
    unbounded = [(h * a + b) % (2**61 - 1) & ALL_32 for a, b in zip(derived["a"], derived["b"], strict=True)]
    assert unbounded != values and unbounded[0] - 1 == values[0]


def murmur_32(data: bytes, seed: int, order: Literal["little", "big"] = "little") -> int:
    """MurmurHash3_x86_32, and 1 in place of 0."""
    h = seed
    for at in range(0, len(data), 4):
        k = int.from_bytes(data[at : at + 4], order) * 0xCC9E2D51 & ALL_32
        k = (k << 15 | k >> 17) & ALL_32
        h ^= k * 0x1B873593 & ALL_32
        if at + 4 <= len(data):
            h = ((h << 13 | h >> 19) * 5 + 0xE6546B64) & ALL_32
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & ALL_32
    h = (h ^ h >> 13) * 0xC2B2AE35 & ALL_32
    return max(h ^ h >> 16, 1)


def rotate(x: int, by: int) -> int:
    return (x << by | x >> 64 - by) & ALL_64


def murmur_64(data: bytes, seed: int, order: Literal["little", "big"] = "little") -> int:
    """The first word of MurmurHash3_x64_128, and 1 in place of 0."""
    c1, c2, low, high = 0x87C37B91114253D5, 0x4CF5AD432745937F, seed, seed
    for at in range(0, len(data), 16):
        k1, k2 = (int.from_bytes(data[at + skip : at + skip + 8], order) for skip in (0, 8))
        low ^= rotate(k1 * c1 & ALL_64, 31) * c2 & ALL_64
        whole = at + 16 <= len(data)
        if whole:
            low = ((rotate(low, 27) + high) * 5 + 0x52DCE729) & ALL_64
        high ^= rotate(k2 * c2 & ALL_64, 33) * c1 & ALL_64
        if whole:
            high = ((rotate(high, 31) + low) * 5 + 0x38495AB5) & ALL_64
    low, high = low ^ len(data), high ^ len(data)
    low = (low + high) & ALL_64
    high = (high + low) & ALL_64
    for word in range(2):
        x = (low, high)[word]
        x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & ALL_64
        x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & ALL_64
        low, high = (x ^ x >> 33, high) if word == 0 else (low, x ^ x >> 33)
    return max((low + high) & ALL_64, 1)


def by_definition(units: list[str], window: int, permuted: Permutations) -> list[int]:
    """cuDF's minhash in whole numbers; `units` are code points or terms."""
    a, b, seed = permuted
    if not units:
        return [0] * len(a)
    narrow = a.dtype == np.uint32
    grams = {"".join(units[k : k + window]).encode() for k in range(max(1, len(units) - window + 1))}
    hashes = [(murmur_32 if narrow else murmur_64)(gram, seed) for gram in grams]
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    if narrow:
        return [min((h * x + y) % 2**32 for h in hashes) for x, y in pairs]
    return [min((h * x + y) % 2**64 % (2**61 - 1) for h in hashes) for x, y in pairs]


def mutant(wrong: str, units: list[str], window: int, permuted: Permutations) -> list[int]:
    """`by_definition` with one mistake."""
    a, b = permuted.a.tolist(), permuted.b.tolist()
    narrow, seed = permuted.a.dtype == np.uint32, permuted.seed
    window += wrong == "a unit more"
    grams = {"".join(units[k : k + window]).encode() for k in range(max(1, len(units) - window + 1 - (wrong == "no last window")))}
    if wrong == "bytes for units":
        text = "".join(units).encode()
        grams = {text[k : k + window] for k in range(max(1, len(text) - window + 1))}
    hashed = murmur_32 if narrow != (wrong == "the other hash") else murmur_64
    hashes = [hashed(gram, seed + (wrong == "another seed"), "big" if wrong == "big-endian" else "little") for gram in grams]
    if wrong == "b * h + a":
        a, b = b, a
    if wrong == "permutations turned round":
        a, b = a[::-1], b[::-1]
    word = ALL_32 if narrow else ALL_64
    prime = 2**64 if narrow or wrong == "no modulus" else 2**61 - 1
    if wrong == "unbounded product":
        return [min((h * x + y) % (2**61 - 1) & word for h in hashes) for x, y in zip(a, b, strict=True)]
    if wrong == "greatest":
        return [max((h * x + y & word) % prime for h in hashes) for x, y in zip(a, b, strict=True)]
    return [min((h * x + y & word) % prime for h in hashes) for x, y in zip(a, b, strict=True)]


MISTAKES = ["a unit more", "no last window", "another seed", "big-endian", "b * h + a", "permutations turned round", "unbounded product",
            "greatest", "the other hash"]  # fmt: skip


def rows_of(kind: str, bits: int) -> Iterator[tuple[list[str], int, Permutations, list[int]]]:
    """(units, window, permutations, signature) of the vectors' texts that are neither empty nor very long."""
    for vector in VECTORS:
        if (vector["units"], vector["bits"]) == (kind, bits):
            for text, values in vector["rows"]:
                if isinstance(text, str) and text:
                    units = list(text) if kind == "characters" else [term for term in text.split(" ") if term]
                    yield units, vector["window"], permutations(vector), values


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("kind", ["characters", "spaced"])
def test_the_vectors_fail_whoever_makes_a_mistake(kind: str, bits: int) -> None:
    """cuDF's own would let four of these pass: no row of 64 bits has an a that is not its b."""
    rows = list(rows_of(kind, bits))
    possible = {*MISTAKES, *(["bytes for units"] if kind == "characters" else []), *(["no modulus"] if bits == 64 else [])}
    assert all(mutant("", *row) == by_definition(*row) == values for *row, values in rows)
    assert {wrong for wrong in possible if any(mutant(wrong, *row) != values for *row, values in rows)} == possible


@pytest.mark.parametrize("bits", [32, 64])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab é中🗼\0", max_size=400) | st.text(max_size=40), max_size=4), st.integers(1, 40), st.integers(0, 2**31))
def test_any_text_has_the_signature_of_the_definition(bits: int, texts: list[str], window: int, seed: int) -> None:
    permuted = own_permutations(5, bits, seed)
    expected = [by_definition(list(text), window, permuted) for text in texts]
    assert minhash(column(*texts), "characters", window, permuted).tolist() == expected
    expected = [by_definition([term for term in text.split(" ") if term], window, permuted) for text in texts if text.strip(" ")]
    assert minhash(column(*(text for text in texts if text.strip(" "))), "spaced", window, permuted).tolist() == expected


def test_windows_of_a_long_text_are_all_seen() -> None:
    text = "".join(chr(97 + k * k % 26) for k in range(300)) + "ä" + "".join(chr(97 + k * k % 23) for k in range(300))
    permuted = own_permutations(64, 32)
    assert minhash(column(text), "characters", 24, permuted).tolist() == [by_definition(list(text), 24, permuted)]


def test_words_are_the_tokens_without_case_and_punctuation() -> None:
    permuted = own_permutations(16, 32)
    one, other, third = minhash(
        column("The quick, BROWN fox; jumps", "the quick brown fox jumps", "the quick brown jumps fox"), "words", 3, permuted
    )
    assert one.tolist() == other.tolist() == by_definition(["the", "quick", "brown", "fox", "jumps"], 3, permuted)
    assert other.tolist() != third.tolist()
    assert minhash(column("東京 タワー"), "words", 2, permuted).tolist() == [by_definition(list("東京タワー"), 2, permuted)]


def test_a_text_without_words_is_its_bytes() -> None:
    permuted = own_permutations(4, 32)
    assert minhash(column("?!", "...", ""), "words", 3, permuted).tolist() == [
        by_definition(["?!"], 3, permuted),
        by_definition(["..."], 3, permuted),
        [0] * 4,
    ]


def test_permutations_of_nemo_curator() -> None:
    drawn = nemo_permutations(260, 32)
    # the first two words of the Mersenne Twister under seed 42 are 1608637542 and 3421126067; randint masks to 31 bits
    assert (drawn.seed, drawn.a[0], drawn.b[0]) == (1608637543, 1608637543, 3421126067 % 2**31)
    assert drawn.a.tolist()[:3] == nemo_permutations(3, 32).a.tolist() != nemo_permutations(3, 32, 10).a.tolist()
    assert nemo_permutations(2, 64).a.dtype == np.uint64


@pytest.mark.parametrize("bits", [32, 64])
def test_own_permutations_are_bijections(bits: int) -> None:
    drawn = own_permutations(300, bits)
    assert (drawn.a % 2 == 1).all()
    assert len(set(drawn.a.tolist())) == len(set(drawn.b.tolist())) == 300
