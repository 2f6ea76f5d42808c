"""The committed JSON Schema, and whether it says of a recipe what the loader says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from d4a.curator.catalog import recipe_path, recipes
from d4a.curator.load.files import load
from d4a.curator.schema import recipe_schema
from foreign_stages import installed

BASE = "name: x\noutput: {path: out}\ntext:\n  sources: [{path: a}]\n"
WRONG = {
    "a stage nobody has": BASE + "  stages: [{use: text.langage}]\n",
    "an option nobody has": BASE + "  stages: [{use: text.language, min_scor: 0.5}]\n",
    "a value out of range": BASE + "  stages: [{use: text.language, min_score: 5}]\n",
    "a stage of another flow": BASE + "  stages: [{use: image.decode}]\n",
    "a size that is none": BASE.replace("path: out", "path: out, shard_bytes: 1 megabyte"),
    "no source": BASE.replace("  sources: [{path: a}]\n", "  stages: []\n"),
    "no flow": "name: x\noutput: {path: out}\n",
    "no output path": BASE.replace("path: out", "seed: 1"),
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return recipe_schema()


def valid(text: str, schema: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(yaml.safe_load(text))


def test_the_committed_schema_is_the_generated_one(schema: dict[str, Any]) -> None:
    quickstart = recipe_path("quickstart")
    assert quickstart is not None
    committed = quickstart.with_name("recipe.schema.json")
    assert json.loads(committed.read_text(encoding="utf-8")) == schema, "run: python -m d4a.curator.schema > configs/recipe.schema.json"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", [recipe.name for recipe in recipes()])
def test_shipped_recipes_load_and_fit_the_schema(name: str, schema: dict[str, Any]) -> None:
    shipped = next(recipe for recipe in recipes() if recipe.name == name)
    assert load(name).name == name
    jsonschema.validate(yaml.safe_load(shipped.path.read_text(encoding="utf-8")), schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("mistake", WRONG)
def test_editors_see_what_the_loader_refuses(mistake: str, schema: dict[str, Any]) -> None:
    assert valid(BASE + "  stages: [{use: text.language, min_score: 0.5, as: l, mode: annotate}]\n", schema)
    assert not valid(WRONG[mistake], schema)


def test_a_recipe_that_extends_another_may_leave_the_rest_to_it(schema: dict[str, Any]) -> None:
    assert valid("extends: web-text\noutput: {shard_bytes: 1MiB}\ntext: {partition_bytes: 4096}\n", schema)
    assert not valid("extends: web-text\noutput: {shard_byts: 1MiB}\n", schema)


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[None]:
    with installed(tmp_path / "site"):
        yield


@pytest.mark.usefixtures("foreign")
def test_stages_of_other_packages_stay_out(schema: dict[str, Any]) -> None:
    assert recipe_schema() == schema
