"""Two excerpts, and the words in which they differ.

Marks by words, for Chinese and Japanese by characters: a mark by characters makes confetti of English, one by lines
says nothing about a rewritten sentence. difflib passes over words that are everywhere, so its time stays bounded.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate

from .markup import Html, join, lines, tag

# scripts whose words have no space between them, and Hangul, whose words are long
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|\w+|\s+|.", re.DOTALL)
_SPACED = re.compile(rf"(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)\s*")
_Step = tuple[bool, int, int, int, int]  # the two agree; start and end here; start and end in the other
_COMMON = 0.4  # of the shorter text
_CHANCE = 8  # characters that agree between two changes and mean nothing
_CONTEXT = 60  # characters of agreement shown beside a difference
_STRUCK = 80
CUT = "…"  # at the end of an excerpt whose text goes on


def words(text: str) -> list[str]:
    """Words, ideographs, runs of white space and single marks: joined they are the text."""
    return _TOKEN.findall(text)


def spaced_words(text: str) -> list[str]:
    """Words between white space, each with a blank behind it where the text has any; a character each in scripts without spaces."""
    return [word if not word[-1].isspace() else f"{word.rstrip()} " for word in _SPACED.findall(text)]


def mark(text: str, other: str) -> Html | None:
    """The text with words that the other lacks marked, words that only the other has struck out, and long agreement shortened.

    None where the two have too little in common for marks to help: excerpts may begin in different places.
    """
    cut = text.endswith(CUT) or other.endswith(CUT)
    mine, theirs = words(text.removesuffix(CUT)), words(other.removesuffix(CUT))
    matcher = SequenceMatcher(None, [token.lower() for token in mine], [token.lower() for token in theirs])
    steps = _joined(matcher.get_opcodes(), mine)
    if sum(len("".join(mine[start:end])) for same, start, end, _, _ in steps if same) < _COMMON * min(len(text), len(other)):
        return None
    if cut and steps and not steps[-1][0]:
        steps.pop()  # behind the last common word they differ in where they were cut
    pieces = [_agreed(mine[start:end]) if same else _changed(mine[start:end], theirs[s:e]) for same, start, end, s, e in steps]
    return join([*pieces, CUT if text.endswith(CUT) else ""])


def _joined(opcodes: Sequence[tuple[str, int, int, int, int]], mine: list[str]) -> list[_Step]:
    """Runs of agreement and of change in turn; a word or two that agree by chance belong to the change around them."""
    steps: list[_Step] = []
    for index, (step, start, end, s, e) in enumerate(opcodes):
        inside = 0 < index < len(opcodes) - 1
        same = step == "equal" and not (inside and len("".join(mine[start:end]).strip()) < _CHANCE)
        if steps and not same and not steps[-1][0]:
            steps[-1] = (False, steps[-1][1], end, steps[-1][3], e)
        else:
            steps.append((same, start, end, s, e))
    return steps


def _agreed(tokens: list[str]) -> Html:
    """Words of both: the first and the last where there are many."""
    ends = list(accumulate(map(len, tokens)))
    total = ends[-1] if ends else 0
    if total <= 3 * _CONTEXT:
        return lines("".join(tokens))
    first, last = bisect_left(ends, _CONTEXT), bisect_right(ends, total - _CONTEXT)
    return lines(f"{''.join(tokens[: first + 1]).rstrip()} … {''.join(tokens[last:]).lstrip(' ')}")


def _changed(mine: list[str], theirs: list[str]) -> Html:
    text, gone = "".join(mine), "".join(theirs)
    if not (text + gone).strip():
        return lines(text)
    struck = gone if len(gone) <= _STRUCK else f"{gone[: _STRUCK - 20]} … "
    parts = [tag("del", lines(struck))] if gone.strip() else []
    return join([*parts, tag("mark", lines(text)) if text.strip() else lines(text)])
