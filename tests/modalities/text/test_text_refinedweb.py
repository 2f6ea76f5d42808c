"""text.quality.refinedweb: DCLM's rules one after the other over the whole text, and what the kernel makes of it in one pass."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from d4a.modalities.text.refinedweb import RefinedWeb, RefinedWebOptions
from d4a.modalities.text.unicode import SOLO
from hypothesis import given, settings
from hypothesis import strategies as st
from line_texts import batch, properties, spaced, texts

NAMES = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"
COUNTER = re.compile(rf"^\W*\d[,.\d]*[kmb]?\s+(?:{NAMES})\W*$")
PATTERNS = [re.compile(p, re.I) for p in (r"\s?items in cart", r"\s?read more...$", r"^sign-in\s?")]
REASONS = ["capitals", "digits", "counters", "too_few_words"]


def words(text: str) -> int:
    """Words by fastText's separators, or characters of scripts without spaces, that begin with a letter or a number."""
    pieces = "".join(f" {c} " if properties(c) & SOLO else c for c in text)
    return sum(piece[:1].isalnum() for piece in re.split(r"[ \t-\r\x00]+", pieces))


def by_hand(text: str, options: RefinedWebOptions) -> tuple[str, dict[str, float]]:
    """The text as the rules leave it, one after the other, and the values."""
    values: dict[str, float] = dict.fromkeys([*REASONS, "patterns"], 0)
    before = words(text)

    def goes(line: str, reason: str) -> bool:
        if reason == "capitals":
            return options.max_capitals is not None and sum(map(str.isupper, line)) / len(line) > options.max_capitals
        if reason == "digits":
            return options.max_digits is not None and sum(map(str.isdigit, line)) / len(line) > options.max_digits
        if reason == "counters":
            return options.counters and COUNTER.search(line.lower()) is not None
        return len(spaced(line).split()) < (options.min_words_per_line or 0)

    for reason in REASONS:
        gone = [line for line in text.split("\n") if line and goes(line, reason)]
        values[reason] += sum(line.strip() != "" for line in gone)
        text = "\n".join(line for line in text.split("\n") if not (line and goes(line, reason)))
        text = text.strip() if reason != "too_few_words" else text
    text, values["patterns"] = without_patterns(text, options)
    text = text.strip()
    values["removed_words"] = (before - words(text)) / before if before else 1.0
    return text, values


def without_patterns(text: str, options: RefinedWebOptions) -> tuple[str, int]:
    """The text without the three patterns, and how many lines had one."""
    if not options.patterns:
        return text, 0
    lines = [(k, line) for k, line in enumerate(text.split("\n"))]
    had = set()
    for pattern in PATTERNS:
        left = []
        for k, line in lines:
            short = len(spaced(line).split()) <= options.max_pattern_words
            new = pattern.sub("", line) if short else line
            if new != line:
                had.add(k)
            if not (short and line and (not new or new.isspace())):
                left.append((k, new))
        lines = stripped(left)
    return "\n".join(line for _, line in lines), len(had)


def stripped(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """What `str.strip` of the joined lines leaves of them."""
    while lines and not lines[0][1].strip():
        lines = lines[1:]
    while lines and not lines[-1][1].strip():
        lines = lines[:-1]
    if lines:
        lines = [(lines[0][0], lines[0][1].lstrip()), *lines[1:]]
        lines = [*lines[:-1], (lines[-1][0], lines[-1][1].rstrip())]
    return lines


def change(*given: str | None, **options: Any) -> pa.RecordBatch:
    return RefinedWeb(RefinedWebOptions(**options)).change(batch(*given), frozenset())


def check(given: list[str], **options: Any) -> None:
    for text, row in zip(given, change(*given, **options).to_pylist(), strict=True):
        expected, values = by_hand(text, RefinedWebOptions(**options))
        assert row["text"] == (expected or None)
        assert row["reason"] == (None if expected else "empty")
        assert {name: row[name] for name in values} == values
        assert row["edited_chars"] == (len(text) - len(expected) if expected else None)


PHRASES = [
    "items in cart",
    " Items  in cart",
    "ITEMſ İn cart",
    "Read more...",
    " read more!!!",
    "READ MORE字字字",
    "read more",
    "Sign-in",
    "sıgn-ın ",
    "ſİgn-in",
]
PHRASES += [
    "3 likes",
    "1.2K views",
    "٣ shares",
    "5 li\u212aes!",
    "7\u212a quotes",
    "12\n",
    "SHOUT ",
    "two words\n",
    "  3 likes.  \n",
    "1 2 3 4 5 6 7 8 9 10 11",
]
SWITCHES = st.fixed_dictionaries(
    {},
    optional={
        "max_capitals": st.sampled_from([None, 0.0, 0.25, 1.0]),
        "max_digits": st.sampled_from([None, 0.0, 0.5]),
        "counters": st.booleans(),
        "min_words_per_line": st.sampled_from([None, 1, 3]),
        "patterns": st.booleans(),
        "max_pattern_words": st.sampled_from([0, 2, 4, 100]),
    },
)


@settings(max_examples=400, deadline=None)
@given(st.lists(texts(*PHRASES, breaks=["\n", "\n", "\n\n", "\r", "\x85", " \n", "\n "]), min_size=1, max_size=3), SWITCHES)
def test_texts_and_values_are_those_of_the_rules_one_after_the_other(given: list[str], options: dict[str, Any]) -> None:
    check(given, **options)


LINES = [
    "SHOUT it",
    " 12 ",
    "12",
    "3 likes",
    "word",
    "",
    "  ",
    "read more...",
    " Read more... ",
    "sign-in",
    " Sign-in now",
    "items in cart",
    "two words",
    "\u3000wide one",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=6).map("\n".join), SWITCHES)
def test_first_and_last_lines_are_those_that_are_left_before_each_rule(text: str, options: dict[str, Any]) -> None:
    check([text], **options)


def test_real_lines() -> None:
    source = Path(argparse.__file__).read_text(encoding="utf-8")
    check([source, *(source[k : k + 2000] for k in range(0, len(source), 2000))])


KEPT = "This line stays as it is."


@pytest.mark.parametrize(
    ("text", "expected", "counted"),
    [
        (f"MENU AND MORE\n{KEPT}", KEPT, "capitals"),
        (f"HALF of it is\n{KEPT}", f"HALF of it is\n{KEPT}", ""),
        (f"{KEPT}\n2023\n{KEPT}", f"{KEPT}\n{KEPT}", "digits"),
        (f"{KEPT}\n20 23\n{KEPT}", f"{KEPT}\n20 23\n{KEPT}", ""),
        (f"  2023\n{KEPT}", KEPT, "digits"),  # the first line has no white space before it
        (f"{KEPT}\n3 likes\n{KEPT}", f"{KEPT}\n{KEPT}", "counters"),
        (f"{KEPT}\n» 1.2K Views «\n{KEPT}", f"{KEPT}\n{KEPT}", "counters"),
        (f"{KEPT}\n3 likes today\n{KEPT}", f"{KEPT}\n3 likes today\n{KEPT}", ""),
        (f"{KEPT}\nHome\n\n{KEPT}", f"{KEPT}\n\n{KEPT}", "too_few_words"),
        (f"{KEPT}\n   \n{KEPT}", f"{KEPT}\n{KEPT}", ""),
        (f"Sign-in to go on\n{KEPT}", f"to go on\n{KEPT}", "patterns"),
        (f"You may sign-in here\n{KEPT}", f"You may sign-in here\n{KEPT}", ""),
        (f"A headline Read more...\n{KEPT}", f"A headline\n{KEPT}", "patterns"),
        (f"A headline read more >>>\n{KEPT}", f"A headline read more >>>\n{KEPT}", ""),
        (f"A headline read more>>>\n{KEPT}", f"A headline\n{KEPT}", "patterns"),  # a dot of the pattern is any character
        (f"3 items in cart now\n{KEPT}", f"3 now\n{KEPT}", "patterns"),
        (f"Items in cart\n{KEPT}", KEPT, "patterns"),
        (f"I have 3 items in cart and so on and so on\n{KEPT}", f"I have 3 items in cart and so on and so on\n{KEPT}", ""),
        ("今天天气很好\n١٢٣\n天气", "今天天气很好\n天气", "digits"),
    ],
)
def test_what_stays(text: str, expected: str, counted: str) -> None:
    row = change(text).to_pylist()[0]
    assert row["text"] == expected
    assert {name for name in [*REASONS, "patterns"] if row[name]} == ({counted} if counted else set())


def test_a_text_that_loses_much_is_refused_by_a_threshold_that_moves() -> None:
    many = "\n".join([KEPT] * 19)
    done = change(
        f"{many}\none two three four five LIKES", f"{many}\nHome\nAbout\nNews\nShop\nBlog", f"{many}\n" + "Home\n" * 6, "!!! ???", ""
    )
    assert done["removed_words"].to_pylist() == [0.0, 5 / 119, 6 / 120, 1.0, 1.0]
    judged = done.slice(0, 4)
    assert RefinedWeb(RefinedWebOptions()).judge(pa.table(judged)).keep.tolist() == [True, True, True, False]
    assert RefinedWeb(RefinedWebOptions(max_removed_words=0.04)).judge(pa.table(judged)).keep.tolist() == [True, False, False, False]
    assert RefinedWeb(RefinedWebOptions(max_removed_words=None)).judge(pa.table(judged)).keep.all()
    verdict = RefinedWeb(RefinedWebOptions()).judge(pa.table(judged))
    assert verdict.reasons == ["too_many_words_removed"]


def test_rows_stay_in_place_and_other_columns_as_they_came() -> None:
    done = change(KEPT, None, "ALL GONE", "", "\n\n", f"x\n{KEPT} ")
    assert done["text"].to_pylist() == [KEPT, None, None, None, None, KEPT]
    assert done["reason"].to_pylist() == [None, "broken_json", "empty", "empty", "empty", None]
    assert done["record"].to_pylist() == ['{"n":1}'] * 6
    assert done["edited_chars"].to_pylist() == [0, None, None, None, None, 3]
    assert done["capitals"].to_pylist() == [0, None, 1, 0, 0, 0]
    assert {value.name: value.type for value in RefinedWeb.values}.items() <= {field.name: field.type for field in done.schema}.items()
    assert change().num_rows == 0
    sliced = batch("z.", "x\ny z", KEPT).slice(1, 2)
    assert RefinedWeb(RefinedWebOptions()).change(sliced, frozenset())["text"].to_pylist() == ["y z", KEPT]


def test_everything_can_be_switched_off() -> None:
    off = {"max_capitals": None, "max_digits": None, "counters": False, "min_words_per_line": None, "patterns": False}
    text = "SHOUT\n2023\n3 likes\n \nHome\nSign-in\n\nRead more..."
    assert change(f" {text}\n", **off)["text"].to_pylist() == [text]
