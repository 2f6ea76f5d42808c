from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.dedup.keepers import choose_keepers
from d4a.curator.stage import Ints
from d4a.modalities.text.fuzzy import FuzzyOptions, FuzzyText
from d4a.modalities.text.verify import portions
from entered_texts import Corpus, find
from planted_texts import LETTERS, planted, similarity
from pydantic import ValidationError


def words(*numbers: int) -> str:
    return " ".join(f"word{k}" for k in numbers)


@pytest.mark.parametrize("script", LETTERS)
def test_planted_twins_are_found_and_nothing_else(script: str) -> None:
    texts = planted(originals=250, seed=11, scripts=[script])
    pairs, kept, _ = find([t.text for t in texts])
    copies = [k for k, t in enumerate(texts) if t.base != k]
    true = np.array([similarity(texts[k], texts[texts[k].base]) for k in copies])
    removed = np.array([kept.twin[k] >= 0 or kept.twin[texts[k].base] >= 0 for k in copies])
    assert (true >= 0.8).sum() > 100
    assert removed[true >= 0.8].mean() >= 0.99
    assert not removed[true < 0.8].any()
    for k in np.flatnonzero(kept.twin >= 0):
        twin = kept.twin[k]
        assert kept.twin[twin] < 0
        assert kept.similarity[k] == similarity(texts[k], texts[twin]) >= 0.8
    assert all(similarity(texts[a], texts[b]) == s for a, b, s in zip(pairs.a, pairs.b, pairs.similarity, strict=True))


def test_texts_that_share_a_header_stay() -> None:
    header = words(*range(60))
    _, kept, _ = find([header + " " + words(*range(1000 * k, 1000 * k + 140)) for k in range(1, 30)])
    assert (kept.twin < 0).all()


def test_short_texts_in_chinese_are_no_twins_of_each_other() -> None:
    texts = ["你好", "再见", "谢谢", "今天 天气", "Ok", "ok!", "...", "!!!", "", "你 好。"]
    _, kept, _ = find(texts)
    assert sorted(texts[k] for k in np.flatnonzero(kept.twin >= 0)) == ["Ok", "你好"]


def test_pairs_below_the_threshold_are_kept_for_a_lower_one() -> None:
    one = words(*range(104))
    other = words(*range(84), *range(1000, 1020))  # shares 80 of 120 shingles
    near = words(*range(90), *range(2000, 2014))  # shares 86 of 114 with `one`
    pairs, kept, _ = find([one, other, near], pairs_from=0.6, bands=64, rows=4)
    assert sorted(pairs.similarity.round(3)) == [0.667, 0.667, 0.754]
    assert (kept.twin < 0).all()


def test_a_threshold_moves_without_a_new_search_while_the_bands_are_good_enough() -> None:
    keys = [FuzzyText(FuzzyOptions(threshold=t)).search_key() for t in (0.78, 0.8, 0.95)]
    assert keys[0] == keys[1] == keys[2]
    assert (keys[0]["bands"], keys[0]["rows"], keys[0]["floor"]) == (32, 8, 0.7)
    lower = FuzzyText(FuzzyOptions(threshold=0.6))
    assert lower.search_key()["floor"] == 0.6
    assert lower.found(0.6) >= 0.99


def test_thousands_of_copies_are_neither_read_nor_compared() -> None:
    text = words(*range(100))
    near = words(*range(97)) + " " + "x" * 200  # longer, hence preferred to them all
    copies = [text.upper() if k % 2 else text.replace(" ", ", ") for k in range(20_000)]
    pairs, kept, entered = find([*copies, near])
    assert entered.read == 2
    assert len(pairs.a) < 3 * len(copies) + 2
    assert (kept.twin >= 0).sum() == len(copies)
    assert set(kept.twin[:-1].tolist()) == {len(copies)}
    assert pairs.notes == {"candidate_pairs": 1, "verified_pairs": 1, "capped_bands": 0}


def test_of_equal_token_lists_one_at_most_is_kept_whatever_the_threshold() -> None:
    base = list(range(100))
    family = [words(*base[:k], *range(1000 + k, 1030 - k // 10)) for k in range(60, 100, 2)]
    texts = family + [t.upper() for t in family] + [t.title() + "!" for t in family]
    stage = FuzzyText(FuzzyOptions(pairs_from=0.5, max_candidates=1))
    entered = Corpus.of(stage, texts)
    pairs = stage.pairs(entered)
    for threshold in np.arange(0.5, 1.0, 0.05):
        kept = choose_keepers(pairs.a, pairs.b, pairs.similarity, stage.preference(entered), float(threshold))
        stay = [texts[k].lower().strip("!") for k in np.flatnonzero(kept.twin < 0)]
        assert len(stay) == len(set(stay))


@pytest.mark.parametrize(("keep", "twin"), [("longest", [1, -1]), ("first", [-1, 0])])
def test_the_longer_or_the_earlier_twin_is_kept(keep: str, twin: list[int]) -> None:
    short, long = words(*range(100)), words(*range(101))
    _, kept, _ = find([short, long], keep=keep)
    assert kept.twin.tolist() == twin


def test_a_look_alike_bucket_is_capped_and_counted() -> None:
    texts = [words(*range(100), 1000 + k) for k in range(300)]
    pairs, kept, _ = find(texts, max_candidates=4)
    assert pairs.notes["capped_bands"] > 0
    assert len(pairs.a) < 300 * 32
    assert (kept.twin < 0).sum() == 1


def test_order_of_input_does_not_change_what_is_found() -> None:
    texts = [t.text for t in planted(originals=60, seed=5)]
    shuffled = np.random.default_rng(0).permutation(len(texts))
    found = []
    for order in (np.arange(len(texts)), shuffled):
        pairs, _, _ = find([texts[k] for k in order])
        found.append({(*sorted((order[a], order[b])), s) for a, b, s in zip(pairs.a, pairs.b, pairs.similarity, strict=True)})
    assert found[0] == found[1] and found[0]


def test_nothing_entered() -> None:
    pairs, _, _ = find([])
    assert len(pairs.a) == 0


def test_portions_hold_every_pair_once_in_bounded_memory() -> None:
    draw = np.random.default_rng(1)
    a, b = draw.integers(0, 500, (2, 700))
    sizes = draw.integers(1, 100, 500)
    parts = list(portions(a, b, sizes, 1000))
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(700))
    held = [int(sizes[np.unique(np.concatenate([a[part], b[part]]))].sum()) for part in parts]
    assert max(held) <= 1000 < sum(held)
    chains = np.arange(0, 400, 2)
    whole = list(portions(chains, chains + 1, sizes, 200))
    assert sum(len(np.unique(np.concatenate([chains[p], chains[p] + 1]))) for p in whole) == 400  # nothing is read twice


@pytest.mark.parametrize("options", [{"bands": 32}, {"bands": 33, "rows": 8}, {"threshold": 0}, {"num_hashes": 128}])
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        FuzzyOptions(**options)


def test_texts_of_earlier_datasets_count_for_memory() -> None:
    class Watched(Corpus):
        most = 0

        def payload(self, indices: Ints, column: str = "") -> pa.Array:
            texts = super().payload(indices)
            self.most = max(self.most, texts.nbytes)
            return texts

    long = [words(*range(10_000 * k, 10_000 * k + 5000)) for k in range(60)]
    entered = Watched.of(FuzzyText(FuzzyOptions()), [text + " last" for text in long] + [text[:-1] for text in long], 16 << 20, settled=60)
    own = entered.columns["payload_bytes"].to_numpy()
    entered.columns["payload_bytes"] = pa.array(np.where(np.arange(120) < 60, 0, own))
    pairs = FuzzyText(FuzzyOptions()).pairs(entered)
    assert len(pairs.a) == 60
    assert own.sum() > 4 << 20
    assert entered.most < 5 << 18  # 1 MiB, and a text too many
