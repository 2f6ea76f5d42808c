"""YAML text -> a tree of values that know where they were written.

Scalars follow the core schema of YAML 1.2, not PyYAML's 1.1: `no` is a language and `1e-3` a number. What a recipe has no use
for (tags, merge keys, a second document, values repeated without end) is refused here. Not ruamel.yaml: its positions
hang on round-trip objects, and PyYAML's nodes carry all that is needed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from unicodedata import category

import yaml

from ..errors import Problem

MAX_CHARS = 256 * 1024  # of one file, and of one file with its aliases written out: a recipe is a page or two
MAX_DEPTH = 32

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML counts as the end of a line
_KEPT = "\t\r\n\x85\u2028\u2029"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def visible(text: str) -> str:
    """The text without what a terminal could take for a command."""
    return "".join(char if char.isprintable() or char in _KEPT else "\ufffd" for char in text)


@dataclass(frozen=True)
class Spot:
    """A place in a recipe (line and column from 1) or in a `--set` (line 0)."""

    file: str
    line: int
    column: int
    source: str

    def problem(self, what: str, hint: str = "") -> Problem:
        """A mistake at this place."""
        return Problem(visible(what), visible(hint), self.file, self.line, self.column, self.source)

    def row(self) -> str:
        """The place without its column, for a message about another place."""
        return f"line {self.line}" if self.line else self.file


@dataclass(frozen=True)
class Node:
    """A value and where it was written.

    at     where the value begins
    key    where the key that holds it begins; of a list's entry and of a whole file, where it begins itself
    plain_text  the scalar stood there without quotes
    """

    value: str | int | float | bool | dict[str, Node] | list[Node] | None
    at: Spot
    key: Spot
    plain_text: bool = False

    def data(self) -> Any:
        """The value as JSON would hold it."""
        if isinstance(self.value, dict):
            return {name: child.data() for name, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.data() for child in self.value]
        return self.value

    def child(self, step: str | int) -> Node | None:
        """The entry of a mapping or a list, None where there is none."""
        if isinstance(self.value, dict):
            return self.value.get(str(step))
        if isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            return self.value[step]
        return None


@dataclass(frozen=True)
class Text:
    """YAML text with its name, from which places are made.

    whole, offset   of a `--set`: the text is `whole[offset:]`, and places show the whole
    """

    name: str
    text: str
    whole: str = ""
    offset: int = 0

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _BREAK.finditer(self.text))]

    @cached_property
    def _lines(self) -> list[str]:
        return _BREAK.split(visible(self.text))

    def spot(self, index: int) -> Spot:
        """The place of the character at `index`."""
        if self.whole:
            return Spot(self.name, 0, self.offset + index + 1, _BREAK.sub(" ", visible(self.whole)))
        line = bisect_right(self._starts, index)
        return Spot(self.name, line, index - self._starts[line - 1] + 1, self._lines[line - 1])

    def begin(self, part: yaml.Node | yaml.Event) -> Spot:
        """The place where a node or an event of PyYAML begins."""
        return self.spot(part.start_mark.index if part.start_mark else 0)

    def row(self, line: int) -> str:
        """The text of a line (from 1), "" where there is none."""
        return self._lines[line - 1] if 0 < line <= len(self._lines) else ""


class RefusedError(Exception):
    """Carries the one problem that ends the reading of a text."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


def compose(text: Text, problems: list[Problem]) -> Node | None:
    """The tree of a YAML text, None where it cannot be read at all; every mistake is added to `problems`."""
    try:
        if len(text.text) > MAX_CHARS:
            raise RefusedError(Problem(f"{len(text.text)} characters are no recipe (at most {MAX_CHARS})", file=text.name))
        _check_events(text)
        node = yaml.compose(text.text, Loader=yaml.SafeLoader)
        return _Builder(text, problems).build(node, None, 0) if node is not None else Node(None, text.spot(0), text.spot(0))
    except RefusedError as refused:
        problems.append(refused.problem)
    except yaml.YAMLError as error:
        problems.append(_syntax(text, error))
    return None


def _check_events(text: Text) -> None:
    """Refuse what must not even be composed (PyYAML's composer recurses), and tags, which it would resolve."""
    depth = 0
    for event in yaml.parse(text.text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise RefusedError(text.begin(event).problem(f"nested more than {MAX_DEPTH} levels deep"))
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise RefusedError(text.begin(event).problem(f"YAML tags are not read in recipes: {_short(tag)}", _NO_TAG))


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!", 1)


_NO_TAG = "leave the tag out, or quote a text that begins with `!`"


@dataclass
class _Builder:
    """PyYAML's nodes -> ours; aliases are written out, so what they expand to is counted."""

    text: Text
    problems: list[Problem]
    chars: int = field(default=0)

    def build(self, node: yaml.Node, key: Spot | None, depth: int) -> Node:
        at = self.text.begin(node)
        self.chars += 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        if depth > MAX_DEPTH or self.chars > MAX_CHARS:
            raise RefusedError(at.problem("aliases repeat this without end, or nearly so", hint="write it out, or use `extends`"))
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node, depth), at, key or at)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.build(child, None, depth + 1) for child in node.value], at, key or at)
        plain = getattr(node, "style", None) is None
        return Node(scalar(node.value) if plain else clean(node.value, at, self.problems), at, key or at, plain)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in node.value:
            at = self.text.begin(key)
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(at.problem("a key must be a word, not a list or a mapping"))
            elif key.value == "<<" and key.style is None:
                self.problems.append(at.problem("merge keys (`<<`) are not read in recipes", hint="write the keys out, or use `extends`"))
            elif key.value in found:
                first = found[key.value].key.row()
                self.problems.append(at.problem(f"`{key.value}` is given twice (first in {first})", hint="delete one of the two"))
            else:
                found[clean(key.value, at, self.problems)] = self.build(value, at, depth + 1)
        return found


def clean(text: str, at: Spot, problems: list[Problem]) -> str:
    """The text; what quotes and command lines can smuggle in, and no file name or JSON can hold, is a mistake and taken out."""
    bad = [char for char in text if category(char) in ("Cc", "Cs") and char not in "\t\n"]
    if bad:
        problems.append(at.problem(f"character U+{ord(bad[0]):04X} has no place in a recipe"))
    return "".join(char for char in text if char not in bad)


def scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted YAML 1.2 scalar; numbers beyond 64 bits stay text, so that whoever wants a number refuses them."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > 64:
        return text
    if _INT.fullmatch(text):
        number = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        return number if -(2**63) <= number < 2**63 else text
    if _FLOAT.fullmatch(text):
        real = float(text)
        whole = "." not in text and abs(real) < 2**53 and real == int(real)  # 1e5 is a whole number to whoever writes it
        return int(real) if whole else real if abs(real) != float("inf") else text
    return text


# -------------------------------------------------------------------------------- syntax errors in plain words

_NO_SPACE = re.compile(r"[\s{-]*[\w.]+:[^\s/]")


def _syntax(text: Text, error: yaml.YAMLError) -> Problem:
    """One YAML error, said in the words of someone who writes a recipe and not a parser."""
    if isinstance(error, yaml.reader.ReaderError):
        return text.spot(error.position).problem(f"character U+{int(error.character):04X} has no place in a recipe")
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem(f"not YAML: {error}", file=text.name)
    at = text.spot(error.problem_mark.index)
    opened = text.spot(error.context_mark.index) if error.context_mark else at
    for pattern, place, what, hint in _SYNTAX:
        match = re.search(pattern, f"{error.context or ''}: {error.problem or ''}")
        if match:
            words = match.groupdict()
            return (opened if place == "opened" else at).problem(what.format(**words), hint.format(**words) or _indentation(text, at))
    return at.problem(f"not YAML: {error.problem}")


def _indentation(text: Text, at: Spot) -> str:
    """What is probably wrong where YAML met a key it did not expect."""
    for number in (at.line - 1, at.line):
        if _NO_SPACE.match(text.row(number)):
            return f"a space is missing after the colon in line {number}"
    if at.source.count(": ") > 1 and "{" not in at.source:
        return "quote a text that contains `: `"
    return "keys of one mapping, and entries of one list, begin in the same column"


# (pattern over "context: problem", where to point, what to say, hint; no hint: look at the indentation)
_SYNTAX = [
    (r"found character '\\t'", "at", "a tab cannot indent YAML", "use spaces"),
    (r"found character '(?P<c>.)' that cannot start", "at", "a value cannot begin with `{c}`", "put the value in quotes"),
    (r"block scalar: expected", "opened", "`>` and `|` begin a block of text", 'quote a condition: ">= 1"'),
    (r"found undefined alias '(?P<c>.*)'", "at", "`*{c}` refers to no anchor", 'quote a text that begins with `*`: "*{c}"'),
    (r"scanning an (alias|anchor): expected", "opened", "a text that begins with `*` or `&` must be in quotes", "put the value in quotes"),
    (r"quoted scalar: found unexpected end", "opened", "this quote is never closed", "add the closing quote"),
    (r"flow sequence: expected", "opened", "this `[` is never closed", "add `]`, or a comma between two entries"),
    (r"flow mapping: expected", "opened", "this `{{` is never closed", "add `}}`, or a comma between two entries"),
    (r"flow node: expected the node content", "at", "a value is missing here", "close the bracket, or write the value"),
    (r"block mapping: expected <block end>, but found '<scalar>'", "at", "text goes on behind the closing quote", "quote the whole value"),
    (r"<block end>, but found '(?P<c>[]}},])'", "at", "`{c}` closes nothing", "delete it, or quote the text"),
    (r"could not find expected ':'", "opened", "this line has no `:`", "write `key: value`, or `- value` for an entry of a list"),
    (r"unknown escape character '(?P<c>.)'", "at", "`\\{c}` means nothing in double quotes", "use single quotes"),
    (r"another document", "at", "a second document begins here", "one file holds one recipe: delete the line `---`"),
    (r"mapping values are not allowed", "at", "this `:` does not fit here", ""),
    (r"sequence entries are not allowed", "at", "a list cannot begin behind a key", "put `- ` on a line of its own"),
    (r"expected <block end>", "at", "this line does not fit the lines above", ""),
    (r"found duplicate anchor", "at", "this anchor (`&`) is defined twice", "give it another name"),
]
