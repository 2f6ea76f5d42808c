from __future__ import annotations

import numpy as np
from d4a.curator.dedup.keepers import choose_keepers
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 12), st.integers(0, 40))
def test_a_record_goes_for_the_most_similar_kept_one_of_equals_the_most_preferred(seed: int, n: int, p: int) -> None:
    draw = np.random.default_rng(seed)
    order, a = draw.permutation(n), draw.integers(0, n, p)
    b = (a + draw.integers(1, n, p)) % n
    similarity = draw.choice([0.7, 0.8, 0.9], p)
    kept = choose_keepers(a, b, similarity, order, 0.8)
    rank, stay = np.argsort(order).tolist(), list[int]()
    for record in order.tolist():
        others = [
            (s, -rank[y], y) for x, y, s in zip([*a, *b], [*b, *a], [*similarity, *similarity], strict=True) if x == record and s >= 0.8
        ]
        twins = [other for other in others if other[2] in stay]
        if not twins:
            stay.append(record)
        assert kept.twin[record] == (max(twins)[2] if twins else -1)
        assert np.isnan(kept.similarity[record]) if not twins else kept.similarity[record] == max(twins)[0]
