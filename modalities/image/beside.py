"""What lies beside an image, as a file or as a member of its sample: a caption, JSON, a class, other bytes.

All of it goes into `meta`, so nothing is lost on the way to a shard; what JSON cannot hold is base64, and what is over
BESIDE_BYTES is left out and says so.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
from typing import Any

import orjson

from ...curator.recipe import Source
from .records import Record, free_name

BESIDE_BYTES = 4 << 20  # of one record
CAPTIONS = ("txt", "caption")
_FIELDS = ("caption", "text")
_LONG_NUMBER = re.compile(rb"\d{17}")  # orjson reads integers beyond 64 bits as floats
_WHOLE_NUMBERS = frozenset({"cls", "cls2", "index", "inx", "id"})  # what WebDataset decodes as integers


class Beside:
    """Collects what lies beside one image, in order, and makes its caption and `meta` of it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._fields: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._others: dict[str, Any] = {}
        self._left = BESIDE_BYTES
        self._lack, self._found = "", False

    def add(self, suffix: str, data: bytes, size: int) -> None:
        """`size` bytes under a suffix; `data` may be shorter where that is more than BESIDE_BYTES."""
        self._found |= suffix in (*CAPTIONS, "json")
        if size > self._left:
            self._others[suffix] = {"left_out": f"{size} bytes; {BESIDE_BYTES >> 20} MiB beside an image are kept"}
            self.miss(suffix, f"{size} bytes")
            return
        self._left -= size
        if suffix == "json" and (value := _json(data)) is not None:
            self._fields.update(value) if isinstance(value, dict) else self._others.update(json=value)
            return
        try:
            text = data.removeprefix(codecs.BOM_UTF8).decode()
        except UnicodeDecodeError as error:
            self._others[suffix] = {"base64": base64.b64encode(data).decode()}
            self.miss(suffix, f"invalid UTF-8: byte {error.start}")
            return
        if suffix == "json":
            self.miss(suffix, "no JSON")
        if suffix in CAPTIONS:
            self._texts[suffix] = text.rstrip("\r\n")
        else:
            number = text.strip() if suffix in _WHOLE_NUMBERS else ""
            self._others[suffix] = int(number) if number.isdecimal() and len(number) < 18 else text

    def miss(self, suffix: str, why: str) -> None:
        """Something that may hold the caption is there, and cannot be read; the first reason is told."""
        if suffix in (*CAPTIONS, "json"):
            self._lack = self._lack or f"{suffix}: {why}"

    def fill(self, record: Record) -> None:
        """Give the record its caption, and all the rest as `meta`."""
        asked = bool(self._source.caption_field)
        caption = take_caption(self._fields, self._source) if asked else None
        for suffix in CAPTIONS:
            text = self._texts.pop(suffix, "")
            if caption is None and text.strip():
                caption = text
            elif text and text != caption:
                self._others[suffix] = text
        if caption is None:
            caption = take_caption(self._fields, self._source)
        elif not asked and self._fields.get("caption") == caption:  # img2dataset writes it twice
            del self._fields["caption"]
        for name, value in [*self._fields.items(), *self._others.items()]:
            record.meta[free_name(record.meta, name, value)] = value
        record.caption = caption
        if self._lack:
            record.lack, record.lack_reason = self._lack, "unreadable_caption"
        else:
            record.lack = "no text in the .txt, .caption or .json" if self._found else "no .txt, .caption or .json with one"
            record.lack += f", only .{', .'.join(list(self._others)[:5])}" if self._others and not self._found else ""


def take_caption(fields: dict[str, Any], source: Source) -> str | None:
    """The caption out of the fields of a record; None where there is none, or only blanks."""
    for name in (source.caption_field,) if source.caption_field else _FIELDS:
        text = fields.get(name)
        if type(text) is str and text.strip():
            del fields[name]
            return text
    return None


def lack_of_caption(fields: dict[str, Any], source: Source) -> str:
    """Why `take_caption` finds none."""
    names = (source.caption_field,) if source.caption_field else _FIELDS
    wrong = [name for name in names if type(fields.get(name, "")) not in (str, type(None))]
    return f"`{wrong[0]}` is of type {type(fields[wrong[0]]).__name__}, no text" if wrong else f"no text in `{'` or `'.join(names)}`"


def load_json(data: bytes) -> Any:
    """A JSON value with every digit of its integers; NaN, which is none, becomes null. Raises ValueError, RecursionError."""
    if _LONG_NUMBER.search(data):
        return _load_slowly(data)
    try:
        return orjson.loads(data.removeprefix(codecs.BOM_UTF8))
    except ValueError:
        if b"NaN" in data or b"Infinity" in data:  # Python writes them, hence img2dataset
            return _load_slowly(data)
        raise


def _load_slowly(data: bytes) -> Any:
    """By Python's own parser, which knows long numbers and NaN. Raises ValueError for half of a surrogate pair, too."""
    value = json.loads(data.decode("utf-8-sig"), parse_constant=_null)
    if b"\\u" in data:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _null(_: str) -> None:
    return None


def _json(data: bytes) -> Any:
    try:
        return load_json(data)
    except (ValueError, RecursionError):
        return None  # then it is a text
