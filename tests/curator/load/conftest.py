"""Every test of the loader is in a folder of its own, with stages of another package installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign_stages import installed


@pytest.fixture(autouse=True, scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(tmp_path_factory.mktemp("site") / "packages"):
        yield


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
