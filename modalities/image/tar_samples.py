"""WebDataset tars -> records: members of one name that stand together are a sample, its image is told by content.

A range of a plain tar walks the headers from the file's first one on, payload untouched. To look for a header near the
range instead would be quicker in tars of 100 GB, and wrong in any that holds a tar or a crafted image: bytes of a payload can be
a sound header, so only the chain of headers says what is one. What a worker has walked once it remembers.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...curator.modality import Entry
from ...curator.recipe import Source
from ..text.streams import ReadError, compression, open_stream
from .beside import BESIDE_BYTES, Beside
from .records import MAX_IMAGE_BYTES, Record, problem, refused
from .sniff import FOREIGN, READABLE, SNIFF_BYTES, sniff
from .tar_members import Member, Packed, Plain, Tar, TarError

_MEMBERS = 1000  # of a sample; more is no sample
_SAMPLE_BYTES = 2 * MAX_IMAGE_BYTES  # held at once
_BUFFER_BYTES, _PAGE_BYTES = 1 << 17, 1 << 12
IMAGE_SUFFIXES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "tif", "tiff", "bmp", "avif", "heic", "heif", "image", "img"}
)
_WORDS = frozenset({"txt", "caption", "json", "cls"})  # not looked at for images
_Border = tuple[int, str]  # where a member begins, and the key of the sample before it


def read_tar(entry: Entry, source: Source) -> Iterator[Record]:
    """A record for each sample whose first member begins in the range, and for each member that is refused; `line` is where it begins."""
    path = str(Path(entry.root, entry.path))
    if compression(path):
        with closing(open_stream(path)) as stream:
            yield from _Reading(Tar(Packed(stream)), source, 0, None, "").records()
        return
    known = _borders(path, entry.size, entry.mtime_ns)
    border = first_border(path, entry, known)
    if border is not None:
        with open(path, "rb", buffering=_BUFFER_BYTES) as file:
            reading = _Reading(Tar(Plain(file, border[0]), border[0], entry.size), source, entry.start, entry.end, border[1])
            yield from reading.records()
        if reading.border is not None:
            _remember(known, reading.border)


@lru_cache(maxsize=8)
def _borders(path: str, size: int, mtime_ns: int) -> list[_Border]:
    """Borders of members that this process has met, ascending."""
    return [(0, "")]


def first_border(path: str, entry: Entry, known: list[_Border]) -> _Border | None:
    """The first border in the range; None where the tar ends, or cannot be read on, before it."""
    at, key = known[bisect_right(known, (entry.start, "\U0010ffff")) - 1]
    if at >= entry.start:
        return at, key
    with open(path, "rb", buffering=_PAGE_BYTES) as file:
        tar = Tar(Plain(file, at), at, entry.size)
        try:
            while tar.at < entry.start:
                member = tar.next()
                if member is None:
                    return None
                key = _key(member) or key
        except TarError:
            return None  # told in the range that it lies in
    _remember(known, (tar.at, key))
    return tar.at, key


def _remember(known: list[_Border], border: _Border) -> None:
    if border not in known:
        insort(known, border)


class _Reading:
    """The records of a tar, or of a range of one.

    border  where the reading ended before the end of the tar
    """

    def __init__(self, tar: Tar, source: Source, start: int, end: int | None, before: str) -> None:
        """
        tar     stands at the first header of the range
        end     of the range; None: of the tar
        before  key of the sample before it, whose last members may lie in it
        """
        self._tar, self._source, self._start, self._end = tar, source, start, end
        self._before, self._last = before, before
        self._sample: _Sample | None = None
        self._apart: list[Record] = []
        self._rows = 0
        self.border: _Border | None = None

    def records(self) -> Iterator[Record]:
        """All of them, and what is wrong with the tar."""
        try:
            while (member := self._tar.next()) is not None and (self._sample is not None or self._mine(member.at)):
                yield from self._take(member)
            yield from self._finish()
            if member is not None:
                self.border = member.at, self._last
                if not self._rows and self._start == 0 and self._holds_none(member):
                    yield refused("empty_file", "no member")
            else:
                yield from self._at_end()
        except (TarError, ReadError) as error:
            yield from self._broken(error)

    def _mine(self, at: int) -> bool:
        return self._end is None or self._start <= at < self._end

    def _take(self, member: Member) -> Iterator[Record]:
        key, suffix = ("", "") if member.refused else _split(member.name)
        if not key:
            if member.name and self._mine(member.at):
                reason, detail = member.refused or ("hidden_member", "")
                self._apart.append(refused(reason, f"{member.name}: {detail}" if detail else member.name, member.at))
                if self._sample is None:
                    yield from self._finish()
            return
        self._last = key
        if self._sample is not None and key != self._sample.key:
            yield from self._finish()
        if self._sample is None:
            if key == self._before or not self._mine(member.at):
                return
            self._before = ""
            self._sample = _Sample(key, member.at)
        self._sample.add(suffix, member, self._tar)

    def _finish(self) -> Iterator[Record]:
        """The sample under way, and the members that stood among its own."""
        sample, self._sample = self._sample, None
        apart, self._apart = self._apart, []
        self._rows += len(apart) + (sample is not None)
        if sample is not None:
            yield sample.record(self._source, self._end is not None)
        yield from apart

    def _holds_none(self, member: Member | None) -> bool:
        """Whether nothing but folders follows, from this member on, to the end of the tar."""
        try:
            while member is not None and not member.name:
                member = self._tar.next()
        except TarError:
            return False  # told in the range that it lies in
        return member is None and self._tar.behind_end() < 0

    def _at_end(self) -> Iterator[Record]:
        mine, empty = self._mine(self._tar.at), not self._rows and self._start == 0
        if (mine or empty) and (behind := self._tar.behind_end()) >= 0:
            if mine:
                detail = f"an archive ends with zeros, and what follows them from byte {behind} on is not read"
                yield refused("data_behind_end", detail, behind)
        elif empty:
            yield refused("empty_file", "no member")

    def _broken(self, error: TarError | ReadError) -> Iterator[Record]:
        """What is left of the sample under way, and a row for the damage, in the range in which it lies."""
        at, key = (error.at, _split(error.name)[0]) if isinstance(error, TarError) else (self._tar.at, "")
        sample = self._sample
        if sample is not None and (key == sample.key or sample.reading):
            yield refused(error.reason, error.detail, sample.at, sample.key)
            yield from self._apart
            return
        yield from self._finish()
        if self._mine(at) and not (key and key == self._before):
            yield refused(error.reason, error.detail, at or None)


@dataclass(slots=True)
class _Held:
    """A member of the sample under way; of one that is long and no image only the first bytes."""

    suffix: str
    data: bytes
    size: int
    at: int


class _Sample:
    """The members of one key that stand together.

    at       where the first one begins
    reading  whether one is being read
    """

    def __init__(self, key: str, at: int) -> None:
        self.key, self.at, self.reading = key, at, False
        self._held: list[_Held] = []
        self._bytes = 0
        self._refused: tuple[str, str] | None = None

    def add(self, suffix: str, member: Member, tar: Tar) -> None:
        """Read a member. Raises TarError, ReadError."""
        if self._refused is not None:
            return
        if any(held.suffix == suffix for held in self._held):
            self._refused = "duplicate_member", f"two members .{suffix}"
        elif len(self._held) == _MEMBERS:
            self._refused = "too_many_members", f"the limit of a sample is {_MEMBERS}"
        else:
            self.reading = True
            data = tar.data(member.size if member.size <= BESIDE_BYTES else SNIFF_BYTES)
            if len(data) < member.size <= MAX_IMAGE_BYTES and sniff(data) in READABLE:
                data += tar.data(member.size - len(data))
            self.reading = False
            self._held.append(_Held(suffix, data, member.size, member.data_at))
            self._bytes += len(data)
            if self._bytes > _SAMPLE_BYTES:
                self._refused = "sample_too_large", f"the limit is {_SAMPLE_BYTES >> 20} MiB"
        if self._refused is not None:
            self._held.clear()

    def record(self, source: Source, refers: bool) -> Record:
        """The sample as a record; with `refers` its bytes lie in the tar as they are."""
        if self._refused is not None:
            return refused(*self._refused, self.at, self.key)
        kinds = ["" if held.suffix in _WORDS else sniff(held.data[:SNIFF_BYTES]) for held in self._held]
        images = [held for held, kind in zip(self._held, kinds, strict=True) if kind in READABLE]
        images = images or [held for held, kind in zip(self._held, kinds, strict=True) if kind in FOREIGN or held.suffix in IMAGE_SUFFIXES]
        if not images:
            return refused("no_image", f"members: {', '.join(held.suffix for held in self._held)}", self.at, self.key)
        image = min(images, key=lambda held: held.suffix not in IMAGE_SUFFIXES)
        if wrong := problem(image.data, image.size):
            return refused(*wrong, self.at, self.key)
        beside = Beside(source)
        for held in self._held:
            if held is not image:
                beside.add(held.suffix, held.data, held.size)
        record = Record(image.data, line=self.at, ident=self.key, at=image.at if refers else None)
        beside.fill(record)
        return record


def _key(member: Member) -> str:
    """The name of the sample that a member belongs to; nothing for one that belongs to none."""
    return "" if member.refused else _split(member.name)[0]


def _split(name: str) -> tuple[str, str]:
    """`a/b.c.d` -> `a/b` and `c.d`, as WebDataset splits names; no key where the base name begins with a dot."""
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return (folder + slash + stem, suffix.lower()) if stem else ("", "")
