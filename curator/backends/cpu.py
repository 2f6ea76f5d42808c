"""Compiling loops for the CPU with Numba.

One place for the policy: no interpreter lock, one thread (workers are processes), machine code cached beside
the source, or in the user's cache folder where that is read-only. A kernel is compiled at its first call, not
at import; give it arguments of one set of types only, because two processes that cache two versions of one
kernel at the same moment can mix them up, while two that cache the same one do no harm. A kernel from the cache costs
a process 3 to 10 ms; the first one 0.3 s more, which Numba takes to begin. Fewer and larger kernels would save little.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=np.generic)


# without reference counts on arrays, which take half the time of parts that are called once a line (Numba does not document `_nrt`), and
# without rewrites of array expressions, of which there are none
_LEAN = {"nogil": True, "_nrt": False, "no_rewrites": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_njit = cast(Any, numba.njit)


def kernel(function: F) -> F:
    """Compile a function that Python calls; cached on disk, or again in every process where no folder can be written."""
    return _cached(function, {"nogil": True})


def part(function: F) -> F:
    """Compile a function that kernels call; it becomes part of theirs."""
    return cast(F, numba.njit(nogil=True)(function))


def exact_part(function: F) -> F:
    """`part` of sums of whole numbers below 2^53 in floats: exact in any order and with any fusing, so the compiler may choose both."""
    return cast(F, numba.njit(nogil=True, fastmath={"reassoc", "contract"})(function))


def lean_kernel(function: F) -> F:
    """`kernel` for a function that allocates nothing, nor do its parts."""
    return _cached(function, _LEAN)


def lean(function: F) -> F:
    """`part` of a lean kernel; Python cannot call it."""
    return cast(F, _njit(no_cpython_wrapper=True, **_LEAN)(function))


def inlined(function: F) -> F:
    """The same for what has one caller: compiled as its text, else once for itself and again within the caller."""
    return cast(F, _njit(no_cpython_wrapper=True, inline="always", **_LEAN)(function))


def _cached(function: F, options: dict[str, Any]) -> F:
    try:
        compiled = _njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written: `d4a doctor` says so
        return cast(F, _njit(**options)(function))
    # Numba asks whether the kernel's own file is the one that was compiled; its parts lie in others
    file = compiled._cache._cache_file
    file._source_stamp = (file._source_stamp, _sources(_PACKAGE), _sources(Path(function.__code__.co_filename).parent))
    return cast(F, compiled)


_PACKAGE = Path(__file__).parents[2]


@cache
def _sources(folder: Path) -> str:
    """A digest of the Python files that define parts: in a kernel's own folder, or in all of d4a's."""
    patterns = ("curator/backends/*.py", "modalities/*/*.py") if folder == _PACKAGE else ("*.py",)
    texts = [file.read_bytes() for pattern in patterns for file in sorted(folder.glob(pattern))]
    defining = [text for text in texts if any(mark in text for mark in (b"@part", b"@exact_part", b"@lean", b"@inlined", b"intrinsic("))]
    return hashlib.blake2b(b"".join(hashlib.blake2b(text).digest() for text in defining)).hexdigest()


def read_only(array: npt.NDArray[T]) -> npt.NDArray[T]:
    """A view that cannot be written to: for Numba another type, so arrays from Arrow, of either kind, become one."""
    view = array.view()
    view.flags.writeable = False
    return view


def scratch(name: str, size: int, dtype: type[T]) -> npt.NDArray[T]:
    """Memory of this thread for one purpose, (size,) of a dtype; what it holds is overwritten when it is next asked for.

    Fresh memory costs more than most kernels that fill it: the system hands it out page by page. It begins at a multiple of 64, and
    at another place of a page than the others: processors take equal places for the same one (words were found a quarter slower).
    """
    scratches = _scratch.held
    held = scratches.get(name)
    if held is None or held.size < size:
        room = (1 << max(size - 1, 1).bit_length()) * np.dtype(dtype).itemsize
        raw = np.empty(room + 2 * _MEMORY_PAGE, np.uint8)
        first = -raw.ctypes.data % _MEMORY_PAGE + 128 * len(scratches) % _MEMORY_PAGE
        held = scratches[name] = raw[first : first + room].view(dtype)
    return cast("npt.NDArray[T]", held[:size])


_MEMORY_PAGE = 4096


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.held: dict[str, npt.NDArray[Any]] = {}


_scratch = _Scratch()


def _trailing_zeros(typing_context: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, False))

    return types.uint64(types.uint64), generate


# zero bits below the lowest one bit of a word, 64 for 0: one instruction, for use in kernels
trailing_zeros = cast(Callable[[np.uint64], np.uint64], intrinsic(_trailing_zeros))
