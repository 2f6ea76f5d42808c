"""Engine `slurm`: runs small units here and leaves the others to arrays, whose elements run them with the engine `local`.

Nothing is submitted here: the whole graph of arrays was submitted before (`d4a slurm submit`), and the driver writes the lists
that they read. An engine that submits and waits would hold a job, or a login node, for as long as the run takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .local import Unit, Work


class SlurmEngine:
    """Runs the units that `here` says yes to, one after the other; gives no result for the others."""

    def __init__(self, here: Callable[[Unit], bool], memory: int) -> None:
        self.workers, self.memory = 1, memory
        self._here = here

    def run(self, units: list[Unit], work: Work) -> Iterator[dict[str, Any]]:
        """Results of `work` on each unit that runs here."""
        for unit in units:
            if self._here(unit):
                yield work(unit)

    def close(self, kill: bool = False) -> None:
        """Nothing runs beside this process."""
