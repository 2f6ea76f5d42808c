"""Texts with planted near-duplicates of known similarity, in six languages, composed from syllables: no corpus needed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

LETTERS = {
    "latin": ("bdfgklmnprst", "aeiouåé", " "),
    "cyrillic": ("бвгдзклмнпрст", "аеиоуя", " "),
    "chinese": ("山水天地人心日月火木金土風雨雪花草魚鳥馬", None, ""),
    "japanese": ("かきくけこさしすせそたちつてとなにぬねのはひふへほ本日人", None, ""),
    "thai": ("กขคงจฉชซญดตถทธนบปผพฟมยรลวสหอ", None, ""),
    "khmer": ("កខគឃងចឆជឈញដឋឌឍណតថទធនបផពភមយរលវសហឡអ", None, ""),
}


@dataclass
class Text:
    """One text: `base` is the text it was made from, itself for an original."""

    text: str
    tokens: list[str]
    script: str
    kind: str
    base: int


def shingles(tokens: list[str]) -> set[tuple[str, ...]]:
    """The set that the similarity is taken of: five consecutive tokens."""
    small = [token.lower() for token in tokens]
    return {tuple(small[k : k + 5]) for k in range(max(1, len(small) - 4))}


def similarity(one: Text, other: Text) -> float:
    """Jaccard similarity of two texts' shingles."""
    a, b = shingles(one.tokens), shingles(other.tokens)
    return len(a & b) / len(a | b)


def vocabulary(script: str) -> list[str]:
    """Words of two and three syllables; single characters where the script has no spaces."""
    first, second, _ = LETTERS[script]
    if second is None:
        return list(first)
    syllables = [a + b for a, b in product(first, second)]
    return [a + b for a, b in product(syllables, syllables[::3])]


def planted(originals: int, seed: int, scripts: Sequence[str] = tuple(LETTERS)) -> list[Text]:
    """Originals in turn of every script, each with one copy: the same, reformatted, or with up to a tenth of its tokens edited."""
    draw = random.Random(seed)
    texts: list[Text] = []
    for k in range(originals):
        script = scripts[k % len(scripts)]
        words = vocabulary(script)
        tokens = [draw.choice(words) for _ in range(draw.randrange(60, 400))]
        base = len(texts)
        texts.append(_text(tokens, script, "base", base))
        kind = draw.choice(["exact", "format", "edit1", "edit2", "edit5", "edit10", "cut"])
        texts.append(_copy(tokens, script, kind, base, words, draw))
    return texts


def _text(tokens: list[str], script: str, kind: str, base: int) -> Text:
    return Text(LETTERS[script][2].join(tokens) + ".", tokens, script, kind, base)


def _copy(tokens: list[str], script: str, kind: str, base: int, words: list[str], draw: random.Random) -> Text:
    if kind == "format":
        return Text(",\n".join(tokens).upper(), tokens, script, kind, base)
    if kind == "cut":
        return _text(tokens[: len(tokens) * 9 // 10], script, kind, base)
    rate = int(kind[4:]) / 100 if kind != "exact" else 0
    return _text([draw.choice(words) if draw.random() < rate else token for token in tokens], script, kind, base)
