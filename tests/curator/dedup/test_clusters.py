"""Pairs through clusters: against all pairs, with and without visits, and the same clusters whoever adds up."""

import numpy as np
import pytest
from d4a.curator.dedup.clusters import assign, centroids, cluster_pairs, on_grid
from d4a.curator.dedup.neighbours import neighbours
from d4a.curator.errors import D4AError
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_vectors import clustered, listed


def through_clusters(vectors, floor, count, probes, iterations=10, seed=0):
    found = centroids(vectors, count, iterations, seed)
    return cluster_pairs(vectors, assign(vectors, found, floor, probes), floor)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 300), st.integers(2, 40), st.integers(1, 30), st.floats(0.3, 0.99), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_without_a_limit_of_visits_no_pair_is_missed(n, d, count, floor, iterations, seed):
    vectors = clustered(n, d, 5, seed)
    found, _ = through_clusters(vectors, floor, min(count, n), None, iterations, seed)
    assert listed(found) == listed(neighbours(vectors, floor))


@pytest.mark.parametrize("floor", [0.8, 0.9])
def test_few_visits_find_99_of_100_pairs_of_brute_force_and_none_find_fewer(floor):
    vectors = clustered(8000, 96, 30, seed=11)
    wanted = listed(neighbours(vectors, floor))
    few, compared = through_clusters(vectors, floor, 180, 8)
    none, _ = through_clusters(vectors, floor, 180, 0)
    assert set(listed(none)) < set(listed(few)) <= set(wanted)
    assert len(few.a) >= 0.99 * len(wanted) > 1000
    assert len(none.a) < 0.985 * len(wanted)  # what a search within clusters alone misses
    assert compared < 0.25 * 8000 * 7999 / 2


def test_clusters_do_not_depend_on_the_order_in_which_products_are_summed():
    vectors = clustered(3000, 128, 10, seed=5)
    shuffled = np.random.default_rng(1).permutation(128)
    one, other = centroids(vectors, 40, 10, 3), centroids(vectors[:, shuffled], 40, 10, 3)
    assert np.array_equal(one[:, shuffled], other)
    here, there = assign(vectors, one, 0.9, 4), assign(vectors[:, shuffled], other, 0.9, 4)
    assert all(np.array_equal(x, y) for x, y in zip(here, there, strict=True))
    assert not np.array_equal(here.home, assign(vectors, centroids(vectors, 40, 10, 4), 0.9, 4).home)  # another seed


def test_products_on_the_grid_are_whole_at_any_length():
    rng = np.random.default_rng(2)
    long = on_grid(np.abs(rng.standard_normal((3, 20_000))).astype(np.float32) * [[1e-3], [1], [1e4]])
    exact = long.astype(np.int64) @ long.astype(np.int64).T
    assert exact.max() < 2**24 and np.array_equal(long @ long.T, exact.astype(np.float32))


def test_vectors_that_are_all_equal_or_zero():
    same = np.repeat(clustered(1, 30, 1, seed=1, copies=0), 60, axis=0)
    assert len(through_clusters(same, 0.9, 7, 2)[0].a) == 60 * 59 // 2
    assert len(through_clusters(np.zeros((9, 30), np.float16), 0.9, 3, 2)[0].a) == 0
    assert len(through_clusters(same[:1], 0.9, 1, 2)[0].a) == 0


def test_too_many_pairs_are_refused_before_memory_runs_out():
    same = np.repeat(clustered(1, 30, 1, seed=1, copies=0), 60, axis=0)
    clusters = assign(same, centroids(same, 2, 3, 0), 0.9, 2)
    with pytest.raises(D4AError, match=r"more than 1,000 pairs among 60 vectors have a cosine >= 0\.9"):
        cluster_pairs(same, clusters, 0.9, max_pairs=1000)
