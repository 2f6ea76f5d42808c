"""What this installation offers: stages with their options in words, flows, and shipped recipes.

Data only; the command line prints it. Everything is read from the stage classes and the YAML files, so that nothing
is described in two places.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from .. import configs
from .options import option_kind
from .registry import stage_class
from .stage import Cut, Dedup, Filter, Judging, Rule, Stage
from .wording import Slot


@dataclass(frozen=True)
class OptionDoc:
    """One option; those of a nested mapping are called `model.weights`, of a mapping of names `drop_if.NAME.count`.

    kind     "measure" (part of what is measured), "file" (names data that is), "judge" (a threshold) or "search" (which pairs)
    type     in words
    default  as JSON, "" where the option must be given
    """

    name: str
    kind: str
    type: str
    default: str
    description: str


@dataclass(frozen=True)
class ValueDoc:
    """One measured value: a column of the scores, or a sketch; working values are not told of."""

    name: str
    type: str
    description: str
    packed: str
    sketch: bool


@dataclass(frozen=True)
class RuleDoc:
    """One reason to drop and the condition under which a record stays, for instance `words >= min_words`."""

    reason: str
    keeps: str


@dataclass(frozen=True)
class StageDoc:
    """What `d4a stages NAME` prints."""

    name: str
    verb: Literal["change", "judge", "match", "cut"]
    summary: str
    details: str
    cost: str
    package: str
    options: list[OptionDoc]
    values: list[ValueDoc]
    rules: list[RuleDoc]


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe that comes with d4a: its first comment line is the command that runs it, its second says what it is for."""

    name: str
    title: str
    command: str
    path: Path


def describe(name: str) -> StageDoc:
    """Everything a user may want to know about a stage. Raises KeyError for an unknown name, D4AError for one that does not load."""
    kind = stage_class(name)
    summary, _, details = inspect.cleandoc(kind.__doc__ or "").partition("\n")
    measured = [*kind.values, *(kind.cutter.values if issubclass(kind, Cut) else ())]
    values = [ValueDoc(v.name, str(v.type), v.doc, v.packed, v.sketch) for v in measured if not v.working]
    return StageDoc(
        name,
        _verb(kind),
        summary,
        details.strip(),
        kind.cost,
        packages()[name],
        list(_options(kind.Options)),
        values,
        [_rule(r) for r in _rules(kind)],
    )


def _verb(kind: type[Stage]) -> Literal["change", "judge", "match", "cut"]:
    if issubclass(kind, Cut):
        return "cut"
    return "match" if issubclass(kind, Dedup) else "judge" if issubclass(kind, Filter) else "change"


def _options(model: type[BaseModel], prefix: str = "", kind: str = "") -> Iterator[OptionDoc]:
    for name, info in model.model_fields.items():
        slot, own = Slot(info.annotation, info.metadata, info), kind or option_kind(info)
        given = info.get_default(call_default_factory=True)
        default = "" if given is PydanticUndefined else json.dumps(_json(given), ensure_ascii=False)
        yield OptionDoc(prefix + name, own, slot.words().removeprefix("a "), default, info.description or "")
        for step, nested in slot.nested():
            yield from _options(nested, f"{prefix}{name}{step}.", own)


def _json(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _rules(kind: type[Stage]) -> list[Rule]:
    """The rules of the stage with its default options; none where an option must be given."""
    if not issubclass(kind, Judging):
        return []
    try:
        return list(kind(kind.Options()).rules())
    except ValidationError:
        return []


def _rule(rule: Rule) -> RuleDoc:
    return RuleDoc(rule.reason, f"{rule.value} {'>=' if rule.keep == 'min' else '<='} {rule.option}")


# ------------------------------------------------------------------------------------- what is installed


def packages() -> dict[str, str]:
    """The distribution that registers each stage, "" where it is not known."""
    return {point.name: point.dist.name if point.dist else "" for point in entry_points(group="d4a.stages")}


def builtin(group: str) -> list[str]:
    """Names that d4a itself registers in a group of entry points, sorted; those of other packages differ from machine to machine."""
    return sorted({point.name for point in entry_points(group=group) if point.dist and point.dist.name == "d4a"})


def modality_names() -> list[str]:
    """The kinds of data that this installation reads, sorted."""
    return sorted({point.name for point in entry_points(group="d4a.modalities")})


# --------------------------------------------------------------------------------------- shipped recipes


def recipes() -> list[ShippedRecipe]:
    """The shipped recipes, sorted by name."""
    folder = Path(next(iter(configs.__path__)))
    return [_shipped(path) for path in sorted([*folder.glob("*.yaml"), *folder.glob("recipes/*.yaml")], key=lambda path: path.stem)]


def recipe_path(name: str) -> Path | None:
    """The file of a shipped recipe, None for any other name."""
    return next((recipe.path for recipe in recipes() if recipe.name == name), None)


def _shipped(path: Path) -> ShippedRecipe:
    command, title = (line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").split("\n")[:2])
    return ShippedRecipe(path.stem, title, command, path)
