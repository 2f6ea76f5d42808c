"""Which split, shard and place every kept record gets: keyed draws, and sizes that were measured in the scan.

Held are a few numbers a record, in arrays. Chance comes from hashes of content and key, so that a record stays in its
split whatever is added or taken away beside it.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from ..chance import keyed_hashes
from ..recipe import Output
from ..scan.names import hexadecimal
from ..shards.tar import BLOCK, RECORD, sample_bytes
from ..stage import Ints

_SAMPLE_KEY_BYTES = 10


class Order:
    """The kept records of a flow, added in input order; what each one was given is known once they are arranged.

    place   (n,) int64           place in packing order of every record
    starts  (shards + 1,) int64  place at which every shard begins, and n
    paths   split and path of every shard
    """

    def __init__(self, flow: str, output: Output, records: int, by_content: bool = False) -> None:
        """`by_content`: records that hold the same are drawn into one split, whatever their keys."""
        self._flow, self._output, self._by_content = flow, output, by_content
        self._names = [*sorted(output.split), "train"]
        self._split = np.empty(records, np.min_scalar_type(len(self._names)))
        self._bytes = np.empty(records, np.int64)
        self._sample_keys = np.empty((records, _SAMPLE_KEY_BYTES), np.uint8)
        self._draw = np.empty(records if output.order == "shuffle" else 0, np.uint64)
        self._added = 0
        self.place, self.starts = np.empty(records, np.int64), np.zeros(1, np.int64)
        self.paths: list[tuple[str, str]] = []

    def add(self, keys: list[str], digests: list[bytes], sizes: dict[str, Ints]) -> pa.Array:
        """Draw split and place of records; returns their sample keys.

        keys, digests  of the records, and of what they hold
        sizes          suffix -> (n,) bytes of that member
        """
        words = [key.encode() for key in keys]
        here = slice(self._added, self._added + len(words))
        shares = np.cumsum([self._output.split[name] for name in self._names[:-1]])
        if len(shares):
            drawn = keyed_hashes("split", self._output.seed, digests if self._by_content else words)
            self._split[here] = np.searchsorted(shares, drawn / 2.0**64, side="right")
        else:
            self._split[here] = 0
        if self._output.order == "shuffle":
            self._draw[here] = keyed_hashes("order", self._output.seed, digests, words)
        self._bytes[here] = sample_bytes(sizes)
        prefix = f"{self._flow}\0".encode()
        short = [hashlib.blake2b(prefix + word, digest_size=_SAMPLE_KEY_BYTES).digest() for word in words]
        self._sample_keys[here] = np.frombuffer(b"".join(short), np.uint8).reshape(-1, _SAMPLE_KEY_BYTES)
        self._added += len(words)
        return hexadecimal(self._sample_keys[here])

    def arrange(self) -> None:
        """Fix what is packed where, once all records are added. A shard never crosses splits."""
        rank = np.argsort(np.argsort(self._names)).astype(self._split.dtype)  # splits follow each other by their names
        split = rank[self._split]
        # stable: equal draws, if ever, in input order
        order = np.lexsort((self._draw, split)) if len(self._draw) else np.argsort(split, kind="stable")
        self.place[order] = np.arange(len(order))
        ends = np.cumsum(self._bytes[order])
        starts = [0]
        for name, border in zip(sorted(self._names), np.cumsum(np.bincount(split, minlength=len(rank))).tolist(), strict=True):
            number = 0
            while starts[-1] < border:
                starts.append(min(self._behind(ends, starts[-1]), border))
                self.paths.append((name, f"{self._flow}/{name}/{number:06d}.tar"))
                number += 1
        self.starts = np.array(starts)

    def _behind(self, ends: Ints, start: int) -> int:
        """Place behind the last record of a shard that begins at one. It holds one record, and more while its tar is not too large."""
        room = self._output.shard_bytes // RECORD * RECORD - 2 * BLOCK
        before = int(ends[start - 1]) if start else 0
        return max(start + 1, int(np.searchsorted(ends, before + room, side="right")))

    def columns(self, start: int, end: int) -> dict[str, pa.Array]:
        """Split, shard and sample key of the kept records [start, end), in input order."""
        shard = pa.array(np.searchsorted(self.starts, self.place[start:end], side="right") - 1)
        splits, paths = ([names[k] for names in self.paths] for k in (0, 1))
        columns = {"split": pa.array(splits, pa.string()).take(shard), "shard": pa.array(paths, pa.string()).take(shard)}
        return {**columns, "sample_key": hexadecimal(self._sample_keys[start:end])}
