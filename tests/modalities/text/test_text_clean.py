"""text.clean: what it takes away, what it leaves, and that it never does more a second time."""

from __future__ import annotations

import re
import sys
import unicodedata
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from d4a.modalities.text.clean import Clean, CleanOptions
from d4a.modalities.text.clean_kernel import may_change
from d4a.modalities.text.normalise import normalise, touched
from d4a.modalities.text.rows import SCHEMA
from hypothesis import given, settings
from hypothesis import strategies as st
from line_texts import CHARACTERS


def _batch(texts: list[str | None]) -> pa.RecordBatch:
    rows = [
        {**dict.fromkeys(SCHEMA.names), "text": text, "meta": '{"n":1}', "reason": "broken_json" if text is None else None}
        for text in texts
    ]
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


def _changed(texts: list[str | None], **options: Any) -> pa.RecordBatch:
    return Clean(CleanOptions(**options)).change(_batch(texts), frozenset())


def _clean(text: str, **options: Any) -> str | None:
    return _changed([text], **options)["text"][0].as_py()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc\x0bd\x0ce\x85f\u2028g\u2029h", "a\nb\nc\nd\ne\nf\ng\nh"),
        ("a\r\n\r\n\r\n\r\nb", "a\n\nb"),
        ("\ufeffa\x00b\x1b[0m\x7fc\x9fd", "ab[0mcd"),
        ("a \t\u00a0\u3000\nb", "a\nb"),
        ("a\n \n\t\n\nb", "a\n\nb"),
        ("  \n  a  b\t c  \n", "a  b\t c"),
        ("def f():\n    return 1", "def f():\n    return 1"),
        ("Cafe\u0301 \ufb01n \uff21\u00b2", "Café \ufb01n \uff21\u00b2"),
        ("e\x00\u0301", "é"),  # what a control character kept apart
        ("\u1112\u1161\u11ab \u212b \u0958", "한 Å \u0915\u093c"),
        ("نص‌ 👩‍👩‍👧", "نص‌ 👩‍👩‍👧"),  # joiners mean something
    ],
)
def test_what_is_cleaned(text: str, cleaned: str) -> None:
    assert _clean(text) == cleaned


def test_options_change_what_is_cleaned() -> None:
    text = "Cafe\u0301  \ufb01n\t\uff21\u00a0b \n\n  x"
    assert _clean(text, unicode="none") == "Cafe\u0301  \ufb01n\t\uff21\u00a0b\n\n  x"
    assert _clean(text, unicode="NFKC") == "Café  fin\tA b\n\n  x"
    assert _clean(text, collapse_spaces=True) == "Café \ufb01n \uff21 b\n\n x"
    assert _clean(text, one_line=True) == "Café \ufb01n \uff21 b x"


def test_rows_stay_in_place_and_empty_texts_are_refused() -> None:
    done = _changed(["ab \r\n", None, " \n\ufeff\x00", "cafe\u0301"])
    assert done["text"].to_pylist() == ["ab", None, None, "café"]
    assert done["reason"].to_pylist() == [None, "broken_json", "empty", None]
    assert done["chars"].to_pylist() == [2, None, None, 4]
    assert done["edited_chars"].to_pylist() == [3, None, None, 1]
    assert done["meta"].to_pylist() == ['{"n":1}'] * 4
    assert {name: done.schema.field(name).type for name in SCHEMA.names} == dict(zip(SCHEMA.names, SCHEMA.types, strict=True))
    assert _changed([]).num_rows == 0


def test_a_short_text_is_judged_not_refused() -> None:
    stage = Clean(CleanOptions(min_chars=4))
    done = stage.change(_batch(["abc ", "abcd", None]), frozenset())
    verdict = stage.judge(pa.table({name: done[name] for name in ("chars", "edited_chars")}))
    assert verdict.keep.tolist() == [False, True, True]  # a null was not measured
    assert (verdict.reasons, verdict.value[0], verdict.threshold[0]) == (["too_short"], 3, 4)


_HARD = "".join(map(chr, [*range(0x21), 0x7F, 0x85, 0xA0, 0xB4, 0x300, 0x301, 0x1161, 0x2000, 0x2028, 0x3000, 0xFB01, 0xFEFF])) + "aeÅ가ｶﾞ"


@settings(deadline=None, max_examples=250)
@given(
    texts=st.lists(st.text(alphabet=_HARD, max_size=25) | st.text(CHARACTERS, max_size=25), min_size=1, max_size=4),
    form=st.sampled_from(["NFC", "NFKC", "none"]),
    collapse=st.booleans(),
)
def test_cleaning_twice_is_cleaning_once(texts: list[str], form: str, collapse: bool) -> None:
    done = _changed(texts, unicode=form, collapse_spaces=collapse)
    once = done["text"].to_pylist()
    assert [_clean(text, unicode=form, collapse_spaces=collapse) for text in once if text] == [text for text in once if text]
    for text, cleaned, edited in zip(texts, once, done["edited_chars"].to_pylist(), strict=True):
        if cleaned is None:
            assert not re.sub(r"[\x00-\x1f\x7f-\x9f\ufeff]", "", text).strip()
            continue
        assert edited == len(text) - len(cleaned)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\u2028\u2029]|\s\n(?<!\n\n)|\n{3}|^\s|\s\Z", cleaned)
        assert form == "none" or unicodedata.is_normalized(form, cleaned)
        assert not collapse or not re.search(r"[^\S\n]{2}|[^\S\n ]", cleaned)


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_texts_left_alone_are_in_normal_form_whatever_they_are_made_of(form: str) -> None:
    points = [chr(p) for p in range(sys.maxunicode + 1) if unicodedata.category(chr(p)) not in ("Cn", "Cs")]
    alone = _untouched(points, form)
    seconds = {
        unicodedata.normalize("NFD", c)[-1] for c in points if unicodedata.decomposition(c) and len(unicodedata.normalize("NFD", c)) > 1
    }
    assert len(alone) > 30_000
    for c in alone:
        assert unicodedata.combining(c) == 0 and unicodedata.normalize(form, c) == c and c not in seconds, hex(ord(c))


def _untouched(points: list[str], form: str) -> list[str]:
    matched = pc.match_substring_regex(pa.array(points), touched(form)).to_pylist()
    return [c for c, found in zip(points, matched, strict=True) if not found]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.none() | st.text(alphabet=_HARD + "\u0323\u1100\u11a8", max_size=12), max_size=5), st.sampled_from(["NFC", "NFKC"]))
def test_normalise_is_unicode_normalisation(texts: list[str | None], form: str) -> None:
    expected = [None if text is None else unicodedata.normalize(form, text) for text in texts]
    assert normalise(pa.array(texts, pa.large_string()), form).to_pylist() == expected


DIRT = st.one_of(
    st.sampled_from(["a", "b ", "\n", "\n\n", "\n\n\n", " \n", "\t\n", "\r\n", "\u00a0\n"]),
    st.sampled_from(["\u3000", "e\u0301", "\u0343", "\u212b", "é", "ж", "汉"]),
    st.text(CHARACTERS, max_size=3),
    st.sampled_from(["x" * 61, "x" * 62, "x" * 63, "x" * 64, "字" * 21]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(DIRT, max_size=12).map("".join), min_size=1, max_size=4))
def test_a_text_that_a_quick_look_passes_over_has_nothing_to_clean(texts: list[str]) -> None:
    column = pa.array(texts, pa.large_string())
    slowly = Clean(CleanOptions())._clean(column).to_pylist()
    assert [text or "" for text in _changed(texts)["text"].to_pylist()] == slowly
    assert [kept for kept, look in zip(slowly, may_change(column), strict=True) if not look] == [
        text for text, look in zip(texts, may_change(column), strict=True) if not look
    ]


def test_plain_text_is_passed_over() -> None:
    texts = pa.array(["plain\n\n  text, é ж 汉字", "a line \nof loose ends", "\u00a0", None, ""], pa.large_string())
    assert may_change(texts).tolist() == [False, True, True, False, False]
