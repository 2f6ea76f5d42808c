"""What a recipe may say. Pure schema: importing it costs pydantic and nothing else.

The options of a stage belong to the stage (`curator.options.Options`); here a stage is its name, its label and
a mapping of options that `load` hands to the stage's own model.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$")


def parse_bytes(value: object) -> object:
    """`256MiB`, `1.5 GB` or a number of bytes -> int. Anything else is left for pydantic to refuse."""
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"not a size: {value!r}; write a number and one of {', '.join(u for u in _UNITS if u)}")
    return int(float(match[1]) * _UNITS[match[2]])


ByteSize = Annotated[int, Field(gt=0, le=2**60), BeforeValidator(parse_bytes)]


class Schema(BaseModel):
    """Base of everything in a recipe: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Schema):
    """Where records come from."""

    path: str = Field(min_length=1, description="File, folder or glob (`**` crosses folders); relative to the current directory.")
    recursive: bool = Field(True, description="Descend into sub-folders of a folder.")
    format: str = Field(
        "auto",
        description="`auto` goes by the file name, or the first bytes of an image or a JSON file; else a format the modality reads.",
    )
    text_field: str = Field("text", description="Field that holds the text, in formats with fields.")
    id_field: str = Field("id", description="Field that holds the record's own id; used as key where present.")
    url_field: str = Field("url", description="Field that holds the address the text came from; `text.url` judges it.")
    structure: Literal["auto", "text", "alpaca", "sharegpt", "messages"] = Field(
        "auto",
        description="What a record with fields is: one text; or instruction, input and output (alpaca), conversations of from and value"
        " (sharegpt), messages of role and content, which are packed as they came while rules see the joined text. auto: text where"
        " the text field is there, else by the fields.",
    )
    extract: Literal["resiliparse", "trafilatura", "plain"] = Field(
        "resiliparse", description="How text is taken out of HTML: main content by one of two libraries, or all visible text (plain)."
    )
    image_field: str = Field(
        "image", description="Field that holds the image in tables and conversations: its path, or its bytes, or both as `{bytes, path}`."
    )
    caption_field: str = Field(
        "", description="Field that holds the caption, in tables and in the JSON beside an image; empty: `caption`, else `text`."
    )
    images: str = Field(
        "",
        description="Folder of the images that a table or a COCO file names; empty: the one the file lies in. Relative to the current"
        " directory. Paths that lead out of it are refused.",
    )
    licence: str = Field("", description="SPDX identifier for all records of this source.")


class StageSpec(Schema):
    """One stage of a flow: its name, an optional label, its mode and its options."""

    use: str = Field(description="Stage name, see `d4a stages`.")
    label: str = Field(description="Name in ledger and report: `as`, or the stage name.")
    mode: Literal["judge", "annotate", "tag"] = Field(
        "judge",
        description="`annotate` measures without judging; what a Transform cannot handle is still refused. `tag`, for dedup stages:"
        " duplicates stay, and scores and samples say which cluster each record is in and how large that is.",
    )
    options: dict[str, Any] = Field(default_factory=dict)


class Flow(Schema):
    """Sources and stages of one modality."""

    sources: list[Source] = Field(min_length=1)
    stages: list[StageSpec] = Field(default_factory=list)
    partition_bytes: ByteSize = Field(64 * 2**20, ge=4096, description="Target size of one unit of work.")


class Output(Schema):
    """Where the dataset goes, and in what form."""

    path: str = Field(min_length=1, description="Folder of the dataset; created if missing.")
    shard_bytes: ByteSize = Field(256 * 2**20, description="A shard ends before it would grow beyond this (one sample may exceed it).")
    split: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=dict, description="Share of each held-out split; the rest is `train`."
    )
    order: Literal["shuffle", "input"] = Field(
        "shuffle", description="`shuffle`: by a keyed hash of seed, content and key; `input`: as read."
    )
    seed: int = Field(0, description="Seed of every keyed draw: split and order.")

    @field_validator("split")
    @classmethod
    def _shares_leave_room(cls, split: dict[str, float]) -> dict[str, float]:
        for name in split:
            if name == "train":
                raise ValueError("`train` is the rest: leave it out")
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
                raise ValueError(f"a split is a folder: {name!r} must be lower-case letters, digits, _ and -")
        if sum(split.values()) >= 1:
            raise ValueError(f"the shares add up to {sum(split.values()):g}: nothing is left for `train`")
        return split


class Recipe(Schema):
    """One dataset: flows that run independently, and one output."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Short name of the dataset.")
    description: str = Field("", description="For the dataset card.")
    licence: str = Field("", description="SPDX identifier of the dataset as a whole.")
    text: Flow | None = None
    image: Flow | None = None
    pair: Flow | None = None
    output: Output
    max_bad_fraction: float = Field(
        0.5, ge=0, le=1, description="End the run when more than this share of a flow's records cannot be read."
    )

    max_bad_records: int | None = Field(
        None,
        ge=0,
        description="End the run as soon as more records of a flow than this cannot be read, or crash a stage; null: as many as"
        " max_bad_fraction allows, and 100 crashes.",
    )

    def flows(self) -> dict[str, Flow]:
        """The flows that the recipe has, by modality, in a fixed order."""
        return {name: flow for name in ("text", "image", "pair") if (flow := getattr(self, name)) is not None}
