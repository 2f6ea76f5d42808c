"""pydantic's complaints in the words of a recipe: what must stand there, what stands there, and what helps.

A message is made from the type of the field and not from pydantic's own text, so that a field with several types
gives one sentence. Not pydantic's custom error messages: those would have to be repeated at every field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ..errors import Problem
from ..wording import NAME_WORDS, Slot, close_names, did_you_mean, is_list, is_size, listed, members, type_words
from .positions import Node, Spot

Path = tuple[str | int, ...]

_LIMIT = f"numbers in a recipe are finite, and whole ones lie within 64 bits: {2**63 - 1} at most"


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
    for path, item in _of_likely_types([_traced(item, place) for item in error.errors(include_url=False)]):
        found.setdefault(path, (item["type"], item))
    return [_problem(path, *said, place) for path, said in found.items() if not _misspelt(path, found)]


@dataclass(frozen=True)
class _Traced:
    """A pydantic error with its path in the recipe; inside a union, where that is and which of its types complains."""

    path: Path
    item: Any
    union: Path = ()
    tag: str = ""

    def refuses_shape(self) -> bool:
        """Whether the type refuses the value as a whole, rather than something in it."""
        return self.path == self.union and str(self.item["type"]).endswith(("_type", "_parsing"))


def _traced(item: Any, place: Place) -> _Traced:
    """Follow a pydantic location through the recipe: a union adds a step of its own, and validators may add others."""
    node, slot, inside = place.node, Slot(place.model), False
    path: list[str | int] = []
    tags: list[tuple[Path, str]] = []
    for step in item["loc"]:
        if not inside and slot.is_union():
            tags.append((tuple(path), str(step)))
            inside = True
        elif (child := node.child(step)) is not None:
            path.append(step)
            node, slot, inside = child, slot.step(step), False
    last = item["loc"][-1] if item["loc"] else None
    if item["type"] == "missing" and isinstance(last, str):
        path.append(last)
    named = getattr(item.get("ctx", {}).get("error"), "option", None)
    if named is not None and node.child(named) is not None:
        path.append(named)
    return _Traced(tuple(path), item, *(tags[0] if tags else ()))


def _of_likely_types(errors: list[_Traced]) -> list[tuple[Path, Any]]:
    """Of a union, the complaints of the one type that was probably meant: it takes the shape, and has the fewest."""
    unions: dict[Path, dict[str, list[_Traced]]] = {}
    for error in errors:
        if error.tag:
            unions.setdefault(error.union, {}).setdefault(error.tag, []).append(error)

    def unlikeliness(told: list[_Traced]) -> tuple[bool, int]:
        return any(error.refuses_shape() for error in told), len(told)

    meant = {union: min(tags, key=lambda tag: unlikeliness(tags[tag])) for union, tags in unions.items()}
    return [(error.path, error.item) for error in errors if not error.tag or meant[error.union] == error.tag]


def _misspelt(path: Path, found: dict[Path, tuple[str, Any]]) -> bool:
    """Whether what is missing stands there under a name so close that it is told as one mistake."""
    beside = [other[-1] for other, (kind, _) in found.items() if kind == "extra_forbidden" and other[:-1] == path[:-1]]
    return found[path][0] == "missing" and any(close_names(str(name), [str(path[-1])]) for name in beside)


def _problem(path: Path, kind: str, item: Any, place: Place) -> Problem:
    node, slot, parent = place.node, Slot(place.model), Slot(place.model)
    for step in path:
        inner = node.child(step)
        parent, slot = slot, slot.step(step)
        node = inner if inner is not None else node
    subject = ".".join(map(str, (*([place.address] if place.address else []), *path)))
    hint = described(slot.field)
    last = item["loc"][-1] if item["loc"] else None
    if kind == "missing" and isinstance(last, str):
        return node.key.problem(f"`{subject}` is missing", hint or slot.words())
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), node, parent, subject, place)
    if last == "[key]":
        keys = next(get_args(kind)[0] for kind in members(parent.annotation) if get_origin(kind) is dict)
        return node.key.problem(f"`{path[-1]}` cannot be a key of `{subject.rpartition('.')[0]}`", f"keys are {type_words(keys)}")
    if kind in ("value_error", "assertion_error"):
        told = item["ctx"]["error"]
        at = _overridden(node) or node.at
        return at.problem(f"`{subject}`: {told}" if subject else str(told), getattr(told, "hint", "") or hint)
    if kind in ("too_short", "too_long"):
        limit = item["ctx"]["min_length" if kind == "too_short" else "max_length"]
        words = f"{'at least' if kind == 'too_short' else 'at most'} {limit} {'entry' if limit == 1 else 'entries'}"
        return node.at.problem(f"`{subject}` must have {words}, not {item['ctx']['actual_length']}", hint)
    return node.at.problem(f"`{subject}` must be {slot.words()}, not {shown(node)}", advice(node, slot) or hint)


def _overridden(node: Node) -> Spot | None:
    """Where a `--set` changed something in a value: when parts of it do not agree, that is the likely place."""
    inner = node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else []
    return next((spot for child in inner if (spot := _overridden(child))), node.key if node.key.line == 0 else None)


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
    if is_size(info.metadata) and isinstance(default, int):
        return f" (default {default / 2**20:g}MiB)"
    return f" (default {json.dumps(default, ensure_ascii=False)})"


def advice(node: Node, slot: Slot) -> str:
    """What to write instead, for mistakes that many make."""
    kinds = members(slot.annotation)
    value = node.value
    if isinstance(value, str):
        if bool in kinds and value.lower() in ("yes", "on", "no", "off"):
            return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
        if (int in kinds or float in kinds) and _is_number(value.replace("_", "")):
            return "write it without quotes" if not node.plain_text else "write it without `_`" if "_" in value else _LIMIT
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
    if any(is_list(kind) and _may_be(entry, text) for kind in kinds for entry in get_args(kind)):
        return f"put it in brackets: [{text}]"
    for step, model in sorted(slot.nested(), key=lambda one: next(iter(one[1].model_fields)) not in text.lower()):
        name, field = next(iter(model.model_fields.items()))
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        mapping = f"{{{name}: {next((choice for choice in choices if choice in text.lower()), text)}}}"
        return f"write `{mapping}`" if not step else f"write `[{mapping}]`" if step == ".0" else ""
    if any(getattr(item, "pattern", None) in NAME_WORDS for item in slot.metadata):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")
        return f"for instance `{name}`" if name else ""
    return ""


def _may_be(kind: Any, text: str) -> bool:
    return kind is str or (get_origin(kind) is Literal and text in get_args(kind))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
