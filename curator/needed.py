"""Which models the stages of a recipe need, and where they lie: found, or fetched, by the stages' own `prepare`, as the plan does.

A list of models beside the stages would be quicker to print, and wrong for the first stage of another package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import D4AError
from .recipe import Recipe, StageSpec
from .registry import stage_class
from .stage import Machine, Stage


@dataclass(frozen=True)
class Needed:
    """A model on this machine.

    stage    flow/label
    path     a file, or a folder; in one, `bytes` are those of all its files and `sha256` of those that are read
    licence  as file, model card or package state it; empty where they do not
    """

    stage: str
    model: str
    path: str
    bytes: int
    sha256: str
    licence: str


@dataclass(frozen=True)
class Lacking:
    """A model that cannot be had here, and why."""

    stage: str
    model: str
    error: D4AError

    def __str__(self) -> str:
        hint = f"; {self.error.hint}" if self.error.hint else ""
        where = f" ({self.error.where})" if self.error.where else ""
        return f"{self.stage}: {self.error.what}{where}{hint}"


def find_models(recipe: Recipe) -> tuple[list[Needed], list[Lacking]]:
    """What stages' options `model` and `embedding` name, in the recipe's order, and what of it is neither here nor to be fetched."""
    here: list[Needed] = []
    lacking: list[Lacking] = []
    for name, spec in ((name, spec) for name, flow in recipe.flows().items() for spec in flow.stages):
        stage = _stage(spec)
        option = getattr(stage.options, "model", None) or getattr(stage.options, "embedding", None)
        if option is None:
            continue
        label, model = f"{name}/{spec.label}", _named(option)
        try:
            facts = stage.prepare(Machine())
        except D4AError as error:
            lacking.append(Lacking(label, model, error))
            continue
        if path := facts.local.get("path"):
            digest = facts.numeric.get("weights") or facts.numeric.get("model_sha256", "")
            here.append(Needed(label, model, path, _size(Path(path)), digest, facts.local.get("licence", "")))
    return here, lacking


def _stage(spec: StageSpec) -> Stage:
    kind = stage_class(spec.use)
    return kind(kind.Options.model_validate(spec.options))


def _named(model: Any) -> str:
    """The option as a recipe has it; the fields of a structured one are joined."""
    given = model.model_dump(exclude_none=True) if hasattr(model, "model_dump") else {"": model}
    return ", ".join(f"{name}: {value}" if name else str(value) for name, value in given.items())


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
