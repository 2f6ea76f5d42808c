from __future__ import annotations

import re
import string

import numpy as np
import pyarrow as pa
import pytest
from d4a.modalities.text.jaccard import jaccard
from d4a.modalities.text.minhash import Units
from d4a.modalities.text.normal_form import NormalForm, in_normal_form
from d4a.modalities.text.shingles import Shingling
from hypothesis import given, settings
from hypothesis import strategies as st

BARE = NormalForm(lower=True, punctuation="delete", white_space="collapse")
FINEWEB = NormalForm(lower=True, punctuation="separate", white_space="collapse", numbers="zero", accents="strip")


def column(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


def formed(text: str, form: NormalForm) -> str:
    return str(in_normal_form(column("before", text, "after"), form)[1])


def similarity(one: str, other: str, units: Units, ngram: int, form: NormalForm) -> float:
    sets = Shingling(units, ngram, form).sets(column(one, other))
    return float(jaccard(sets, np.array([0]), np.array([1]))[0])


def test_the_text_that_slimpajama_compares() -> None:
    text = "  Hello,\n\tWORLD!!  (again) "
    assert formed(text, BARE) == "hello world again"
    sets = Shingling("characters", 13, BARE).sets(column(text, "hello world a", "o world again"))
    assert np.diff(sets.offsets).tolist() == [5, 1, 1]
    assert jaccard(sets, np.array([0, 0]), np.array([1, 2])).tolist() == [0.2, 0.2]


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("Café, 1,234 №5… don't stop", FINEWEB, "cafe 0 0 0 don t stop"),
        ("x² ½ ١٢ 12ab34", FINEWEB, "x0 0 0 0ab0"),
        ("Don't — “stop”", BARE, "dont — “stop”"),
        ("a - b", BARE, "a b"),
        (" a\u3000\u00a0b\u2028", NormalForm(white_space="collapse"), "a b"),
        ("Ünï", NormalForm(accents="decompose"), "U\u0308ni\u0308"),
        ("Ünï ÉÀ", NormalForm(accents="strip", lower=True), "uni ea"),
        ("한글 ガ", NormalForm(accents="strip"), "\u1112\u1161\u11ab\u1100\u1173\u11af カ\u3099".replace("\u3099", "")),
        ("ȺΣς", NormalForm(lower=True), "ⱥσσ"),
        (" A,\tb!", NormalForm(), " A,\tb!"),
        ("...", BARE, "..."),
        ("?! ", FINEWEB, "?! "),
        ("", BARE, ""),
    ],
)
def test_normal_forms(text: str, form: NormalForm, expected: str) -> None:
    assert formed(text, form) == expected


@settings(max_examples=200, deadline=None)
@given(st.text("aB \t\n.,'9é中🗼—Ⱥ\u00a0", max_size=60))
def test_deleting_and_collapsing_is_what_python_does(text: str) -> None:
    bare = re.sub(r"\s+", " ", text.translate(str.maketrans("", "", string.punctuation)).lower().strip())
    assert formed(text, BARE) == (bare or text)


def test_words_between_spaces_keep_what_tokens_lose() -> None:
    assert similarity("a.b c", "a b c", "words", 2, NormalForm()) == 1.0
    assert similarity("a.b c d", "a b c d", "spaced", 2, NormalForm(white_space="collapse")) == 0.25
    assert similarity("a  b\nc d", "a b c d", "spaced", 2, NormalForm(white_space="collapse")) == 1.0


def test_characters_are_code_points() -> None:
    assert similarity("春眠不觉晓", "春眠不觉晚", "characters", 2, NormalForm()) == 3 / 5
    assert similarity("naïve", "naive", "characters", 1, NormalForm()) == 4 / 6
    assert similarity("naïve", "naive", "characters", 3, NormalForm(accents="strip")) == 1.0


@pytest.mark.parametrize("units", ["words", "spaced", "characters"])
def test_a_text_shorter_than_a_shingle_equals_only_itself(units: Units) -> None:
    assert similarity("a b", "a b", units, 5, BARE) == 1.0
    assert similarity("a b", "a c", units, 5, BARE) == 0.0
    assert similarity("...", "!!!", units, 5, BARE) == 0.0


@pytest.mark.parametrize("units", ["spaced", "characters"])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab é中", max_size=30), min_size=2, max_size=2), st.integers(1, 6))
def test_similarity_is_that_of_the_sets(units: Units, texts: list[str], ngram: int) -> None:
    texts = [" ".join(text.split()) for text in texts]
    listed = [text.split() if units == "spaced" else list(text) for text in texts]
    one, other = ({tuple(units[k : k + ngram]) for k in range(max(1, len(units) - ngram + 1))} for units in listed)
    assert similarity(*texts, units, ngram, NormalForm()) == len(one & other) / len(one | other)
