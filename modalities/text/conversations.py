"""Instructions and conversations: which structure a record has, and the text that rules see of it.

The text is for measuring only, since the record itself is packed; so roles and markup are no part of it, and a chat
template, which would have to be one model's, is not applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_BETWEEN = "\n\n"
_TYPES = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}


class ConversationError(ValueError):
    """A record that is not of its structure: which turn, and why."""


def structure_of(fields: dict[str, Any]) -> str:
    """`messages`, `sharegpt`, `alpaca`, or nothing, by the fields."""
    if type(fields.get("messages")) is list:
        return "messages"
    if type(fields.get("conversations")) is list:
        return "sharegpt"
    return "alpaca" if type(fields.get("instruction")) is str and "output" in fields else ""


def joined_text(fields: dict[str, Any], structure: str) -> str:
    """All texts of a record in order, a blank line between two; null and empty ones are left out, roles are not in it.

    alpaca    system, each instruction and response of history, instruction, input, output
    sharegpt  system, then `value` of each of `conversations`
    messages  `content` of each of `messages`; of a list of parts, the `text` of each part of type text
    Raises ConversationError. LLaMA-Factory's formats (data/README.md); OpenAI's chat messages.
    """
    parts = {"alpaca": _alpaca, "sharegpt": _sharegpt, "messages": _messages}[structure](fields)
    text = _BETWEEN.join(part for part in parts if part)
    if not text:
        raise ConversationError("no text in it")
    return text


def _alpaca(fields: dict[str, Any]) -> Iterator[str | None]:
    yield _text(fields, "system")
    for number, turn in enumerate(_list(fields, "history") if fields.get("history") else []):
        if type(turn) is not list or len(turn) != 2 or not all(type(text) is str for text in turn):
            raise ConversationError(f"history, turn {number}: not an instruction and a response")
        yield from turn
    for name, needed in (("instruction", True), ("input", False), ("output", True)):
        yield _text(fields, name, needed)


def _sharegpt(fields: dict[str, Any]) -> Iterator[str | None]:
    yield _text(fields, "system")
    for number, turn in _turns(fields, "conversations", "from"):
        yield _text(turn, "value", True, f"turn {number}: ")


def _messages(fields: dict[str, Any]) -> Iterator[str | None]:
    for number, turn in _turns(fields, "messages", "role"):
        place = f"turn {number}: "
        if type(turn.get("content")) is list:
            yield from _parts(turn["content"], place)
        else:
            yield _text(turn, "content", not ("tool_calls" in turn or "function_call" in turn), place)


def _parts(parts: list[Any], place: str) -> Iterator[str | None]:
    for number, part in enumerate(parts):
        if type(part) is not dict or type(part.get("type")) is not str:
            raise ConversationError(f"{place}part {number} is no object with a `type`")
        if part["type"] == "text":
            yield _text(part, "text", True, f"{place}part {number}: ")


def _turns(fields: dict[str, Any], name: str, speaker: str) -> Iterator[tuple[int, dict[str, Any]]]:
    turns = _list(fields, name)
    if not turns:
        raise ConversationError(f"`{name}` holds no turn")
    for number, turn in enumerate(turns):
        if type(turn) is not dict:
            raise ConversationError(f"turn {number} is {_TYPES.get(type(turn), 'a value')}, not an object")
        if type(turn.get(speaker)) is not str:
            raise ConversationError(f"turn {number}: {_wrong(turn, speaker)}")
        yield number, turn


def _list(fields: dict[str, Any], name: str) -> list[Any]:
    found = fields.get(name)
    if type(found) is not list:
        raise ConversationError(_wrong(fields, name, "list"))
    return found


def _text(fields: dict[str, Any], name: str, needed: bool = False, place: str = "") -> str | None:
    """A text or null. Raises ConversationError for another type, and where it is needed and not there."""
    found = fields.get(name)
    if type(found) is str or (found is None and (name in fields or not needed)):
        return found
    raise ConversationError(place + _wrong(fields, name))


def _wrong(fields: dict[str, Any], name: str, wanted: str = "string") -> str:
    if name not in fields:
        return f"no `{name}`; fields: {', '.join(fields) or 'none'}"
    return f"`{name}` is {_TYPES.get(type(fields[name]), 'a value')}, not a {wanted}"
