"""Compiling loops for the CPU with Numba.

One place for the policy: no interpreter lock, one thread (workers are processes), machine code cached beside
the source, or in the user's cache folder where that is read-only. A kernel is compiled at its first call, not
at import; give it arguments of one set of types only, because two processes that cache two versions of one
kernel at the same moment can mix them up, while two that cache the same one do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=np.generic)


def kernel(function: F) -> F:
    """Compile a function that Python calls; cached on disk, or again in every process where no folder can be written."""
    try:
        return cast(F, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # no folder can be written: `d4a doctor` says so
        return cast(F, numba.njit(nogil=True)(function))


def part(function: F) -> F:
    """Compile a function that kernels call; it becomes part of theirs.

    The cache does not follow it into other files: after an edit of a part, caches of kernels elsewhere are stale.
    """
    return cast(F, numba.njit(nogil=True)(function))


def read_only(array: npt.NDArray[T]) -> npt.NDArray[T]:
    """A view that cannot be written to: for Numba another type, so arrays from Arrow, of either kind, become one."""
    view = array.view()
    view.flags.writeable = False
    return view


def scratch(name: str, size: int, dtype: type[T]) -> npt.NDArray[T]:
    """Memory of this process for one purpose, (size,) of a dtype; what it holds is overwritten when it is next asked for.

    Fresh memory costs more than most kernels that fill it: the system hands it out page by page.
    """
    held = _scratch.get(name)
    if held is None or held.size < size:
        held = _scratch[name] = np.empty(1 << max(size - 1, 1).bit_length(), dtype)
    return cast(npt.NDArray[T], held[:size])


_scratch: dict[str, npt.NDArray[Any]] = {}


def _trailing_zeros(typing_context: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, False))

    return types.uint64(types.uint64), generate


# zero bits below the lowest one bit of a word, 64 for 0: one instruction, for use in kernels
trailing_zeros = cast(Callable[[np.uint64], np.uint64], intrinsic(_trailing_zeros))
