"""Marks show the words that differ, and only those."""

from __future__ import annotations

import re
import time

from d4a.curator.report.differences import CUT, mark, spaced_words


def marks(text: str, other: str) -> tuple[list[str], list[str]]:
    html = str(mark(text, other))
    return re.findall("<mark>(.*?)</mark>", html, re.DOTALL), re.findall("<del>(.*?)</del>", html, re.DOTALL)


def test_words_that_differ_are_marked_and_missing_ones_struck() -> None:
    assert marks("the quick red fox jumps", "the quick brown fox jumps") == (["red"], ["brown"])
    assert marks("one two three four", "one two four three four five six four")[0] == []
    assert marks("The Fox", "the fox") == ([], [])  # case is no difference of words


def test_chinese_is_marked_by_character() -> None:
    assert marks("海纳百川有容乃大壁立千仞", "海纳千川有容乃大壁立千仞") == (["百"], ["千"])


def test_where_excerpts_were_cut_is_no_difference() -> None:
    common = "a line that both of the texts have in common, word by word. " * 5
    assert marks(common + "tail of one" + CUT, common + "end of two" + CUT) == ([], [])
    assert marks(common + "tail of one", common + "end of two") != ([], [])
    assert str(mark(common + "x" + CUT, common + "y" + CUT)).endswith(CUT)


def test_long_agreement_is_shortened_between_words() -> None:
    common = " ".join(f"word{i}" for i in range(100))
    shown = str(mark(f"{common} new", f"{common} old"))
    assert len(shown) < 300 and shown.startswith("word0 word1 ") and re.search(r"word\d+ … word\d+ ", shown)


def test_texts_without_much_in_common_get_no_marks() -> None:
    assert mark("alpha beta gamma delta epsilon zeta", "one two three four five six seven") is None
    assert mark("", "") == "" and mark(CUT, "") == CUT


def test_data_stay_text_and_excerpts_of_any_kind_are_quick() -> None:
    assert "<script>" not in str(mark("same same <script>x</script>", "same same <b>x</b>"))
    started = time.process_time()
    for one, other in (("ab " * 200, "ba " * 200), ("海" * 600, "纳海" * 300), ("." * 600, ".," * 300), ("a" * 600, "b" * 600)):
        mark(one, other)
    assert time.process_time() - started < 5


def test_scripts_without_spaces_are_compared_by_character() -> None:
    assert spaced_words("坐在 门口\nthe end") == ["坐", "在 ", "门", "口 ", "the ", "end"]
    assert spaced_words("สวัสดี") == list("สวัสดี")
