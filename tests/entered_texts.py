"""Texts as a dedup sees them in the decision, without a run before it: for tests and benches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from d4a.curator.dedup.keepers import Kept, choose_keepers
from d4a.curator.stage import Entered, Ints, Pairs, Workspace
from d4a.modalities.text.fuzzy import FuzzyOptions, FuzzyText


class Corpus:
    """Texts that reached a stage, with what it measured; counts how many were read back."""

    settled = 0

    def __init__(self, texts: pa.Array, columns: dict[str, pa.Array], memory: int = 1 << 30) -> None:
        self.texts, self.size, self.read = texts, len(texts), 0
        self.columns = columns | {"payload_bytes": pc.binary_length(texts)}
        self.workspace = Workspace(Path(tempfile.gettempdir()), memory)

    @classmethod
    def of(cls, stage: FuzzyText, texts: list[str]) -> Corpus:
        column = pa.array(texts, pa.large_string())
        return cls(column, stage.sketch(pa.record_batch({"text": column})))

    def column(self, name: str) -> pa.ChunkedArray:
        return pa.chunked_array([self.columns[name]])

    def chunks(self, name: str) -> Iterator[tuple[Ints, pa.Array]]:
        for start in range(0, self.size, 1000):
            yield np.arange(start, min(start + 1000, self.size)), self.columns[name].slice(start, 1000)

    def foreign(self, name: str) -> None:
        return None

    def payload(self, indices: Ints) -> pa.Array:
        self.read += len(indices)
        return self.texts.take(pa.array(indices))


def find(texts: list[str], **options: object) -> tuple[Pairs, Kept, Corpus]:
    stage = FuzzyText(FuzzyOptions(**options))
    entered = Corpus.of(stage, texts)
    pairs = stage.pairs(entered)
    return pairs, keepers(stage, entered, pairs), entered


def keepers(stage: FuzzyText, entered: Entered, pairs: Pairs) -> Kept:
    return choose_keepers(pairs.a, pairs.b, pairs.similarity, stage.preference(entered), stage.threshold)
