"""A batch whose texts a stage wrote anew: what every Transform of lines gives back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.columns import Bytes, Offsets
from ...curator.stage import Ints
from .bitmaps import SLACK
from .padded import lay_out


def rewritten(kernel: Callable[..., None], texts: pa.Array, rules: Any, columns: int, chars: int) -> tuple[pa.Array, Ints]:
    """What a kernel of line rules writes of texts, and (n, columns) int64 that it counts.

    kernel  (padded, page, rules, out, bounds, counts): writes text k to out[bounds[k]:bounds[k + 1]], at most one byte longer than it was
    texts   (n,) large_string; null counts as empty
    chars   the column that is given characters before
    """
    layout = lay_out(texts)
    padded = layout.padded
    counts = np.zeros((len(texts), columns), np.int64)
    counts[:, chars] = padded.chars
    out = np.empty(int(padded.size.sum()) + len(texts) + SLACK, np.uint8)
    bounds = np.zeros(len(texts) + 1, np.int64)
    kernel(padded, layout.page, rules, out, bounds, counts)
    return strings(bounds, out), counts


def strings(bounds: Offsets, data: Bytes) -> pa.Array:
    """Texts that a kernel wrote.

    bounds   (n + 1,) int64  text k is data[bounds[k]:bounds[k + 1]]
    returns  (n,) large_string
    """
    return pa.LargeStringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(data[: bounds[-1]].copy()))


def edited(batch: pa.RecordBatch, text: pa.Array, measured: dict[str, Any], chars: Ints) -> pa.RecordBatch:
    """The batch with new texts, the values, and `edited_chars`; other columns, `record` among them, are left as they came.

    text      (n,) large_string without nulls
    measured  name -> (n,) array, of NumPy or of Arrow
    chars     (n,) int64  characters before
    A text left empty becomes null, with the reason `empty`; where there was no text, there is none and all values are null.
    """
    before = batch.column("text")
    missing = before.is_null()
    empty = pc.and_(pc.equal(pc.binary_length(text), 0), before.is_valid())
    text = pc.if_else(pc.or_(missing, empty), pa.scalar(None, text.type), text)
    absent = missing.to_numpy(zero_copy_only=False)
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns |= {name: pa.array(value, mask=absent) if isinstance(value, np.ndarray) else value for name, value in measured.items()}
    columns["text"] = text
    columns["reason"] = pc.if_else(empty, "empty", batch.column("reason"))
    columns["edited_chars"] = pc.subtract(pa.array(chars), pc.utf8_length(text).cast(pa.int64()))
    return pa.RecordBatch.from_pydict(columns)
