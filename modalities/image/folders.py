"""What of a folder belongs together: captions and labels beside images, and what other tools write beside tars.

A sidecar is no entry of its own, but part of its image's: so a changed caption scans its image anew. One without an image stays an
entry, and the ledger says so.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ...curator.files import file_entry
from ...curator.modality import Entry
from ...curator.recipe import Source
from .beside import CAPTIONS
from .sniff import READABLE
from .tar_samples import IMAGE_SUFFIXES
from .yolo_labels import label_path, names_paths

SIDECARS = (*CAPTIONS, "json")
_WRITTEN_BESIDE = (".parquet", "_stats.json", ".idx", ".tar.idx")  # by img2dataset, DALI, Energon and d4a itself
_State = tuple[str, int, int, str]  # path, size, mtime_ns, and why it cannot be read


def arrange(entries: list[Entry], source: Source, skipped: Counter[str]) -> list[Entry]:
    """The images with their sidecars beside them. What other tools write beside tars and folders is left out, and counted in `skipped`."""
    if source.format not in ("auto", "yolo", *READABLE):
        return entries
    _names.cache_clear()
    listed = {entry.path: entry for entry in entries}
    beside = {entry.path: tuple(_beside(entry, listed, source)) for entry in entries if _is_image(entry)}
    taken = {path for states in beside.values() for path, _, _, problem in states if not problem}
    if source.format == "auto":
        extra = {path for path in _extras(entries) if path in listed} - taken
        skipped.update(PurePosixPath(path).suffix for path in extra)
        taken |= extra
    found = (entry for entry in entries if entry.path not in taken)
    return [_with(entry, states) if (states := beside.get(entry.path)) else entry for entry in found]


def _with(entry: Entry, states: tuple[_State, ...]) -> Entry:
    """The entry of an image, with what lies beside it."""
    sound = tuple((path, size, mtime_ns) for path, size, mtime_ns, problem in states if not problem)
    return replace(entry, beside=sound, unread=tuple((path, problem) for path, _, _, problem in states if problem))


def _is_image(entry: Entry) -> bool:
    return not entry.problem and entry.path.rpartition(".")[2].lower() in IMAGE_SUFFIXES


def _beside(entry: Entry, listed: dict[str, Entry], source: Source) -> Iterator[_State]:
    """Sidecars of an image, then its labels, then the names of their classes."""
    stem = entry.path.rpartition(".")[0]
    for suffix in SIDECARS:
        yield from _state(f"{stem}.{suffix}", entry.root, listed)
    # above the source's own folder only where the source says that these are labels
    path = str(PurePosixPath(entry.root, entry.path)) if source.format == "yolo" else entry.path
    if (label := label_path(path)) and (found := [*_state(_relative(label, entry), entry.root, listed)]):
        yield from found
        for name in names_paths(path, entry.root):
            if names := [*_state(_relative(name, entry), entry.root, listed)]:
                yield from names
                return


def _relative(path: str, entry: Entry) -> str:
    return os.path.relpath(path, entry.root) if path.startswith("/") else path


def _state(path: str, root: str, listed: dict[str, Entry]) -> Iterator[_State]:
    """The state of a file, where there is one: as listed, or as it lies there, since a glob of images lists no captions."""
    if (entry := listed.get(path)) is not None:
        yield path, entry.size, entry.mtime_ns, entry.problem
        return
    folder, _, name = f"{root}/{path}".rpartition("/")
    if name in _names(folder):
        found = file_entry(Path(root), Path(folder, name))
        if found.problem != "not_a_file" or not Path(folder, name).is_dir():
            yield path, found.size, found.mtime_ns, found.problem


@lru_cache(maxsize=1 << 16)
def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(file.name for file in os.scandir(folder))
    except OSError:
        return frozenset()


def _extras(entries: list[Entry]) -> Iterator[str]:
    """Paths of what may lie beside each tar, and beside each folder."""
    stems = {entry.path.partition(".tar")[0] for entry in entries if ".tar" in entry.path.rpartition("/")[2]}
    leaves = {entry.path.rpartition("/")[0] for entry in entries}
    folders = {str(folder) for leaf in leaves for folder in (leaf, *PurePosixPath(leaf).parents)}
    for stem in stems:
        yield from (stem + suffix for suffix in _WRITTEN_BESIDE)
    for folder in folders:
        yield from (folder + suffix for suffix in _WRITTEN_BESIDE[:2])
