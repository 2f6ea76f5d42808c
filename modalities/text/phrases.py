"""Phrases of small ASCII letters looked for in a line, in any case: as `str.lower` and `re.I` would find them.

A loop over bytes, because it is run only where a vector compare of some letters says that a phrase may be there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes

Phrases = npt.NDArray[np.uint8]

_1, _2, _3 = (np.uint64(k) for k in range(1, 4))
STRICT, LOOSE = np.bool_(False), np.bool_(True)


def phrases(*texts: str) -> Phrases:
    """Small-letter phrases as (n, longest) uint8, zeros behind each."""
    rows = np.zeros((len(texts), max(map(len, texts)) + 1), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = np.frombuffer(text.encode("ascii"), np.uint8)
    return rows


@lean
def match(text: Bytes, i: np.uint64, end: np.uint64, known: Phrases, which: np.int64, loose: np.bool_) -> np.uint64:
    """The place behind the phrase that begins at text[i], or i where it does not.

    loose  as `re.I`, where U+0130 and U+0131 are an i and U+017F is an s; else as in `str.lower` of the text. U+212A is a k in both.
    """
    place = i
    for k in range(known.shape[1]):
        c = known[which, k]
        if c == 0:
            break
        if place >= end:
            return i
        byte = text[place]
        if byte < 0x80:
            place += _1
            if (byte | 0x20 if np.uint8(byte - 65) < 26 else byte) != c:
                return i
        elif c == 107 and byte == 0xE2 and place + _3 <= end and text[place + _1] == 0x84 and text[place + _2] == 0xAA:
            place += _3
        elif (
            loose
            and place + _2 <= end
            and (
                (c == 105 and byte == 0xC4 and text[place + _1] in (0xB0, 0xB1)) or (c == 115 and byte == 0xC5 and text[place + _1] == 0xBF)
            )
        ):
            place += _2
        else:
            return i
    return place


@lean
def occurrences(text: Bytes, i: np.uint64, end: np.uint64, known: Phrases, which: np.int64) -> np.int64:
    """How often the phrase occurs in text[i:end], in any case."""
    found = np.int64(0)
    first = known[which, 0]
    while i < end:
        behind = match(text, i, end, known, which, STRICT) if text[i] | 0x20 == first else i
        found += behind > i
        i = behind if behind > i else i + _1
    return found
