"""pydantic's complaints in the words of a recipe: what must stand there, what stands there, and what helps.

A message is made from the type of the field and not from pydantic's own text, so that a field with several types
gives one sentence, and `d4a stages` describes options in the same words. Not pydantic's custom error messages: those
would have to be repeated at every field.
"""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from .errors import Problem
from .positions import Node
from .recipe import parse_bytes

Path = tuple[str | int, ...]

_LIMITS = ("gt", "ge", "lt", "le", "min_length", "max_length", "multiple_of", "pattern")
_LISTS = (list, tuple, set, frozenset, Sequence)
_NOUNS = {bool: ("true or false", "true or false"), int: ("a whole number", "whole numbers"), float: ("a number", "numbers")}
_PATTERNS = {r"^[A-Za-z0-9][A-Za-z0-9._-]*$": " of letters, digits, `.`, `_` and `-` that begins with a letter or a digit"}


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
    if any(getattr(item, "func", None) is parse_bytes for item in metadata):
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
    if (origin or annotation) in _LISTS:
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
    if annotation in (int, float):
        return _NOUNS[annotation][plural] + _range(limits)
    if annotation is bool:
        return _NOUNS[bool][0]
    if annotation is Any:
        return "any values" if plural else "any value"
    pattern = limits.get("pattern")
    return ("texts" if plural else "text") + (_PATTERNS.get(pattern, f" that matches {pattern}") if pattern else "")


def _range(limits: dict[str, Any]) -> str:
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']:g} to {limits['le']:g}"
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most", "multiple_of": "divisible by"}
    said = ", ".join(f"{word} {limits[name]:g}" for name, word in words.items() if name in limits)
    return f" of {said}" if said.startswith("at ") else f" {said}" if said else ""


def shown(node: Node) -> str:
    """A value as it is quoted in a message."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    if node.value is None:
        return "nothing"
    text = json.dumps(node.value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


# --------------------------------------------------------------------------------------- fields behind a path


@dataclass(frozen=True)
class Slot:
    """What may stand at a path in a model: the type there, its limits, and the field (or the field around it)."""

    annotation: Any
    metadata: Sequence[Any] = ()
    field: FieldInfo | None = None

    def models(self) -> list[type[BaseModel]]:
        """The models that a mapping may stand for here."""
        return [kind for kind in _members(self.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]

    def step(self, name: str | int) -> Slot:
        """The slot of an entry, `Any` where the type does not say."""
        for kind in _members(self.annotation):
            args = get_args(kind)
            if isinstance(kind, type) and issubclass(kind, BaseModel) and name in kind.model_fields:
                info = kind.model_fields[str(name)]
                return Slot(info.annotation, info.metadata, info)
            if isinstance(name, int) and (get_origin(kind) or kind) in _LISTS and args:
                return self._entry(args[min(name, len(args) - 1)] if args[-1] is not Ellipsis else args[0])
            if get_origin(kind) is dict:
                return self._entry(args[1])
        return Slot(Any, field=self.field)

    def _entry(self, kind: Any) -> Slot:
        return Slot(kind.__origin__, kind.__metadata__, self.field) if get_origin(kind) is Annotated else Slot(kind, (), self.field)

    def words(self) -> str:
        """What must stand here."""
        return type_words(self.annotation, self.metadata)


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _members(annotation.__origin__)
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for arg in get_args(annotation) for member in _members(arg)]
    return [annotation]


# ------------------------------------------------------------------------------------------ errors in words


@dataclass(frozen=True)
class Place:
    """Where a model's data stand in the recipe, and what to call things there.

    address   the `--set` address of the model ("" for the whole recipe, else a stage's label)
    unknown   a key nobody knows, said with {key} and {address}
    extra     names that may stand beside the model's own fields
    hints     for keys that are often put here by mistake
    """

    node: Node
    model: type[BaseModel]
    address: str = ""
    unknown: str = "unknown key `{key}`"
    extra: tuple[str, ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)


def problems(error: ValidationError, place: Place) -> list[Problem]:
    """One problem for each place that is wrong."""
    found: dict[Path, tuple[str, Any]] = {}
    for item in error.errors(include_url=False):
        path, kind = _real_path(item["loc"], place.node), item["type"]
        if kind in ("missing", "extra_forbidden") and isinstance(item["loc"][-1], str):
            path = (*path, item["loc"][-1]) if not path or path[-1] != item["loc"][-1] else path
        found.setdefault(path, (kind, item))
    for path in [path for path in found if _misspelt(path, found)]:
        del found[path]
    deepest = [path for path in found if not any(other[: len(path)] == path and other != path for other in found)]
    return [_problem(path, *found[path], place) for path in deepest or found]


def _misspelt(path: Path, found: dict[Path, tuple[str, Any]]) -> bool:
    """Whether what is missing stands there under a name so close that it is told as one mistake."""
    beside = [other[-1] for other, (kind, _) in found.items() if kind == "extra_forbidden" and other[:-1] == path[:-1]]
    return found[path][0] == "missing" and any(close_names(str(name), [str(path[-1])]) for name in beside)


def _real_path(loc: Path, node: Node) -> Path:
    """The steps of a pydantic location that exist in the recipe; the names of union members do not."""
    path: list[str | int] = []
    for step in loc:
        child = node.child(step)
        if child is not None:
            node = child
            path.append(step)
    return tuple(path)


def _problem(path: Path, kind: str, item: Any, place: Place) -> Problem:
    node, slot, parent = place.node, Slot(place.model), Slot(place.model)
    for step in path:
        inner = node.child(step)
        parent, slot = slot, slot.step(step)
        node = inner if inner is not None else node
    subject = ".".join(map(str, (*([place.address] if place.address else []), *path)))
    hint = described(slot.field)
    if kind == "missing" and path and isinstance(path[-1], str):
        return node.key.problem(f"`{subject}` is missing", hint or slot.words())
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), node, parent, subject, place)
    if item["loc"][-1] == "[key]":
        return node.key.problem(f"`{path[-1]}` cannot be a key of `{subject.rpartition('.')[0]}`", hint)
    if kind in ("value_error", "assertion_error"):
        return node.at.problem(f"`{subject}`: {item['ctx']['error']}", hint)
    if kind in ("too_short", "too_long"):
        limit = item["ctx"]["min_length" if kind == "too_short" else "max_length"]
        words = f"{'at least' if kind == 'too_short' else 'at most'} {limit} {'entry' if limit == 1 else 'entries'}"
        return node.at.problem(f"`{subject}` must have {words}, not {item['ctx']['actual_length']}", hint)
    return node.at.problem(f"`{subject}` must be {slot.words()}, not {shown(node)}", advice(node, slot) or hint)


def _unknown(key: str, node: Node, parent: Slot, subject: str, place: Place) -> Problem:
    own = parent.annotation is place.model
    names = [name for model in parent.models() for name in model.model_fields] + list(place.extra if own else ())
    what = place.unknown if own else "unknown key `{key}` in `{address}`"
    if ":" in key:
        hint = f"a space is missing after the colon: `{key.replace(':', ': ', 1)}`"
    else:
        hint = (place.hints.get(key, "") if own else "") or did_you_mean(key, names) or f"known here: {listed(names)}"
    return node.key.problem(what.format(key=key, address=subject.removesuffix(f".{key}")), hint)


def described(info: FieldInfo | None) -> str:
    """A field's description with its default, as a hint."""
    if info is None or not info.description:
        return ""
    return info.description.removesuffix(".") + _default(info)


def _default(info: FieldInfo) -> str:
    default = info.get_default(call_default_factory=False)
    if not isinstance(default, str | int | float) or default == "":
        return ""
    if any(getattr(item, "func", None) is parse_bytes for item in info.metadata) and isinstance(default, int):
        return f" (default {default / 2**20:g}MiB)"
    return f" (default {json.dumps(default, ensure_ascii=False)})"


def advice(node: Node, slot: Slot) -> str:
    """What to write instead, for mistakes that many make."""
    kinds = _members(slot.annotation)
    value = node.value
    if isinstance(value, str):
        if bool in kinds and value.lower() in ("yes", "on", "no", "off"):
            return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
        if (int in kinds or float in kinds) and _is_number(value.replace("_", "")):
            return "write it without quotes" if not node.plain_text else "write it without `_`"
        if value.endswith("%") and float in kinds and _is_number(value[:-1]):
            return f"write the share as a number: {float(value[:-1]) / 100:g}"
        return _rewritten(value, slot, kinds)
    if str in kinds and isinstance(value, int | float):
        return f'put it in quotes: "{json.dumps(value)}"'
    return ""


def _rewritten(text: str, slot: Slot, kinds: list[Any]) -> str:
    """A text brought into the form that is wanted: a list of one, a mapping with its first key, a name without spaces."""
    literals = [str(arg) for kind in kinds if get_origin(kind) is Literal for arg in get_args(kind)]
    if literals:
        return did_you_mean(text, literals)
    entries = [arg for kind in kinds if (get_origin(kind) or kind) in _LISTS for arg in get_args(kind)]
    if str in entries:
        return f"put it in brackets: [{text}]"
    for model in [*slot.models(), *(model for entry in entries for model in Slot(entry).models())]:
        mapping = f"{{{next(iter(model.model_fields))}: {text}}}"
        return f"write `{mapping}`" if slot.models() else f"write `[{mapping}]`"
    if any(getattr(item, "pattern", None) in _PATTERNS for item in slot.metadata):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")
        return f"for instance `{name}`" if name else ""
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
