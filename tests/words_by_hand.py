"""The words that the quality rules count, by their definition, one character at a time."""

from __future__ import annotations

import re

from d4a.modalities.text.unicode import LETTER, NUMERIC, RUN, SOLO, SPACE, UPPER, table


def properties(char: str) -> int:
    index, entries = table()
    return int(entries[int(index[ord(char) >> 7]) * 128 + (ord(char) & 127)])


def is_word(token: str) -> bool:
    return any(properties(c) & (RUN | SOLO) for c in token)


def tokens(text: str) -> list[str]:
    """Words, and symbols outside of them, in order."""
    found: list[str] = []
    held = ""
    for char in text + " ":
        if not properties(char) & (SPACE | SOLO):
            held += char
            continue
        for piece in divided(held):
            places = [k for k, c in enumerate(piece) if properties(c) & RUN] or [len(piece)]
            word = piece[places[0] : places[-1] + 1]
            found += [*symbols(piece[: places[0]]), *([word] if word else []), *symbols(piece[places[-1] + 1 :])]
        found += [char] if properties(char) & SOLO else []
        held = ""
    return found


def symbols(text: str) -> list[str]:
    return [found[0] for found in re.finditer(r"([-.=~+|^/\\@])\1*|.", text, re.DOTALL)]


def divided(run: str) -> list[str]:
    """A run of characters without white space, cut at the symbols that divide what would be one word."""
    pieces, start, k = [], 0, 0
    while k < len(run):
        if properties(run[k]) & RUN:
            k += 1
            continue
        symbol = symbols(run[k:])[0]
        before = properties(run[k - 1]) if k > start else 0
        behind = properties(run[k + len(symbol)]) if k + len(symbol) < len(run) else 0
        if before & RUN and divides(symbol, before, behind):
            pieces += [run[start:k], symbol]
            start = k + len(symbol)
        k += len(symbol)
    return [*pieces, run[start:]]


def divides(symbol: str, before: int, behind: int) -> bool:
    letters, numbers = before & behind & LETTER, before & behind & NUMERIC
    if symbol[0] in "-~–—,":
        return bool(letters or (symbol[0] == "-" and numbers))
    if symbol[0] in ":/<=>":
        return bool(before & (LETTER | NUMERIC) and behind & LETTER)
    if symbol[0] == ".":
        return len(symbol) > 1 or bool(letters and not before & UPPER and behind & UPPER)
    return symbol == "…" or bool(numbers and symbol[0] in "*+^")
