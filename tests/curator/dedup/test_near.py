from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from d4a.curator.columns import fixed_column
from d4a.curator.dedup.near import Search, near_pairs
from d4a.curator.errors import D4AError
from d4a.curator.stage import Floats, Ints, Pairs, Workspace
from hypothesis import given, settings
from hypothesis import strategies as st

Rows = npt.NDArray[np.unsignedinteger]
VALUES = 24


@dataclass
class Sketched:
    """Records that have only sketches; they come in pieces of seven."""

    signatures: Rows
    fingerprints: npt.NDArray[np.uint64]
    workspace: Workspace
    settled: int = 0

    @property
    def size(self) -> int:
        return len(self.signatures)

    def column(self, name: str) -> pa.ChunkedArray:
        assert name == "fingerprint"  # signatures are never loaded at once
        return pa.chunked_array([pa.array(self.fingerprints)])

    def chunks(self, name: str) -> Iterator[tuple[Ints, pa.Array]]:
        assert name == "signature"
        for start in range(0, self.size, 7):
            yield np.arange(start, min(start + 7, self.size)), fixed_column(self.signatures[start : start + 7])

    def foreign(self, name: str) -> None:
        return None

    def payload(self, indices: Ints, column: str = "") -> pa.Array:
        raise AssertionError("only the caller's similarity reads payload")


def found(signatures: Rows, fingerprints: npt.NDArray[np.uint64], order: Ints, search: Search, memory: int) -> Pairs:
    def similarity(a: Ints, b: Ints) -> Floats:
        return (signatures[a] == signatures[b]).mean(axis=1)

    with tempfile.TemporaryDirectory() as folder:
        entered = Sketched(signatures, fingerprints, Workspace(Path(folder), memory))
        return near_pairs(entered, order, signatures.dtype, search, similarity)


def by_hand(signatures: Rows, order: Ints, search: Search) -> tuple[dict[tuple[int, int], float], int]:
    """Pairs (later, earlier) above the floor, and the number of candidates: every bucket's records with its first ones."""
    candidates: set[tuple[int, int]] = set()
    for band in range(search.bands):
        buckets: dict[bytes, list[int]] = {}
        for record in order.tolist():
            bucket = buckets.setdefault(signatures[record, band * search.rows : (band + 1) * search.rows].tobytes(), [])
            candidates |= {(record, head) for head in bucket[: search.max_candidates]}
            bucket.append(record)
    similar = {(b, a): float((signatures[a] == signatures[b]).mean()) for b, a in candidates}
    return {pair: s for pair, s in similar.items() if s >= search.floor}, len(candidates)


def families(seed: int, n: int, dtype: str) -> Rows:
    """(n, 24) signatures: copies of a few with some values changed."""
    draw = np.random.default_rng(seed)
    few = draw.integers(0, np.iinfo(dtype).max, (1 + n // 5, VALUES), dtype=dtype)
    rows: Rows = few[draw.integers(0, len(few), n)]
    changed = draw.random((n, VALUES)) < draw.choice([0, 0.05, 0.2], (n, 1))
    return np.where(changed, draw.integers(0, 9, (n, VALUES), dtype=dtype), rows)


searches = st.builds(Search, st.integers(1, 8), st.integers(1, 3), st.sampled_from([0.5, 0.8]), st.integers(1, 5))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from(["uint32", "uint64"]), searches)
def test_pairs_are_those_found_by_hand_for_any_memory(seed: int, n: int, dtype: str, search: Search) -> None:
    signatures, order = families(seed, n, dtype), np.random.default_rng(seed).permutation(n)
    expected, candidates = by_hand(signatures, order, search)
    for memory in (1000, 1 << 30):
        pairs = found(signatures, np.arange(n, dtype=np.uint64), order, search, memory)
        similar = {(b, a): s for a, b, s in zip(pairs.a.tolist(), pairs.b.tolist(), pairs.similarity.tolist(), strict=True)}
        assert similar == expected
        assert len(pairs.a) == len(expected)
        assert pairs.notes["candidate_pairs"] == candidates


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60), searches)
def test_copies_are_linked_alike_for_any_memory(seed: int, n: int, search: Search) -> None:
    signatures, order = families(seed, n, "uint32"), np.arange(n)
    fingerprints = signatures[:, :4].astype(np.uint64).sum(axis=1)  # equal for copies, and now and then for others
    results = [found(signatures, fingerprints, order, search, memory) for memory in (64, 1 << 30)]
    for name in ("a", "b", "similarity"):
        assert np.array_equal(getattr(results[0], name), getattr(results[1], name))
    assert results[0].notes == results[1].notes
    for a, b, similarity in zip(results[0].a, results[0].b, results[0].similarity, strict=True):
        assert similarity == (signatures[a] == signatures[b]).mean()  # also of a copy, which nothing was computed for
    linked = set(results[0].b.tolist())
    for record in range(1, n):
        first = np.flatnonzero(fingerprints[: record + 1] == fingerprints[record])[0]
        assert first == record or (signatures[first] != signatures[record]).any() or record in linked


def test_a_million_copies_cost_no_comparison(tmp_path: Path) -> None:
    n = 1_000_000
    one = families(1, 1, "uint32")
    entered = Sketched(np.broadcast_to(one, (n, VALUES)), np.zeros(n, np.uint64), Workspace(tmp_path, 1 << 20))
    entered.chunks = lambda name: iter([(np.arange(n), fixed_column(entered.signatures))])  # type: ignore[method-assign]

    def never(a: Ints, b: Ints) -> Floats:
        assert not len(a)
        return np.zeros(0)

    pairs = near_pairs(entered, np.arange(n), "<u4", Search(8, 3, 0.7, 64), never)
    assert len(pairs.a) == 2 * n - 3


def test_a_folder_that_is_gone_is_one_error(tmp_path: Path) -> None:
    entered = Sketched(families(1, 9, "uint32"), np.zeros(9, np.uint64), Workspace(tmp_path / "gone", 1 << 20))
    with pytest.raises(D4AError, match="cannot write"):
        near_pairs(entered, np.arange(9), "<u4", Search(8, 3, 0.7, 64), lambda a, b: np.zeros(len(a)))


def test_more_records_than_ranks_are_one_error(tmp_path: Path) -> None:
    entered = Sketched(families(1, 9, "uint32"), np.zeros(9, np.uint64), Workspace(tmp_path, 1 << 20))
    order = np.broadcast_to(np.int64(0), 2**32 + 1)  # without memory
    with pytest.raises(D4AError, match="4,294,967,297 records are too many"):
        near_pairs(entered, order, "<u4", Search(8, 3, 0.7, 64), lambda a, b: np.zeros(len(a)))
