from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from d4a.curator.backends.cpu import kernel, part, read_only, trailing_zeros


@part
def zeros(word: np.uint64) -> np.uint64:
    return trailing_zeros(word)


@kernel
def zeros_below(words: np.ndarray, out: np.ndarray) -> None:
    for k in range(words.size):
        out[k] = zeros(words[k])


def test_trailing_zeros_of_every_bit() -> None:
    words = np.array([1 << k for k in range(64)] + [0, 0b1010_0000, 2**64 - 1], np.uint64)
    out = np.empty(len(words), np.uint64)
    zeros_below(words, out)
    assert out.tolist() == [*range(64), 64, 5, 0]


def test_a_kernel_works_where_its_code_can_be_cached_nowhere() -> None:
    namespace: dict[str, object] = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<no file>", "exec"), namespace)
    assert kernel(namespace["double"])(21) == 42


def test_read_only_is_a_view_and_leaves_the_array_alone() -> None:
    array = np.arange(3)
    view = read_only(array)
    array[0] = 9
    assert view[0] == 9
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_a_cached_kernel_follows_a_part_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text("from d4a.curator.backends.cpu import part\n@part\ndef f(x):\n    return 2 * x\n")
    (tmp_path / "kernels.py").write_text(
        "from d4a.curator.backends.cpu import kernel\nfrom parts import f\n@kernel\ndef g(x):\n    return f(x)\n"
        "if __name__ == '__main__':\n    import kernels\n    print(kernels.g(21), sum(kernels.g.stats.cache_hits.values()))\n"
    )
    found = []
    for factor in (2, 2, 3):
        text = (tmp_path / "parts.py").read_text()
        (tmp_path / "parts.py").write_text(re.sub(r"\d \*", f"{factor} *", text))
        # -B: Python's own cache goes by the second of a change
        told = subprocess.run([sys.executable, "-B", tmp_path / "kernels.py"], capture_output=True, text=True, check=True)
        found.append(told.stdout.split())
    assert found == [["42", "0"], ["42", "1"], ["63", "0"]]
