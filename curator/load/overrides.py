"""`--set ADDRESS=VALUE`: changes to the tree of a recipe, before it is checked.

An address is a path (`output.shard_bytes`, `text.stages.1.min_score`, counted from 0) or a stage's label and an option
(`text.language.min_score`, with the flow before it where two have such a stage: `pair.text.language.min_score`); every
message about a value names it by such an address. The value is YAML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .. import wording
from ..errors import Problem
from ..recipe import Flow, Output, Recipe
from .complaints import shown
from .positions import Node, RefusedError, Spot, Text, clean, compose, visible
from .stages import FLOWS, label_of

_NAME = "--set "
_TEXT_STARTS = tuple(">|@`%*&!#?")  # YAML would read structure into these; on a command line they are `>= 1` and `*.jsonl`


@dataclass(frozen=True)
class _Step:
    """One step of an address and where it stands; steps that a label stands for share its place."""

    name: str
    spot: Spot


def override_number(file: str) -> int:
    """Which `--set` a problem's `file` stands for, 0 for a real file."""
    number = file.removeprefix(_NAME)
    return int(number) if number != file and number.isdecimal() else 0


def apply(root: Node, overrides: Sequence[str], problems: list[Problem]) -> Node:
    """The tree with all overrides applied in order; those that cannot be are added to `problems`."""
    for number, text in enumerate(overrides, 1):
        try:
            root = _set(root, f"{_NAME}{number}", text, problems)
        except RefusedError as refused:
            problems.append(refused.problem)
    return root


def _set(root: Node, name: str, text: str, problems: list[Problem]) -> Node:
    address, equals, value = text.partition("=")
    if not equals or not address.strip():
        what, hint = "an override is ADDRESS=VALUE", "for instance `--set output.seed=1`"
        raise RefusedError(Spot(name, 0, 1, text or '""').problem(what, hint))
    new = _value(Text(name, value, text, len(address) + 1), problems)
    return root if new is None else _put(root, _steps(root, address.rstrip(), name, visible(text)), new, "")


def _value(text: Text, problems: list[Problem]) -> Node | None:
    if text.text.lstrip().startswith(_TEXT_STARTS):
        return Node(clean(text.text.strip(), text.spot(0), problems), text.spot(0), text.spot(0), plain_text=True)
    return compose(text, problems)


def _steps(root: Node, address: str, name: str, text: str) -> list[_Step]:
    steps, column = [], 1
    for part in address.split("."):
        steps.append(_Step(part, Spot(name, 0, column, text)))
        column += len(part) + 1
    if steps[0].name in FLOWS:
        return steps if len(steps) == 1 or steps[1].name in Flow.model_fields else _labelled(root, address, steps)
    return steps if steps[0].name in Recipe.model_fields else _labelled(root, address, steps)


def _labelled(root: Node, address: str, steps: list[_Step]) -> list[_Step]:
    """The steps to the stage whose label, with or without its flow, begins the address (the longest such), and on to its option."""
    labels = [(label_of(stage), flow, index) for flow in FLOWS for index, stage in _stages(root, flow) if label_of(stage)]
    stages = [*labels, *((f"{flow}.{label}", flow, index) for label, flow, index in labels)]
    length = max((len(label) for label, _, _ in stages if f"{address}.".startswith(f"{label}.")), default=0)
    found = [(flow, index) for label, flow, index in stages if label == address[:length]] if length else []
    if not found:
        raise RefusedError(
            steps[0].spot.problem(f"`{address}` is no setting of this recipe", _meant(address, [label for label, _, _ in labels]))
        )
    if len(found) > 1:
        paths = " or ".join(f"`{flow}.{address}`" for flow, _ in found)
        raise RefusedError(steps[0].spot.problem(f"{len(found)} stages are called `{address[:length]}`", f"write {paths}"))
    rest = steps[address[:length].count(".") + 1 :]
    if not rest:
        raise RefusedError(steps[0].spot.problem(f"`{address}` is a whole stage", f"set one of its options: `{address}.OPTION=VALUE`"))
    flow, index = found[0]
    return [_Step(flow, steps[0].spot), _Step("stages", steps[0].spot), _Step(str(index), steps[0].spot), *rest]


def _stages(root: Node, flow: str) -> list[tuple[int, Node]]:
    node = root.child(flow)
    stages = node.child("stages") if node is not None else None
    return list(enumerate(stages.value)) if stages is not None and isinstance(stages.value, list) else []


def _meant(address: str, labels: list[str]) -> str:
    """The address with its beginning put right, if something known is close to it."""
    known = [*Recipe.model_fields, *(f"output.{name}" for name in Output.model_fields)]
    known += [f"{flow}.{name}" for flow in FLOWS for name in Flow.model_fields] + labels
    parts = address.split(".")
    best = [
        (wording.likeness(head, name), name + address[len(head) :])
        for name in known
        if (head := ".".join(parts[: name.count(".") + 1])) != name and wording.close_names(head, [name])
    ]
    if best:
        return f"did you mean `{max(best, key=lambda pair: pair[0])[1]}`?"
    return f"stages here: {wording.listed(labels)}" if labels else f"settings: {wording.listed(known)}"


def _put(node: Node, steps: list[_Step], new: Node, done: str) -> Node:
    """`node` with the value behind `steps` replaced; mappings on the way are made."""
    if not steps:
        return replace(new, key=node.key)
    step, rest = steps[0], steps[1:]
    path = f"{done}.{step.name}".lstrip(".")
    if isinstance(node.value, list):
        index = _index(node.value, step, done)
        return replace(node, value=[*node.value[:index], _put(node.value[index], rest, new, path), *node.value[index + 1 :]])
    if not isinstance(node.value, dict | None):
        raise RefusedError(step.spot.problem(f"`{done}` is {shown(node)} and has nothing below it"))
    entries = node.value or {}
    child = entries.get(step.name, Node(None, step.spot, step.spot))
    put = _put(child, rest, new, path) if rest else replace(new, key=step.spot)
    return replace(node, value={**entries, step.name: put})


def _index(entries: list[Node], step: _Step, done: str) -> int:
    if step.name.isdecimal() and len(step.name) < 9 and int(step.name) < len(entries):
        return int(step.name)
    count = f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
    raise RefusedError(step.spot.problem(f"`{done}` has {count}, and no `{step.name}`", "entries are counted from 0"))
