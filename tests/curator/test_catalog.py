"""What `d4a stages` and `d4a recipes` have to say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from d4a.curator.catalog import OptionDoc, RuleDoc, builtin, describe, recipe_path, recipes
from d4a.curator.load.files import load
from foreign_stages import installed


@pytest.fixture(autouse=True)
def stages(tmp_path: Path) -> Iterator[None]:
    with installed(tmp_path / "site"):
        yield


def test_a_stage_is_described_in_words() -> None:
    doc = describe("text.acme.toxicity")
    assert (doc.verb, doc.summary, doc.details, doc.package) == (
        "judge",
        "Scores texts by a list of words.",
        "Case does not count.",
        "acme-stages",
    )
    options = {option.name: option for option in doc.options}
    assert options["max_score"] == OptionDoc("max_score", "judge", "number from 0 to 1", "1", "Highest score that stays [0 to 1].")
    assert options["variant"].type == "one of `fast`, `exact`"
    assert options["min_words"].type == "whole number of at least 0, or null"
    assert options["cut"].type == "number or a list of numbers"
    assert (options["model.layers"].kind, options["model.layers"].default) == ("measure", "12")
    assert (doc.values[0].name, doc.values[0].packed) == ("score", "toxicity")
    assert doc.rules == [RuleDoc("toxic", "score <= max_score")]


def test_an_option_that_must_be_given_has_no_default() -> None:
    assert describe("text.acme.list").options[0] == OptionDoc("file", "measure", "text", "", "A list of words, one a line.")


@pytest.mark.parametrize("name", builtin("d4a.stages"))
def test_every_stage_of_ours_explains_itself(name: str) -> None:
    doc = describe(name)
    assert doc.summary.endswith(".")
    assert doc.package == "d4a"
    assert all(len(option.description) > 10 for option in doc.options), doc.options
    assert all(len(value.description) > 10 for value in doc.values), doc.values


def test_shipped_recipes_name_the_command_that_runs_them() -> None:
    names = [recipe.name for recipe in recipes()]
    assert names == sorted(names)
    assert {"photos", "quickstart", "web-text"} <= set(names)
    for recipe in recipes():
        assert recipe.command.startswith(f"d4a curate {recipe.name}")
        assert len(recipe.title) > 20
        assert recipe_path(recipe.name) == recipe.path
    assert recipe_path("nothing-of-the-kind") is None


def test_a_bare_name_loads_and_extends_a_shipped_recipe(tmp_path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text("extends: photos\nname: mine\nimage:\n  stages: [{use: image.acme.faces}]\n")
    recipe = load(str(child))
    assert (recipe.name, recipe.output.path) == ("mine", "out/photos")
    assert recipe.image is not None
    assert recipe.image.stages[0].use == "image.acme.faces"
