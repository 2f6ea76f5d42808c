"""text.quality.c4 by its definition, in plain Python: each variant in the order of its reference's rules."""

from __future__ import annotations

import re
from typing import Any

from d4a.modalities.text.c4 import C4Options
from d4a.modalities.text.unicode import TERMINAL
from line_texts import lowered, properties, spaced

KHMER = "\u17d4\u17d5\u17d6\u17d9\u17da"
CLOSING = "\"')]}»«’‘”“›‹〉》」』】〕〗〙〛〞〟＂＇）］｝｣"
CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
POLICY = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
REASONS = ["no_terminal_punctuation", "too_few_words", "long_word", "javascript", "policy"]


def is_terminal(char: str) -> bool:
    return bool(properties(char) & TERMINAL) or char in KHMER


def sentences(line: str) -> int:
    """By the definition in the stage's documentation."""
    found, begin, i = 0, 0, 0
    while i < len(line):
        if not is_terminal(line[i]):
            i += 1
            continue
        first = i
        while i < len(line) and (is_terminal(line[i]) or line[i] in CLOSING):
            i += 1
        wide = any(ord(c) >= 128 and is_terminal(c) for c in line[first:i])
        if wide or i == len(line) or line[i].isspace():
            found += line[begin:first].strip() != ""
            begin = i
    return found + (line[begin:].strip() != "")


def ends(line: str, options: C4Options) -> bool:
    if options.variant != "dolma" and line.endswith("..."):
        return False
    if line.endswith((".", "?", "!", '"', *("'" if options.variant == "datatrove" else ""))):
        return True
    return options.end_marks == "any" and line.rstrip(CLOSING)[-1:] != "" and is_terminal(line.rstrip(CLOSING)[-1:])


def bad_words(text: str, words: list[str], options: C4Options) -> int:
    """Places where a word begins, in each line for itself."""
    before, behind = {
        "c4": ("(?<=[^a-z])", "(?=[^a-z])"),
        "datatrove": (r"(?:(?<=\W)|^)", r"(?=\W|$)"),
        "dolma": (r"(?:(?<=\s)|^)", r"(?=\s|$)"),
    }[options.variant]
    patterns = []
    for word in words:
        free = not options.bad_words_flanked or (options.variant == "dolma" and " " in word)
        patterns.append(re.compile(re.escape(lowered(word)) if free else before + re.escape(lowered(word)) + behind))
    lines = lowered(text).split("\n")
    return sum(any(p.match(line, k) for p in patterns) for line in lines for k in range(len(line)))


def by_hand(text: str, options: C4Options, words: list[str] | None = None) -> tuple[str, dict[str, int | None]]:
    """The text that stays, before white space around it is taken off, and the values."""
    dolma = options.variant == "dolma"
    values: dict[str, int | None] = dict.fromkeys([*REASONS, "sentences", "lorem_ipsum", "curly_brackets"], 0)
    small = text.lower()
    if dolma:
        values |= {"lorem_ipsum": small.count("lorem ipsum"), "javascript": small.count("javascript"), "curly_brackets": text.count("{")}
    lines = text.splitlines() if not dolma else re.findall(r"[^\n]*\n|[^\n]+$", text)
    kept = []
    for whole in lines:
        line = whole.strip()
        why = judge_line(line, options, values)
        if isinstance(why, str):
            kept.append(whole if dolma else why)
        elif line:
            values[REASONS[why]] += 1
    result = ("" if dolma else "\n").join(kept)
    values["bad_words"] = None if words is None else bad_words(text if dolma else result, words, options)
    return result if dolma else result.strip(), values


def judge_line(line: str, options: C4Options, values: dict[str, Any]) -> str | int:
    """The line that stays, or the index of the reason why it goes."""
    dolma = options.variant == "dolma"
    before = spaced(line).split()
    if options.max_word_chars and any(len(word) > options.max_word_chars for word in before):
        return 2
    line = CITATION.sub("", line) if options.remove_citations else line
    if options.terminal_punctuation and not ends(line, options):
        return 0
    if len(before if options.variant == "datatrove" else spaced(line).split()) < (options.min_words_per_line or 0):
        return 1
    if not dolma:
        small = line.lower()
        values["lorem_ipsum"] += small.count("lorem ipsum")
        if options.javascript and "javascript" in small:
            return 3
        values["curly_brackets"] += line.count("{")
        if options.policy and any(phrase in small for phrase in POLICY):
            return 4
    values["sentences"] += sentences(line)
    return line
