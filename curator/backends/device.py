"""Who computes what CPU and card compute alike: asked at plan time, said by `d4a plan`, in no key.

The recipe chooses a method, never the device: a card gives the same bits, and the first results of a process are computed by both
to be sure of it. To hold a card to published vectors at start would show less: those pass with a wrong formula, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from ..errors import MachineError
from . import driver

Backend = Literal["cpu", "rapids"]
Library = Literal["cudf", "cupy", "numba_cuda"]
COMPARED = 64  # rows that both compute


@dataclass(frozen=True)
class Choice:
    """Who computes, and why: one line for people."""

    backend: Backend
    why: str

    def local(self) -> dict[str, str]:
        """As `Facts.local`: on another machine another backend gives the same bits, so it is in no key."""
        return {"backend": self.backend, "why": self.why}


def choose(device: str, library: Library) -> Choice:
    """The card, where the machine's device is "cuda", a card answers the driver, and the library is there and finds one."""
    if device != "cuda":
        return Choice("cpu", f"the device is {device}")
    count, why = driver.cards()
    if not count:
        return Choice("cpu", why)
    if find_spec(library) is None:
        return Choice("cpu", f"{library} is not installed; pip install 'd4a[{extra()}]'")
    named = f"{_LIBRARIES[library]} {_version(library)}"
    try:
        found = _found_by_numba() if library == "numba_cuda" else _found_by_cupy()
    except Exception as error:  # of a library made for another driver, or half installed: each has its own kind
        return Choice("cpu", f"{named}: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
    return Choice("rapids", f"{named}; {why}") if found else Choice("cpu", f"{named} finds no card, or no compiler; {why}")


def bf16_instructions() -> str:
    """What of this CPU multiplies bf16: `AMX`, `AVX512-BF16`, or nothing; as torch sees it."""
    import torch

    cpu = cast(Any, torch.cpu)  # both questions are torch's own: they may go
    if getattr(cpu, "_is_amx_tile_supported", bool)():
        return "AMX"
    return "AVX512-BF16" if getattr(cpu, "_is_avx512_bf16_supported", bool)() else ""


def extra() -> str:
    """The extra of d4a whose packages the driver runs."""
    return "gpu-cu12" if driver.cuda() == 12 else "gpu"


def _found_by_cupy() -> bool:
    """And by cuDF, which asks the same runtime."""
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount()) > 0


def _found_by_numba() -> bool:
    """And the compiler that kernels need."""
    from numba import cuda

    return bool(cast(Any, cuda).is_available())  # it has no types


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
