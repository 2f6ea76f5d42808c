"""From the sources of a flow to partitions: what is there, in which order, in which units of work.

Files are sorted by the bytes of their path relative to the source's root. Large files are cut where the
modality allows, small ones grouped; a group ends by a hash of its last file's path, so that an added or
removed file changes its own group only. A partition is known by the digest of its entries.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .errors import D4AError, MachineError, UsageError
from .files import file_entry, printable
from .modality import Entry, Modality
from .recipe import Flow, Source
from .store import digest

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
GROUP_FILES = 256  # a group of small files ends after this many on average


@dataclass(frozen=True)
class Partition:
    """One unit of scanning: entries in order, and the digest that identifies them.

    cuts  digest of what each Cut that was decided in this run takes out of its records, "" for nothing
    seen  in rounds behind the first, and where payload is referred to, digest of what the first one found
    """

    uid: str
    entries: tuple[Entry, ...]
    cuts: tuple[str, ...] = ()
    seen: str = ""

    @property
    def size(self) -> int:
        """Bytes to read."""
        return sum(entry.end - entry.start for entry in self.entries)


@dataclass
class Listing:
    """What was found for one flow.

    skipped  suffix -> number of files in folders that the flow does not read
    hints    lines for people: see Modality.hint
    """

    entries: list[Entry] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    hints: list[str] = field(default_factory=list)


def list_sources(flow: Flow, modality: Modality, exclude: Path) -> Listing:
    """All files of a flow's sources, sorted; `exclude` (the output folder) is never read.

    Raises D4AError when a source matches nothing, UsageError when it lies inside the output folder.
    """
    listing = Listing()
    seen: set[tuple[str, str]] = set()
    named = {str(Path(source.path).absolute()): index for index, source in reversed(list(enumerate(flow.sources)))}
    exclude = exclude.resolve()
    for index, source in enumerate(flow.sources):
        if source.images and not Path(source.images).is_dir():
            hint = f"relative paths start at the current directory; another: --set {modality.name}.sources.{index}.images=FOLDER"
            raise D4AError("there is no such folder of images", source.images, hint)
        skipped: Counter[str] = Counter()
        found = {(e.root, e.path): e for e in _files(source, index, modality, skipped, exclude)}
        if not found:
            hint = f"relative paths start at the current directory; another path: --set {modality.name}.sources.{index}.path=PATH"
            if _ADDRESS.match(source.path):
                hint = "a source is a file, a folder or a pattern on this machine: copy what an address leads to here first"
            elif skipped:
                hint = f"there are {sum(skipped.values()):,} files whose suffix {modality.name} does not know; `format:` says what they are"
            raise D4AError("nothing found", source.path, hint)
        listing.skipped += skipped
        # a file that two sources of one root match is read once: by the one that names it, else by the first
        new = [entry for place, entry in found.items() if place not in seen and named.get("/".join(place), index) == index]
        seen.update((entry.root, entry.path) for entry in new)
        arranged = modality.arrange(sorted(new, key=lambda entry: os.fsencode(entry.path)), source, listing.skipped)
        listing.hints += filter(None, [modality.hint(arranged, source)])
        images = str(Path(source.images).absolute()) if source.images else ""
        listing.entries += [replace(entry, images=images) for entry in arranged] if images else arranged
    return listing


def _files(source: Source, index: int, modality: Modality, skipped: Counter[str], exclude: Path) -> Iterator[Entry]:
    path = Path(source.path)
    try:
        folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise MachineError(f"cannot be read: {error.strerror}", source.path, "check its name and who may read it") from error
    pattern = not exists and glob.has_magic(source.path) and _glob_root(source.path).is_dir()
    root = path if folder else _glob_root(source.path) if pattern else path.parent
    if _inside(root, exclude):
        raise UsageError("the source lies inside the output folder", source.path, "choose another place with --out, or move the source")
    if folder:
        yield from _folder(path, path, source, index, modality, skipped, exclude)
    elif exists:
        yield file_entry(root, path, index)
    elif pattern:
        for found, problem in _matches(root, Path(source.path).parts[len(root.parts) :], skipped, exclude):
            if problem or not _is_folder(found):
                yield file_entry(root, found, index, problem)
            elif "**" not in source.path:  # a pattern of folders; `**` names the files in them itself
                yield from _folder(root, found, source, index, modality, skipped, exclude)


def _folder(
    root: Path, folder: Path, source: Source, index: int, modality: Modality, skipped: Counter[str], exclude: Path
) -> Iterator[Entry]:
    for here, names, problem in _walk(folder, source.recursive, skipped, exclude):
        if problem:
            yield file_entry(root, here, index, problem)
        for name in names:
            if modality.accepts(name, source):
                yield file_entry(root, here / name, index)
            else:
                skipped[printable(Path(name).suffix) or "(no suffix)"] += 1


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # its entry will say why


def _glob_root(pattern: str) -> Path:
    """The folders of a glob before its first magic part."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:fixed]) if fixed else Path()


def _matches(folder: Path, parts: tuple[str, ...], skipped: Counter[str], exclude: Path) -> Iterator[tuple[Path, str]]:
    """What matches the parts of a pattern below a folder, hidden names included, and folders that cannot be read, with the reason.

    Unlike `glob`, `**` follows no links (two that lead upwards never end) and says what it could not look into.
    """
    first, rest = parts[0], parts[1:]
    if first == "**":
        for here, _, problem in _walk(folder, True, skipped, exclude):
            yield from [(here, problem)] if problem else _matches(here, rest or ("*",), skipped, exclude)
        return
    try:
        names = sorted(fnmatch.filter((path.name for path in folder.iterdir()), first)) if glob.has_magic(first) else [first]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        yield folder, "unreadable_folder"
        return
    for path in (folder / name for name in names):
        if rest:
            yield from _matches(path, rest, skipped, exclude)
        elif os.path.lexists(path) and not _inside(path, exclude):
            yield path, ""


def _inside(path: Path, folder: Path) -> bool:
    """Whether a path leads into a resolved folder, over links and `..` too."""
    return path.resolve().is_relative_to(folder)


def _walk(root: Path, recursive: bool, skipped: Counter[str], exclude: Path) -> Iterator[tuple[Path, list[str], str]]:
    """Folders with the names of their files, and folders that cannot be read, with the reason.

    Links to folders are not followed, but counted.
    """
    problems: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=problems.append):
        here = Path(folder)
        linked = [name for name in folders if (here / name).is_symlink()]
        if recursive and linked:
            skipped["(link to a folder)"] += len(linked)
        folders[:] = sorted(f for f in folders if f not in linked and not _inside(here / f, exclude)) if recursive else []
        yield here, sorted(names), ""
    yield from ((Path(problem.filename), [], "unreadable_folder") for problem in problems)


def changed(entries: list[Entry]) -> list[str]:
    """Paths whose size or time is no longer the listed one, or that are gone."""
    paths = []
    for entry in entries:
        for path, *state in [(entry.path, entry.size, entry.mtime_ns), *entry.beside]:
            now = file_entry(Path(entry.root), Path(entry.root, path), entry.source)
            if not entry.problem and (now.problem or [now.size, now.mtime_ns] != state):
                paths.append(path)
    return sorted(set(paths))


def partition(listing: Listing, flow: Flow, modality: Modality) -> list[Partition]:
    """Entries -> partitions, in order. Same files, same partitions, on every machine."""
    found: dict[str, Partition] = {}
    for group in _groups(listing.entries, flow, modality):
        uid = _uid(group, flow)
        while uid in found:  # two roots that differ in an absolute part only
            uid = digest(uid)
        found[uid] = Partition(uid, tuple(group))
    return list(found.values())


def _groups(entries: list[Entry], flow: Flow, modality: Modality) -> Iterator[list[Entry]]:
    """Consecutive entries of one source; a large file that can be cut gives groups of one range each."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        source = flow.sources[entry.source]
        weight = modality.weight(entry.path, source)
        weighs = weight * entry.size
        cut = weighs > flow.partition_bytes and modality.splits(entry.path, source)
        if group and (cut or size + weighs > flow.partition_bytes or group[-1].source != entry.source):
            yield group
            group, size = [], 0
        if cut:
            yield from ([piece] for piece in _cut(entry, max(1, flow.partition_bytes // weight)))
            continue
        group.append(entry)
        size += weighs
        if _ends_group(entry, weighs, flow.partition_bytes):
            yield group
            group, size = [], 0
    if group:
        yield group


def _ends_group(entry: Entry, weighs: int, partition_bytes: int) -> bool:
    """By a hash of the path, so that a file added or removed moves no border but its own group's.

    Larger files end a group more often: most groups are full at half of `partition_bytes`, and the limit,
    which does move the borders behind it, seldom comes into play.
    """
    drawn = int.from_bytes(hashlib.blake2b(os.fsencode(entry.path), digest_size=8).digest(), "big") / 2**64
    return drawn < max(1 / GROUP_FILES, 2 * weighs / partition_bytes)


def _cut(entry: Entry, size: int) -> Iterator[Entry]:
    for start in range(0, entry.size, size):
        end = min(start + size, entry.size)
        yield replace(entry, start=start, end=end)


def _uid(entries: list[Entry], flow: Flow) -> str:
    """Identity of a partition: its files as listed, and how they are read; no absolute path.

    Unpacked archives may hold files of one name, size and time in two folders, so the name of the source's root
    counts too: as it is written where it is relative, else its last part.
    """
    rows = [[os.fsencode(e.path).hex(), e.size, e.mtime_ns, e.start, e.end, e.problem, *e.beside, *e.unread] for e in entries]
    source, root = flow.sources[entries[0].source], Path(entries[0].root)
    name = root.name if Path(source.path).is_absolute() else os.path.relpath(root)
    return digest(rows, name, source.model_dump(exclude={"path", "recursive", "licence"}))
