from __future__ import annotations

import hashlib
import random

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.dedup.bands import estimate
from d4a.modalities.text.fss import BINS, shingle_sets, signatures
from d4a.modalities.text.tokens import Tokens, tokenise

MASK = 2**64 - 1


def multipliers() -> list[int]:
    word, found = 0, []
    for _ in range(2 * BINS):
        word = (word + 0x9E3779B97F4A7C15) & MASK
        z = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        found.append((z ^ z >> 31) | 1)
    return found


def sketch(shingles: list[int]) -> list[int]:
    """Fast Similarity Sketching by its definition: all 512 rounds, bin and value from one hash a round."""
    best = [(2 * BINS, 0)] * BINS
    for r, multiplier in enumerate(multipliers()):
        for x in shingles:
            y = x * multiplier & MASK
            place = y >> 56 if r < BINS else r - BINS
            best[place] = min(best[place], (r, y >> 24 & 0xFFFFFFFF))
    return [value for _, value in best]


def column(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


def words(count: int, seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(f"w{draw.randrange(10**6)}" for _ in range(count))


@pytest.mark.parametrize("count", [1, 5, 6, 30, 300, 1200])
def test_signature_is_the_sketch_of_the_shingle_set(count: int) -> None:
    tokens = tokenise(column(words(count, seed=count)))
    assert signatures(tokens, 5)[0].tolist() == sketch(shingle_sets(tokens, 5).hashes.tolist())


def test_repetition_changes_nothing() -> None:
    short, long = signatures(tokenise(column("a b c " * 4, "a b c " * 50_000)), 5)
    assert short.tolist() == long.tolist()


@pytest.mark.parametrize(("union", "similarity", "pairs"), [(30, 0.5, 800), (30, 0.8, 800), (400, 0.8, 600), (3000, 0.8, 200)])
def test_error_of_the_estimate_is_below_that_of_minhash(union: int, similarity: float, pairs: int) -> None:
    draw = np.random.default_rng(union)
    common, lists = round(union * similarity), []
    half = (union - common) // 2
    for _ in range(pairs):
        items = draw.integers(0, 2**64, union, dtype=np.uint64)
        lists += [items[: common + half], np.concatenate([items[:common], items[common + half :]])]
    tokens = Tokens(np.concatenate(lists), np.cumsum([0, *map(len, lists)]), np.zeros(len(lists), np.uint64))
    error = estimate(signatures(tokens, 1), np.arange(0, 2 * pairs, 2), np.arange(1, 2 * pairs, 2)) - similarity
    minhash = (similarity * (1 - similarity) / BINS) ** 0.5
    assert np.sqrt((error**2).mean()) < minhash * 1.02
    assert abs(error.mean()) < 4 * minhash / pairs**0.5


def test_signatures_are_pinned() -> None:
    # sketches are stored and compared between runs: other values need another `version` of text.dedup.fuzzy
    rows = signatures(tokenise(column("short", words(40, seed=1), words(4000, seed=2), "雨が降る日に本を読む")), 5)
    assert hashlib.sha256(rows.astype("<u4").tobytes()).hexdigest()[:16] == "6b39da58bec03a72"
