from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from d4a.modalities.text.tokens import tokenise
from d4a.modalities.text.unicode import CASE_SHIFT, RUN, SOLO, table
from hypothesis import given, settings
from hypothesis import strategies as st

MASK = 2**64 - 1


def split(text: str) -> list[str]:
    """The tokens of a text, by the definition."""
    index, entries = table()
    found, word = [], ""
    for char in text:
        code = ord(char)
        properties = int(entries[int(index[code >> 7]) * 128 + (code & 127)])
        small = chr(code + (properties >> CASE_SHIFT))
        if properties & RUN:
            word += small
            continue
        found += [word, small] if properties & SOLO else [word]
        word = ""
    return [token for token in [*found, word] if token]


def step(state: int, word: int) -> int:
    state = (state ^ word) * 0x9E3779B97F4A7C15 & MASK
    return state ^ state >> 29


def hash_token(token: str) -> int:
    data = token.encode()
    state = 0x243F6A8885A308D3
    for k in range(0, len(data), 8):
        state = step(state, int.from_bytes(data[k : k + 8], "little"))
    state = state * 0xD6E8FEB86659FD93 & MASK
    return state ^ state >> 32


def column(*texts: str | None) -> pa.Array:
    return pa.array(texts, pa.large_string())


# every kind of character, and ASCII often enough that its paths of eight and of 64 bytes meet all alignments
CHARACTERS = st.one_of(
    st.sampled_from("abcXYZ019 .,-_\n"),
    st.sampled_from("éßİΣςжЖשक्한" + "汉字ひカーไทยខ្មែလ" + "…—\u200b\ufe0f😀𐐀𠀀"),
    st.characters(codec="utf-8"),
)


TEXTS = st.lists(st.one_of(st.text(CHARACTERS, max_size=20), st.text("aZ9 .-", max_size=150)), max_size=5).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_tokens_are_those_of_the_definition(texts: list[str]) -> None:
    found = tokenise(column(*texts))
    for k, text in enumerate(texts):
        hashes = found.hashes[found.offsets[k] : found.offsets[k + 1]]
        assert hashes.tolist() == [hash_token(token) for token in split(text)]


def test_words_of_every_length_at_every_place() -> None:
    texts = [" " * before + "Abcdefghij" * 4 + "." * after for before in range(9) for after in range(9)]
    texts = [text[:length] for text in texts for length in range(len(text))]
    found = tokenise(column(*texts))
    expected = [hash_token(token) for text in texts for token in split(text)]
    assert found.hashes.tolist() == expected


def test_case_spacing_and_punctuation_do_not_matter() -> None:
    one, other, different = tokenise(
        column("The cat -- sat: on Ὀδυσσεύς.", "  the CAT,sat\non\tὈΔΥΣΣΕΎΣ", "the cat on sat Ὀδυσσεύς")
    ).fingerprints
    assert one == other != different


def test_chinese_is_not_one_long_word() -> None:
    tokens = tokenise(column("今天天气很好", "今天 天气,很好。", "สวัสดี"))
    assert np.diff(tokens.offsets).tolist() == [6, 6, 6]
    assert tokens.fingerprints[0] == tokens.fingerprints[1]


def test_texts_without_tokens_equal_only_the_same_bytes() -> None:
    tokens = tokenise(column("...", "!!!", "...", "", None, "😀"))
    assert tokens.hashes.size == 0
    dots, marks, again, empty, null, face = tokens.fingerprints
    assert dots == again
    assert empty == null
    assert len({dots, marks, empty, face}) == 4


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_slices_and_chunks_are_read_where_they_are(kind: pa.DataType) -> None:
    texts = ["first text", "zweiter Teil", "第三", "fourth"]
    whole = tokenise(pa.array(texts, kind))
    cut = tokenise(pa.array(["x" * 100, *texts, "y"], kind).slice(1, 4))
    chunked = tokenise(pa.chunked_array([pa.array(texts[:1], kind), pa.array(texts[1:], kind)]))
    for other in (cut, chunked):
        assert all(np.array_equal(a, b) for a, b in zip(whole, other, strict=True))
    assert [len(part) for part in tokenise(pa.array([], kind))] == [0, 1, 0]


def test_hashes_are_pinned() -> None:
    # sketches are stored and compared between runs: other values need another `version` of the stages that keep them
    tokens = tokenise(column("Hello, wörld 你好", "?"))
    assert [f"{h:016x}" for h in tokens.fingerprints] == ["f1d0213d2c0ea495", "6704404035a6033d"]
