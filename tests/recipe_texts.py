"""Recipes for the tests of the loader, and what it says about them."""

from __future__ import annotations

from pathlib import Path

import pytest
from d4a.curator.errors import RecipeError
from d4a.curator.load.files import load

GOOD = """\
name: demo
text:
  sources:
    - {path: data/}
  stages:
    - {use: text.acme.toxicity, max_score: 0.5}
    - {use: text.acme.list, file: words.txt}
output:
  path: out
"""
STAGES = "name: demo\noutput: {path: out}\ntext:\n  sources: [{path: a}]\n  stages:\n"  # followed by line 6


def write(text: str, name: str = "r.yaml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def said(text: str, *overrides: str) -> str:
    """The whole message about a recipe."""
    with pytest.raises(RecipeError) as caught:
        load(write(text), overrides)
    return str(caught.value)


def options(text: str, *overrides: str) -> dict[str, object]:
    """Options of the first text stage."""
    recipe = load(write(text), overrides)
    assert recipe.text is not None
    return recipe.text.stages[0].options
