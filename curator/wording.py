"""Fields in words: what a value of a type is called, what stands at a path of a model, and names close to a name.

The loader's messages and `d4a stages` say the same thing in the same words, because both take them from here. Not
JSON Schema's vocabulary: `exclusiveMinimum` is no word.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .recipe import parse_bytes

_LIMITS = ("gt", "ge", "lt", "le", "min_length", "max_length", "multiple_of", "pattern")
_LISTS = (list, tuple, set, frozenset, Sequence)
_NUMBERS = {int: ("a whole number", "whole numbers"), float: ("a number", "numbers")}
NAME_WORDS = {r"^[A-Za-z0-9][A-Za-z0-9._-]*$": " of letters, digits, `.`, `_` and `-` that begins with a letter or a digit"}


# ------------------------------------------------------------------------------------- names close to a name


def likeness(word: str, name: str) -> float:
    """How alike two names are, from 0 to 1."""
    return difflib.SequenceMatcher(None, word.lower(), name.lower()).ratio()


def close_names(word: str, names: Iterable[str]) -> list[str]:
    """The names that `word` may have been meant for, best first; several only when they are about as close."""
    close = sorted((name for name in names if likeness(word, name) >= 0.6), key=lambda name: (-likeness(word, name), name))
    return [name for name in close[:3] if likeness(word, name) >= likeness(word, close[0]) - 0.05]


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """`did you mean X?`, or "" when nothing is close."""
    close = close_names(word, list(names))
    return f"did you mean {either(close)}?" if close else ""


def either(names: Iterable[str]) -> str:
    """`a` or `b`."""
    return " or ".join(f"`{name}`" for name in names)


def listed(names: Iterable[str]) -> str:
    """`a`, `b`, `c`."""
    return ", ".join(f"`{name}`" for name in names)


# -------------------------------------------------------------------------------------------- types in words


def type_words(annotation: Any, metadata: Sequence[Any] = (), plural: bool = False) -> str:
    """What a value of this type is, for people: `a number from 0 to 1`, `a list of texts`."""
    if is_size(metadata):
        return "sizes such as 256MiB" if plural else "a size such as 256MiB"
    metadata = [inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])]
    limits = {name: value for item in metadata for name in _LIMITS if (value := getattr(item, name, None)) is not None}
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(args[0], [*args[1:], *metadata], plural)
    if origin in (Union, types.UnionType):
        kinds = dict.fromkeys(type_words(arg, metadata, plural) for arg in args if arg is not type(None))
        return " or ".join(kinds) + (", or null" if type(None) in args else "")
    if origin is Literal:
        return (("one of " if len(args) > 1 else "") + listed(map(str, args))) if not plural else f"any of {listed(map(str, args))}"
    if is_list(annotation):
        return _list_words(args, limits, plural)
    if origin is dict:
        return f"{'mappings' if plural else 'a mapping'} of names to {type_words(args[1], plural=True)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"{'mappings' if plural else 'a mapping'} ({', '.join(annotation.model_fields)})"
    return _scalar_words(annotation, limits, plural)


def _list_words(args: tuple[Any, ...], limits: dict[str, Any], plural: bool) -> str:
    head = "lists" if plural else "a list"
    kinds = [arg for arg in args if arg is not Ellipsis]
    if len(kinds) > 1:
        return f"{head} of {len(kinds)} values ({', '.join(type_words(kind) for kind in kinds)})"
    count = f"at least {limits['min_length']} " if limits.get("min_length", 0) > 1 else ""
    return f"{head} of {count}{type_words(kinds[0], plural=True)}" if kinds else head


def _scalar_words(annotation: Any, limits: dict[str, Any], plural: bool) -> str:
    if annotation in (None, type(None)):
        return "null"
    if annotation in _NUMBERS:
        return _NUMBERS[annotation][plural] + _range(limits)
    if annotation is bool:
        return "true or false"
    if annotation is Any:
        return "any values" if plural else "any value"
    pattern = limits.get("pattern")
    return ("texts" if plural else "text") + (NAME_WORDS.get(pattern, f" that matches {pattern}") if pattern else "")


def _range(limits: dict[str, Any]) -> str:
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}"
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most", "multiple_of": "divisible by"}
    said = ", ".join(f"{word} {limits[name]}" for name, word in words.items() if name in limits)
    return f" of {said}" if said.startswith("at ") else f" {said}" if said else ""


# --------------------------------------------------------------------------------------- fields behind a path


@dataclass(frozen=True)
class Slot:
    """What may stand at a path in a model: the type there, its limits, and the field (or the field around it)."""

    annotation: Any
    metadata: Sequence[Any] = ()
    field: FieldInfo | None = None

    def models(self) -> list[type[BaseModel]]:
        """The models that a mapping may stand for here."""
        return [kind for kind in members(self.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]

    def nested(self) -> list[tuple[str, type[BaseModel]]]:
        """The models of mappings that stand here (""), or behind any name (".NAME") or index (".0")."""
        found = [("", model) for model in self.models()]
        for kind in members(self.annotation):
            head, args = get_origin(kind) or kind, get_args(kind)
            if args and (head is dict or is_list(kind)):
                found += [(".NAME" if head is dict else ".0", model) for model in Slot(args[-1] if head is dict else args[0]).models()]
        return found

    def is_union(self) -> bool:
        """Whether values of several types may stand here (null apart)."""
        return sum(kind is not type(None) for kind in members(self.annotation)) > 1

    def step(self, name: str | int) -> Slot:
        """The slot of an entry, `Any` where the type does not say."""
        for kind in members(self.annotation):
            args = get_args(kind)
            if isinstance(kind, type) and issubclass(kind, BaseModel) and name in kind.model_fields:
                info = kind.model_fields[str(name)]
                return Slot(info.annotation, info.metadata, info)
            if isinstance(name, int) and is_list(kind) and args:
                return self._entry(args[min(name, len(args) - 1)] if args[-1] is not Ellipsis else args[0])
            if get_origin(kind) is dict:
                return self._entry(args[1])
        return Slot(Any, field=self.field)

    def _entry(self, kind: Any) -> Slot:
        return Slot(kind.__origin__, kind.__metadata__, self.field) if get_origin(kind) is Annotated else Slot(kind, (), self.field)

    def words(self) -> str:
        """What must stand here."""
        return type_words(self.annotation, self.metadata)


def is_list(kind: Any) -> bool:
    """Whether a type is written as a list."""
    return (get_origin(kind) or kind) in _LISTS


def is_size(metadata: Sequence[Any]) -> bool:
    """Whether a field is a `recipe.ByteSize`."""
    return any(getattr(item, "func", None) is parse_bytes for item in metadata)


def members(annotation: Any) -> list[Any]:
    """The types of a union, or the one type."""
    if get_origin(annotation) is Annotated:
        return members(annotation.__origin__)
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for arg in get_args(annotation) for member in members(arg)]
    return [annotation]
