"""cuDF and CuPy where there is no card: a recorder in their place.

It is no mock of anything that d4a owns. It stands for two libraries that cannot compute here: it writes down which of their functions
are called, with which types and shapes, and answers what d4a's CPU kernel and NumPy compute, so that a wrong call is seen either as a
call or as a wrong result. Arrays "on the card" are of a class of their own: as in CuPy, a host array among them is a TypeError.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from d4a.modalities.text.minhash import Permutations, minhash


@dataclass(frozen=True)
class Call:
    """One call of a library: its dotted name, positional arguments and keyword arguments, arrays as (dtype, shape)."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


class OnCard(np.ndarray):
    """An array that only functions of CuPy may touch."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        _check(inputs)
        return _wrap(getattr(ufunc, method)(*map(_bare, inputs), **{name: _bare(value) for name, value in kwargs.items()}))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{func.__name__} on an array of the card")

    def __getitem__(self, key: Any) -> Any:
        _check(key if isinstance(key, tuple) else (key,))
        return _wrap(_bare(self)[tuple(map(_bare, key)) if isinstance(key, tuple) else _bare(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        _check((*(key if isinstance(key, tuple) else (key,)), value))
        _bare(self)[tuple(map(_bare, key)) if isinstance(key, tuple) else _bare(key)] = _bare(value)


def _bare(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, OnCard) else value


def _wrap(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_wrap, value))
    return np.asarray(value).view(OnCard) if isinstance(value, np.ndarray | np.generic) else value


def _check(values: Any) -> None:
    for value in values:
        if isinstance(value, list | tuple):
            _check(value)
        elif isinstance(value, np.ndarray) and not isinstance(value, OnCard):
            raise TypeError("a host array among those of the card")


def _told(value: Any) -> Any:
    if isinstance(value, list):
        return [_told(one) for one in value]
    if isinstance(value, Series):
        value = value.values
    return (str(value.dtype), value.shape) if isinstance(value, np.ndarray) else value


class Cupy(ModuleType):
    """NumPy under CuPy's name."""

    def __init__(self, calls: list[Call]) -> None:
        super().__init__("cupy")
        self._calls = calls

        self.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=_no_driver))

    def asarray(self, array: np.ndarray) -> OnCard:
        self._calls.append(Call("cupy.asarray", (_told(array),)))
        return _wrap(np.array(array))

    def asnumpy(self, array: OnCard) -> np.ndarray:
        self._calls.append(Call("cupy.asnumpy", (_told(array),)))
        if not isinstance(array, OnCard):
            raise TypeError("asnumpy of a host array")
        return np.array(_bare(array))

    def argsort(self, a: OnCard) -> OnCard:
        self._calls.append(Call("cupy.argsort", (_told(a),)))
        _check((a,))
        return _wrap(np.argsort(_bare(a), kind="stable"))  # CuPy's only kind

    def __getattr__(self, name: str) -> Any:
        found = None if name.startswith("__") else getattr(np, name, None)
        if found is None:
            raise AttributeError(name)
        if isinstance(found, type):  # a dtype
            return found

        def recorded(*args: Any, **kwargs: Any) -> Any:
            self._calls.append(Call(f"cupy.{name}", tuple(map(_told, args)), {key: _told(value) for key, value in kwargs.items()}))
            _check(args)
            return _wrap(found(*([_bare(one) for one in arg] if isinstance(arg, list) else _bare(arg) for arg in args), **kwargs))

        return recorded


def _no_driver() -> int:
    raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")


class Series:
    """What rapids.py uses of cudf.Series."""

    calls: list[Call]

    def __init__(self, data: Any) -> None:
        self.values = data
        self.calls.append(Call("cudf.Series", (_told(data),)))

    @classmethod
    def from_arrow(cls, array: pa.Array) -> Series:
        self = cls.__new__(cls)
        self.values = array
        cls.calls.append(Call("cudf.Series.from_arrow", (str(array.type), len(array), array.offset, array.null_count)))
        return self

    @property
    def str(self) -> Series:
        return self

    def minhash(self, seed: int, a: Series, b: Series, width: int) -> Series:
        return self._minhash("minhash", np.uint32, seed, a, b, width)

    def minhash64(self, seed: int, a: Series, b: Series, width: int) -> Series:
        return self._minhash("minhash64", np.uint64, seed, a, b, width)

    def _minhash(self, name: str, dtype: Any, seed: int, a: Series, b: Series, width: int) -> Series:
        self.calls.append(Call(f"cudf.Series.str.{name}", (seed,), {"a": _told(a), "b": _told(b), "width": width}))
        if a.values.dtype != dtype or b.values.dtype != dtype or width < 2:
            raise ValueError("cuDF refuses this")
        if len(self.values) * len(a.values) >= 2**31:
            raise OverflowError("cuDF refuses this")
        made = type(self).__new__(type(self))
        made.values = minhash(self.values, "characters", width, Permutations(a.values, b.values, seed))
        return made

    def to_arrow(self) -> pa.Array:
        self.calls.append(Call("cudf.Series.to_arrow", ()))
        return pa.array(list(self.values), pa.list_(pa.from_numpy_dtype(self.values.dtype)))


@contextmanager
def recording() -> Iterator[list[Call]]:
    """Within it `import cudf` and `import cupy` give the recorder; yields the calls as they come."""
    calls: list[Call] = []
    cudf, cupy = ModuleType("cudf"), Cupy(calls)
    cudf.Series = type("Series", (Series,), {"calls": calls})  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in ("cudf", "cupy")}
    sys.modules.update(cudf=cudf, cupy=cupy)
    try:
        yield calls
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
