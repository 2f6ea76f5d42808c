from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.dedup.keepers import Kept
from d4a.curator.stage import Pairs
from d4a.modalities.text.contained import ContainedOptions, ContainedText
from d4a.modalities.text.tokens import tokenise
from d4a.modalities.text.winnow import winnow
from entered_texts import Corpus, keepers
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_texts import LETTERS, vocabulary
from pydantic import ValidationError


def find(texts: list[str], **options: object) -> tuple[Pairs, Kept]:
    stage = ContainedText(ContainedOptions(**options))
    entered = Corpus.of(stage, texts, at_once=50)
    pairs = stage.pairs(entered)
    return pairs, keepers(stage, entered, pairs)


def words(*numbers: int) -> str:
    return " ".join(f"word{k}" for k in numbers)


def shingles(tokens: list[str]) -> set[tuple[str, ...]]:
    return {tuple(tokens[k : k + 5]) for k in range(len(tokens) - 4)}


class Draw:
    """Texts of random words of one script."""

    def __init__(self, script: str, seed: int) -> None:
        self.random, self.words, self.space = random.Random(seed), vocabulary(script), LETTERS[script][2]

    def tokens(self, count: int) -> list[str]:
        return [self.random.choice(self.words) for _ in range(count)]

    def text(self, tokens: list[str]) -> str:
        return self.space.join(tokens) + "."


@pytest.mark.parametrize("script", ["latin", "chinese", "japanese", "khmer"])
def test_parts_of_a_text_and_the_text_without_its_page_are_found_and_nothing_else(script: str) -> None:
    draw = Draw(script, seed=3)
    menu, footer = draw.tokens(80), draw.tokens(60)
    texts: list[list[str]] = []
    container: dict[int, int] = {}  # text -> the one that holds it
    for _ in range(60):
        article = draw.tokens(draw.random.randrange(180, 500))
        middle = draw.random.randrange(0, len(article) - 60)
        page = [*menu, *article, *footer]
        near = [draw.random.choice(draw.words) if draw.random.random() < 0.06 else token for token in article]  # holds some 0.7 of it
        parts = [article[: len(article) * share // 100] for share in (30, 50, 70)]
        container |= {len(texts) + k: len(texts) + 5 for k in range(5)}
        texts += [*parts, article[middle : middle + 60], article, page, near]
    texts += [[*menu, *draw.tokens(200), *footer] for _ in range(40)]  # the same page around other articles
    texts += [draw.tokens(150) + near[:60] for near in texts[6:60:7]]  # a passage in common is no containment

    _, kept = find([draw.text(text) for text in texts])
    assert {k: int(kept.twin[k]) for k in np.flatnonzero(kept.twin >= 0)} == container
    assert all(kept.similarity[k] == len(shingles(texts[k]) & shingles(texts[t])) / len(shingles(texts[k])) for k, t in container.items())


texts_of_few_words = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=14).map(" ".join), max_size=12, unique=True)


@settings(max_examples=200, deadline=None)
@given(texts_of_few_words, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_all_pairs_are_found_where_everything_is_sampled(texts: list[str], floor: float) -> None:
    stage = ContainedText(ContainedOptions(ngram=2, window=1, min_tokens=2, threshold=1, pairs_from=floor, max_candidates=100))
    entered = Corpus.of(stage, texts)
    pairs = stage.pairs(entered)
    sets = [set(pairwise(text.split())) for text in texts]
    order = stage.preference(entered).tolist()
    assert all(len(sets[a]) >= len(sets[b]) for a, b in pairwise(order) if sets[a])
    expected = {}
    for place, worse in enumerate(order):
        for better in order[:place]:
            share = len(sets[worse] & sets[better]) / len(sets[worse]) if sets[worse] else 0
            if share >= floor:
                expected[better, worse] = share
    assert dict(zip(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True), pairs.similarity.tolist(), strict=True)) == expected
    kept = keepers(stage, entered, pairs)
    stay = np.flatnonzero(kept.twin < 0).tolist()
    assert all(any(sets[k] <= sets[s] for s in stay) for k in range(len(texts)))  # nothing is lost


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(20, 200), st.integers(0, 300), st.integers(0, 300), st.sampled_from([1, 4, 16]))
def test_a_run_of_a_window_is_met_wherever_it_stands(seed: int, length: int, before: int, behind: int, window: int) -> None:
    draw = np.random.default_rng(seed)
    part = words(*draw.integers(0, 50, length))
    whole = f"{words(*draw.integers(0, 50, before))} {part} {words(*draw.integers(0, 50, behind))}"
    values, offsets, _ = winnow(tokenise(pa.array([part, whole])), 5, window)
    mine, theirs = set(values[: offsets[1]].tolist()), set(values[offsets[1] :].tolist())
    assert mine and mine <= theirs


def test_the_container_stays_though_it_has_fewer_bytes() -> None:
    article = list(range(100))
    spaced = words(*article).replace(" ", " \n\n  ")
    repeated = " ".join([words(*article)] * 5)
    page = words(*range(1000, 1010), *article, *range(2000, 2010))
    pairs, kept = find([spaced, page, repeated], threshold=0.95)
    assert kept.twin.tolist() == [1, -1, 1]
    assert sorted(pairs.similarity.round(3).tolist()) == [0.96, 1, 1]


def test_a_text_never_goes_for_what_it_contains() -> None:
    part, whole = words(*range(100)), words(*range(400))
    for texts in ([part, whole], [whole, part]):
        pairs, kept = find(texts, keep="first")
        assert (kept.twin >= 0).tolist() == [False, texts[1] == part]
        assert len(pairs.a) == (texts[1] == part)


def test_what_an_earlier_dataset_holds_stays() -> None:
    part, whole = words(*range(100)), words(*range(400))
    stage = ContainedText(ContainedOptions())
    for texts, found in (([part, whole], []), ([whole, part], [(0, 1)]), ([part, part, part], [(0, 2)])):
        pairs = stage.pairs(Corpus.of(stage, texts, settled=len(texts) - 1))
        assert [(a, b) for a, b in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True) if b == len(texts) - 1] == found


def test_of_equal_texts_one_stays_and_copies_share_its_containers() -> None:
    part, whole = words(*range(100)), words(*range(50, 300), *range(100))
    copies = [part, part.upper(), part.replace(" ", ", ")]
    _, alone = find(copies)
    assert alone.twin.tolist() == [-1, 0, 0]
    pairs, kept = find([*copies, whole, whole.title()])
    assert kept.twin.tolist() == [3, 3, 3, -1, 3]
    assert pairs.notes["verified_pairs"] == 1


def test_texts_of_the_same_source_take_no_places_where_only_others_count() -> None:
    part = words(*range(100))
    same = [part + " " + words(*range(1000 * k, 1000 * k + 200)) for k in range(1, 41)]  # longer, so they are preferred
    other = part.upper() + " " + words(*range(50_000, 50_100))
    texts, sources = [part, *same, other, part], [0] * 41 + [1, 1]
    stage = ContainedText(ContainedOptions(max_candidates=4, only_across_sources=True))
    pairs = stage.pairs(Corpus.of(stage, texts, sources=sources))
    found = set(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))
    assert (41, 0) in found  # the only container of another source
    assert {a for a, b in found if b == 42} == {1, 2, 3, 4}
    assert all(sources[a] != sources[b] for a, b in found)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.integers(1, 5))
def test_every_source_has_its_own_first_candidates(sources: list[int], most: int) -> None:
    """All texts contain all others: each is compared with the most preferred ones of other sources."""
    texts = [words(*range(100)) + " own" * (k + 5) for k in range(len(sources), 0, -1)]
    stage = ContainedText(ContainedOptions(max_candidates=most, only_across_sources=True, window=1, pairs_from=0.5))
    pairs = stage.pairs(Corpus.of(stage, texts, sources=sources))
    for worse, source in enumerate(sources):
        others = [better for better in range(worse) if sources[better] != source]
        assert sorted(pairs.a[pairs.b == worse].tolist()) == others[:most]


def test_short_texts_are_not_looked_at() -> None:
    page = words(*range(300))
    assert find([words(*range(19)), words(*range(20)), page])[1].twin.tolist() == [-1, 2, -1]
    assert find([words(*range(49)), words(*range(50)), page], min_tokens=50)[1].twin.tolist() == [-1, 2, -1]
    zeros, table = "0 " * 500, "0 " * 10 + words(*range(300))
    assert find([zeros, table])[1].twin.tolist() == [-1, -1]


def test_work_grows_with_the_texts_where_all_share_a_template() -> None:
    template = words(*range(100))
    looked = []
    for count in (1000, 4000):
        texts = [template + " " + words(*range(1000 * k, 1000 * k + 40)) for k in range(1, count)]
        pairs, kept = find([*texts, template], max_candidates=8)
        assert (np.flatnonzero(kept.twin >= 0) == count - 1).all() and kept.similarity[count - 1] == 1
        assert pairs.notes["capped_texts"] > count / 2
        looked.append(pairs.notes["candidate_pairs"] + pairs.notes["verified_pairs"])
    assert looked[1] < 4.2 * looked[0]


def test_little_memory_finds_the_same() -> None:
    texts = [words(*range(10 * k, 10 * k + 200)) for k in range(60)] + [words(*range(10 * k, 10 * k + 100)) for k in range(60)]
    stage = ContainedText(ContainedOptions(window=4, pairs_from=0.5, max_candidates=4))
    whole, pieces = (stage.pairs(Corpus.of(stage, texts, memory, at_once=50)) for memory in (1 << 26, 600))
    assert len(whole.a) > 200 and whole.notes == pieces.notes
    assert all(np.array_equal(getattr(whole, name), getattr(pieces, name)) for name in ("a", "b", "similarity"))


def test_nothing_entered() -> None:
    assert len(find([])[0].a) == len(find(["", "a b c"])[0].a) == 0


def test_texts_that_have_no_sample_cannot_be_asked_for() -> None:
    with pytest.raises(ValidationError, match="texts of fewer than 68 tokens have no sample"):
        ContainedOptions(window=64)
    assert ContainedOptions(window=64, min_tokens=68).window == 64
