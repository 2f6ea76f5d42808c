"""Texts as a dedup sees them in the decision, without a run before it: for tests and benches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from d4a.curator.dedup.keepers import Kept, choose_keepers
from d4a.curator.stage import Cut, Dedup, Entered, Ints, Pairs, Workspace
from d4a.modalities.text.fuzzy import FuzzyOptions, FuzzyText


class Corpus:
    """Texts that reached a stage, with what it measured; counts how many were read back.

    folder   for temporary files
    settled  so many of them are of an earlier dataset
    sources  of each text; one for all where it is left out
    at_once  records in a chunk of a column
    """

    def __init__(
        self,
        texts: pa.Array,
        columns: dict[str, pa.Array],
        memory: int = 1 << 30,
        *,
        folder: Path | None = None,
        settled: int = 0,
        sources: list[int] | None = None,
        at_once: int = 1000,
    ) -> None:
        self.texts, self.size, self.read, self.settled, self.at_once = texts, len(texts), 0, settled, at_once
        source = pa.array([0] * self.size if sources is None else sources, pa.int64())
        self.columns = columns | {"payload_bytes": pc.binary_length(texts), "source_index": source}
        self.workspace = Workspace(folder or Path(tempfile.gettempdir()), memory)

    @classmethod
    def of(cls, stage: Dedup | Cut, texts: list[str], memory: int = 1 << 30, **given: Any) -> Corpus:
        column = pa.array(texts, pa.large_string())
        return cls(column, stage.sketch(pa.record_batch({"text": column})), memory, **given)

    def column(self, name: str) -> pa.ChunkedArray:
        return pa.chunked_array([self.columns[name]])

    def chunks(self, name: str) -> Iterator[tuple[Ints, pa.Array]]:
        for start in range(0, self.size, self.at_once):
            yield np.arange(start, min(start + self.at_once, self.size)), self.columns[name].slice(start, self.at_once)

    def foreign(self, name: str) -> None:
        return None

    def payload(self, indices: Ints, column: str = "") -> pa.Array:
        self.read += len(indices)
        return self.texts.take(pa.array(indices))


def find(texts: list[str], **options: object) -> tuple[Pairs, Kept, Corpus]:
    stage = FuzzyText(FuzzyOptions(**options))
    entered = Corpus.of(stage, texts)
    pairs = stage.pairs(entered)
    return pairs, keepers(stage, entered, pairs), entered


def keepers(stage: Dedup, entered: Entered, pairs: Pairs) -> Kept:
    return choose_keepers(pairs.a, pairs.b, pairs.similarity, stage.order(entered), stage.threshold)
