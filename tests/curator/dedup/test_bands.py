from __future__ import annotations

import numpy as np
import pytest
from d4a.curator.dedup.bands import Keys, band_keys, candidate_pairs, choose_bands, probability
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("bands", "rows", "expected"),
    [
        (14, 8, {0.5: 0.0533, 0.7: 0.5645, 0.8: 0.9235, 0.9: 0.9996}),  # FineWeb
        (9, 13, {0.7: 0.0839, 0.8: 0.3988, 0.9: 0.9286}),  # SlimPajama
        (20, 13, {0.6: 0.0258, 0.8: 0.6773}),  # NeMo Curator
    ],
)
def test_probability_is_that_of_the_published_configurations(bands: int, rows: int, expected: dict[float, float]) -> None:
    for similarity, found in expected.items():
        assert probability(similarity, bands, rows) == pytest.approx(found, abs=6e-5)


@pytest.mark.parametrize("similarity", [0.6, 0.7, 0.8, 0.9])
def test_pairs_share_a_band_as_often_as_the_curve_says(similarity: float) -> None:
    draw, pairs = np.random.default_rng(3), 20_000
    one = draw.integers(0, 2**32, (pairs, 256), dtype=np.uint32)
    other = np.where(draw.random((pairs, 256)) < similarity, one, draw.integers(0, 2**32, (pairs, 256), dtype=np.uint32))
    order = np.arange(pairs)
    found = (band_keys(one, order, 14, 8) == band_keys(other, order, 14, 8)).any(axis=1).mean()
    expected = probability(similarity, 14, 8)
    assert abs(found - expected) < 3 * (expected * (1 - expected) / pairs) ** 0.5


@pytest.mark.parametrize(
    ("threshold", "bands", "rows"), [(1.0, 32, 8), (0.8, 32, 8), (0.78, 32, 8), (0.77, 36, 7), (0.7, 42, 6), (0.5, 85, 3), (0.001, 256, 1)]
)
def test_bands_are_chosen_for_the_threshold(threshold: float, bands: int, rows: int) -> None:
    assert choose_bands(threshold) == (bands, rows)


def by_hand(keys: Keys, max_candidates: int) -> tuple[set[tuple[int, int]], int]:
    """The pairs of every bucket's later records with its first ones, and the number of buckets that were cut."""
    found, capped = set(), 0
    for column in keys.T:
        for key in set(column.tolist()):
            bucket = np.flatnonzero(column == key).tolist()
            capped += len(bucket) > max_candidates + 1
            found |= {(a, b) for k, b in enumerate(bucket) for a in bucket[: min(k, max_candidates)]}
    return found, capped


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 6), st.integers(1, 30), st.integers(1, 8))
def test_every_pair_of_a_bucket_comes_once(seed: int, n: int, bands: int, values: int, max_candidates: int) -> None:
    keys = np.random.default_rng(seed).integers(0, values, (n, bands), dtype=np.uint64)
    portions = list(candidate_pairs(keys, max_candidates))
    pairs = [(int(a), int(b)) for one in portions for a, b in zip(one.a, one.b, strict=True)]
    expected, capped = by_hand(keys, max_candidates)
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == expected
    assert sum(one.capped for one in portions) == capped


def test_a_huge_bucket_costs_a_multiple_of_its_size() -> None:
    n, most = 100_000, 64
    keys = np.full((n, 4), 7, np.uint64)
    portions = list(candidate_pairs(keys, most))
    assert sum(len(one.a) for one in portions) == n * most - most * (most + 1) // 2
    assert max(len(one.a) for one in portions) <= 1 << 22
    assert sum(one.capped for one in portions) == 4


def test_keys_follow_the_order_asked_for() -> None:
    signatures = np.random.default_rng(0).integers(0, 5, (50, 8), dtype=np.uint32)
    order = np.array([7, 3, 49])
    keys = band_keys(signatures, order, 3, 2)
    assert np.array_equal(keys, band_keys(signatures, np.arange(50), 3, 2)[order])
    assert (keys[0] == keys[1]).tolist() == [
        bool((signatures[7, 2 * b : 2 * b + 2] == signatures[3, 2 * b : 2 * b + 2]).all()) for b in range(3)
    ]
