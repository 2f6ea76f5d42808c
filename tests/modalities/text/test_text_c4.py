"""text.quality.c4: each variant against its definition."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from c4_by_hand import POLICY, by_hand, sentences
from d4a.curator.errors import MachineError, UsageError
from d4a.curator.stage import Facts, Machine
from d4a.modalities.text.c4 import C4, VARIANTS, C4Options
from d4a.modalities.text.unicode import LETTER, NUMERIC, SOLO
from hypothesis import given, settings
from hypothesis import strategies as st
from line_texts import BREAKS, batch, properties, texts
from pydantic import ValidationError


def stage(words: list[str] | None = None, path: Path | None = None, **options: Any) -> C4:
    if words is not None:
        assert path is not None
        path.write_text("\n".join(words), encoding="utf-8")
        options["bad_words"] = str(path)
    made = C4(C4Options(**options))
    made.open(made.prepare(Machine()))
    return made


def change(*given: str | None, **options: Any) -> pa.RecordBatch:
    return stage(**options).change(batch(*given), frozenset())


def check(given: list[str], made: C4, words: list[str] | None = None) -> None:
    done = made.change(batch(*given), frozenset()).to_pylist()
    for text, row in zip(given, done, strict=True):
        expected, values = by_hand(text, made.options, words)
        assert row["text"] == (expected or None)
        assert row["reason"] == (None if expected else "empty")
        assert {name: row[name] for name in values} == values
        assert row["chars"] == len(text)
        assert row["edited_chars"] == (len(text) - len(expected) if expected else None)


PHRASES = [*POLICY, "JavaScript", "javaſcript", "Lorem Ipsum", "use coo\u212aies", "lorem İpsum", "[12]", "[٣]", "[²]", "[edit]", "[Edit]"]
PHRASES += [
    "[citation needed]",
    "[]",
    " it ends well.",
    " Is it so? It is.",
    "one two three four five",
    "你好。你好！",
    '"He said."',
    "é" * 40,
    "w" * 200,
]
SWITCHES = st.fixed_dictionaries(
    {"variant": st.sampled_from(list(VARIANTS))},
    optional={
        "terminal_punctuation": st.booleans(),
        "end_marks": st.just("any"),
        "remove_citations": st.booleans(),
        "min_words_per_line": st.sampled_from(["off", 1, 4]),
        "max_word_chars": st.sampled_from(["off", 10, 60, 63, 64, 127, 150]),
        "javascript": st.booleans(),
        "policy": st.booleans(),
    },
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(texts(*PHRASES), min_size=1, max_size=3), SWITCHES)
def test_texts_and_values_are_those_of_the_definition(given: list[str], options: dict[str, Any]) -> None:
    if options["variant"] == "dolma":
        options = {name: value for name, value in options.items() if name not in ("remove_citations", "javascript", "policy")}
    check(given, stage(**options))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(texts("ass", "bad word", "Bad", "字母", " ass ", "[1]", "mass", "ass.", breaks=["\n"]), min_size=1, max_size=2),
    st.sampled_from(list(VARIANTS)),
    st.booleans(),
    st.booleans(),
)
def test_bad_words_are_those_of_the_definition(
    tmp_path_factory: pytest.TempPathFactory, given: list[str], variant: str, flanked: bool, every_line: bool
) -> None:
    words = ["ass", "bad word", "bad", "badger", "Жа", "字母", "c++", "\U00010400"]
    lines = {"terminal_punctuation": False, "min_words_per_line": "off", "remove_citations": False} if every_line else {}
    path = tmp_path_factory.getbasetemp() / "words.txt"
    check(given, stage(words, path, variant=variant, bad_words_flanked=flanked, **lines), words)


def test_real_lines_of_every_length() -> None:
    source = Path(argparse.__file__).read_text(encoding="utf-8")
    prose = re.sub(r"\n(?=\S)", " ", source).replace("#", "")
    given = [source, *(prose[k : k + 3000] for k in range(0, len(prose), 3000))]
    for variant in VARIANTS:
        check(given, stage(variant=variant))
        check(given, stage(variant=variant, terminal_punctuation=False))


@pytest.mark.parametrize("variant", ["c4", "datatrove"])
def test_a_word_of_a_thousand_characters_stays_and_one_more_goes(variant: str) -> None:
    for letter in "wé字\u0301":
        given = [f"{'a ' * k}{letter * n}{' and it goes on.' * 3}" for k in range(33) for n in (999, 1000, 1001, 1100)]
        check(given, stage(variant=variant))
    assert change(f"Here is {'w' * 1001} in a line.", variant=variant)["long_word"].to_pylist() == [1]


LINE = "Here is a line of seven words."


@pytest.mark.parametrize(
    ("text", "variant", "expected"),
    [
        (f"{LINE}\n  {LINE} \n\n{LINE}", "c4", f"{LINE}\n{LINE}\n{LINE}"),
        (f"  {LINE}\r\nNo end here\r\n{LINE}", "c4", f"{LINE}\n{LINE}"),
        (f"  {LINE} \nNo end here\n\n{LINE}\n", "dolma", f"  {LINE} \n{LINE}\n"),
        ("Only four words here.", "c4", None),
        ("Only four words here.", "datatrove", "Only four words here."),
        ("And so on and so on ...", "c4", None),
        ("And so on and so on ...", "dolma", "And so on and so on ..."),
        ("He said it's all 'so good'", "c4", None),
        ("He said it's all 'so good'", "datatrove", "He said it's all 'so good'"),
        ('He said it is all "so good"', "c4", 'He said it is all "so good"'),
        ("It was so [1] in the years before.[citation needed]", "c4", "It was so  in the years before."),
        ("It was so in the years before. [1]", "c4", None),  # a space is left behind the full stop
        ("Four [1] words are left.", "c4", None),  # counted after citations are gone
        ("Three [1] stay.", "datatrove", "Three  stay."),  # counted before
        ("One or two words [1] more..[2].", "c4", None),
        ("This line has Javascript in it.\nThis line of course has none.", "c4", "This line of course has none."),
        (
            "This line has Javascript in it.\nThis line of course has none.",
            "dolma",
            "This line has Javascript in it.\nThis line of course has none.",
        ),
        ("Read the Terms of Use with care.\nThis line of course has none.", "datatrove", "This line of course has none."),
        ("今天天气很好。\n我们去公园散步！", "c4", None),
    ],
)
def test_what_stays(text: str, variant: str, expected: str | None) -> None:
    assert change(text, variant=variant)["text"].to_pylist() == [expected]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("• one item\n– two items\n- three 123\nEnable JavaScript now! javascript\n", "javascript", 2),
        ("Lorem Ipsum, lorem-ipsum lorem ipsum.", "lorem_ipsum", 2),
        ("# NASA and ESA say 42...\nplain line…\nlast one {x}\n", "curly_brackets", 1),
        ("The cat sat on the mat. The cat sat on the mat!", "sentences", 2),
    ],
)
def test_known_answers(text: str, name: str, value: int) -> None:
    assert change(text, variant="dolma")[name].to_pylist() == [value]


def test_other_scripts_end_lines_by_their_own_marks_on_request() -> None:
    text = "今天天气很好。\n我们去公园散步\n他说：「好！」\nهل هذا صحيح تماما يا صديقي؟\nवह कल बाज़ार नहीं गया था।"
    done = change(text, end_marks="any").to_pylist()[0]
    assert done["text"] == text.replace("我们去公园散步\n", "")
    assert (done["sentences"], done["no_terminal_punctuation"], done["too_few_words"]) == (4, 1, 0)


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("One. Two! Three?", 3),
        ("One. Two! Three? Rest", 4),
        ("It costs 3.14 at e.g. the market.", 2),
        ('He said: "Stop." Then he left.', 2),
        ("(It was so.) And it was good.", 2),
        ("Wait . . . what?! Yes...", 3),
        ("... ...", 0),
        ("今天好。明天呢？好！", 3),
        ("「好。」他说。", 2),
        ("No mark", 1),
    ],
)
def test_sentences(line: str, count: int) -> None:
    assert change(line, terminal_punctuation=False, min_words_per_line="off")["sentences"].to_pylist() == [count] == [sentences(line)]


def page(*lines: str) -> str:
    return "\n".join([*lines, *[LINE] * 5])


@pytest.mark.parametrize(
    ("text", "variant", "reason"),
    [
        (page(), "c4", "kept"),
        (page("Here is Lorem Ipsum in a line."), "c4", "lorem_ipsum"),
        (page("Here is Lorem Ipsum in a line"), "c4", "kept"),  # the line went before it was looked at
        (page("Here is Lorem Ipsum in a line"), "datatrove", "kept"),
        (page("Here is Lorem Ipsum in a line"), "dolma", "lorem_ipsum"),
        (page("Lorem ipsum by javascript in a line."), "c4", "lorem_ipsum"),  # looked at before the line goes
        (page("Here is { in a line."), "c4", "curly_bracket"),
        (page("Here is { and javascript in a line."), "c4", "kept"),  # that line went
        (page("Here is { and javascript in a line."), "dolma", "javascript"),
        (page("Here is { in our privacy policy."), "datatrove", "curly_bracket"),  # looked at before the line goes
        (page("{ x }"), "datatrove", "kept"),
        (page("{ x }"), "dolma", "curly_bracket"),
        (page("javascript"), "dolma", "javascript"),
        (page("javascript"), "c4", "kept"),
        (f"{LINE} {LINE}", "c4", "too_few_sentences"),
        (f"{LINE} {LINE} {LINE}", "c4", "kept"),
        (f"{LINE} {LINE} {LINE}", "datatrove", "too_few_sentences"),
        (f"{LINE} {LINE} {LINE}", "dolma", "kept"),
        (f"{LINE}\n" * 6200, "c4", "too_long"),
        (f"{LINE}\n" * 6200, "datatrove", "kept"),
    ],
)
def test_pages_are_judged_in_the_references_order(text: str, variant: str, reason: str) -> None:
    made = stage(variant=variant)
    verdict = made.judge(pa.table(made.change(batch(text), frozenset())))
    assert ("kept" if verdict.keep[0] else verdict.reasons[verdict.reason[0]]) == reason


def test_page_rules_move_and_go_without_a_new_scan() -> None:
    done = pa.table(change(page("Here is { and { in a line.")))
    assert not C4(C4Options()).judge(done).keep[0]
    assert C4(C4Options(max_curly_brackets=2)).judge(done).keep[0]
    assert C4(C4Options(max_curly_brackets="off")).judge(done).keep[0]
    assert not C4(C4Options(max_curly_brackets="off", min_sentences=7)).judge(done).keep[0]
    assert C4Options(max_curly_brackets="off").of_kind("measure") == C4Options().of_kind("measure")


def test_null_takes_the_variants_value_and_off_survives_being_stored() -> None:
    assert C4Options() == C4Options(min_sentences=None, policy=None) == C4Options(min_sentences=3, policy=True)
    assert C4Options(variant="datatrove").min_words_per_line == 3
    off = C4Options(variant="datatrove", min_sentences="off", terminal_punctuation=False, max_word_chars="off")
    assert (off.min_sentences, off.terminal_punctuation, off.max_word_chars) == (None, False, None)
    assert C4Options.model_validate(off.model_dump(mode="json")) == off
    assert C4Options.model_validate_json('{"min_sentences": "off"}', strict=True).min_sentences is None
    for wrong in (
        {"variant": "c5"},
        {"min_sentences": -1},
        {"min_sentences": True},
        {"min_sentences": "3"},
        {"min_sentences": False},
        {"min_words": 3},
        {"variant": "dolma", "policy": True},
    ):
        with pytest.raises(ValidationError):
            C4Options.model_validate(wrong, strict=True)


def test_defaults_of_the_variants_are_in_the_documentation() -> None:
    for name, info in C4Options.model_fields.items():
        for variant, values in VARIANTS.items():
            value = values.get(name, False)
            if value != "off" and not isinstance(value, bool):
                assert f"{value:,}" in str(info.description) or str(value) in str(info.description), (name, variant)


def test_rows_stay_in_place_and_other_columns_as_they_came() -> None:
    done = change(LINE, None, "gone", "", f"x\n{LINE}")
    assert done["text"].to_pylist() == [LINE, None, None, None, LINE]
    assert done["reason"].to_pylist() == [None, "broken_json", "empty", "empty", None]
    assert done["record"].to_pylist() == ['{"n":1}'] * 5
    assert done["edited_chars"].to_pylist() == [0, None, None, None, 2]
    assert done["sentences"].to_pylist() == [1, None, 0, 0, 1]
    assert done["bad_words"].null_count == 5
    assert {value.name: value.type for value in C4.values}.items() <= {field.name: field.type for field in done.schema}.items()
    assert change().num_rows == 0
    sliced = batch("z.", f"{LINE} y", LINE).slice(1, 2)
    assert stage().change(sliced, frozenset())["text"].to_pylist() == [None, LINE]


def test_a_list_of_bad_words_is_part_of_what_was_planned(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("\ufeffbad\n\n  two words \nbad\n", encoding="utf-8")
    made = C4(C4Options(bad_words=str(path)))
    facts = made.prepare(Machine())
    made.open(facts)
    done = made.change(batch("This is bad, and two words more. Bad is no end: bad."), frozenset())
    assert done["bad_words"].to_pylist() == [4]
    assert not made.judge(pa.table(done)).keep[0]
    assert C4Options(bad_words="/else/where/list").of_kind("measure") == made.options.of_kind("measure")
    path.write_text("other")
    assert made.prepare(Machine()).files != facts.files
    with pytest.raises(MachineError, match="planned"):
        made.open(facts)
    for content, message in ((b"\n \n", "no word"), (b"a\xff", "no UTF-8")):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=message) as told:
            made.prepare(Machine())
        assert str(path) in str(told.value)  # a recipe may have several lists
    with pytest.raises(UsageError, match="cannot be read"):
        C4(C4Options(bad_words=str(tmp_path / "none"))).prepare(Machine())
    assert C4(C4Options()).prepare(Machine()) == Facts()


def test_lines_end_where_splitlines_ends_them() -> None:
    for separator in BREAKS:
        given = [separator.join([LINE, "no end", LINE, "", LINE]), separator * 70, f"{separator}{LINE}{separator}"]
        check(given, stage())
        check(given, stage(variant="dolma"))


def test_letters_and_white_space_of_the_definition_are_the_tables() -> None:
    for char in "İ\u212aé字ไ 3²_-\u3000\x1f\x85":
        assert bool(properties(char) & (LETTER | NUMERIC)) == char.isalnum()
    assert properties("字") & SOLO and not properties("é") & SOLO
