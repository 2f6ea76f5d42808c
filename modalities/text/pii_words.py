"""E-mail addresses and secrets: finds that begin before the byte that gives them away.

Each part is called at that byte (@, or one letter of a prefix) and looks back; runs of one class are never read twice for
it, so that hostile texts cost no more than others.
"""

from __future__ import annotations

import numpy as np

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes
from .pii_borders import ALNUM, CLASS, DASH, DIGIT, DOT, LOCAL, LOWER, UPPER, WORD, Flag, Int, same

# what stands where a top-level domain would, and is none: systemd's units, pictures
FILE_ENDINGS = (
    *("service", "socket", "timer", "mount", "automount", "swap", "path", "slice", "scope", "device", "target", "journal", "conf"),
    *("png", "jpg", "jpeg", "gif", "svg", "webp"),
)
_ENDING_WIDTH = max(map(len, FILE_ENDINGS))
_ENDINGS = np.array([list(ending.ljust(_ENDING_WIDTH, "\0").encode()) for ending in FILE_ENDINGS], np.uint8)
_ENDING_SIZES = np.array([len(ending) for ending in FILE_ENDINGS], np.int64)
_LONGEST_TOP = 24

_DOT_BYTE, _DASH_BYTE = ord("."), ord("-")


# ----------------------------------------------------------------------------------------------- e-mail


@lean
def _foreign(lead: np.uint8, tail: np.uint8) -> Flag:
    """Whether two bytes are a letter of U+00C0 to U+024F (but × and ÷) or U+0370 to U+052F: Latin, Greek, Cyrillic."""
    if lead < 0xC3 or lead > 0xD4 or tail < 0x80 or tail > 0xBF:
        return False
    code = (np.int64(lead) & 31) << 6 | (np.int64(tail) & 63)
    return (0xC0 <= code <= 0x24F and code != 0xD7 and code != 0xF7) or 0x370 <= code <= 0x52F


@lean
def email(data: Bytes, at: Int, first: Int, end: Int) -> tuple[Int, Int]:
    """(start, behind) of the address around the @ at `at`; (0, 0) where there is none."""
    if at == first or data[at - 1] == _DOT_BYTE:
        return 0, 0
    start = i = at
    while i > first:
        kind = CLASS[data[i - 1]]
        if kind & (WORD | DASH | DOT | LOCAL):
            if kind & DOT and data[i] == _DOT_BYTE:
                break  # two dots
            i -= 1
            if kind & WORD:
                start = i
        elif i - 1 > first and _foreign(data[i - 2], data[i - 1]):
            i -= 2
            start = i
        else:
            break
    if start == at:
        return 0, 0
    behind = _domain(data, at + 1, end)
    return (start, behind) if behind else (0, 0)


@lean
def _domain(data: Bytes, i: Int, end: Int) -> Int:
    """Behind the longest domain at i: two labels or more, the last one a top-level domain; 0 where there is none."""
    best: Int = 0
    labels = 0
    label = i  # where the label begins
    ascii_letters, foreign_letters, other = 0, 0, False
    while True:
        c = data[i] if i < end else np.uint8(0)
        kind = CLASS[c]
        if kind & ALNUM:
            ascii_letters += kind & (UPPER | LOWER) != 0
            other = other or kind & DIGIT != 0
            i += 1
            continue
        foreign = i + 1 < end and _foreign(c, data[i + 1])
        if labels and i > label and data[i - 1] != _DASH_BYTE and not (foreign and foreign_letters):
            plain = not other and 2 <= ascii_letters + foreign_letters <= _LONGEST_TOP and ascii_letters * foreign_letters == 0
            if (plain and not _is_file_ending(data, label, i)) or (not foreign and c != _DASH_BYTE and _is_punycode(data, label, i)):
                best = i
        if foreign:
            foreign_letters += 1
            i += 2
        elif kind & DASH and i > label:
            other = True
            i += 1
        elif kind & DOT and i > label and data[i - 1] != _DASH_BYTE:
            labels += 1
            i += 1
            label = i
            ascii_letters, foreign_letters, other = 0, 0, False
        else:
            return best


@lean
def _is_file_ending(data: Bytes, i: Int, end: Int) -> Flag:
    for k in range(_ENDING_SIZES.size):
        if end - i == _ENDING_SIZES[k]:
            equal = True
            for n in range(end - i):
                equal = equal and data[i + n] | 0x20 == _ENDINGS[k, n]
            if equal:
                return True
    return False


@lean
def _is_punycode(data: Bytes, i: Int, end: Int) -> Flag:
    """Whether a label of letters, digits and dashes begins with xn--."""
    if end - i < 6 or end - i > 63:
        return False
    for k in range(i, end):
        if not CLASS[data[k]] & (ALNUM | DASH):
            return False
    return bool(data[i] | 0x20 == 0x78 and data[i + 1] | 0x20 == 0x6E and data[i + 2] == _DASH_BYTE and data[i + 3] == _DASH_BYTE)


# ---------------------------------------------------------------------------------------------- secrets

_PLAIN, _LINED, _DASHED, _BOTH, _CAPITALS = ALNUM, WORD, ALNUM | DASH, WORD | DASH, UPPER | DIGIT
_ANY, _WITH_DIGIT, _MIXED = 0, DIGIT, DIGIT | UPPER | LOWER
_NO_LIMIT = 1 << 40
# (prefix, place of the byte in it that calls, classes of what follows, least, most, classes of which it must have some)
PREFIXES = (
    ("AKIA", 2, _CAPITALS, 16, 16, _ANY),  # AWS
    ("ASIA", 2, _CAPITALS, 16, 16, _ANY),
    *((f"gh{letter}_", 3, _PLAIN, 36, 255, _ANY) for letter in "oprsu"),  # GitHub
    ("github_pat_", 10, _LINED, 82, 82, _ANY),
    ("glpat-", 5, _BOTH, 20, _NO_LIMIT, _ANY),  # GitLab
    *((f"xox{letter}-", 4, _DASHED, 20, _NO_LIMIT, _WITH_DIGIT) for letter in "abeoprs"),  # Slack
    ("AIza", 1, _BOTH, 35, 35, _ANY),  # Google
    ("sk-", 2, _BOTH, 32, _NO_LIMIT, _MIXED),  # OpenAI, Anthropic
    *((f"{kind}k_{mode}_", 7, _PLAIN, 16, 247, _ANY) for kind in "sr" for mode in ("live", "test")),  # Stripe
    ("npm_", 3, _PLAIN, 36, 36, _ANY),
    ("pypi-", 4, _BOTH, 50, _NO_LIMIT, _MIXED),
    ("hf_", 2, _PLAIN, 34, 34, _ANY),  # Hugging Face
)
_WIDTH = max(len(row[0]) for row in PREFIXES)
_PREFIXES = np.array([list(row[0].ljust(_WIDTH, "\0").encode()) for row in PREFIXES], np.uint8)
_SIZES = np.array([len(row[0]) for row in PREFIXES], np.int64)
_CALLS = np.array([row[1] for row in PREFIXES], np.int64)
_KINDS = np.array([row[2] for row in PREFIXES], np.uint8)
_LEAST = np.array([row[3] for row in PREFIXES], np.int64)
_MOST = np.array([row[4] for row in PREFIXES], np.int64)
_NEEDED = np.array([row[5] for row in PREFIXES], np.uint8)
_WORDS = np.array([list(word.ljust(11, b"\0")) for word in (b"eyJ", b"PRIVATE KEY", b" BLOCK", b"BEGIN ", b"END ")], np.uint8)
_LEAST_PART = 10
_LONGEST_LABEL = 34


@lean
def _goes_on(data: Bytes, i: Int, first: Int) -> Flag:
    """Whether what begins at i may be the rest of a longer token; five dashes, which end a line of a PEM block, are part of none."""
    if i == first or CLASS[data[i - 1]] & (WORD | DASH) == 0:
        return False
    dashes = 0
    while dashes < 5 and i - dashes > first and data[i - dashes - 1] == _DASH_BYTE:
        dashes += 1
    return dashes < 5


@lean
def token(data: Bytes, i: Int, first: Int, end: Int) -> tuple[Int, Int]:
    """(start, behind) of the token one of whose prefixes calls at i; (0, 0) where there is none."""
    for k in range(_SIZES.size):
        start = i - _CALLS[k]
        if data[i] != _PREFIXES[k, _CALLS[k]] or start < first or not same(data, start, end, _PREFIXES, k, _SIZES[k]):
            continue
        if _goes_on(data, start, first):
            continue
        body = j = start + _SIZES[k]
        seen = np.uint8(0)
        while j < end and CLASS[data[j]] & _KINDS[k]:
            seen |= CLASS[data[j]]
            j += 1
        if _LEAST[k] <= j - body <= _MOST[k] and seen & _NEEDED[k] == _NEEDED[k]:
            return start, j
    return 0, 0


@lean
def jwt(data: Bytes, i: Int, first: Int, end: Int) -> tuple[Int, Int]:
    """(start, behind) of the JSON Web Token with the J of its `eyJ` at i; (0, 0) where there is none."""
    start = i - 2
    if start < first or not same(data, start, end, _WORDS, 0, 3) or _goes_on(data, start, first):
        return 0, 0
    j = start
    for k in range(3):
        if k < 2:
            if not same(data, j, end, _WORDS, 0, 3):
                return 0, 0
            j += 3
        body = j
        while j < end and CLASS[data[j]] & (WORD | DASH):
            j += 1
        if j - body < _LEAST_PART:
            return 0, 0
        if k < 2:
            if j >= end or data[j] != _DOT_BYTE:
                return 0, 0
            j += 1
    return start, j


@lean
def pem_label(data: Bytes, i: Int, first: Int, end: Int, word: int, size: int) -> tuple[Int, Int]:
    """(start, behind) of a line `-----WORD … PRIVATE KEY-----` whose word begins at i; (0, 0) where there is none."""
    if i - 5 < first or not same(data, i, end, _WORDS, word, size):
        return 0, 0
    for k in range(5):
        if data[i - 1 - k] != _DASH_BYTE:
            return 0, 0
    j = i + size
    while j < end and j < i + size + _LONGEST_LABEL and (CLASS[data[j]] & _CAPITALS or data[j] == 0x20):
        j += 1
    name = j - 6 if same(data, j - 6, end, _WORDS, 2, 6) else j
    if not same(data, name - 11, end, _WORDS, 1, 11) or name - 11 < i + size or j + 5 > end:
        return 0, 0
    for k in range(5):
        if data[j + k] != _DASH_BYTE:
            return 0, 0
    return i - 5, j + 5
