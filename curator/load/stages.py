"""The stages of one flow: from `{use: NAME, as: LABEL, mode: MODE, **options}` to a StageSpec with complete options.

Options are checked by the stage's own model, so a stage of another package gets the same messages as one of ours.
"""

from __future__ import annotations

import json
import re
from typing import Any, get_args

from pydantic import ValidationError

from .. import wording
from ..errors import D4AError, Problem
from ..recipe import Flow, Recipe, StageSpec
from ..registry import stage_class, stage_names
from ..stage import Cut, Dedup, Stage
from . import complaints
from .positions import Node

FLOWS = [name for name, info in Recipe.model_fields.items() if Flow in get_args(info.annotation)]
STAGE_KEYS = ("use", "as", "mode")
LABEL = str(next(item.pattern for item in Recipe.model_fields["name"].metadata if hasattr(item, "pattern")))  # also begins column names

_MISPLACED = {"options": "options stand beside `use`", "label": "`as` gives a stage its label", "name": "`as` gives a stage its label"}


def read_stages(flow_node: Node, flow: str, problems: list[Problem]) -> list[StageSpec]:
    """The stages of a flow that are right; what is wrong with the others is added to `problems`."""
    node = flow_node.child("stages")
    if node is None:
        return []
    if not isinstance(node.value, list):
        problems.append(node.at.problem(f"`{flow}.stages` must be a list, not {complaints.shown(node)}", "begin each stage with `- use:`"))
        return []
    found = [_stage(child, flow, f"{flow}.stages.{index}", problems) for index, child in enumerate(node.value)]
    _check_labels(node.value, problems)
    return [spec for spec in found if spec is not None]


def label_of(stage: Node) -> str:
    """A stage's label, "" where it has none that can be used."""
    name = stage.child("as") or stage.child("use")
    return name.value if name is not None and isinstance(name.value, str) else ""


def _stage(node: Node, flow: str, address: str, problems: list[Problem]) -> StageSpec | None:
    before = len(problems)
    use = _use(node, address, problems)
    kind = _kind(use, flow, problems) if use is not None else None
    if use is None:
        return None
    label, mode = _label(node, address, problems), _mode(node, address, kind, problems)
    options = _options(node, label, kind, problems) if kind is not None else None
    return StageSpec(use=str(use.value), label=label, mode=mode, options=options or {}) if len(problems) == before else None


def _use(node: Node, address: str, problems: list[Problem]) -> Node | None:
    """The node that names the stage."""
    if not isinstance(node.value, dict):
        hint = f"write `- use: {node.value}`" if isinstance(node.value, str) else "write `- use: NAME`, and its options beside it"
        problems.append(node.at.problem(f"`{address}` must be a mapping, not {complaints.shown(node)}", hint))
        return None
    use = node.value.get("use")
    if use is None:
        problems.append(_no_use(node, address))
    elif not isinstance(use.value, str):
        problems.append(
            use.at.problem(f"`{address}.use` must be the name of a stage, not {complaints.shown(use)}", "`d4a stages` lists them")
        )
        return None
    return use


def _no_use(node: Node, address: str) -> Problem:
    assert isinstance(node.value, dict)
    named = [name for name in node.value if name in stage_names()]
    close = [name for name in node.value if wording.close_names(name, ["use"])]
    if named:
        return node.value[named[0]].key.problem(f"`{address}.use` is missing", f"write `use: {named[0]}`, and its options beside it")
    if close:
        return node.value[close[0]].key.problem(f"`{address}.use` is missing", f"write `use:`, not `{close[0]}:`")
    return node.key.problem(f"`{address}.use` is missing", "`use: NAME` says which stage this is; `d4a stages` lists them")


def _kind(use: Node, flow: str, problems: list[Problem]) -> type[Stage] | None:
    """The stage's class; None (and a problem) for a name that is unknown, belongs to another flow or does not load."""
    name, names = str(use.value), stage_names()
    here = [stage for stage in names if stage.split(".")[0] in works_on(flow)]
    if name in here:
        try:
            return stage_class(name)
        except D4AError as error:
            problems.append(use.at.problem(error.what, error.hint))
    elif name in names:
        problems.append(use.at.problem(f"`{name}` is no stage for {flow}", f"it belongs in `{name.split('.')[0]}.stages`"))
    else:
        meant = _meant(name, here) or _meant(name, names)
        problems.append(
            use.at.problem(f"there is no stage `{name}`", f"{meant} {flow} stages: {', '.join(here) or 'none installed'}".strip())
        )
    return None


def works_on(flow: str) -> tuple[str, ...]:
    """First words of the names of the stages that a flow takes; a pair has an image and a text."""
    return ("text", "image", "pair") if flow == "pair" else (flow,)


def _meant(name: str, stages: list[str]) -> str:
    """Stages are told apart by what follows the flow, and often called by their last word alone."""
    rest, last = name.split(".", 1)[-1], name.rsplit(".", 1)[-1]
    close = wording.close_names(rest, [stage.split(".", 1)[-1] for stage in stages])
    close = close or wording.close_names(last, [stage.rsplit(".", 1)[-1] for stage in stages])
    meant = [stage for stage in stages if stage.split(".", 1)[-1] in close or stage.rsplit(".", 1)[-1] in close]
    return f"did you mean {wording.either(meant)}?" if meant else ""


def _label(node: Node, address: str, problems: list[Problem]) -> str:
    given = node.child("as")
    if given is not None and not (isinstance(given.value, str) and re.fullmatch(LABEL, given.value)):
        words = wording.type_words(str, Recipe.model_fields["name"].metadata)
        problems.append(
            given.at.problem(f"`{address}.as` must be {words}, not {complaints.shown(given)}", "`as` names the stage in ledger and report")
        )
    if label_of(node) == "read":
        problems.append((given or node).at.problem("`read` is what the ledger calls reading itself", "choose another name for the stage"))
    return label_of(node) or address


def _mode(node: Node, address: str, kind: type[Stage] | None, problems: list[Problem]) -> Any:
    given, info = node.child("mode"), StageSpec.model_fields["mode"]
    if given is None:
        return info.default
    modes = get_args(info.annotation)
    if given.value not in modes:
        what = f"`{label_of(node) or address}.mode` must be {wording.type_words(info.annotation)}, not {complaints.shown(given)}"
        problems.append(given.at.problem(what, wording.did_you_mean(str(given.value), modes) or complaints.described(info)))
    elif given.value == "tag" and kind is not None and issubclass(kind, Cut):
        what = f"`{label_of(node) or address}` finds parts that records share, and no clusters of records that could be tagged"
        problems.append(given.at.problem(what, "mode: annotate counts what it would cut out of each record"))
    elif given.value == "tag" and kind is not None and not issubclass(kind, Dedup):
        what = f"`{label_of(node) or address}` finds no duplicates, so there is nothing to tag"
        problems.append(given.at.problem(what, "mode: annotate measures without dropping"))
    return given.value


def _options(node: Node, label: str, kind: type[Stage], problems: list[Problem]) -> dict[str, Any] | None:
    assert isinstance(node.value, dict)
    given = {name: child.data() for name, child in node.value.items() if name not in STAGE_KEYS}
    try:
        options = kind.Options.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        unknown = "`{address}` has no option `{key}`"
        problems += complaints.problems(error, complaints.Place(node, kind.Options, label, unknown, STAGE_KEYS[1:], _MISPLACED))
        return None
    # once more: pydantic leaves defaults as they are, and a default of 1 must not differ from a written 1.0
    complete = options.model_dump_json(warnings=False)
    return kind.Options.model_validate_json(complete).model_dump(mode="json")


def _check_labels(stages: list[Node], problems: list[Problem]) -> None:
    first: dict[str, Node] = {}
    for stage in stages:
        label = label_of(stage)
        name = stage.child("as") or stage.child("use")
        if not label or name is None:
            continue
        if label not in first:
            first[label] = name
        elif stage.child("as") is None:
            what = f"`{label}` is used twice (first in {first[label].at.row()})"
            problems.append(name.at.problem(what, "give one of them a label of its own: `as: NAME`"))
        else:
            what = f"two stages have the label `{label}` (first in {first[label].at.row()})"
            problems.append(name.at.problem(what, "labels tell stages apart in ledger and report: choose another"))
