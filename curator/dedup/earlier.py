"""Datasets made before: their sketches are searched with the new records', and of two twins the earlier dataset's stays where it is.

What a dataset publishes is enough: sketches, scores, ledger, and the shards where an exact similarity needs the payload. A copy of
all sketches in one growing index would be faster to open, and one more thing that can be out of step with the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import D4AError, UsageError
from ..modality import Modality
from ..shards.manifest import Dataset, read
from ..stage import Entered, Ints, Workspace
from ..store import file_digest

ID_DIGITS = 16  # of a dataset_id in the name of a twin
CHUNK_ROWS = 4096  # sketches read at a time: an embedding has kilobytes


class Earlier:
    """The kept records of one flow of an earlier dataset, with what one stage measured."""

    def __init__(self, root: Path, flow: str, kind: Modality, label: str, sketches: str) -> None:
        """A stage's label, and digest of what decides its sketches.

        Raises UsageError where there is no such dataset, or its sketches were made in another way.
        """
        self._root, self._flow, self._kind = root, flow, kind
        self._dataset = read(root)
        self._label = _label_of(self._dataset, root, flow, label, sketches)

    @property
    def dataset_id(self) -> str:
        """Of the dataset."""
        return self._dataset.dataset_id

    @property
    def size(self) -> int:
        """Kept records."""
        return len(self._ledger)

    @cached_property
    def names(self) -> pa.Array:
        """(n,) large_string: `dataset_id:key`."""
        keys = self._ledger.column("key").combine_chunks().cast(pa.large_string())
        start, nothing = (pa.scalar(text, pa.large_string()) for text in (f"{self.dataset_id[:ID_DIGITS]}:", ""))
        return pc.binary_join_element_wise(start, keys, nothing)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raises D4AError where a file of the dataset is missing or damaged."""
        try:
            yield
        except (OSError, KeyError, ValueError) as error:  # Arrow's errors are these too
            what = f"the earlier dataset cannot be read: {str(error) or type(error).__name__}"
            raise D4AError(what, str(self._root), "`d4a verify` says what is wrong with it") from error

    def column(self, name: str) -> pa.ChunkedArray:
        """A value of the stage, or `digest`."""
        with self._reading():
            return self._column(name)

    def _column(self, name: str) -> pa.ChunkedArray:
        if name == "digest":
            return pa.chunked_array([pa.array([bytes.fromhex(one) for one in self._placed("digest")], pa.binary(16))])
        full = f"{self._label}.{name}"
        if any(full in pq.read_schema(path).names for path in self._files("sketches")):
            return pa.concat_tables(pq.read_table(path, columns=[full]) for path in self._files("sketches")).column(0)
        table = pa.concat_tables(pq.read_table(path, columns=["id", full]) for path in self._files("scores"))
        return table.filter(pc.is_in(table.column("id"), self._ledger.column("id").combine_chunks())).column(1)

    def chunks(self, name: str) -> Iterator[tuple[Ints, pa.Array]]:
        """A sketch of the stage, some records at a time."""
        first = 0
        for path in self._files("sketches"):
            with self._reading(), pq.ParquetFile(path) as file:
                for piece in file.iter_batches(CHUNK_ROWS, columns=[f"{self._label}.{name}"]):
                    yield np.arange(first, first + len(piece), dtype=np.int64), piece.column(0)
                    first += len(piece)

    def payload(self, indices: Ints, column: str = "") -> pa.Array:
        """A payload column of records, in the order asked for; read from the shards."""
        with self._reading():
            return self._payload(indices, column)

    def _payload(self, indices: Ints, column: str) -> pa.Array:
        shards, keys = (self._ledger.column(name).take(pa.array(indices)).to_pylist() for name in ("shard", "sample_key"))
        found: list[Any] = [None] * len(indices)
        for shard in sorted(set(shards)):
            places = pq.read_table((self._root / shard).with_suffix(".parquet"))
            row_of = {key: row for row, key in enumerate(places.column("sample_key").to_pylist())}
            suffixes = [name.removesuffix(".offset") for name in places.column_names if name.endswith(".offset")]
            with (self._root / shard).open("rb") as tar:
                for index in (k for k, name in enumerate(shards) if name == shard):
                    row = {name: places.column(name)[row_of[keys[index]]].as_py() for name in places.column_names if "." in name}
                    members = {suffix: _read(tar, row[f"{suffix}.offset"], row[f"{suffix}.bytes"]) for suffix in suffixes}
                    found[index] = self._kind.payload_of(members, column)
        return pa.array(found, self._kind.columns.field(column or 0).type)

    def _files(self, table: str) -> list[Path]:
        """The files of one of the published tables, in order. Raises D4AError where one is not as it was published."""
        names = [name for name in sorted(self._dataset.files) if name.startswith(f"{table}/{self._flow}-")]
        with self._reading():
            for name in names:
                if not _has(self._root / name, self._dataset.files[name].sha256):
                    raise ValueError(f"{name} is not as it was published")
        return [self._root / name for name in names]

    @cached_property
    def _ledger(self) -> pa.Table:
        columns = ["id", "key", "verdict", "shard", "sample_key"]
        with self._reading():
            table = pa.concat_tables(pq.read_table(path, columns=columns) for path in self._files("ledger"))
        return table.filter(pc.equal(table.column("verdict"), "kept"))

    def _placed(self, name: str) -> list[Any]:
        """A column of the tables beside the shards, by record."""
        shards = sorted(set(self._ledger.column("shard").to_pylist()))
        tables = [pq.read_table((self._root / shard).with_suffix(".parquet"), columns=["sample_key", name]) for shard in shards]
        values = {key: value for t in tables for key, value in zip(t.column(0).to_pylist(), t.column(1).to_pylist(), strict=True)}
        return [values[key] for key in self._ledger.column("sample_key").to_pylist()]


@cache
def _has(path: Path, sha256: str) -> bool:
    """Whether a file has a digest. Read once a process: Parquet has no checksums, and wrong sketches drop or keep the wrong records."""
    return file_digest(path) == sha256


def _read(file: Any, offset: int, size: int) -> bytes:
    file.seek(offset)
    return bytes(file.read(size))


def _label_of(dataset: Dataset, root: Path, flow: str, label: str, sketches: str) -> str:
    """What the dataset calls the stage."""
    made = sorted(name for name, found in dataset.sketches.get(flow, {}).items() if found == sketches)
    if made:
        return label if label in made else made[0]
    others = sorted(dataset.sketches.get(flow, {}))
    hint = (
        f"it has sketches of {', '.join(others)}, with other measuring options or versions" if others else "it has no sketches of this flow"
    )
    raise UsageError(f"{label} cannot search the dataset in `against`: it has no sketches made in the same way", str(root), hint)


class Own(Entered, Protocol):
    """The records that reached a Dedup in this run; `indices` are their places in the flow."""

    @property
    def indices(self) -> Ints:
        """(n,) int64, ascending."""
        ...


class Joined:
    """Records of earlier datasets, and behind them those that reached a Dedup: `stage.Entered`."""

    def __init__(self, earlier: list[Earlier], own: Own) -> None:
        self._earlier, self.own = earlier, own
        self._starts = np.cumsum([0, *(one.size for one in earlier)])

    @property
    def dataset_ids(self) -> list[str]:
        """Of the earlier datasets."""
        return [one.dataset_id for one in self._earlier]

    @property
    def settled(self) -> int:
        """Records of earlier datasets."""
        return int(self._starts[-1])

    @property
    def size(self) -> int:
        """All records."""
        return self.settled + self.own.size

    @property
    def workspace(self) -> Workspace:
        """As for the own records."""
        return self.own.workspace

    def name(self, index: int) -> str:
        """`dataset_id:key` of a settled record."""
        which = int(np.searchsorted(self._starts, index, "right")) - 1
        return str(self._earlier[which].names[index - int(self._starts[which])].as_py())

    def column(self, name: str) -> pa.ChunkedArray:
        """A value of the stage, or a column that every record has; settled records have no bytes, and sources of their own."""
        own = self.own.column(name)
        if name == "payload_bytes":
            before = [pa.array(np.zeros(self.settled, np.int64))]
        elif name == "source_index":
            before = [pa.array(np.full(one.size, -1 - k, np.int64)) for k, one in enumerate(self._earlier)]
        elif name in ("key", "source"):
            before = [one.names for one in self._earlier]
        else:
            before = [chunk for one in self._earlier for chunk in one.column(name).chunks]
        return pa.chunked_array([piece.cast(own.type) for piece in [*before, *own.chunks]], own.type)

    def chunks(self, name: str) -> Iterator[tuple[Ints, pa.Array]]:
        """A value of the stage itself, some records at a time."""
        for start, one in zip(self._starts.tolist(), self._earlier, strict=False):
            for indices, column in one.chunks(name):
                yield indices + start, column
        for indices, column in self.own.chunks(name):
            yield indices + self.settled, column

    def foreign(self, name: str) -> pa.ChunkedArray | None:
        """A value of another stage; null for settled records."""
        own = self.own.foreign(name)
        return None if own is None else pa.chunked_array([pa.nulls(self.settled, own.type), *own.chunks], own.type)

    def payload(self, indices: Ints, column: str = "") -> pa.Array:
        """A payload column of records, in the order asked for."""
        pieces, where = [], []
        starts, givers = self._starts.tolist(), [*(one.payload for one in self._earlier), self.own.payload]
        for start, end, payload in zip(starts, [*starts[1:], self.size], givers, strict=True):
            mine = np.flatnonzero((indices >= start) & (indices < end))
            if len(mine):
                pieces.append(payload(indices[mine] - start, column))
                where.append(mine)
        if not pieces:
            return self.own.payload(indices, column)
        kind = pieces[-1].type
        whole = pa.concat_arrays([piece.cast(kind) for piece in pieces])
        return whole.take(pa.array(np.argsort(np.concatenate(where), kind="stable")))
