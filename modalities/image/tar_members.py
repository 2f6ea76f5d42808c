"""Members of a tar, header by header: ustar, GNU long names, pax. Nothing is extracted; a payload is read where it lies.

Python's tarfile makes an object with thirty attributes of every member, and decides by itself what to pass over in
silence; here a member that is no plain file inside the archive comes with the reason why it is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol

from ..text.streams import Stream
from .sniff import sniff

BLOCK = 512
_ZEROS = bytes(BLOCK)
_HEADER_BYTES = 1 << 20  # of a long name or of pax records; more is a bomb
_SKIPPED_BYTES = 1 << 20
_FILES, _LINKS, _WITHOUT_DATA = b"0\x007", b"12", b"123456"
_NO_FILES = b"5DV"  # folders, those of an incremental archive, and the label of a volume


class Bytes(Protocol):
    """What a tar is read from."""

    def read(self, size: int, /) -> bytes:
        """`size` bytes, fewer at the end only."""
        ...

    def skip(self, size: int, /) -> int:
        """Pass over bytes; how many there were."""
        ...


class Packed:
    """A compressed tar: its bytes can only be read on."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end only. Raises ReadError."""
        pieces, left = [], size
        while left and (piece := self._stream.read(left)):
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, size: int) -> int:
        """Pass over bytes; how many there were. Raises ReadError."""
        left = size
        while left and (piece := self._stream.read(min(left, _SKIPPED_BYTES))):
            left -= len(piece)
        return size - left


class Plain:
    """A tar as it is: what is not read is not touched."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        file.seek(at)
        self._file, self.read = file, file.read

    def skip(self, size: int) -> int:
        """Go on behind these bytes, whether they are there or not."""
        self._file.seek(size, 1)
        return size


class TarError(Exception):
    """A tar that cannot be read on: reason, detail, where the member in question begins, and its name where it is known."""

    def __init__(self, reason: str, detail: str, at: int, name: str = "") -> None:
        super().__init__(reason, detail, at, name)
        self.reason, self.detail, self.at, self.name = reason, detail, at, name


@dataclass(slots=True)
class Member:
    """One member.

    name     as it is in the tar, without `./` before it; nothing for a folder or a label
    at       where its first header begins, those with a long name included
    data_at  where its bytes begin
    size     how many there are
    refused  why it is not read: (reason, detail)
    """

    name: str
    at: int
    data_at: int
    size: int
    refused: tuple[str, str] | None = None


@dataclass(slots=True)
class _Extension:
    """What headers before a member's own say of it."""

    name: bytes | None = None
    size: int | None = None
    refused: tuple[str, str] | None = None


class Tar:
    """The members of a tar from one of its headers on.

    at  where the next header is looked for; behind the last member, where the archive ends
    """

    def __init__(self, file: Bytes, at: int = 0, size: int | None = None) -> None:
        """
        file  stands at byte `at`, where a header begins
        size  bytes of the whole, where that is known
        """
        self._file, self.at, self._size = file, at, size
        self._here = at
        self._member: Member | None = None

    def next(self) -> Member | None:
        """The next member, nameless where it is no file, but a folder or a label; None at the end. Raises TarError, ReadError."""
        self._pass_to(self.at)
        start, extension = self.at, _Extension()
        while (found := self._header(start, extension)) is _AGAIN:
            pass
        self._member = found
        return found

    def data(self, limit: int) -> bytes:
        """The next bytes of the member that came last, at most `limit`. Raises TarError, ReadError."""
        member = self._member
        assert member is not None
        wanted = min(limit, member.data_at + member.size - self._here)
        data = self._file.read(wanted)
        self._here += len(data)
        if len(data) < wanted:
            raise _cut(member, self._here - member.data_at)
        return data

    def behind_end(self) -> int:
        """Where bytes that are not zero follow the end within a mebibyte; -1 where none do."""
        data = self._file.read(_SKIPPED_BYTES)
        rest = data.lstrip(b"\0")
        return self._here + len(data) - len(rest) if rest else -1

    def _pass_to(self, at: int) -> None:
        missing = at - self._here
        if missing > 0:
            passed = self._file.skip(missing)
            self._here += passed
            if passed < missing and self._member is not None and self._here < self._member.data_at + self._member.size:
                raise _cut(self._member, self._here - self._member.data_at)

    def _header(self, start: int, extension: _Extension) -> Member | None:
        """The member whose own header is next; _AGAIN behind a header that belongs to it; None at the end."""
        block = self._file.read(BLOCK)
        self._here += len(block)
        if not block.strip(b"\0"):
            if start != self.at:
                raise TarError("truncated_tar", "a long name or pax records without their member", start)
            return None
        if len(block) < BLOCK:
            raise TarError("truncated_tar", f"{len(block)} of {BLOCK} bytes of a header", start)
        kind, size = block[156:157], self._checked(block, start)
        data_at = self.at + BLOCK
        own = size if kind in b"xXgLK" or extension.size is None else extension.size
        if kind in _WITHOUT_DATA:
            own = 0  # a link may state the size of what it leads to
        elif kind == b"S":
            data_at += self._sparse_map(block)
        self.at = data_at + -(-own // BLOCK) * BLOCK
        if kind in b"xXgLK":
            self._extend(kind, size, start, extension)
            return _AGAIN
        name = _text(extension.name if extension.name is not None else _own_name(block))
        if kind in _NO_FILES or (kind == b"\0" and name.endswith("/")):
            return Member("", start, data_at, own)
        found = Member(name.removeprefix("./") or ".", start, data_at, own, extension.refused or _refusal(kind, name, block))
        if self._size is not None and data_at + own > self._size:
            raise _cut(found, max(0, self._size - data_at))
        return found

    def _sparse_map(self, block: bytes) -> int:
        """Bytes that the map of a GNU sparse member takes behind its header."""
        size, more = 0, block[482]
        while more:
            block = self._file.read(BLOCK)
            self._here += len(block)
            size, more = size + BLOCK, block[504] if len(block) == BLOCK else 0
        return size

    def _checked(self, block: bytes, start: int) -> int:
        """The size in a header. Raises TarError unless its checksum is right."""
        try:
            if _number(block[148:156]) == sum(block) - sum(block[148:156]) + 8 * 32:
                return _number(block[124:136])
        except ValueError:
            pass
        if self.at == 0:
            raise TarError("not_a_tar", sniff(block), 0)
        raise TarError("broken_tar", f"no member begins at byte {self.at}, and what follows is not read", start)

    def _extend(self, kind: bytes, size: int, start: int, extension: _Extension) -> None:
        """Take in what a header before a member's own holds."""
        if kind in b"gK":  # for all members, or the target of a link: nothing that is needed
            self._pass_to(self.at)
            return
        if size > _HEADER_BYTES:
            extension.refused = "header_too_large", f"{size} bytes of names or pax records; the limit is {_HEADER_BYTES}"
            self._pass_to(self.at)
            return
        data = self._file.read(size)
        self._here += len(data)
        if len(data) < size:
            raise TarError("truncated_tar", f"{len(data)} of {size} bytes of a header", start)
        if kind == b"L":
            extension.name = data.partition(b"\0")[0]
        else:
            _read_pax(data, extension)
        self._pass_to(self.at)


_AGAIN = Member("", 0, 0, 0)


def _cut(member: Member, got: int) -> TarError:
    return TarError("truncated_tar", f"{got} of {member.size} bytes of {member.name}", member.at, member.name)


def _read_pax(data: bytes, extension: _Extension) -> None:
    """`LENGTH KEY=VALUE\\n`, again and again; a record whose length is a lie ends them, and refuses the member."""
    at = 0
    while at < len(data):
        length, blank, _ = data[at : at + 20].partition(b" ")
        end = at + int(length) if blank and length.isdigit() else 0
        key, equals, value = data[at + len(length) + 1 : end - 1].partition(b"=")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n":
            extension.refused = "broken_pax", f"byte {at} of the records"
            return
        if key == b"path":
            extension.name = value
        elif key == b"size":
            extension.size = int(value) if value.isdigit() and len(value) < 19 else None
        elif key.startswith(b"GNU.sparse."):
            extension.refused = "sparse_member", ""
            extension.name = value if key == b"GNU.sparse.name" else extension.name
        at = end


def _number(field: bytes) -> int:
    """Octal digits, or from 8 GiB on GNU's binary form. Raises ValueError."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if digits and not digits.isdigit():
        raise ValueError(digits)
    return int(digits or b"0", 8)


def _own_name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _refusal(kind: bytes, name: str, block: bytes) -> tuple[str, str] | None:
    """Why a member is not read, whatever its bytes are."""
    if kind in _LINKS:
        return "link_member", f"to {_text(block[157:257].partition(bytes(1))[0])}"
    if kind == b"S":
        return "sparse_member", ""
    if kind not in _FILES:
        return "special_member", f"type {_text(kind)}"
    if name.startswith("/") or ".." in name.split("/"):
        return "member_outside", name
    return None
