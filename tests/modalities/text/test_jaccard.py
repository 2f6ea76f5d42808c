from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from d4a.modalities.text.fss import shingle_sets
from d4a.modalities.text.jaccard import jaccard
from d4a.modalities.text.tokens import tokenise


def column(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


def test_order_counts_within_a_shingle() -> None:
    sets = shingle_sets(tokenise(column("a b c d e", "e d c b a", "a b c d e a b c d e")), 5)
    assert jaccard(sets, np.array([0, 0]), np.array([1, 2])).tolist() == [0.0, 0.2]


def test_short_texts_equal_only_themselves() -> None:
    sets = shingle_sets(tokenise(column("a b c", "A, b; C", "a b", "a b c d e", "", "-", "-")), 5)
    against = jaccard(sets, np.zeros(6, np.int64), np.arange(1, 7))
    assert against.tolist() == [1, 0, 0, 0, 0, 0]
    assert jaccard(sets, np.array([4, 5]), np.array([5, 6])).tolist() == [0, 1]


@pytest.mark.parametrize("ngram", [1, 2, 5, 9])
def test_jaccard_is_that_of_the_sets(ngram: int) -> None:
    draw = random.Random(7)
    texts = [[draw.choice("abcd") for _ in range(draw.randrange(ngram, 60))] for _ in range(40)]
    sets = shingle_sets(tokenise(column(*(" ".join(t) for t in texts))), ngram)
    grams = [{tuple(t[k : k + ngram]) for k in range(len(t) - ngram + 1)} for t in texts]
    a, b = (side.ravel() for side in np.meshgrid(np.arange(40), np.arange(40)))
    assert jaccard(sets, a, b).tolist() == [len(grams[x] & grams[y]) / len(grams[x] | grams[y]) for x, y in zip(a, b, strict=True)]


def test_clusters_and_single_pairs_are_compared_alike() -> None:
    draw = random.Random(3)
    texts, pairs = [], []
    for members in (2, 60, 2, 2, 45, 3):  # every one with every other of its family
        family = [str(draw.randrange(10**6)) for _ in range(300)]
        first = len(texts)
        texts += [[draw.choice("xyz") if draw.random() < 0.02 else word for word in family] for _ in range(members)]
        pairs += [(x, y) for x in range(first, len(texts)) for y in range(first, x)]
    a, b = np.array(pairs).T.copy()
    sets = shingle_sets(tokenise(column(*(" ".join(text) for text in texts))), 5)
    grams = [{tuple(text[k : k + 5]) for k in range(296)} for text in texts]
    assert jaccard(sets, a, b).tolist() == [len(grams[x] & grams[y]) / len(grams[x] | grams[y]) for x, y in pairs]
