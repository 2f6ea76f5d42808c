"""text.dedup.exact: every group of equal texts is found, and paired with the record that is to stay."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from d4a.modalities.text.exact import ExactText, ExactTextOptions


class Records:
    """What a Dedup sees of the records that reached it."""

    settled = 0

    def __init__(self, stage: ExactText, texts: list[str], batch: int = 7) -> None:
        self.size = len(texts)
        column = pa.array(texts, pa.large_string())
        batches = [pa.RecordBatch.from_arrays([column.slice(i, batch)], ["text"]) for i in range(0, max(1, len(texts)), batch)]
        self._columns = {"hash": pa.chunked_array([stage.sketch(part)["hash"] for part in batches])}
        self._columns["payload_bytes"] = pa.chunked_array([pa.array([len(text.encode()) for text in texts], pa.int64())])

    def column(self, name: str) -> pa.ChunkedArray:
        return self._columns[name]

    def foreign(self, name: str) -> None:
        return None

    def payload(self, indices: Any, column: str = "") -> pa.Array:
        raise AssertionError("equal hashes need no second look")


def _pairs(texts: list[str], **options: Any) -> list[tuple[int, int]]:
    stage = ExactText(ExactTextOptions(**options))
    found = stage.pairs(Records(stage, texts))
    assert found.a.dtype == found.b.dtype == np.int64 and (found.similarity == 1.0).all() and stage.threshold == 1.0
    return sorted(zip(found.a.tolist(), found.b.tolist(), strict=True))


def test_each_member_of_a_group_is_paired_with_the_first() -> None:
    assert _pairs(["x", "b", "x", "c", "b", "x", ""]) == [(0, 2), (0, 5), (1, 4)]
    assert _pairs([]) == [] == _pairs(["only"])


def test_the_preferred_record_heads_its_group() -> None:
    class Last(ExactText):
        def preference(self, entered: Any) -> Any:
            return np.arange(entered.size)[::-1].astype(np.int64)

    stage = Last(ExactTextOptions())
    found = stage.pairs(Records(stage, ["x", "y", "x", "x"]))
    assert sorted(zip(found.a.tolist(), found.b.tolist(), strict=True)) == [(3, 0), (3, 2)]


def test_large_groups_are_found_in_full() -> None:
    draw = random.Random(5)
    texts = [str(draw.randrange(300)) for _ in range(2000)]
    expected = [(texts.index(text), i) for i, text in enumerate(texts) if texts.index(text) != i]
    assert _pairs(texts) == sorted(expected)


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("Hello  World\n", "hello world", True),
        (" a\u00a0\u3000b\r\n\tc", "A B C", True),
        ("ÄÖÜ Привет", "äöü привет", True),
        ("Ende. Anfang", "Ende .\nAnfang", True),
        ("一二三\n四五", "一二三四五", True),
        ("a, b", "a b", False),
    ],
)
def test_case_and_white_space_may_be_ignored(a: str, b: str, equal: bool) -> None:
    assert bool(_pairs([a, b], ignore="case_and_space")) is equal
    assert _pairs([a, b]) == []


def test_the_hash_is_blake2b_of_the_text() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["", "é", None], pa.large_string())], ["text"])
    hashes = ExactText(ExactTextOptions()).sketch(batch)["hash"]
    assert hashes.type == pa.binary(16)
    assert hashes.to_pylist() == [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in ("", "é")] + [None]
