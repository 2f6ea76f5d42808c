"""Whether cuDF, CuPy and numba-cuda have the functions that d4a calls, with the parameters it passes: their wheels are read, not imported.

`make gpu-contract` downloads the wheels (some 150 MB, nothing is installed) and runs this; without them there is nothing to read.
The calls are those that card_recorder.py sees, so a call that changes is held to the wheels without being listed here.
"""

from __future__ import annotations

import ast
import inspect
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from card_recorder import Call, recording
from d4a.curator.backends import rapids, sketch_cuda

WHEELS = Path(__file__).parents[3] / ".venv" / "wheels"
# where a class of cuDF, or what it inherits, is written
CUDF = {
    "cudf.Series": ("core/series.py", "Series", "__init__"),
    "cudf.Series.from_arrow": ("core/series.py", "Series", "from_arrow"),
    "cudf.Series.to_arrow": ("core/single_column_frame.py", "SingleColumnFrame", "to_arrow"),
    "cudf.Series.str.minhash": ("core/accessors/string.py", "StringMethods", "minhash"),
    "cudf.Series.str.minhash64": ("core/accessors/string.py", "StringMethods", "minhash64"),
}


@cache
def wheel(library: str) -> zipfile.ZipFile:
    found = sorted(WHEELS.glob(f"{library}[-_]*.whl"))
    if not found:
        pytest.skip(f"no wheel of {library} in {WHEELS}: make gpu-contract")
    return zipfile.ZipFile(found[-1])


def tree(library: str, file: str) -> ast.Module:
    return ast.parse(wheel(library).read(f"{library}/{file}"))


def function(body: list[ast.stmt], name: str) -> ast.FunctionDef:
    return next(node for node in reversed(body) if isinstance(node, ast.FunctionDef) and node.name == name)


def signature(node: ast.FunctionDef) -> inspect.Signature:
    """Its parameters; an ellipsis stands for every default."""
    a, kind = node.args, inspect.Parameter
    plain = [*a.posonlyargs, *a.args]
    defaults = [kind.empty] * (len(plain) - len(a.defaults)) + [...] * len(a.defaults)
    found = [kind(arg.arg, kind.POSITIONAL_OR_KEYWORD, default=value) for arg, value in zip(plain, defaults, strict=True)]
    found += [kind(a.vararg.arg, kind.VAR_POSITIONAL)] if a.vararg else []
    found += [
        kind(arg.arg, kind.KEYWORD_ONLY, default=kind.empty if value is None else ...)
        for arg, value in zip(a.kwonlyargs, a.kw_defaults, strict=True)
    ]
    return inspect.Signature([*found, *([kind(a.kwarg.arg, kind.VAR_KEYWORD)] if a.kwarg else [])])


def in_cudf(name: str) -> inspect.Signature:
    file, owner, method = CUDF[name]
    written = next(node for node in tree("cudf", file).body if isinstance(node, ast.ClassDef) and node.name == owner)
    found = signature(function(written.body, method))
    return found.replace(parameters=list(found.parameters.values())[1:])  # without self or cls


def in_cupy(name: str) -> inspect.Signature:
    top = tree("cupy", "__init__.py")
    for node in top.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return signature(function(tree("cupy", node.module.removeprefix("cupy.").replace(".", "/") + ".py").body, alias.name))
    return signature(function(top.body, name))


@cache
def calls() -> tuple[Call, ...]:
    """Everything that rapids.py asks of the libraries."""
    with recording() as made:
        for bits in (np.uint32, np.uint64):
            rapids.minhash(pa.array(["a text", "another"]), 3, np.array([3], bits), np.array([4], bits), 5)
        grid = np.array([[4000, 0], [0, 4000], [2828, 2828]], np.float32)
        rapids.alike(grid, grid, np.float32(0.5))
        card = rapids.Centroids(grid[:2], np.full((2, 2), 0.001, np.float32))
        card.nearest(grid)
        card.visits(grid, np.float32(2000), 1)
    return tuple(made)


@pytest.mark.parametrize("name", sorted({call.name for call in calls()}))
def test_the_library_has_it_and_takes_what_is_passed(name: str) -> None:
    taken = in_cudf(name) if name.startswith("cudf.") else in_cupy(name.removeprefix("cupy."))
    for call in calls():
        if call.name == name:
            # the recorder writes down more of an Arrow array than the one argument that it is
            taken.bind(*(call.args[:1] if name.startswith("cudf.") else call.args), **call.kwargs)


def test_what_cudf_calls_in_turn_takes_the_same() -> None:
    stub = ast.parse(wheel("pylibcudf").read("pylibcudf/nvtext/minhash.pyi"))
    for name in ("minhash", "minhash64"):
        assert list(signature(function(stub.body, name)).parameters)[:5] == ["input", "seed", "a", "b", "width"]


def test_cupy_counts_devices_by_a_function_of_this_name() -> None:
    files = [name for name in wheel("cupy").namelist() if name.startswith("cupy_backends/cuda/api/runtime.")]
    assert any(b"getDeviceCount" in wheel("cupy").read(name) for name in files)


def test_numba_cuda_has_what_the_kernel_is_written_in() -> None:
    names, calls = set(), []
    for node in ast.walk(ast.parse(Path(sketch_cuda.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cuda":
            names.add(node.attr)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("cuda.jit", "cuda.to_device", "cuda.device_array"):
            calls.append(node)
    api, top = tree("numba_cuda", "numba/cuda/api.py").body, tree("numba_cuda", "numba/cuda/device_init.py").body
    there = {alias.asname or alias.name for node in top if isinstance(node, ast.ImportFrom) for alias in node.names}
    there |= {node.name for node in [*api, *top] if isinstance(node, ast.FunctionDef)}
    assert {"shared", "atomic", "jit", "to_device", "device_array", "syncthreads_and"} <= names
    assert names | {"is_available"} <= there
    for call in calls:
        name = ast.unparse(call.func).removeprefix("cuda.")
        taken = signature(function(tree("numba_cuda", "numba/cuda/decorators.py").body if name == "jit" else api, name))
        words = {word.arg for word in call.keywords if word.arg}
        taken.bind(*call.args, **dict.fromkeys(words))
        assert words <= set(taken.parameters)  # `jit` takes any other word, and does nothing with it
    assert len(calls) == 4


@pytest.mark.parametrize("wrong", [Call("cupy.argsort", (1,), {"order": 2}), Call("cupy.max", ()), Call("cupy.searchsorted", (1,))])
def test_a_call_that_cupy_does_not_take_is_noticed(wrong: Call) -> None:
    with pytest.raises(TypeError):
        in_cupy(wrong.name.removeprefix("cupy.")).bind(*wrong.args, **wrong.kwargs)
