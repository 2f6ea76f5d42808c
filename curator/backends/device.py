"""Who computes what CPU and card compute alike: asked at plan time, said by `d4a plan`, in no key.

The recipe chooses a method, never the device: a card gives the same bits, and the first results of a process are computed by both
to be sure of it. To hold a card to published vectors at start would show less: those pass with a wrong formula, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import MachineError

Backend = Literal["cpu", "rapids"]
COMPARED = 64  # rows that both compute


@dataclass(frozen=True)
class Choice:
    """Who computes, and why: one line for people."""

    backend: Backend
    why: str

    def local(self) -> dict[str, str]:
        """As `Facts.local`: on another machine another backend gives the same bits, so it is in no key."""
        return {"backend": self.backend, "why": self.why}


def choose(device: str, library: Literal["cudf", "cupy", "numba_cuda"]) -> Choice:
    """The card, where the machine's device is "cuda", the library is installed, and CuPy counts a device."""
    if device != "cuda":
        return Choice("cpu", f"the device is {device}")
    for name in ("cupy", library):
        if find_spec(name) is None:
            return Choice("cpu", f"{name} is not installed; pip install 'd4a[gpu]'")
    count, why = cards()
    return Choice("rapids", f"{_LIBRARIES[library]} {_version(library)}; {why}") if count else Choice("cpu", why)


def cards() -> tuple[int, str]:
    """(number of cards that answer CuPy, one line on it). CuPy imports without a driver, so an import says nothing."""
    try:
        import cupy

        count = int(cupy.cuda.runtime.getDeviceCount())
    except Exception as error:  # a driver may fail in any way; what counts is that no device answered
        return 0, f"cupy: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
    return count, f"cupy counts {count} device{'' if count == 1 else 's'}"


_LIBRARIES = {"cudf": "cuDF", "cupy": "CuPy", "numba_cuda": "numba-cuda"}


def _version(library: str) -> str:
    """Of an import package whose distribution carries the CUDA version in its name (cudf-cu13)."""
    for distribution in metadata.packages_distributions().get(library, []):
        return metadata.version(distribution)
    return "of unknown version"


def compare_once(what: str, card: npt.NDArray[Any], cpu: Callable[[], npt.NDArray[Any]]) -> None:
    """Hold the card's results to the CPU's, the first time in a process that anything is computed under this name.

    Raises MachineError where they differ: an altered library must not leave other sketches under the same key.
    """
    if what in _compared:
        return
    if not np.array_equal(card, cpu()):
        raise MachineError(f"the card computes other {what} than the CPU", hint="run with --device cpu; `make gpu-check` shows more")
    _compared.add(what)


_compared: set[str] = set()
