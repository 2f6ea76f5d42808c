"""Progress of a run on stderr, the same on every engine: one line a step, with units, records, time and what ran again.

A live bar on a terminal, a plain line every half minute in a log, one JSON object a line for programs. Who runs units calls
`tick` while they run, so that a step of one long unit says that it lives: no thread of d4a's own has to be ended.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Literal

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LOG_EVERY_S = 30.0
JSON_EVERY_S = 5.0
Form = Literal["people", "json", "nothing"]


class Reporter:
    """`step("scan text", total)`, then `advance(records)` for every unit done; `tick(retried)` in between."""

    def __init__(self, form: Form = "people") -> None:
        self.console = Console(stderr=True, highlight=False)
        self._form = form
        self._live = form == "people" and sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self._live,
        )
        self._task: int | None = None
        self._name, self._total, self._reused, self._done, self._records, self._retried = "", 0, 0, 0, 0, 0
        self._before = 0  # retried, by the steps before
        self._started = self._said = time.monotonic()

    def __enter__(self) -> Reporter:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def step(self, name: str, total: int, reused: int = 0) -> None:
        """Begin a step of `total` units, of which `reused` needed no work."""
        self._name, self._total, self._reused, self._done, self._records = name, total, reused, reused, 0
        self._before, self._retried = self._before + self._retried, 0
        self._started = time.monotonic()
        if self._live:
            self._task = self._bar.add_task(name, total=total, completed=reused, note=self._note())
        else:
            self._say()

    def advance(self, records: int) -> None:
        """One more unit is done."""
        self._done += 1
        self._records += records
        self._show(self._done == self._total)

    def tick(self, retried: int = 0) -> None:
        """Units run; `retried` of them, since the run began, because a worker died."""
        self._retried = retried - self._before
        self._show(False)

    def _show(self, last: bool) -> None:
        if self._live and self._task is not None:
            self._bar.update(self._task, completed=self._done, note=self._note())  # type: ignore[arg-type]
        elif last or time.monotonic() - self._said >= (JSON_EVERY_S if self._form == "json" else LOG_EVERY_S):
            self._say()

    @contextlib.contextmanager
    def spinner(self, name: str) -> Iterator[None]:
        """A step of unknown length."""
        self.step(name, 1)
        yield
        self.advance(0)

    def _note(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        notes = [
            f"{self._reused} reused" if self._reused else "",
            f"{self._records:,} records, {self._records / seconds:,.0f} a second" if self._records else "",
            f"{self._retried} ran again" if self._retried else "",
        ]
        return ", ".join(filter(None, notes))

    def _say(self) -> None:
        """A line of its own."""
        self._said = time.monotonic()
        seconds = self._said - self._started
        if self._form == "people":
            counts = [f"{self._done}/{self._total} units", self._note(), f"{seconds:.0f} s" if seconds >= 1 else ""]
            self.console.print(f"{self._name}: {', '.join(filter(None, counts))}", soft_wrap=True)
        elif self._form == "json":
            counted = {"done": self._done, "total": self._total, "reused": self._reused, "records": self._records}
            said = {"step": self._name, **counted, "retried": self._retried, "seconds": round(seconds, 3)}
            print(orjson.dumps(said).decode(), file=sys.stderr, flush=True)
