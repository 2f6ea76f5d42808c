"""The one family of errors: what happened, where, and what to do about it.

Everything a user can cause ends in a D4AError and one of the exit codes below; any other exception is a
defect of d4a and shows its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import combining, east_asian_width

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_MACHINE = 3


def visible(text: str) -> str:
    """Text for a terminal: control characters but line ends and tabs are shown, not obeyed; names come from the data."""
    return "".join(c if c in "\n\t" or c.isprintable() else repr(c)[1:-1] for c in text)


class D4AError(Exception):
    """A run that cannot go on: what happened (with the number), where, and a hint.

    what   one sentence, with the offending value
    where  file:line:col, record key, shard or path; empty when there is no place
    hint   a command or a value that helps; empty when there is none
    """

    exit_code = EXIT_FAILED

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  hint: {self.hint}" if self.hint else head

    def __reduce__(self) -> tuple[type[D4AError], tuple[str, str, str]]:
        # errors cross process borders: keep all three parts
        return type(self), (self.what, self.where, self.hint)


class UsageError(D4AError):
    """A command line, or a dataset that is not what the command needs."""

    exit_code = EXIT_USAGE


class MachineError(D4AError):
    """This machine cannot run the plan: a missing extra, card, weight file or permission."""

    exit_code = EXIT_MACHINE


def _blank(char: str) -> str:
    """White space as wide as a character on a terminal: Chinese takes two columns, a tab is a tab."""
    return "\t" if char == "\t" else "  " if east_asian_width(char) in "WF" else "" if combining(char) else " "


@dataclass(frozen=True)
class Problem:
    """One mistake in a recipe, at a place in a file (line and column count from 1; 0 = unknown)."""

    what: str
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    source: str = ""  # the text of that line

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        rows = [f"{place}: {self.what}" if place else self.what]
        if self.source:
            rows.append(f"    {self.source.rstrip()}")
            rows.append(f"    {''.join(map(_blank, self.source[: self.column - 1]))}^")
        if self.hint:
            rows.append(f"    hint: {self.hint}")
        return "\n".join(rows)


class RecipeError(D4AError):
    """Everything that is wrong with a recipe, all at once."""

    exit_code = EXIT_USAGE

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type[RecipeError], tuple[list[Problem]]]:  # type: ignore[override]
        return type(self), (self.problems,)
