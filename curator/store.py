"""Files: how they are written, committed, locked and published. Nothing else in d4a renames a file.

A unit of work commits a folder: data files carry their digest in their name, and `manifest.json`, renamed
last, names them. Readers trust manifests, never a glob. A finished dataset is published by moving files
into place while `dataset.json` is absent, so a reader sees the old dataset, the new one, or none.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from .errors import D4AError, UsageError
from .lock import driving

STATE = ".d4a"
UNIT_MANIFEST = "manifest.json"
DATASET = "dataset.json"
PUBLISHED_FOLDERS = ("text", "image", "pair", "ledger", "scores", "sketches")
PUBLISHED = "files.json"  # what was published, with sizes and times


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: what every key is the digest of."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(*parts: Any) -> str:
    """sha256 (hex) of JSON-like parts."""
    return hashlib.sha256(canonical(list(parts))).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def slug(step: str) -> str:
    """Name of a step in files and jobs."""
    return re.sub(r"[^a-z0-9]+", "-", step).strip("-")


def sync_file(path: Path) -> None:
    """Make a file that somebody else wrote survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _process() -> str:
    """Names a process among those of all machines: two nodes may do one unit, when the first is thought to be dead."""
    return f"{socket.gethostname()}-{os.getpid()}"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file object whose content appears under `path` whole, or not at all. Raises D4AError on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{_process()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise write_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_error(error: OSError, path: Path) -> D4AError:
    """The D4AError for an operating-system error while writing."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return D4AError("the disk is full", str(path), "free some space and run the same command again: it goes on where it stopped")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return D4AError(f"cannot write: {error.strerror}", str(path), "choose another place with --out")
    return D4AError(f"cannot write: {error.strerror or error}", str(error.filename2 or path))  # of a rename, what is in its way


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically: sorted keys, two spaces, a final newline."""
    with replacing(path) as file:
        file.write(orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_json(path: Path) -> Any | None:
    """The content of a JSON file, or None where there is no such file, or none that can be read."""
    try:
        return orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None


# ------------------------------------------------------------------------------------------------ units


class Folder:
    """The commit of one unit: `with Folder(path, fence) as unit: unit.file("evidence", ".parquet"); unit.manifest = {...}`.

    Files are written beside their final place, synced, and renamed with their digest in the name; the
    manifest follows last. An exception, or a fence that no longer holds, leaves no manifest.

    digests  stem -> sha256 (hex) that a writer gives, of what decides its file's bytes; else it is that of the bytes
    """

    def __init__(self, path: Path, fence: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self.manifest: dict[str, Any] = {}
        self.digests: dict[str, str] = {}
        self._fence = fence
        self._pending: list[tuple[str, str, Path]] = []

    def file(self, stem: str, suffix: str) -> Path:
        """A path to write to now; it becomes `<stem>-<digest><suffix>` at the commit."""
        temporary = self.path / f".{stem}.{_process()}.tmp"
        self._pending.append((stem, suffix, temporary))
        return temporary

    def __enter__(self) -> Folder:
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._commit()
        except OSError as problem:
            raise write_error(problem, self.path) from problem
        finally:
            for _, _, temporary in self._pending:
                temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise write_error(error, self.path) from error

    def _commit(self) -> None:
        files = {}
        for stem, suffix, temporary in self._pending:
            with temporary.open("rb") as file:
                sha256 = self.digests.get(stem) or hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            name = f"{stem}-{sha256[:16]}{suffix}"
            self._fence()
            temporary.replace(self.path / name)
            files[stem] = {"name": name, "sha256": sha256, "bytes": (self.path / name).stat().st_size}
        self._fence()
        write_manifest(self.path, {"files": files, **self.manifest})


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Commit a unit folder whose data files are in place, or say more of a committed one."""
    write_json(path / UNIT_MANIFEST, {**manifest, "check": digest(manifest)})


def committed(path: Path) -> dict[str, Any] | None:
    """The manifest of a committed unit folder, or None: not committed, damaged, or a file of it is gone or cut short."""
    manifest = read_json(path / UNIT_MANIFEST)
    if not isinstance(manifest, dict) or manifest.pop("check", "") != digest(manifest):
        return None
    for entry in manifest["files"].values():
        try:
            if (path / entry["name"]).stat().st_size != entry["bytes"]:
                return None
        except FileNotFoundError:
            return None
    return manifest


def data_file(path: Path, manifest: dict[str, Any], stem: str) -> Path:
    """Path of one data file of a committed unit."""
    return path / str(manifest["files"][stem]["name"])


@functools.cache
def intact(path: Path) -> bool:
    """Whether a unit's data file has the bytes that were committed: their digest is in its name. Read once a process."""
    return file_digest(path)[:16] == path.stem.rpartition("-")[2]


def checked(path: Path) -> Path:
    """The path of a unit's data file that is intact. Raises D4AError for another; its unit then counts as not committed."""
    if intact(path):
        return path
    raise damaged(path)


def damaged(path: Path) -> D4AError:
    """The error for a data file that is not as it was written; its unit counts as not committed from now on."""
    with contextlib.suppress(OSError):
        (path.parent / UNIT_MANIFEST).unlink(missing_ok=True)
    return D4AError("damaged since it was written", str(path), "run the same command again: this piece of work is done anew")


# ------------------------------------------------------------------------------------------------ state


@dataclass(frozen=True)
class Store:
    """A dataset folder and its resumable state under `.d4a/`."""

    root: Path

    @property
    def state(self) -> Path:
        """Folder of everything that is not published."""
        return self.root / STATE

    def unit(self, act: str, flow: str, key: str) -> Path:
        """Folder of a unit: two hex digits between, so that no directory grows without bound."""
        return self.state / act / flow / key[:2] / key

    def units_file(self, step: str) -> Path:
        """The list of a step's units, one a line; there is none where it has nothing to do."""
        return self.state / "steps" / f"{slug(step)}.jsonl"

    def fence(self, run_id: str) -> Callable[[], None]:
        """A check that this run still owns the state; workers call it before every rename."""

        def check() -> None:
            if (self.state / "run").read_text() != run_id:
                raise D4AError("another run has taken over this dataset; this worker stops", str(self.root))

        return check

    def make(self) -> None:
        """Create the folders. Raises UsageError where the output folder holds something that is no dataset of d4a."""
        try:
            if self.root.exists() and not self.root.is_dir():
                raise UsageError("the output path is a file", str(self.root), "choose another place with --out")
            if self.root.exists() and not self.state.exists() and not (self.root / DATASET).exists() and any(self.root.iterdir()):
                raise UsageError("the output folder holds files that are not d4a's", str(self.root), "choose an empty folder with --out")
            self.state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, self.root) from error

    @contextlib.contextmanager
    def locked(self, run_id: str, joins: bool = False) -> Iterator[None]:
        """Be the only driver of this dataset. Raises D4AError naming the one that holds it.

        joins  the run began in another process: it waits a minute for that one to let go, and must still own the state
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(driving(self.state / "lock", 60.0 if joins else 0.0))
                if joins:
                    self.fence(run_id)()
                else:
                    with replacing(self.state / "run") as file:
                        file.write(run_id.encode())
                    for left in self.state.rglob(".*.tmp"):  # of workers that were killed
                        left.unlink(missing_ok=True)
            except OSError as error:
                raise write_error(error, self.state / "lock") from error
            yield

    def uncommit(self, act: str, flow: str, key: str) -> None:
        """Have a unit, or all parts of one, done anew; their files stay for whoever reads them."""
        for manifest in self.unit(act, flow, key).rglob(UNIT_MANIFEST):
            manifest.unlink(missing_ok=True)

    def drop_unit(self, act: str, flow: str, key: str) -> None:
        """Forget a unit with all that was found out about it."""
        self.uncommit(act, flow, key)
        shutil.rmtree(self.unit(act, flow, key), ignore_errors=True)

    def drop_state(self, *acts: str) -> None:
        """Forget committed units, and what is known of the published files (`--fresh`)."""
        for act in acts:
            shutil.rmtree(self.state / act, ignore_errors=True)
        write_json(self.state / PUBLISHED, dict.fromkeys(self._published(), None))

    def remove_state(self) -> int:
        """Remove everything under .d4a/; returns the bytes freed. Raises D4AError while a run works on it."""
        if not self.state.exists():
            return 0
        size = sum(path.stat().st_size for path in self.state.rglob("*") if path.is_file())
        with self.locked("clean"):
            shutil.rmtree(self.state, ignore_errors=True)
        return size

    # -------------------------------------------------------------------------------------- publishing

    def stage_publication(self, moves: dict[str, str], names: list[str], dataset: bytes) -> None:
        """Write down what is about to be published; from here on a crash is finished by `finish_publication`.

        moves    path under .d4a/ -> published path
        names    every published path of the new dataset, moved ones included
        dataset  content of dataset.json
        """
        with replacing(self.state / "next" / DATASET) as file:
            file.write(dataset)
        stale = sorted(self._published().keys() - {*names, DATASET})
        write_json(self.state / "next" / "publish.json", {"moves": moves, "names": sorted(names), "stale": stale})

    def finish_publication(self) -> bool:
        """Publish what was staged; safe to repeat. Returns whether there was anything to publish."""
        order = read_json(self.state / "next" / "publish.json")
        if order is None:
            return False
        try:
            if (self.state / "next" / DATASET).exists():
                self._publish(order)
            (self.state / "next" / "publish.json").unlink()
        except OSError as error:
            raise write_error(error, self.root) from error
        shutil.rmtree(self.state / "next", ignore_errors=True)
        return True

    def _publish(self, order: dict[str, Any]) -> None:
        (self.root / DATASET).unlink(missing_ok=True)
        sync_folder(self.root)
        for source, target in order["moves"].items():
            if (self.state / source).exists():
                (self.root / target).parent.mkdir(parents=True, exist_ok=True)
                (self.state / source).replace(self.root / target)
        self._remove(order["stale"])
        stamps = {name: _stamp(self.root / name) for name in order["names"]}
        write_json(self.state / PUBLISHED, {**stamps, DATASET: _stamp(self.state / "next" / DATASET)})
        for folder in sorted({folder for name in order["names"] for folder in Path(name).parents}):
            sync_folder(self.root / folder)
        # the last step: while this file is missing, nothing under the root counts as a dataset
        (self.state / "next" / DATASET).replace(self.root / DATASET)
        sync_folder(self.root)

    def _remove(self, names: list[str]) -> None:
        """Remove files of the dataset before, and the folders that this leaves empty; what somebody else put there stays."""
        for name in names:
            (self.root / name).unlink(missing_ok=True)
            for folder in list(Path(name).parents)[:-1]:
                with contextlib.suppress(OSError):
                    (self.root / folder).rmdir()

    def _published(self) -> dict[str, Any]:
        """Path -> size and time of the files that d4a published; without state, the paths that the dataset itself names."""
        known = read_json(self.state / PUBLISHED)
        if isinstance(known, dict):
            return known
        dataset: Any = read_json(self.root / DATASET)
        try:
            names = [*dataset["files"], *(shard["path"] for shard in dataset["shards"])]
        except (KeyError, TypeError):
            return {}
        # whoever wrote that file, nothing outside d4a's own folders is ever removed
        return {name: None for name in names if Path(name).parts[0] in PUBLISHED_FOLDERS and ".." not in Path(name).parts}

    def check_published(self) -> None:
        """Have the dataset published anew where a file is no longer as it was published; `packed` hashes the shards among them."""
        if not all(self.untouched().values()):
            (self.state / "published.json").unlink(missing_ok=True)

    def untouched(self) -> dict[str, bool]:
        """Path -> whether a published file still has the size and time that it was published with."""
        return {name: stamp is not None and _stamp(self.root / name) == stamp for name, stamp in self._published().items()}


def _stamp(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
