"""Passages that occur again: what is cut, against a definition written down plainly, and how the rest is joined."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.stage import Spans
from d4a.modalities.text import repeats
from d4a.modalities.text.seams import token_places, without
from d4a.modalities.text.substring import Substring, SubstringOptions
from d4a.modalities.text.tokens import tokenise
from entered_texts import Corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError


def find(texts: list[str], folder: Path, memory: int = 1 << 24, **options: int) -> tuple[Spans, Corpus]:
    stage = Substring(SubstringOptions(**options))
    entered = Corpus.of(stage, texts, memory, folder=folder, at_once=3)
    return stage.spans(entered), entered


def cut(texts: list[str], folder: Path, **options: int) -> list[str]:
    spans, _ = find(texts, folder, **options)
    bounds = np.searchsorted(spans.record, np.arange(len(texts) + 1))
    return without(pa.array(texts, pa.large_string()), bounds, spans.start, spans.end).text.to_pylist()


def words(first: int, count: int) -> str:
    return " ".join(f"word{k}" for k in range(first, first + count))


# ------------------------------------------------------------------------------------------- the definition


def by_definition(texts: list[list[int]], least: int) -> list[set[int]]:
    """The tokens cut of each text: windows that stand before, without overlap and with none of their tokens cut."""
    kept: set[tuple[int, ...]] = set()
    gone: list[set[int]] = []
    for text in texts:
        cut: set[int] = set()
        whole = [tuple(text[i : i + least]) for i in range(len(text) - least + 1)]
        for i, window in enumerate(whole):
            before = {w for j, w in enumerate(whole[: max(0, i - least + 1)]) if cut.isdisjoint(range(j, j + least))}
            if window in kept or window in before:
                cut.update(range(i, i + least))
        kept.update(w for j, w in enumerate(whole) if cut.isdisjoint(range(j, j + least)))
        gone.append(cut)
    return gone


@pytest.mark.parametrize("alphabet", [1, 2, 3, 9])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_cut_is_what_the_definition_cuts(tmp_path_factory: pytest.TempPathFactory, alphabet: int, data: st.DataObject) -> None:
    """On few letters almost everything repeats, overlaps itself and is cut into; memory for almost nothing makes many parts."""
    piece = st.lists(st.integers(0, alphabet - 1), max_size=14)
    pieces = data.draw(st.lists(piece, min_size=1, max_size=3))
    text = st.lists(st.one_of(st.sampled_from(pieces), piece), max_size=5).map(lambda parts: [token for part in parts for token in part])
    texts = data.draw(st.lists(text, max_size=7))
    sketched = data.draw(st.integers(2, 9))
    least = data.draw(st.integers(sketched, 12))
    memory = data.draw(st.sampled_from([64, 1 << 20]))
    joined = [" ".join(f"t{token}" for token in tokens) for tokens in texts]
    spans, _ = find(joined, tmp_path_factory.getbasetemp(), memory, min_tokens=least, sketch_tokens=sketched)
    expected = by_definition(texts, least)
    found = [set[int]() for _ in texts]
    for record, start, end, twin in zip(spans.record, spans.start, spans.end, spans.twin, strict=True):
        assert start % 3 == 0 and end % 3 == 2  # a token and a space take three bytes
        found[record].update(range(start // 3, end // 3 + 1))
        assert twin <= record and any(token not in expected[twin] for token in range(len(texts[twin])))
    assert found == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.one_of(st.sampled_from("abcX019 .,-\n"), st.sampled_from("éßİςж한汉字ひカไខែ…—😀")), max_size=40), max_size=4))
def test_places_are_those_of_the_tokens(texts: list[str]) -> None:
    column = pa.array(texts, pa.large_string())
    tokens = tokenise(column)
    starts, ends, bounds = token_places(column)
    assert bounds.tolist() == tokens.offsets.tolist()
    for k, text in enumerate(texts):
        named = [text.encode()[a:b].decode() for a, b in zip(starts[bounds[k] :], ends[bounds[k] : bounds[k + 1]], strict=False)]
        alone = tokenise(pa.array(named, pa.large_string()))
        assert alone.hashes.tolist() == tokens.hashes[bounds[k] : bounds[k + 1]].tolist()


# --------------------------------------------------------------------------------------------- planted repeats


@pytest.mark.parametrize(("shared", "gone"), [(49, False), (50, True), (51, True), (200, True)])
def test_passages_of_fifty_tokens_and_more_go(tmp_path: Path, shared: int, gone: bool) -> None:
    passage = words(0, shared)
    texts = [
        f"{words(1000, 30)}. {passage}. {words(2000, 30)}",
        f"{passage}. {words(3000, 30)}",  # at the begin
        f"{words(4000, 30)}. {passage.upper()}",  # at the end, in capitals
        f"{words(5000, 20)}. {passage}. {words(6000, 20)}. {passage}. {words(7000, 20)}",  # twice
        passage,
    ]
    left = [texts[0], words(3000, 30), f"{words(4000, 30)}.", f"{words(5000, 20)}. {words(6000, 20)}. {words(7000, 20)}", ""]
    assert cut(texts, tmp_path) == (left if gone else texts)


SCRIPTS = {"zh": "天地玄黄宇宙洪荒日月盈昃辰宿列张", "ja": "いろはにほへとちりぬるをワカヨタ", "km": "កខគឃងចឆជឈញដឋឌឍណត"}


@pytest.mark.parametrize("alphabet", SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_without_spaces(tmp_path: Path, alphabet: str) -> None:
    rng = random.Random(2)
    passage, *own = (str(k) * (k > 0) + "".join(rng.choices(alphabet, k=50 - 5 * k)) + str(k) * (k > 0) for k in range(5))
    texts = [f"{own[0]}。{passage}。{own[1]}。", f"{own[2]}。{passage}。{own[3]}。", f"{own[2]}。{passage[:49]}。{own[1]}"]
    assert cut(texts, tmp_path) == [texts[0], f"{own[2]}。{own[3]}。", texts[2]]


def test_a_text_that_repeats_itself_keeps_it_once(tmp_path: Path) -> None:
    line = words(0, 10)
    assert cut([" ".join([line] * 20)], tmp_path) == [" ".join([line] * 5)]
    assert cut(["spam " * 75], tmp_path) == ["spam " * 75]  # fifty of them do not stand twice
    assert cut(["spam " * 1000], tmp_path) == [("spam " * 50).strip()]


def test_overlapping_passages_go_as_one(tmp_path: Path) -> None:
    texts = [words(0, 100), words(1000, 100), f"{words(40, 60)} {words(1000, 60)} {words(5000, 9)}"]
    spans, _ = find(texts, tmp_path)
    assert (spans.record.tolist(), spans.twin.tolist()) == ([2], [0])
    assert cut(texts, tmp_path)[2] == words(5000, 9)


def test_only_passages_that_stay_whole_count(tmp_path: Path) -> None:
    """The second text keeps 30 of 80 tokens; they are too few to be a passage, so the third text keeps them too."""
    texts = [words(0, 50), words(0, 80), f"{words(0, 80)} {words(500, 30)}"]
    assert cut(texts, tmp_path) == [texts[0], words(50, 30), f"{words(50, 30)} {words(500, 30)}"]


def test_what_ten_thousand_texts_share_is_compared_once_a_text(tmp_path: Path) -> None:
    """45 shared tokens, which stay in all of them, and 60 that stay in one: both would be 50 million pairs."""
    short, long = words(0, 45), words(100, 60)
    texts = [f"own{k} {short} other{k} {long} third{k}" for k in range(10_000)]
    spans, entered = find(texts, tmp_path)
    assert entered.read == 2 * len(texts) - 1
    assert spans.record.tolist() == list(range(1, len(texts))) and not spans.twin.any()
    assert spans.notes["windows_compared"] <= 11 * len(texts)


def test_memory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    passages = [words(1000 * k, rng.randint(45, 90)) for k in range(40)]
    texts = [" ".join([*rng.choices(passages, k=rng.randint(1, 4)), f"own{n}"]) for n in range(300)]
    plenty, _ = find(texts, tmp_path)
    monkeypatch.setattr(repeats, "_TEXT_BYTES", 5_000)
    little, _ = find(texts, tmp_path, memory=20_000)
    assert len(plenty.record) > 200
    for name in ("record", "start", "end", "twin"):
        assert np.array_equal(getattr(plenty, name), getattr(little, name))
    assert not list(tmp_path.iterdir())


def test_windows_are_equal_in_both_hashes() -> None:
    windows = np.array([[5, 1, 10], [5, 2, 11], [9, 1, 12], [5, 1, 13], [13, 2, 14], [5, 2, 15], [5, 1, 16]], np.uint64)
    found, groups = repeats._grouped(windows, 7)
    assert (found.tolist(), groups) == ([[10, 7], [11, 8], [13, 7], [15, 8], [16, 7]], 9)


def test_texts_that_share_nothing_are_not_read_again(tmp_path: Path) -> None:
    texts = [words(1000 * k, 300) for k in range(50)]
    spans, entered = find([*texts, "", "short"], tmp_path)
    assert entered.read < 10 and not len(spans.record)
    assert not len(find([], tmp_path)[0].record)


# ------------------------------------------------------------------------------------------------------- seams


@pytest.mark.parametrize(
    ("text", "tokens", "left"),
    [
        ("One two. Three four. Five six.", (2, 4), "One two. Five six."),
        ("One two. (Three four!) Five six.", (2, 4), "One two. Five six."),
        ("One two.\n\nThree four.  Five six.", (2, 4), "One two.\n\nFive six."),
        ("One two. Three four.\nFive six.", (2, 4), "One two.\nFive six."),
        ("One  two  three", (1, 2), "One  three"),
        ("One two. Three four. Five six.", (0, 4), "Five six."),
        ("One two. Three four. Five six.", (4, 6), "One two. Three four."),
        ("One (two) three", (1, 2), "One three"),
        ("One f(two) three", (2, 3), "One f( three"),
        ("前文说过。今天天气很好。后文。", (4, 10), "前文说过。后文。"),
        ("前文“今天”后文。", (2, 4), "前文“”后文。"),
        ("abc今天def", (1, 3), "abc def"),
        ('"One two."', (0, 2), ""),
        ("... One two ...", (0, 2), ""),
    ],
)
def test_the_rest_is_joined(text: str, tokens: tuple[int, int], left: str) -> None:
    column = pa.array([text], pa.large_string())
    starts, ends, _ = token_places(column)
    rest = without(column, np.array([0, 1]), starts[tokens[0] : tokens[0] + 1], ends[tokens[1] - 1 : tokens[1]])
    assert rest.text.to_pylist() == [left]
    first, behind = (len(text.encode()[:k].decode()) for k in (starts[tokens[0]], ends[tokens[1] - 1]))
    assert (rest.before.tolist(), rest.cut.tolist()) == ([len(text)], [behind - first])


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from("ab .,(\n汉ひé"), max_size=40), data=st.data())
def test_no_token_is_lost_or_made_at_a_seam(text: str, data: st.DataObject) -> None:
    column = pa.array([text], pa.large_string())
    starts, ends, bounds = token_places(column)
    n = int(bounds[-1])
    drawn = data.draw(st.lists(st.integers(0, n), unique=True, max_size=8).map(sorted))
    pairs = [(a, b) for a, b in zip(drawn[::2], drawn[1::2], strict=False)]
    rest = without(column, np.array([0, len(pairs)]), *(np.array([x[i] for i in ids], np.int64) for x, ids in
                   ((starts, [a for a, _ in pairs]), (ends, [b - 1 for _, b in pairs]))))  # fmt: skip
    gone = {k for a, b in pairs for k in range(a, b)}
    hashes = tokenise(column).hashes
    assert tokenise(rest.text).hashes.tolist() == [int(hashes[k]) for k in range(n) if k not in gone]


# ----------------------------------------------------------------------------------------------------- options


def test_longer_passages_need_no_other_sketch() -> None:
    measured = [SubstringOptions(min_tokens=n).of_kind("measure") for n in (50, 51, 500)]
    assert measured[0] == measured[1] == measured[2] == {"sketch_tokens": 50} == SubstringOptions().of_kind("measure")
    assert SubstringOptions(min_tokens=20).sketch_tokens == 20
    with pytest.raises(ValidationError, match="not those of 20"):
        SubstringOptions(min_tokens=20, sketch_tokens=30)
