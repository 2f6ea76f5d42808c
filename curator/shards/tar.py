"""WebDataset shards: one deterministic USTAR writer, the exact sizes it will reach, and its inverse.

Written by hand because it is most of Pack's own work: `tarfile` builds a dozen objects for each member, and webdataset
adds pax headers unless told otherwise. The bytes equal `tarfile`'s in USTAR form; a test holds both to that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple, TypeVar

from ..stage import Ints

BLOCK = 512
RECORD = 20 * BLOCK  # tar files end on a multiple of this (`tar -b 20`)
NAME_LIMIT = 100  # beyond it comes the `prefix` field, which wids does not read
SIZE_LIMIT = 8**11  # eleven octal digits
_FLUSH = 2**20

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SUFFIX = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")  # webdataset lower-cases suffixes; readers skip `__name__`

# the header around name, size and checksum: mode, uid, gid; mtime; type, link, magic, version, and empty fields to the end
_NUL = bytes(1)
_ZEROS = bytes(BLOCK)
_OWNER = _NUL.join((b"0000444", b"0000000", b"0000000", b""))
_MTIME = _NUL + b"0" * 11 + _NUL
_TAIL = _NUL + b" 0" + bytes(100) + b"ustar" + _NUL + b"00" + bytes(32 + 32 + 8 + 8 + 155 + 12)
_FIXED_SUM = sum(_OWNER) + sum(_MTIME) + sum(b" " * 8) + sum(_TAIL[2:])  # the checksum field itself counts as spaces

Size = TypeVar("Size", int, Ints)


class MemberPlace(NamedTuple):
    """Where the bytes of one member lie in its tar: [offset, offset + size)."""

    suffix: str
    offset: int
    size: int


class SamplePlace(NamedTuple):
    """Where one sample lies in its tar: header of its first member at `offset`, the next sample's at `end`."""

    key: str
    offset: int
    end: int
    members: tuple[MemberPlace, ...]


class TarWriter:
    """Writes samples to a binary file as deterministic USTAR: mtime 0, uid and gid 0, no names, mode 0444.

    There is no `with`: a tar becomes whole by `close` alone, so an exception cannot leave a short shard that looks whole.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offset = 0
        self._hash = hashlib.sha256()
        self._keys: set[str] = set()
        self._suffixes: dict[str, bytes] = {}
        self._pending: list[bytes] = []
        self._written = 0

    def add(self, key: str, members: Mapping[str, bytes]) -> SamplePlace:
        """Append one sample, members sorted by suffix, as `<key>.<suffix>`.

        Raises ValueError for a key or suffix outside the safe alphabet, a name over 100 bytes, a key that the tar already
        holds, no members, or a member of 8 GiB or more. The tar is unchanged then.
        """
        self._check(key, members)
        start = offset = self._offset
        places = []
        for suffix in sorted(members):
            data = members[suffix]
            size = len(data)
            self._pending += (_header(key.encode() + self._suffixes[suffix], size), data, _ZEROS[: -size % BLOCK])
            places.append(MemberPlace(suffix, offset + BLOCK, size))
            offset += BLOCK + -(-size // BLOCK) * BLOCK
        self._keys.add(key)
        self._offset = offset
        if offset - self._written >= _FLUSH:
            self._flush()
        return SamplePlace(key, start, offset, tuple(places))

    def close(self) -> tuple[int, str]:
        """Write the end of the archive; returns (bytes, sha256 in hex) of the whole tar. The file stays open."""
        whole = tar_bytes(self._offset)
        self._pending.append(bytes(whole - self._offset))
        self._flush()
        return whole, self._hash.hexdigest()

    def _check(self, key: str, members: Mapping[str, bytes]) -> None:
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"no key for a tar: {key!r}; ASCII letters, digits, _ and - only, a letter or digit first")
        if key in self._keys:
            raise ValueError(f"key {key!r} is in this tar already")
        if not members:
            raise ValueError(f"sample {key!r} has no members")
        for suffix, data in members.items():
            if suffix not in self._suffixes:
                self._suffixes[suffix] = _encode_suffix(suffix)
            if len(key) + 1 + len(suffix) > NAME_LIMIT:
                raise ValueError(f"member name of {len(key) + 1 + len(suffix)} bytes: '{key}.{suffix}'; wids reads {NAME_LIMIT} at most")
            if len(data) >= SIZE_LIMIT:
                raise ValueError(f"member '{key}.{suffix}' has {len(data):,} bytes; a tar holds less than 8 GiB in a member")

    def _flush(self) -> None:
        chunk = b"".join(self._pending)
        self._pending.clear()
        self._written += len(chunk)
        self._hash.update(chunk)
        written = self._file.write(chunk)
        if written is not None and written != len(chunk):  # unbuffered files may write less than they were given
            raise OSError(f"only {written:,} of {len(chunk):,} bytes written")


def _encode_suffix(suffix: str) -> bytes:
    if _SUFFIX.fullmatch(suffix) is None:
        raise ValueError(f"no member suffix: {suffix!r}; lower-case ASCII letters and digits, joined by . _ or -")
    return b"." + suffix.encode()


def _header(name: bytes, size: int) -> bytes:
    digits = b"%011o" % size
    checksum = b"%06o" % (_FIXED_SUM + sum(name) + sum(digits))
    return name.ljust(NAME_LIMIT, b"\0") + _OWNER + digits + _MTIME + checksum + _TAIL


def sample_bytes(sizes: Mapping[str, Size]) -> Size:
    """Bytes that a sample takes in a tar: headers and padding included.

    sizes    suffix -> bytes of that member: an int, or (n,) int64 for n samples at once
    returns  an int, or (n,) int64
    """
    blocks = [BLOCK + (size + (BLOCK - 1)) // BLOCK * BLOCK for size in sizes.values()]
    total = blocks[0]
    for more in blocks[1:]:
        total = total + more
    return total


def tar_bytes(samples: int) -> int:
    """Bytes of a whole tar whose samples take `samples` bytes: two zero blocks more, rounded up to a record."""
    return -(-(samples + 2 * BLOCK) // RECORD) * RECORD


def read_places(file: BinaryIO) -> list[SamplePlace]:
    """The samples of a tar that `TarWriter` wrote, from its headers alone.

    Raises ValueError where a byte of a header differs from what d4a writes, where the file was cut (also between two
    members, which webdataset reads with no error), or where something follows the end of the archive.
    """
    size = file.seek(0, 2)
    samples: list[SamplePlace] = []
    offset = 0
    while (header := _read_header(file, offset, size)) is not None:
        key, member = header
        offset = member.offset + -(-member.size // BLOCK) * BLOCK
        if offset > size:
            raise ValueError(f"cut inside {key}.{member.suffix}: {size:,} bytes of {offset:,}")
        if samples and samples[-1].key == key:
            samples[-1] = SamplePlace(key, samples[-1].offset, offset, (*samples[-1].members, member))
        else:
            samples.append(SamplePlace(key, member.offset - BLOCK, offset, (member,)))
    if tar_bytes(offset) != size:
        raise ValueError(f"{size:,} bytes, and samples up to {offset:,}: {tar_bytes(offset):,} expected")
    return samples


def _read_header(file: BinaryIO, offset: int, size: int) -> tuple[str, MemberPlace] | None:
    file.seek(offset)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise ValueError(f"cut at byte {size:,}: no end of archive")
    if not block.rstrip(b"\0"):
        file.seek(offset)
        if file.read(RECORD + BLOCK).rstrip(b"\0"):
            raise ValueError(f"something follows the end of the archive at byte {offset:,}")
        return None
    name = block[:NAME_LIMIT].rstrip(b"\0")
    key, dot, suffix = name.decode("ascii", "replace").partition(".")
    digits = block[124:135]
    if not dot or re.fullmatch(rb"[0-7]{11}", digits) is None or _header(name, int(digits, 8)) != block:
        raise ValueError(f"no header as d4a writes it at byte {offset:,}")
    return key, MemberPlace(suffix, offset + BLOCK, int(digits, 8))
