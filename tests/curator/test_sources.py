"""Partitions: the same files give the same ones, and a file more changes only what lies around it."""

from __future__ import annotations

import itertools
import random

import pytest
from d4a.curator.modality import Entry
from d4a.curator.recipe import Flow
from d4a.curator.registry import modality
from d4a.curator.sources import Listing, partition

FLOW = Flow.model_validate({"sources": [{"path": "in"}], "partition_bytes": 64_000_000})


def entries(count: int, largest: int, suffix: str) -> list[Entry]:
    rng = random.Random(count)
    return [Entry("/in", f"{k:06d}{suffix}", size := rng.randint(1, largest), 0, 0, size) for k in range(0, 2 * count, 2)]


@pytest.mark.parametrize(("count", "largest"), [(3000, 20_000_000), (3000, 20_000), (300, 200_000_000)])
def test_an_added_file_changes_its_own_partition_and_few_behind_it(count: int, largest: int) -> None:
    files = entries(count, largest, ".jsonl.gz")
    before = partition(Listing(files), FLOW, modality("text"))
    assert [entry for part in before for entry in part.entries] == files and len(before) > 5
    known = {part.uid for part in before}
    rescanned = []
    for place in range(1, count, count // 50):
        size = largest // 2
        added = Entry("/in", f"{2 * place - 1:06d}.jsonl.gz", size, 0, 0, size)
        after = partition(Listing([*files[:place], added, *files[place:]]), FLOW, modality("text"))
        rescanned.append(sum(part.uid not in known for part in after))
    assert sum(rescanned) / len(rescanned) < 3 and max(rescanned) <= 12


def test_a_large_file_is_cut_only_where_its_format_allows() -> None:
    for suffix, parts in ((".jsonl", 4), (".jsonl.gz", 1), (".parquet", 1)):
        one = Entry("/in", f"big{suffix}", 200_000_000, 0, 0, 200_000_000)
        found = partition(Listing([one]), FLOW, modality("text"))
        assert len(found) == parts
        ranges = [(entry.start, entry.end) for part in found for entry in part.entries]
        assert ranges[0][0] == 0 and ranges[-1][1] == one.size
        assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges))
