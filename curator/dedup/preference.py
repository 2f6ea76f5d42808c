"""Which of two duplicates is preferred: criteria that a recipe names, one after the other, the same for every kind of dedup.

Criteria look at evidence only (size, source, measured values), so another one costs no scan. A model of quality is not
among them: where there is one, a stage measures it, and `{highest: STAGE.VALUE}` uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

Ints = npt.NDArray[np.int64]


class Highest(BaseModel):
    """The greater of a measured value."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    highest: str = Field(description="A number that a stage measured before: LABEL.VALUE, for instance `text.language.score`.")


class Lowest(BaseModel):
    """The smaller of a measured value."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    lowest: str = Field(description="A number that a stage measured before: LABEL.VALUE.")


Word = Literal["longest", "largest", "first", "sources"]
Criterion = Word | Highest | Lowest
Keep = Criterion | list[Criterion]

KEEP_DOC = (
    "Which twin is preferred. `longest`: more bytes of text or file; `largest`: more pixels; `sources`: the one whose source stands"
    " earlier in the recipe; `first`: the earlier one; {highest: LABEL.VALUE} or {lowest: LABEL.VALUE}: by a number that a stage"
    " measured (the newest one by `text.field` on a date). A list is tried in order; the last word has the input order. A record"
    " without the number comes last."
)


class Ranked(Protocol):
    """What criteria see of n records; `stage.Entered` is it."""

    @property
    def size(self) -> int:
        """n."""
        ...

    def column(self, name: str) -> pa.ChunkedArray:
        """`payload_bytes` or `source_index`."""
        ...

    def foreign(self, name: str) -> pa.ChunkedArray | None:
        """A measured value by its full name."""
        ...


def criteria(keep: Keep) -> list[Criterion]:
    """The criteria of an option, as a list."""
    return list(keep) if isinstance(keep, list) else [keep]


def named_values(keep: Keep) -> list[str]:
    """Full names of the measured values that the criteria ask for."""
    return [one.highest if isinstance(one, Highest) else one.lowest for one in criteria(keep) if isinstance(one, Highest | Lowest)]


def order_by(entered: Ranked, keep: Keep) -> Ints:
    """(n,) int64: the records' indices, the most preferred first."""
    keys = [_key(entered, one) for one in criteria(keep)]
    return np.lexsort((np.arange(entered.size), *reversed(keys))).astype(np.int64)


def _key(entered: Ranked, criterion: Criterion) -> npt.NDArray[Any]:
    """One number a record, the least for the most preferred."""
    if criterion == "first":
        return np.arange(entered.size)
    if criterion == "sources":
        return np.asarray(entered.column("source_index").to_numpy())
    if criterion == "longest":
        return -np.asarray(entered.column("payload_bytes").to_numpy())
    if criterion == "largest":
        sides = [_numbers(entered, f"image.decode.{side}", 0) for side in ("width", "height")]
        return -(sides[0] * sides[1])
    if isinstance(criterion, Highest):
        return -_numbers(entered, criterion.highest, -np.inf)
    assert isinstance(criterion, Lowest)
    return _numbers(entered, criterion.lowest, np.inf)


def _numbers(entered: Ranked, name: str, missing: float) -> npt.NDArray[np.float64]:
    column = entered.foreign(name)
    if column is None:
        return np.full(entered.size, missing)
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(np.isnan(values), missing, values)


def lacking(keep: Keep, measured: Sequence[str]) -> list[str]:
    """Values that the criteria ask for and nobody measures."""
    return [name for name in named_values(keep) if name not in measured]
