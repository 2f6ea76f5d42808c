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
        found += tokens_of(held)
        found += [char] if properties(char) & SOLO else []
        held = ""
    return found


def tokens_of(run: str) -> list[str]:
    """Tokens of characters without white space: what comes off in front, the rest divided, what comes off behind."""
    front, behind = [], list[str]()
    while run and not properties(run[0]) & RUN:
        dots = len(run) - len(run.lstrip("."))
        if run[0] in "-/\\@|~^" or (dots == 1 and len(run) > 1):
            break
        front.append(run[: max(dots, 1)])
        run = run[max(dots, 1) :]
    while run and not properties(run[-1]) & RUN and run[-1] not in "-/\\@|~^=+":
        dots = len(run) - len(run.rstrip("."))
        behind.insert(0, run[len(run) - max(dots, 1) :])
        run = run[: len(run) - max(dots, 1)]
    return [*front, *divided(run), *behind]


def divided(run: str) -> list[str]:
    """A run cut at the symbols that divide what would be one word."""
    pieces, start = [], 0
    for found in re.finditer(r"(?<!\.)\.+|(?<!-)-+|.", run, re.DOTALL):
        k, symbol = found.start(), found[0]
        behind = properties(run[found.end()]) if found.end() < len(run) else 0
        before = properties(run[k - 1]) if k > start else 0
        if not properties(symbol[0]) & RUN and before & RUN and divides(symbol, before, behind):
            pieces += [run[start:k], symbol]
            start = found.end()
    return [*pieces, *([run[start:]] if run[start:] else [])]


def divides(symbol: str, before: int, behind: int) -> bool:
    letters, numbers = before & behind & LETTER, before & behind & NUMERIC
    if symbol[0] in "-~–—,":
        return bool(letters or (symbol[0] == "-" and numbers))
    if symbol[0] in ":/<=>":
        return bool(before & (LETTER | NUMERIC) and behind & LETTER)
    if symbol[0] == ".":
        return len(symbol) > 1 or bool(letters and not before & UPPER and behind & UPPER)
    return symbol == "…" or bool(numbers and symbol[0] in "*+^")
