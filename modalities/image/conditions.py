"""The rule language of image.detect: how many boxes of a class, of what confidence and size.

A condition is a comparison with a number and no more (`">= 2"`): enough for what rules ask in practice, and a typing
mistake is found when the recipe is read. An expression language would need a parser, an evaluator and a manual.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_OPERATORS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq, "!=": operator.ne}
_COMPARISON = re.compile(r"^\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)?)\s*$")


@dataclass(frozen=True)
class Comparison:
    """An operator and the number behind it."""

    operator: str
    number: float

    @classmethod
    def parse(cls, text: str) -> Comparison:
        """`">= 1"` -> Comparison. Raises ValueError with what may stand there."""
        match = _COMPARISON.match(text)
        if match is None:
            raise ValueError(f'"{text}" is no condition; write one of {" ".join(_OPERATORS)} and a number, in quotes: ">= 1"')
        return cls(match[1], float(match[2]))

    def holds(self, value: Any) -> Any:
        """Whether a number, or each number of an array, meets the condition."""
        return _OPERATORS[self.operator](value, self.number)


def _text(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'a bare number; say how to compare: ">= {value:g}"')
    return value


def _whole(text: str) -> str:
    if Comparison.parse(text).number % 1:
        raise ValueError(f'"{text}" compares a count with a fraction; write a whole number')
    return text.strip()


def _share(text: str) -> str:
    if Comparison.parse(text).number > 1:
        raise ValueError(f'"{text}" compares with more than 1; confidence and area are shares from 0 to 1')
    return text.strip()


Count = Annotated[str, BeforeValidator(_text), AfterValidator(_whole)]
Share = Annotated[str, BeforeValidator(_text), AfterValidator(_share)]


class Condition(BaseModel):
    """How many boxes of a class there must be, counting only boxes of the confidence and area asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    count: Count = Field(">= 1", description='Number of matching boxes [boxes], for instance ">= 2".')
    confidence: Share | None = Field(None, description='Boxes that count, by confidence [0 to 1], for instance ">= 0.5".')
    area: Share | None = Field(None, description='Boxes that count, by area [share of the image, 0 to 1], for instance ">= 0.1".')

    def matching(self, boxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The boxes that count."""
        asked = [(name, Comparison.parse(text)) for name in ("confidence", "area") if (text := getattr(self, name)) is not None]
        return [box for box in boxes if all(comparison.holds(box[name]) for name, comparison in asked)]

    def met(self, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """(n,) bool: whether each image has the right number of matching boxes."""
        result: npt.NDArray[np.bool_] = Comparison.parse(self.count).holds(counts)
        return result

    @property
    def number(self) -> float:
        """What the count is compared with."""
        return Comparison.parse(self.count).number


def _short(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _text(value)
    return {"count": value} if isinstance(value, str) else value


Rules = dict[str, Annotated[Condition, BeforeValidator(_short)]]
