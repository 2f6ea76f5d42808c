"""A package of another author with stages of its own, written into a folder as pip would install it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODULE = '''
from typing import Literal

import pyarrow as pa
from pydantic import Field, model_validator

from d4a.curator.recipe import ByteSize, Schema
from d4a.curator.options import Options, judge, measure
from d4a.curator.stage import Filter, Rule, Value


class Model(Schema):
    weights: str = Field(description="File of the weights.")
    layers: int = Field(12, description="Layers to run.", ge=1)


class ToxicityOptions(Options):
    variant: Literal["fast", "exact"] = measure("fast", "Which of two tables.")
    max_score: float = judge(1, "Highest score that stays [0 to 1].", ge=0, le=1)
    words: list[str] = measure([], "Words that count.")
    min_words: int | None = judge(5, "Fewest words; null switches the rule off [words].", ge=0)
    cut: float | list[float] = measure(1, "One cut, or one a language.")
    model: Model | None = measure(None, "A network in place of the table.")
    window: ByteSize = measure(2**20, "Read at a time.")

    @model_validator(mode="after")
    def _agree(self):
        if self.variant == "exact" and self.model is not None:
            raise ValueError("the exact variant uses no model")
        return self


class Toxicity(Filter):
    """Scores texts by a list of words.

    Case does not count.
    """

    name = "text.acme.toxicity"
    Options = ToxicityOptions
    values = (Value("score", pa.float64(), "hits / words", packed="toxicity"),)

    def measure(self, batch):
        return {"score": pa.nulls(batch.num_rows, pa.float64())}

    def rules(self):
        return [Rule("score", "max", "max_score", "toxic")]


class ListOptions(Options):
    file: str = measure(..., "A list of words, one a line.")
    keep: Literal["listed", "others"] = judge("listed", "Which side stays.")


class Listed(Toxicity):
    """Keeps or drops what is on a list."""

    name = "text.acme.list"
    Options = ListOptions


class Faces(Toxicity):
    """Counts faces."""

    name = "image.acme.faces"
    Options = Options
'''

ENTRY_POINTS = """
[d4a.stages]
text.acme.toxicity = acme_stages:Toxicity
text.acme.list = acme_stages:Listed
text.acme.broken = acme_stages:Nowhere
image.acme.faces = acme_stages:Faces
"""


def install(folder: Path) -> None:
    """Write the module and its metadata."""
    info = folder / "acme_stages-2.0.dist-info"
    info.mkdir(parents=True)
    (folder / "acme_stages.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-stages\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Install into this process; the registry, which is read once a process, is read again before and after."""
    from d4a.curator import registry

    install(folder)
    sys.path.append(str(folder))
    registry._points.cache_clear()
    registry.stage_class.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("acme_stages", None)
        registry._points.cache_clear()
        registry.stage_class.cache_clear()
