from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import numpy as np
import pytest
from d4a.curator.dedup.bands import Bands, Candidates, Keys, Signatures, band_keys, choose_bands, probability
from d4a.curator.dedup.spill import Ascending, Spill
from d4a.curator.errors import D4AError
from d4a.curator.stage import Ints
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


def by_hand(keys: Keys, max_candidates: int) -> tuple[list[tuple[int, int]], int]:
    """The pairs of every bucket's later ranks with its first ones, and the number of buckets that were cut."""
    found, capped = set(), 0
    for column in keys.T:
        for key in set(column.tolist()):
            bucket = np.flatnonzero(column == key).tolist()
            capped += len(bucket) > max_candidates + 1
            found |= {(b, a) for k, b in enumerate(bucket) for a in bucket[: min(k, max_candidates)]}
    return sorted(found), capped


def by_disk(
    signatures: Signatures, order: Ints, bands: int, most: int, folder: Path, room: int, sources: Ints | None = None
) -> tuple[list[tuple[int, int]], Candidates]:
    """Pairs (later, earlier) as they come; the records are given in `order`, by pieces."""
    found = Bands(folder, bands, 1)
    for start in range(0, len(order), 7):
        found.add(order[start : start + 7], signatures[order[start : start + 7]])
    candidates = found.candidates(len(order), most, folder, room, sources)
    words = [word for portion in candidates.pairs.portions() for word in portion.tolist()]
    return [(word >> 32, word & 0xFFFFFFFF) for word in words], candidates


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 80), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3, 10**6]))
def test_records_of_one_source_take_no_places_where_only_others_count(seed: int, n: int, kinds: int, most: int, room: int) -> None:
    """Each record meets the most preferred ones of other sources in its bucket, as long as there are any."""
    draw = np.random.default_rng(seed)
    signatures, sources = draw.integers(0, 3, (n, 2), dtype=np.uint32), np.sort(draw.integers(0, kinds, n))
    expected = set()
    for column in signatures.T:
        for b in range(n):
            others = [a for a in range(b) if column[a] == column[b] and sources[a] != sources[b]]
            expected |= {(b, a) for a in others[:most]}
    with tempfile.TemporaryDirectory() as folder:
        pairs, _ = by_disk(signatures, np.arange(n), 2, most, Path(folder), room, sources)
    assert pairs == sorted(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(0, 60), st.integers(1, 6), st.integers(1, 30), st.integers(1, 8), st.sampled_from([16, 200, 10**6])
)
def test_every_pair_of_a_bucket_comes_once_and_in_order_for_any_memory(
    seed: int, n: int, bands: int, values: int, most: int, room: int
) -> None:
    draw = np.random.default_rng(seed)
    signatures = draw.integers(0, values, (n, bands), dtype=np.uint32)
    with tempfile.TemporaryDirectory() as folder:
        found, candidates = by_disk(signatures, draw.permutation(n), bands, most, Path(folder), room)
    expected, capped = by_hand(signatures.astype(np.uint64), most)
    assert found == expected
    assert candidates.capped == capped
    assert np.flatnonzero(candidates.involved).tolist() == sorted({rank for pair in expected for rank in pair})


def test_a_huge_bucket_costs_a_multiple_of_its_size(tmp_path: Path) -> None:
    n, most = 5_000, 64
    found, candidates = by_disk(np.full((n, 2), 7, np.uint32), np.arange(n), 2, most, tmp_path, 1 << 16)
    assert len(found) == len(set(found)) == n * most - most * (most + 1) // 2
    assert candidates.capped == 2


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 30_000), st.integers(1, 40_000), st.integers(2_000, 9_000))
def test_words_sorted_through_a_file_are_those_sorted_in_memory(seed: int, n: int, values: int, room: int) -> None:
    words = np.random.default_rng(seed).integers(0, values, n, dtype=np.uint64)
    with tempfile.TemporaryDirectory() as folder:
        ascending = Ascending(Path(folder), room)
        for start in range(0, n, 977):
            ascending.add(words[start : start + 977])
        portions = list(ascending.portions())
    assert np.array_equal(np.concatenate(portions), np.unique(words))


def test_a_folder_that_cannot_be_written_to_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(D4AError, match="cannot write: No such file or directory"):
        Spill(tmp_path / "gone")


def test_a_file_that_cannot_grow_is_one_error(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    spill = Spill(tmp_path)
    spill.append(np.zeros(1000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(D4AError, match="cannot write: File too large"):
            spill.append(np.zeros(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_keys_follow_the_order_asked_for() -> None:
    signatures = np.random.default_rng(0).integers(0, 5, (50, 8), dtype=np.uint32)
    order = np.array([7, 3, 49])
    keys = band_keys(signatures, order, 3, 2)
    assert np.array_equal(keys, band_keys(signatures, np.arange(50), 3, 2)[order])
    assert (keys[0] == keys[1]).tolist() == [
        bool((signatures[7, 2 * b : 2 * b + 2] == signatures[3, 2 * b : 2 * b + 2]).all()) for b in range(3)
    ]
