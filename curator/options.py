"""Options of stages: what a recipe may say of each, and what a change of it costs.

An option is measured with, searched with or judged by; its kind says which keys it is part of, so that a threshold never
causes a scan. One pydantic model a stage is schema, documentation and check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .dedup.preference import KEEP_DOC, Keep


class OptionError(ValueError):
    """What a validator of a whole Options model raises, so that the message points at one option.

    option  the option that is shown, where the recipe has it
    hint    what to do instead
    """

    def __init__(self, what: str, option: str, hint: str = "") -> None:
        super().__init__(what)
        self.option, self.hint = option, hint


class Options(BaseModel):
    """The options of one stage; unknown names are refused, so a misspelt threshold cannot be silent.

    Of two options `min_x` and `max_x` the first must not be the greater one: nothing would stay.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _leave_something_between(self) -> Self:
        for least in type(self).model_fields:
            greatest = f"max_{least.removeprefix('min_')}"
            low, high = getattr(self, least), getattr(self, greatest, None)
            if least.startswith("min_") and isinstance(low, int | float) and isinstance(high, int | float) and low > high:
                named = least if least in self.model_fields_set else greatest
                raise OptionError(f"{least} {low} is above {greatest} {high}: nothing stays", named, "null switches either of them off")
        return self

    def of_kind(self, kind: str) -> dict[str, Any]:
        """The options of one kind ("measure", "file", "search" or "judge"), as plain JSON values."""
        dumped = self.model_dump(mode="json")
        return {name: dumped[name] for name, info in type(self).model_fields.items() if option_kind(info) == kind}


def option_kind(info: Any) -> str:
    """The kind of a pydantic field: "measure" unless `data_file`, `judge` or `search` made it; "against" for datasets to search."""
    extra = info.json_schema_extra
    return str(extra.get("d4a", "measure")) if isinstance(extra, dict) else "measure"


def measure(default: Any, description: str, **limits: Any) -> Any:
    """An option that changes what is measured: it is part of the scan's key."""
    return Field(default, description=description, **limits)


def data_file(default: Any, description: str, **limits: Any) -> Any:
    """An option that names files of data (word lists): their digests, in `Facts.files`, are part of the scan's key, their paths are not."""
    return Field(default, description=description, json_schema_extra={"d4a": "file"}, **limits)


def judge(default: Any, description: str, **limits: Any) -> Any:
    """An option that only changes what is kept (a threshold): it never causes a new scan."""
    return Field(default, description=description, json_schema_extra={"d4a": "judge"}, **limits)


def search(default: Any, description: str, **limits: Any) -> Any:
    """An option of a Dedup that changes which pairs are looked at: no new scan, but a new pair search."""
    return Field(default, description=description, json_schema_extra={"d4a": "search"}, **limits)


class VariantOptions(Options):
    """Options of a stage that reads its rules as the implementation does that `variant` names.

    without  variant -> options on values that it does not measure: null unless given, and refused where given
    """

    without: ClassVar[Mapping[str, tuple[str, ...]]]
    variant: str

    @model_validator(mode="before")
    @classmethod
    def _leave_out_of_other_variants(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given  # what is wrong is said by the field
        variant = given.get("variant", cls.model_fields["variant"].default)
        return {**dict.fromkeys(cls.without.get(str(variant), ())), **given}

    @model_validator(mode="after")
    def _refuse_options_of_other_variants(self) -> Self:
        for option in self.without.get(self.variant, ()):
            if getattr(self, option) is not None:
                raise OptionError(f"the {self.variant} variant has no such rule", option, "leave it out")
        return self


class DedupOptions(Options):
    """What every Dedup lets its user choose."""

    keep: Keep | None = search(None, KEEP_DOC + " null: texts by `longest`, images by [largest, longest], pairs by their captions.")
    only_across_sources: bool = judge(
        False, "Only records of different sources of the recipe are duplicates of each other, as in Zyda-2; within a source all stay."
    )
    against: list[str] = Field(
        [],
        description="Datasets made before, by d4a with the same measuring options of this stage: what they kept is searched too, stays"
        " whatever `keep` says, and is named as the twin by `dataset_id:key`.",
        json_schema_extra={"d4a": "against"},
    )
