"""What a row of a table of images is: its image, by path or as bytes, its caption or conversation, and the rest.

HF's `{bytes, path}` and lists of one image are taken; a row with several images is no record of one, and is refused.
"""

from __future__ import annotations

from typing import Any

from ...curator.modality import Entry
from ...curator.recipe import Source
from ..text.conversations import ConversationError, joined_text, structure_of
from ..text.fields import RecordError, id_text
from .beside import lack_of_caption, take_caption
from .named import Named
from .records import Record, free_name, problem, without_image
from .sniff import SNIFF_BYTES

_PLACEHOLDER = "<image>"  # where LLaVA puts the image among the words
_IMAGE_FIELD = Source.model_fields["image_field"].default
_ALSO = "file_name"  # HF's imagefolder


class TableRows:
    """Makes records of the rows of one table."""

    def __init__(self, entry: Entry, source: Source) -> None:
        self._named, self._source = Named(entry), source

    def record(self, fields: Any, line: int) -> Record:
        """The record of a row, or why it is none."""
        record = Record(line=line)
        try:
            if type(fields) is not dict:
                raise RecordError("not_an_object", type(fields).__name__)
            record.ident = self._ident(fields)
            self._fill(record, fields)
        except RecordError as wrong:
            return without_image(record, wrong, line)
        return record

    def _ident(self, fields: dict[str, Any]) -> str | None:
        ident = fields.get(self._source.id_field)
        return id_text(ident) if type(ident) in (str, int, float) and ident != "" else None

    def _fill(self, record: Record, fields: dict[str, Any]) -> None:
        name = image_column(fields, self._source)
        structure = structure_of(fields)
        if name is None:  # a conversation may do without a picture
            reason = "no_image" if structure else "no_image_field"
            raise RecordError(reason, f"no field `{self._source.image_field}`; fields: {', '.join(fields)}")
        image = _one(fields[name])
        talks = structure in ("messages", "sharegpt") and (self._source.format == "llava" or not _has_caption(fields, self._source))
        rest = {key: value for key, value in fields.items() if key != name}
        if talks:
            record.caption, record.lack = _said(fields, structure)
            record.meta = {"record": fields if type(image) is str else rest}
        else:
            if record.ident is not None:
                del rest[self._source.id_field]
            record.caption = take_caption(rest, self._source)
            record.lack = lack_of_caption(fields, self._source) if record.caption is None else ""
            record.meta = rest
        self._load(record, image)

    def _load(self, record: Record, image: Any) -> None:
        path = image
        if type(image) is dict:
            path, image = image.get("path"), image.get("bytes")
            if path is None and image is None:
                raise RecordError("no_image", "an object with neither `path` nor `bytes`")
        if type(image) is bytes:
            if wrong := problem(image[:SNIFF_BYTES], len(image)):
                raise RecordError(*wrong)
            record.data = image
            if type(path) is str and path:
                record.meta[free_name(record.meta, "path", path)] = path
        elif type(path) is str:
            self._named.load(path, record)
        else:
            raise RecordError("no_image", f"a value of type {type(path).__name__}, neither a path nor bytes")


def image_column(names: Any, source: Source) -> str | None:
    """The one of these names that the image stands under."""
    if source.image_field in names:
        return source.image_field
    return _ALSO if source.image_field == _IMAGE_FIELD and _ALSO in names else None


def _one(image: Any) -> Any:
    """An image's value, out of a list of one. Raises RecordError."""
    if type(image) is list:
        if len(image) > 1:
            raise RecordError("several_images", f"{len(image)} images in one row")
        image = image[0] if image else None
    if image is None or image == "" or image == {"bytes": None, "path": None}:
        raise RecordError("no_image", "none in its field")
    return image


def _has_caption(fields: dict[str, Any], source: Source) -> bool:
    return take_caption(dict(fields), source) is not None


def _said(fields: dict[str, Any], structure: str) -> tuple[str | None, str]:
    """The text of a conversation without the places of its images, or why there is none."""
    try:
        text = joined_text(fields, structure)
    except ConversationError as broken:
        return None, str(broken)
    if _PLACEHOLDER in text:
        text = text.replace(_PLACEHOLDER + "\n", "").replace("\n" + _PLACEHOLDER, "").replace(_PLACEHOLDER, "").strip()
    return text or None, "no text but the place of the image"
