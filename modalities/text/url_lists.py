"""Lists for text.url, from files that the recipe names: domains and addresses, and words.

Files are read, hashed and looked up in as bytes: lists of millions hold a few lines that are no UTF-8.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...curator.columns import Bytes, Offsets
from ...curator.errors import MachineError, UsageError
from .url_kernel import HARD, SOFT, STRICT, Hashes, Numbers, Words, entry_table, numbered_table, word_hashes
from .word_lists import HINT, read_bytes, unpacked, words_of

_IN_FOLDERS = ("domains", "domains.gz", "urls", "urls.gz")
_LINES_AT_ONCE = 1 << 20
_NEW_LINE = ord("\n")
_IGNORED = {STRICT: re.compile("[.-]"), HARD: re.compile("[^0-9a-z\x80-\U0010ffff]"), SOFT: re.compile("[^0-9a-z\x80-\U0010ffff]")}


class Entries(NamedTuple):
    """A list of domains and addresses; `addresses`: how many of the latter."""

    table: Hashes
    domains: int
    addresses: int


def files_of(option: str, paths: Sequence[str]) -> list[Path]:
    """The files of a list: those named, and `domains` and `urls` in folders named. Raises UsageError where one is missing."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for name in _IN_FOLDERS for file in path.rglob(name) if file.is_file())
            if not inside:
                raise UsageError(f"text.url: {option} names a folder without a file `domains` or `urls`", str(path))
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"text.url: {option} names a file that is not there", str(path), "paths start at the current directory")
    return found


def digest_of(option: str, paths: Sequence[str]) -> str:
    """sha256 of a list: of its file, or of the digests of all its files in order, a line end between."""
    digests = [hashlib.sha256(read_bytes(f"text.url: {option}", path)).hexdigest() for path in files_of(option, paths)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


@lru_cache(maxsize=4)
def load_entries(option: str, paths: tuple[str, ...], digest: str) -> Entries:
    """A list of domains and addresses, once a process. Raises UsageError where no line has one, MachineError where it changed."""
    _check(option, paths, digest)
    what = f"text.url: {option}"
    data = b"\n".join(unpacked(what, path, read_bytes(what, path)) for path in files_of(option, paths))
    array = np.frombuffer(data, np.uint8)
    table, domains, addresses = entry_table(array, _lines(array))
    if not domains + addresses:
        hint = "one domain or address a line, nothing before or behind it but a comment that begins with #"
        raise UsageError(f"text.url: {option} has no domain and no address", ", ".join(paths), hint)
    return Entries(table, domains, addresses)


def _lines(data: Bytes) -> list[Offsets]:
    """Offsets of lines, a million at a time; a line may hold its line end."""
    ends = np.flatnonzero(data == _NEW_LINE).astype(np.int64) + 1
    offsets = np.concatenate([[0], ends, [len(data)]]).astype(np.int64)
    return [offsets[k : k + _LINES_AT_ONCE + 1] for k in range(0, len(offsets) - 1, _LINES_AT_ONCE)]


def _check(option: str, paths: Sequence[str], digest: str) -> None:
    if digest_of(option, paths) != digest:
        raise MachineError(f"text.url: {option} is not the list that was planned with", ", ".join(paths), "run the command again")


def compared_words(option: str, path: str, which: int) -> list[str]:
    """The words of a list, in order, ASCII letters made small, without what is not compared. Raises UsageError where there is none."""
    what = f"text.url: {option}"
    small = ("".join(c.lower() if c.isascii() else c for c in word) for word in words_of(what, path, read_bytes(what, path)))
    words = list(dict.fromkeys(word for line in small if (word := _IGNORED[which].sub("", line))))
    if not words:
        raise UsageError(f"{what} has no word", path, HINT)
    return words


@lru_cache(maxsize=2)
def load_words(paths: tuple[str | None, ...], digests: tuple[str, ...]) -> Words:
    """The strict, hard and soft words of up to three files, once a process. Raises UsageError, and MachineError where one changed."""
    names = ("strict_words", "hard_words", "soft_words")
    lists: list[list[str]] = [[], [], []]
    for which, (option, path, digest) in enumerate(zip(names, paths, digests, strict=True)):
        if path is not None:
            _check(option, [path], digest)
            lists[which] = compared_words(option, path, which)
    numbers = {word: k for k, word in enumerate(dict.fromkeys(word for words in lists for word in words))}
    bits = np.zeros(len(numbers), np.uint8)
    for which, words in enumerate(lists):
        bits[[numbers[word] for word in words]] |= np.uint8(1 << which)
    whole = [word for word in numbers if bits[numbers[word]] & (1 << HARD | 1 << SOFT)]
    table, places = numbered_table(word_hashes(whole))
    index = np.array([numbers[word] for word in whole] or [0], np.int32)
    classes, following, reported, ending, shorter = _automaton([(word.encode(), numbers[word]) for word in lists[STRICT]])
    places = np.where(places >= 0, index[places], -1).astype(np.int32)
    return Words(list(numbers), bits, classes, following, reported, ending, shorter, table, places)


def _automaton(words: list[tuple[bytes, int]]) -> tuple[Bytes, Numbers, Numbers, Numbers, Numbers]:
    """Aho and Corasick's automaton (1975): classes, following, reported, ending and shorter of `Words`."""
    classes = np.zeros(256, np.uint8)
    known = sorted({byte for word, _ in words for byte in word})
    classes[known] = np.arange(1, len(known) + 1)
    children: list[dict[int, int]] = [{}]
    ending = [-1]
    for word, number in words:
        state = 0
        for byte in word:
            if byte not in children[state]:
                children[state][byte] = len(children)
                children.append({})
                ending.append(-1)
            state = children[state][byte]
        ending[state] = number
    following = np.zeros((len(children), len(known) + 1), np.int32)
    reported, shorter = np.zeros((2, len(children)), np.int32)
    queue = [(0, 0)]  # states in order of their depth, each with the longest proper suffix that is a state
    for state, suffix in queue:
        if state:
            following[state] = following[suffix]
            shorter[state] = suffix
            reported[state] = state if ending[state] >= 0 else reported[suffix]
        for byte, child in sorted(children[state].items()):
            queue.append((child, int(following[suffix, classes[byte]]) if state else 0))
            following[state, classes[byte]] = child
    return classes, following, reported, np.array(ending, np.int32), shorter
