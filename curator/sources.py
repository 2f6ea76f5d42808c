"""From the sources of a flow to partitions: what is there, in which order, in which units of work.

Files are sorted by the bytes of their path relative to the source's root. Large files are cut where the
modality allows, small ones grouped; a group ends by a hash of its last file's path, so that an added or
removed file changes its own group only. A partition is known by the digest of its entries.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import D4AError
from .recipe import Flow, Source
from .stage import Entry, Modality
from .store import digest

GROUP_FILES = 256  # a group ends on average after this many files, and at the latest after four times as many


@dataclass(frozen=True)
class Partition:
    """One unit of scanning: entries in order, and the digest that identifies them."""

    uid: str
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes to read."""
        return sum(entry.end - entry.start for entry in self.entries)


@dataclass
class Listing:
    """What was found for one flow.

    skipped  suffix -> number of files in folders that the flow does not read
    """

    entries: list[Entry] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def list_sources(flow: Flow, modality: Modality, exclude: Path) -> Listing:
    """All files of a flow's sources, sorted; `exclude` (the output folder) is never read.

    Raises D4AError when a source matches nothing.
    """
    listing = Listing()
    seen: set[tuple[str, str]] = set()
    for index, source in enumerate(flow.sources):
        found = [e for e in _files(source, index, modality, listing.skipped, exclude) if (e.root, e.path) not in seen]
        if not found:
            skipped = f"; it holds only files that {modality.name} does not read" if listing.skipped else ""
            raise D4AError(f"nothing found{skipped}", source.path, "check the path; relative paths start at the current directory")
        # a file that two globs of one root match is read once
        seen.update((entry.root, entry.path) for entry in found)
        listing.entries += sorted(found, key=lambda entry: os.fsencode(entry.path))
    return listing


def _files(source: Source, index: int, modality: Modality, skipped: Counter[str], exclude: Path) -> Iterator[Entry]:
    path = Path(source.path)
    if path.is_dir():
        yield from _folder(path, path, source, index, modality, skipped, exclude)
    elif path.exists():
        yield _entry(path.parent, path, index)
    elif glob.has_magic(source.path):
        root = _glob_root(source.path)
        # pathlib's own glob skips hidden folders and follows no links in `**`; users expect the shell's rules, hidden files included
        for found in map(Path, glob.iglob(source.path, recursive=True, include_hidden=True)):  # noqa: PTH207
            if not found.is_dir():
                if not _inside(found, exclude):
                    yield _entry(root, found, index)
            elif "**" not in source.path:  # a pattern of folders; `**` names the files in them itself
                yield from _folder(root, found, source, index, modality, skipped, exclude)


def _folder(
    root: Path, folder: Path, source: Source, index: int, modality: Modality, skipped: Counter[str], exclude: Path
) -> Iterator[Entry]:
    for found, problem in _walk(folder, source.recursive, exclude):
        if problem or modality.accepts(found.name, source):
            yield _entry(root, found, index, problem)
        else:
            skipped["".join(found.suffixes[-1:]) or "(no suffix)"] += 1


def _glob_root(pattern: str) -> Path:
    """The folders of a glob before its first magic part."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:fixed]) if fixed else Path()


def _inside(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder)


def _walk(root: Path, recursive: bool, exclude: Path) -> Iterator[tuple[Path, str]]:
    """Regular files below a folder, and folders that cannot be read, with the reason. Links to folders are not followed."""
    problems: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=problems.append):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not _inside(here / f, exclude)) if recursive else []
        yield from ((here / name, "") for name in sorted(names))
    yield from ((Path(problem.filename), "unreadable_folder") for problem in problems)


def _entry(root: Path, path: Path, source: int, problem: str = "") -> Entry:
    relative = os.path.relpath(path, root).replace(os.sep, "/")
    base = str(root.absolute())
    try:
        relative.encode()
    except UnicodeEncodeError:  # names are bytes on Linux
        relative, problem = relative.encode("utf-8", "backslashreplace").decode(), problem or "name_not_utf8"
    if problem:
        return Entry(base, relative, 0, 0, 0, 0, source, problem)
    try:
        status = path.stat()
    except OSError as error:
        return Entry(base, relative, 0, 0, 0, 0, source, "dangling_link" if path.is_symlink() else f"cannot_stat_{error.errno}")
    if not stat.S_ISREG(status.st_mode):
        return Entry(base, relative, 0, 0, 0, 0, source, "not_a_file")
    return Entry(base, relative, status.st_size, status.st_mtime_ns, 0, status.st_size, source)


def changed(entries: list[Entry]) -> list[str]:
    """Paths whose size or time is no longer the listed one, or that are gone."""
    paths = []
    for entry in entries:
        now = _entry(Path(entry.root), Path(entry.root, entry.path), entry.source)
        if not entry.problem and (now.problem or (now.size, now.mtime_ns) != (entry.size, entry.mtime_ns)):
            paths.append(entry.path)
    return sorted(set(paths))


def partition(listing: Listing, flow: Flow, modality: Modality) -> list[Partition]:
    """Entries -> partitions, in order. Same files, same partitions, on every machine."""
    partitions: list[Partition] = []
    group: list[Entry] = []

    def close() -> None:
        if group:
            partitions.append(Partition(_uid(group, flow), tuple(group)))
            group.clear()

    size = 0
    for entry in listing.entries:
        if entry.size > flow.partition_bytes and modality.splits(entry.path, flow.sources[entry.source]):
            close()
            for piece in _cut(entry, flow.partition_bytes):
                group.append(piece)
                close()
            size = 0
            continue
        if group and (size + entry.size > flow.partition_bytes or len(group) >= 4 * GROUP_FILES or group[-1].source != entry.source):
            close()
            size = 0
        group.append(entry)
        size += entry.size
        if _ends_group(entry.path):
            close()
            size = 0
    close()
    return partitions


def _ends_group(path: str) -> bool:
    return int.from_bytes(hashlib.blake2b(os.fsencode(path), digest_size=8).digest(), "big") % GROUP_FILES == 0


def _cut(entry: Entry, size: int) -> Iterator[Entry]:
    for start in range(0, entry.size, size):
        end = min(start + size, entry.size)
        yield Entry(entry.root, entry.path, entry.size, entry.mtime_ns, start, end, entry.source)


def _uid(entries: list[Entry], flow: Flow) -> str:
    """Identity of a partition: its files as listed, which source they are of, and how it is read; no absolute path."""
    rows = [[os.fsencode(e.path).hex(), e.size, e.mtime_ns, e.start, e.end, e.problem] for e in entries]
    index = entries[0].source
    reading = flow.sources[index].model_dump(include={"format", "text_field", "id_field"})
    return digest(rows, index, reading)
