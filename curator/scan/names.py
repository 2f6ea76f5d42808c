"""What records are called: where they lie in their source, and keys that no other record of a flow has.

Of ten million records a place is two numbers, and made into words where it is asked for; keys are words once, in
Arrow. Repeats are looked for in a part of the keys at a time, because a table of all takes several times their room.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..columns import buffers
from ..stage import Ints

_AT_ONCE = 1 << 20  # keys in one table, about


class Sources:
    """For every record the path relative to the source's root, with `#line` behind it where a file holds many records."""

    def __init__(self, paths: list[str], path: npt.NDArray[np.int32], line: npt.NDArray[np.int64]) -> None:
        """
        paths  of files, or of ranges of them
        path   (n,) which one each record is from
        line   (n,) in the whole file; -1 where the file is the record
        """
        self._paths, self._path, self._line = pa.array(paths, pa.large_string()), pa.array(path), pa.array(line)

    def take(self, indices: pa.Array) -> pa.Array:
        """(m,) large_string: sources of the records at `indices`, null where the index is."""
        paths, lines = self._paths.take(self._path.take(indices)), self._line.take(indices)
        numbered = pc.binary_join_element_wise(paths, pc.cast(lines, pa.large_string()), pa.scalar("#", pa.large_string()))
        return pc.if_else(pc.greater_equal(lines, 0), numbered, paths)


def unique_keys(keys: pa.Array) -> pa.Array:
    """(n,) large_string keys with ~2, ~3 … behind repeats, in order; a name that is already taken is passed over."""
    repeats = _repeats(keys)
    if not len(repeats):
        return keys
    taken = set(keys.filter(pc.match_substring_regex(keys, "~[0-9]+$")).to_pylist())
    counts: dict[str, int] = {}
    names = []
    for name in keys.take(pa.array(repeats)).to_pylist():
        number = counts.get(name, 1) + 1
        while f"{name}~{number}" in taken:
            number += 1
        counts[name] = number
        names.append(f"{name}~{number}")
    mask = np.zeros(len(keys), bool)
    mask[repeats] = True
    return pc.replace_with_mask(keys, pa.array(mask), pa.array(names, pa.large_string()))


def _repeats(keys: pa.Array) -> Ints:
    """Places of the keys that stood before already, ascending."""
    found = []
    groups = _alike(keys, -(-len(keys) // _AT_ONCE))
    for group in range(int(groups.max(initial=0)) + 1):
        places = np.flatnonzero(groups == group)
        codes = keys.take(pa.array(places)).dictionary_encode().indices.to_numpy()
        again = np.ones(len(places), bool)
        again[np.unique(codes, return_index=True)[1]] = False
        found.append(places[again])
    return np.sort(np.concatenate(found))


def _alike(keys: pa.Array, groups: int) -> npt.NDArray[np.uint16]:
    """(n,) a group of each key, equal for equal keys: by its last bytes, which differ most."""
    offsets, data = buffers(keys)
    found = np.zeros(len(keys), np.uint16)
    for k, weight in enumerate((1, 31, 961)):
        found += np.uint16(weight) * data[np.maximum(offsets[1:] - 1 - k, offsets[:-1])]
    return found % np.uint16(groups) if groups > 1 else np.zeros_like(found)


def hexadecimal(rows: npt.NDArray[np.uint8]) -> pa.Array:
    """(n, w) bytes -> (n,) string of 2 w digits."""
    digits = _DIGITS[rows].reshape(-1)
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(2 * rows.shape[1])
    return pa.Array.from_buffers(pa.string(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(digits)])


_DIGITS: npt.NDArray[Any] = np.frombuffer(bytes(range(256)).hex().encode(), "<u2")
