"""Pairs of vectors above a cosine: against brute force, at tile borders, and bit for bit."""

import hashlib

import numpy as np
import pytest
from d4a.curator.dedup.neighbours import cosines, neighbours
from d4a.curator.errors import D4AError


def planted(n, d, pairs, cosine, seed=0):
    """(n, d) float16 unit vectors in which (i, n - 1 - i) for i < pairs have about the given cosine."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, d))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    a = vectors[:pairs]
    noise = rng.standard_normal((pairs, d))
    noise -= (noise * a).sum(1, keepdims=True) * a
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors[n - pairs :] = (cosine * a + np.sqrt(1 - cosine**2) * noise)[::-1]
    return vectors.astype(np.float16)


def brute_force(vectors, floor):
    wide = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    found = {}
    for i in range(0, len(wide), 500):
        rows, columns = np.nonzero(wide[i : i + 500] @ wide.T >= floor)
        for row, column in zip(rows + i, columns, strict=True):
            if row < column:
                found[int(row), int(column)] = wide[row] @ wide[column]
    return found


@pytest.mark.parametrize("n", [1, 2, 2049, 8700])  # one tile, more rows than a tile, more columns than a tile
def test_finds_what_brute_force_finds(n):
    vectors = planted(n, 24, n // 10, 0.93)
    found, wanted = neighbours(vectors, 0.9), brute_force(vectors, 0.9)
    assert len(wanted) >= n // 10 * 0.9
    assert list(zip(found.a.tolist(), found.b.tolist(), strict=True)) == sorted(wanted)
    np.testing.assert_allclose(found.similarity, [wanted[key] for key in sorted(wanted)], atol=1e-12)


def test_a_floor_equal_to_a_pairs_cosine_includes_it():
    vectors = planted(400, 64, 20, 0.95)
    exact = cosines(vectors[:20], vectors[::-1][:20])
    for floor in exact:
        assert len(neighbours(vectors, float(floor)).a) == (exact >= floor).sum()
        assert len(neighbours(vectors, float(np.nextafter(floor, 2))).a) == (exact > floor).sum()


def test_equal_vectors_have_cosine_one_and_zero_vectors_are_like_nothing():
    vectors = planted(50, 100, 0, 0.0)
    vectors[[3, 30]] = vectors[7]
    vectors[[10, 11]] = 0
    found = neighbours(vectors, 0.99)
    assert list(zip(found.a.tolist(), found.b.tolist(), found.similarity.tolist(), strict=True)) == [
        (3, 7, 1.0),
        (3, 30, 1.0),
        (7, 30, 1.0),
    ]


def test_order_of_the_vectors_does_not_change_a_single_bit():
    vectors = planted(3000, 40, 200, 0.91)
    order = np.random.default_rng(5).permutation(3000)
    back = np.empty(3000, np.int64)
    back[np.arange(3000)] = order
    straight, mixed = neighbours(vectors, 0.9), neighbours(vectors[order], 0.9)
    a, b = np.minimum(back[mixed.a], back[mixed.b]), np.maximum(back[mixed.a], back[mixed.b])
    sort = np.lexsort((b, a))
    assert np.array_equal(straight.a, a[sort]) and np.array_equal(straight.b, b[sort])
    assert straight.similarity.tobytes() == mixed.similarity[sort].tobytes()


def test_similarities_are_the_same_on_every_machine():
    i, j = np.indices((60, 333))
    vectors = (((i * i + 7 * j + i * j * j) % 97 - 48) / 97).astype(np.float32)  # their sums must be rounded, so order shows
    found = neighbours(vectors, 0.2)
    assert len(found.a) == KNOWN_PAIRS
    assert hashlib.sha256(found.similarity.astype("<f8").tobytes()).hexdigest()[:16] == KNOWN_BITS


KNOWN_PAIRS, KNOWN_BITS = 38, "5c7c036180c833b8"  # recomputed with plain Python floats


def test_stops_with_a_clear_line_before_pairs_fill_the_memory():
    with pytest.raises(D4AError, match=r"more than 1,000 pairs among 100 vectors have a cosine >= 0.9") as caught:
        neighbours(np.ones((100, 8), np.float16), 0.9, max_pairs=1000)
    assert "raise the floor" in caught.value.hint
