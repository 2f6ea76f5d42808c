"""What a record with fields consists of: its text, its id, its address, and whether it is packed as it came."""

from __future__ import annotations

import json
from typing import Any

from ...curator.recipe import Source
from .conversations import ConversationError, joined_text, structure_of

_ID_TYPES = (str, int, float)  # compared with `type`: a bool is an int, and no id
_JSON_TYPES = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}


class RecordError(Exception):
    """Fields that give no record: reason, detail, and its own id where it has one."""

    def __init__(self, reason: str, detail: str, ident: str | None = None) -> None:
        super().__init__(reason, detail, ident)
        self.reason, self.detail, self.ident = reason, detail, ident


Taken = tuple[str, str | int | float | None, str | None, bool]


def take(fields: Any, source: Source) -> Taken:
    """Text, id and address of a record, and whether it is packed as it came (a conversation).

    They are taken out of the fields, but out of a conversation, which is complete with them; what cannot be an id or an
    address stays. Raises RecordError.
    """
    if type(fields) is not dict:
        raise RecordError("not_an_object", _JSON_TYPES[type(fields)])
    structure: str = source.structure
    if structure == "auto":
        structure = "text" if source.text_field in fields else structure_of(fields) or "text"
    text = fields.pop(source.text_field, RecordError) if structure == "text" else None
    ident = fields.get(source.id_field)
    if type(ident) not in _ID_TYPES:
        ident = None
    url = fields.get(source.url_field)
    if type(url) is not str:
        url = None
    if structure != "text":
        return _conversation(fields, structure, ident), ident, url, True
    if type(text) is not str:
        raise _no_text(text, fields, ident)
    if ident is not None:
        del fields[source.id_field]
    if url is not None:
        fields.pop(source.url_field, None)  # the id may be the address
    return text, ident, url, False


def _no_text(text: Any, fields: dict[str, Any], ident: Any) -> RecordError:
    if text is RecordError:
        return RecordError("no_text_field", f"fields: {', '.join(fields)}" if fields else "no field at all", id_text(ident))
    return RecordError("text_not_a_string", _JSON_TYPES[type(text)], id_text(ident))


def _conversation(fields: dict[str, Any], structure: str, ident: Any) -> str:
    try:
        return joined_text(fields, structure)
    except ConversationError as broken:
        raise RecordError("broken_conversation", str(broken), id_text(ident)) from broken


def id_text(ident: str | int | float | None) -> str | None:
    """An id as a string; numbers as JSON writes them."""
    return ident if ident is None or type(ident) is str else json.dumps(ident)
