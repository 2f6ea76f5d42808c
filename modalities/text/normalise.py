"""Unicode normalisation of a column, by Arrow's utf8proc: one Unicode version, whatever Python runs.

utf8proc writes 80 MB/s. A text of characters that no normalisation touches is therefore recognised by a
regular expression (600 MB/s) and left alone; the characters it knows are a subset of Unicode's quick check.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

# Blocks of starters of which none composes with the character before it. What decomposes is taken out below;
# the rest is stable for ever by Unicode's policy.
_STARTERS = (
    (0x0000, 0x02FF),
    (0x0370, 0x0482),
    (0x048A, 0x052F),
    (0x05D0, 0x05EA),
    (0x0620, 0x064A),
    (0x1E00, 0x1EFF),
    (0x2010, 0x205E),
    (0x20A0, 0x20BF),
    (0x2100, 0x214F),
    (0x2190, 0x2BFF),
    (0x3000, 0x3029),
    (0x3030, 0x3096),
    (0x309B, 0x30FF),
    (0x31F0, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xFF01, 0xFFEF),
)


def normalise(column: pa.Array, form: str) -> pa.Array:
    """The column in normal form NFC or NFKC; nulls stay null.

    column  (n,) large_string
    """
    return rewrite(column, touched(form), lambda texts: pc.utf8_normalize(texts, form))


def rewrite(column: pa.Array, pattern: str, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """The column with `change` applied to the texts in which `pattern` matches: to find them costs less than any change."""
    matched = pc.match_substring_regex(column, pattern).fill_null(False)
    if not pc.any(matched).as_py():
        return column
    return pc.replace_with_mask(column, matched, change(column.filter(matched)))


@cache
def touched(form: str) -> str:
    """A regular expression for one character that a normalisation may touch."""
    points = [point for first, last in _STARTERS for point in range(first, last + 1)]
    characters = pa.array([chr(point) for point in points])
    stable = pc.equal(pc.utf8_normalize(characters, form), characters).to_pylist()
    ranges: list[list[int]] = []
    for point, same in zip(points, stable, strict=True):
        if not same:
            continue
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "[^" + "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges) + "]"
