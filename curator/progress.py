"""Progress of a run on stderr: a live bar on a terminal, a plain line every 30 seconds in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LOG_EVERY_S = 30.0


class Reporter:
    """One line an act: `step("scan text", total)`, then `advance(records)` for every unit done."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._live = not quiet and sys.stderr.isatty()
        self._task: int | None = None
        self._name, self._total, self._done, self._records = "", 0, 0, 0
        self._started = self._logged = time.monotonic()

    def __enter__(self) -> Reporter:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def step(self, name: str, total: int, reused: int = 0) -> None:
        """Begin a step of `total` units, of which `reused` needed no work."""
        self._name, self._total, self._done, self._records = name, total, reused, 0
        self._started = self._logged = time.monotonic()
        note = f"{reused} reused" if reused else ""
        if self._live:
            self._task = self._bar.add_task(name, total=total, completed=reused, note=note)
        else:
            self._line(note)

    def advance(self, records: int) -> None:
        """One more unit is done."""
        self._done += 1
        self._records += records
        rate = self._records / max(time.monotonic() - self._started, 1e-9)
        note = f"{rate:,.0f} records/s" if self._records else ""
        if self._live and self._task is not None:
            self._bar.update(self._task, completed=self._done, note=note)  # type: ignore[arg-type]
        elif time.monotonic() - self._logged >= LOG_EVERY_S or self._done == self._total:
            self._logged = time.monotonic()
            self._line(note)

    @contextlib.contextmanager
    def spinner(self, name: str) -> Iterator[None]:
        """A step of unknown length."""
        self.step(name, 1)
        yield
        self.advance(0)

    def say(self, text: str) -> None:
        """A line for people, between the bars."""
        if not self._quiet:
            self.console.print(text)

    def _line(self, note: str) -> None:
        if not self._quiet:
            self.console.print(f"{self._name}: {self._done}/{self._total} units {note}".rstrip())
