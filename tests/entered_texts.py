"""Texts as text.dedup.fuzzy sees them in the decision, without a run before it."""

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
    """Texts that reached the stage; counts how many were read back."""

    settled = 0

    def __init__(self, stage: FuzzyText, texts: list[str]) -> None:
        self.texts = pa.array(texts, pa.large_string())
        self.size = len(texts)
        self.columns = stage.sketch(pa.record_batch({"text": self.texts})) | {"payload_bytes": pc.binary_length(self.texts)}
        self.read = 0

    def column(self, name: str) -> pa.ChunkedArray:
        return pa.chunked_array([self.columns[name]])

    def chunks(self, name: str) -> Iterator[tuple[Ints, pa.Array]]:
        for start in range(0, self.size, 1000):
            yield np.arange(start, min(start + 1000, self.size)), self.columns[name].slice(start, 1000)

    @property
    def workspace(self) -> Workspace:
        return Workspace(Path(tempfile.gettempdir()), 1 << 30)

    def foreign(self, name: str) -> None:
        return None

    def payload(self, indices: Ints) -> pa.Array:
        self.read += len(indices)
        return self.texts.take(pa.array(indices))


def find(texts: list[str], **options: object) -> tuple[Pairs, Kept, Corpus]:
    stage = FuzzyText(FuzzyOptions(**options))
    entered = Corpus(stage, texts)
    pairs = stage.pairs(entered)
    return pairs, keepers(stage, entered, pairs), entered


def keepers(stage: FuzzyText, entered: Entered, pairs: Pairs) -> Kept:
    return choose_keepers(pairs.a, pairs.b, pairs.similarity, stage.preference(entered), stage.threshold)
