"""Dedup by embeddings, whatever was embedded: which search is taken, what it finds, and what a new search is asked for by."""

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.columns import fixed_column
from d4a.curator.dedup.embeddings import EmbeddingDedup, EmbeddingOptions
from d4a.curator.dedup.keepers import choose_keepers
from d4a.curator.stage import Workspace
from planted_vectors import clustered, listed
from pydantic import ValidationError

WIDTH = 48


class Given(EmbeddingDedup):
    """A Dedup of vectors that somebody else embedded."""

    name = "test.given"
    what = "A vector"
    width = WIDTH

    def sketch(self, batch):
        raise NotImplementedError


class Reached:
    """Vectors that reached the stage, 1000 at a time and the last first."""

    def __init__(self, vectors, folder, memory=1 << 30):
        self.vectors, self.size, self.workspace = vectors, len(vectors), Workspace(folder, memory)

    def column(self, name):
        return pa.chunked_array([pa.array(np.ones(self.size, np.int64))])

    def chunks(self, name):
        for start in reversed(range(0, self.size, 1000)):
            at = np.arange(start, min(start + 1000, self.size))
            yield at, fixed_column(self.vectors[at])


def stage(**options):
    return Given(EmbeddingOptions(**options))


@pytest.fixture(scope="module")
def vectors():
    return clustered(6000, WIDTH, 20, seed=4)


def test_small_inputs_are_searched_exactly_and_the_notes_say_so(vectors, tmp_path):
    auto, exact = (stage(search=name).pairs(Reached(vectors, tmp_path)) for name in ("auto", "exact"))
    assert auto.notes == {"vectors_compared_with_all_others": 6000}
    assert listed(auto) == listed(exact) and len(auto.a) > 500


def test_clusters_find_what_all_pairs_do_and_every_drop_has_a_kept_twin(vectors, tmp_path):
    entered = Reached(vectors, tmp_path)
    exact, found = stage(search="exact").pairs(entered), stage(search="clusters").pairs(entered)
    assert set(listed(found)) <= set(listed(exact)) and len(found.a) >= 0.99 * len(exact.a)
    assert found.notes["vectors_compared_in_clusters"] == 6000 and found.notes["k-means_clusters"] == 6000 // 39
    assert found.notes["compared_pairs"] < 6000 * 5999 / 4
    kept = choose_keepers(found.a, found.b, found.similarity, stage().preference(entered), 0.95)
    dropped = np.flatnonzero(kept.twin >= 0)
    assert len(dropped) and (kept.twin[kept.twin[dropped]] == -1).all() and (kept.similarity[dropped] >= 0.95).all()


def test_semdedup_looks_within_clusters_only(vectors, tmp_path):
    entered = Reached(vectors, tmp_path)
    found = stage(preset="semdedup").pairs(entered)
    assert "visits" in found.notes and found.notes["visits"] == 0
    assert set(listed(found)) < set(listed(stage(search="exact").pairs(entered)))
    options = EmbeddingOptions(preset="semdedup", iterations=20)
    assert (options.clusters, options.visits, options.iterations, options.seed) == (50_000, 0, 20, 1234)
    assert EmbeddingOptions.model_validate(options.model_dump(mode="json")) == options


def test_little_memory_gives_the_same_pairs_and_leaves_no_file(vectors, tmp_path):
    for search in ("exact", "clusters"):
        roomy, tight = (stage(search=search).pairs(Reached(vectors, tmp_path, memory)) for memory in (1 << 30, 1 << 16))
        assert listed(roomy) == listed(tight)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_few_vectors(count, tmp_path):
    same = np.repeat(clustered(1, WIDTH, 1, seed=1, copies=0), count, axis=0)
    assert len(stage(search="clusters").pairs(Reached(same, tmp_path)).a) == count * (count - 1) // 2


def test_a_new_search_is_asked_for_by_what_changes_pairs_alone():
    assert stage(threshold=0.93).search_key() == stage().search_key() == stage(keep="first").search_key()
    for changed in ({"threshold": 0.8}, {"search": "clusters"}, {"clusters": 9}, {"visits": None}, {"iterations": 3}, {"seed": 1}):
        assert stage(**changed).search_key() != stage().search_key()


def test_options_of_clusters_are_refused_where_all_pairs_are_compared():
    with pytest.raises(ValidationError, match="visits belongs to search: clusters, and search is exact"):
        EmbeddingOptions(search="exact", visits=3)


def test_the_plan_says_which_search_the_number_of_records_asks_for():
    assert stage().way(50_000) == stage(search="exact").way(10**9) == "each is compared with all others"
    assert stage().way(50_001) == "each is compared within 446 clusters and across their borders (search: auto, above 50,000)"
    assert stage(search="clusters", clusters=7).way(1000) == "each is compared within 7 clusters and across their borders"
