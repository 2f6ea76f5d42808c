"""YAML -> Recipe: `extends`, `--set`, and every mistake at once, each with file, line, column, caret and hint.

The recipe's own fields and the options of each stage are checked by their pydantic models in strict JSON mode, where
`true` is no number and "5" no size; the tree of `positions.py` says where. Options come out complete, defaults
written in, so that the digest of a recipe does not depend on what was left unsaid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from .. import wording
from ..catalog import modality_names, recipe_path, recipes
from ..errors import Problem, RecipeError
from ..recipe import Flow, Output, Recipe, Source
from . import complaints
from .overrides import apply, override_number
from .positions import MAX_CHARS, Node, Spot, Text, compose
from .stages import FLOWS, read_stages


def load(path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, or the shipped one of that name, with `ADDRESS=VALUE` overrides applied in order.

    Raises RecipeError with everything that is wrong.
    """
    problems: list[Problem] = []
    root = _read(path, None, (), problems)
    if root is None:
        raise RecipeError(problems)
    recipe = _recipe(apply(root, overrides, problems), problems)
    if problems or recipe is None:
        raise RecipeError(_in_order(problems, root.at.file))
    return recipe


def digest(recipe: Recipe) -> str:
    """sha256 of what the recipe says, wherever its output goes."""
    data = recipe.model_dump(mode="json")
    del data["output"]["path"]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _in_order(problems: list[Problem], file: str) -> list[Problem]:
    """The recipe's own mistakes first, line by line, then those of what it extends, then those of `--set`."""
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda p: (override_number(p.file), p.file != file, p.file, p.line, p.column))


# --------------------------------------------------------------------------------------- files and `extends`


def _read(path: str, wanted: Spot | None, chain: tuple[Path, ...], problems: list[Problem]) -> Node | None:
    """The tree of a file, merged over what it extends; None where anything in the chain cannot be read.

    wanted   the `extends` that asks for it, None for the recipe itself
    """
    file = _find(path, chain[-1].parent if chain else Path())
    text = _text(file, path, wanted, problems)
    root = compose(text, problems) if text else None
    if root is None:
        return None
    if not isinstance(root.value, dict):
        problems.append(_no_mapping(root, text.name if text else path))
        return None
    parent = root.value.get("extends")
    return root if parent is None else _extend(root, parent, (*chain, file), problems)


def _extend(root: Node, parent: Node, chain: tuple[Path, ...], problems: list[Problem]) -> Node | None:
    if not isinstance(parent.value, str) or not parent.value:
        hint = "one recipe extends one other" if isinstance(parent.value, list) else "name a file, or a recipe of `d4a recipes`"
        problems.append(parent.at.problem(f"`extends` must be text, not {complaints.shown(parent)}", hint))
        return None
    file = _find(parent.value, chain[-1].parent)
    if file.resolve() in [link.resolve() for link in chain]:
        names = " -> ".join(link.name for link in (*chain, file))
        problems.append(parent.at.problem(f"a recipe cannot extend itself: {names}"))
        return None
    base = _read(parent.value, parent.at, chain, problems)
    return None if base is None else _merge(base, _without(root, "extends"))


def _find(path: str, folder: Path) -> Path:
    """The file, or the shipped recipe where there is no such file and the name is bare."""
    file = folder / path
    shipped = recipe_path(path)
    return shipped if shipped is not None and not file.is_file() else file


def _text(file: Path, path: str, wanted: Spot | None, problems: list[Problem]) -> Text | None:
    try:
        if file.stat().st_size <= 4 * MAX_CHARS:  # a data file named by mistake is not read
            return Text(str(file), file.read_bytes().decode("utf-8-sig"))
        what, hint = f"{file} has {file.stat().st_size:,} bytes: this is no recipe", ""
    except FileNotFoundError:
        what, hint = f"there is no file {file}", _instead(file, path)
    except IsADirectoryError:
        what, hint = f"{file} is a folder, not a recipe", "name the YAML file in it" if any(file.glob("*.y*ml")) else ""
    except UnicodeDecodeError as error:
        what, hint = f"{file} is not UTF-8 (byte {error.start})", "save it as UTF-8"
    except OSError as error:
        what, hint = f"{file} cannot be read: {error.strerror}", ""
    problems.append(wanted.problem(what, hint) if wanted else Problem(what, hint))
    return None


def _instead(file: Path, path: str) -> str:
    beside = {near.stem: near.name for near in file.parent.glob("*.y*ml")} if file.parent.is_dir() else {}
    shipped = [recipe.name for recipe in recipes()]
    bare = "/" not in path and not path.endswith((".yaml", ".yml"))
    names = beside | {name: name for name in shipped} if bare else beside
    close = [names[stem] for stem in wording.close_names(file.stem, names)]
    return f"did you mean {wording.either(close)}?" if close else f"shipped recipes: {wording.listed(shipped)}"


def _no_mapping(root: Node, name: str) -> Problem:
    if root.value is None:
        return Problem("the recipe is empty", "`d4a copy quickstart my.yaml` writes one to start from", name)
    return root.at.problem(f"a recipe is a mapping, not {complaints.shown(root)}", "begin with `name: my-dataset`")


def _merge(base: Node, over: Node) -> Node:
    """Mappings merge, all else replaces."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    merged = dict(base.value)
    for name, child in over.value.items():
        merged[name] = _merge(merged[name], child) if name in merged else child
    return Node(merged, over.at, over.key)


def _without(node: Node, *names: str) -> Node:
    assert isinstance(node.value, dict)
    return Node({name: child for name, child in node.value.items() if name not in names}, node.at, node.key)


# ------------------------------------------------------------------------------------------- the recipe's own

_MISPLACED = {
    **dict.fromkeys(Flow.model_fields, "put it under `text:` or `image:`"),
    **dict.fromkeys(Source.model_fields, "put it in an entry of `sources:`"),
    **dict.fromkeys(Output.model_fields, "put it under `output:`"),
}


def _recipe(root: Node, problems: list[Problem]) -> Recipe | None:
    assert isinstance(root.value, dict)
    bare, stages = dict(root.value), {}
    for flow in _flows(root, problems):
        stages[flow] = read_stages(bare[flow], flow, problems)
        bare[flow] = _without(bare[flow], "stages")
    bare = {name: node for name, node in bare.items() if name not in FLOWS or name in modality_names()}
    place = complaints.Place(Node(bare, root.at, root.key), Recipe, extra=("extends",), hints=_MISPLACED)
    try:
        recipe = Recipe.model_validate_json(json.dumps(place.node.data()), strict=True)
    except ValidationError as error:
        problems += complaints.problems(error, place)
        return None
    return recipe.model_copy(update={flow: getattr(recipe, flow).model_copy(update={"stages": specs}) for flow, specs in stages.items()})


def _flows(root: Node, problems: list[Problem]) -> list[str]:
    """The flows that are mappings; a recipe without any, or with one that is not installed, is a mistake."""
    installed = [flow for flow in FLOWS if flow in modality_names()]
    given = [(flow, node) for flow in FLOWS if (node := root.child(flow)) is not None and node.value is not None]
    if not given:
        problems.append(
            root.at.problem("there is nothing to curate", f"add {' or '.join(f'`{flow}:`' for flow in installed)} with its sources")
        )
    for flow, node in given:
        if flow not in installed:
            problems.append(node.key.problem(f"nothing here can read {flow} data", f"this installation reads {' and '.join(installed)}"))
    return [flow for flow, node in given if isinstance(node.value, dict) and flow in installed]
