"""Makes unicode.npz from the files of the Unicode Character Database, version 15.0.0.

The table is committed and this script is run only to move to another version of Unicode:
`python -m d4a.modalities.text.make_unicode FOLDER`, FOLDER holding UnicodeData.txt, Scripts.txt, ScriptExtensions.txt,
PropList.txt, DerivedCoreProperties.txt and Unihan_NumericValues.txt.bz2 (unicode.org/Public/15.0.0/ucd; in Debian 12 the
package unicode-data). Reading the published files, not `unicodedata`, makes the table independent of the Python that runs it.
"""

from __future__ import annotations

import bz2
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .unicode import BLOCK, BREAK, LETTER, NUMERIC, RUN, SOLO, SPACE, TABLE, TERMINAL, UPPER

VERSION = "15.0.0"
CODE_POINTS = 0x110000
# written without spaces between words: one character is one token
SOLO_SCRIPTS = {"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar"}
SOLO_SHORT = {"Hani", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr"}
LINE_BREAKS = (0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029)
FINAL_SIGMA, SIGMA = 0x03C2, 0x03C3


def ranges(path: Path) -> Iterator[tuple[range, str]]:
    """(code points, property value) of each line of a property file; the file must be of VERSION."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if VERSION not in lines[0]:
        raise SystemExit(f"{path}: expected version {VERSION}, found {lines[0]!r}")
    for line in lines:
        fields = line.split("#")[0].split(";")
        if len(fields) == 2:
            first, _, last = fields[0].strip().partition("..")
            yield range(int(first, 16), int(last or first, 16) + 1), fields[1].strip()


def characters(path: Path) -> Iterator[tuple[range, list[str]]]:
    """(code points, fields) of each line of UnicodeData.txt, where two lines `First>` and `Last>` span a range."""
    first = 0
    for line in path.read_text(encoding="ascii").splitlines():
        fields = line.split(";")
        code = int(fields[0], 16)
        if fields[1].endswith("First>"):
            first = code
        else:
            yield range(first if fields[1].endswith("Last>") else code, code + 1), fields


def solo_characters(folder: Path) -> set[int]:
    """Code points of the scripts that put no space between words, by script or by script extension (the mark U+30FC)."""
    found = {code for span, script in ranges(folder / "Scripts.txt") if script in SOLO_SCRIPTS for code in span}
    for span, scripts in ranges(folder / "ScriptExtensions.txt"):
        if SOLO_SHORT & set(scripts.split()):
            found.update(span)
    return found


def with_property(path: Path, name: str) -> list[int]:
    """Code points that have a binary property."""
    return [code for span, found in ranges(path) if found == name for code in span]


def unihan_numbers(path: Path) -> list[int]:
    """Han characters with a numeric value, which UnicodeData.txt does not list."""
    lines = bz2.decompress(path.read_bytes()).decode().splitlines()
    return sorted({int(line.split("\t")[0][2:], 16) for line in lines if line.startswith("U+")})


def entries(folder: Path) -> npt.NDArray[np.int32]:
    """(0x110000,) int32: distance to the lower case << 8 | flags, for every code point."""
    table = np.zeros(CODE_POINTS, np.int32)
    solo = solo_characters(folder)
    for span, fields in characters(folder / "UnicodeData.txt"):
        category, direction, lower = fields[2], fields[4], fields[13]
        for code in span:
            flags = 0
            if category[0] in "LMN":
                flags = (SOLO if code in solo else RUN) | (LETTER if category[0] == "L" else 0)
            if category == "Zs" or direction in ("WS", "B", "S"):  # what str.isspace says
                flags |= SPACE
            if fields[8]:
                flags |= NUMERIC
            table[code] = ((int(lower, 16) - code if lower else 0) << 8) | flags
    table[list(LINE_BREAKS)] |= BREAK
    table[with_property(folder / "DerivedCoreProperties.txt", "Uppercase")] |= UPPER
    table[with_property(folder / "PropList.txt", "Sentence_Terminal")] |= TERMINAL
    table[unihan_numbers(folder / "Unihan_NumericValues.txt.bz2")] |= NUMERIC
    table[FINAL_SIGMA] += (SIGMA - FINAL_SIGMA) << 8  # an upper-cased copy has lost the difference
    return table


def main(folder: Path) -> None:
    blocks, index = np.unique(entries(folder).reshape(-1, BLOCK), axis=0, return_inverse=True)
    np.savez_compressed(TABLE, index=index.astype(np.uint16).ravel(), entries=blocks.ravel(), version=np.array(VERSION))
    print(f"{TABLE}: {len(blocks)} blocks, {TABLE.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
