"""Quality and growth of text.dedup.contained.

    python tests/bench/bench_contained.py [CORPUS.jsonl [TRUTH.jsonl]]

With a corpus as bench_fuzzy.py reads it: how many planted copies that another record holds were removed, by kind, whether every
drop was right, and what a search that samples every shingle and caps nothing finds besides. Then, with or without one, made-up texts
that all share a template, in growing numbers: user CPU time and the notes of each step.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))
from d4a.curator.dedup.keepers import Kept, choose_keepers
from d4a.curator.stage import Pairs
from d4a.modalities.text.contained import ContainedOptions, ContainedText
from d4a.modalities.text.containers import containment
from d4a.modalities.text.fss import shingle_sets
from d4a.modalities.text.tokens import tokenise
from entered_texts import Corpus

MEMORY = 1 << 28


def run(texts: pa.Array, **options: int) -> tuple[Pairs, Kept, list[float]]:
    """Pairs, keepers, and user CPU seconds of the sketches and of the pairs."""
    stage = ContainedText(ContainedOptions(**options))
    ticks = [resource.getrusage(resource.RUSAGE_SELF).ru_utime]
    entered = Corpus(texts, stage.sketch(pa.record_batch({"text": texts})), MEMORY)
    ticks.append(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
    pairs = stage.pairs(entered)
    ticks.append(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
    return pairs, choose_keepers(pairs.a, pairs.b, pairs.similarity, stage.order(entered), stage.threshold), np.diff(ticks).tolist()


def quality(corpus: Path, truth: Path) -> None:
    """Print recall of planted copies by kind, and the errors."""
    rows, known = ([orjson.loads(line) for line in path.open("rb")] for path in (corpus, truth))
    texts = pa.array([row["text"] for row in rows], pa.large_string())
    pairs, kept, _ = run(texts)
    place = {row["id"]: k for k, row in enumerate(rows)}
    sets = shingle_sets(tokenise(texts), 5)
    sizes = np.diff(sets.offsets)
    copies = [one for one in known if one["kind"] not in ("base", "template")]
    both = np.array([[place[one["id"]], place[one["base"]]] for one in copies])
    both = np.take_along_axis(both, np.argsort(sizes[both], axis=1, kind="stable"), axis=1)
    held = containment(sets, both[:, 0].copy(), both[:, 1].copy()) >= 0.9
    long = sizes[both[:, 0]] + 4 >= ContainedOptions().min_tokens
    gone = kept.twin >= 0
    found = defaultdict(list)
    for one, pair, is_held, is_long in zip(copies, both, held, long, strict=True):
        if is_held:
            found[one["kind"] + ("" if is_long else ", shorter than min_tokens")].append(bool(gone[pair].any()))
    print(f"{'planted copies that are contained':46} {'number':>6} {'one of the two removed':>22}")
    for kind in sorted(found):
        print(f"{kind:46} {len(found[kind]):6} {np.mean(found[kind]):22.3f}")
    where = np.flatnonzero(gone)
    true = containment(sets, where, kept.twin[where])
    print(f"removed {len(where)}: twin kept {(~gone[kept.twin[where]]).sum()}, truly contained {(true >= 0.9).sum()}")
    print(f"template records removed: {sum(gone[place[one['id']]] for one in known if one['kind'] == 'template')}")
    _, all_kept, _ = run(texts, window=1, max_candidates=1 << 20)
    everything = all_kept.twin >= 0
    print(f"of {everything.sum()} that a search of all shingles removes, {(everything & gone).sum()} are removed; {pairs.notes}")


def growth() -> None:
    """Print what texts cost that all begin with one template, a tenth of them cut short."""
    draw = np.random.default_rng(0)
    words = np.array([f"w{k:x}" for k in range(50_000)])
    template = " ".join(draw.choice(words, 100))
    for own in (40, 300):
        for count in (25_000, 50_000, 100_000, 200_000):
            texts = [f"{template} {' '.join(words[draw.integers(0, 50_000, own)])}" for _ in range(count)]
            texts[::10] = [text[: len(text) * 9 // 10] for text in texts[1::10]]
            column = pa.array(texts, pa.large_string())
            pairs, kept, (sketch, search) = run(column)
            print(
                f"100 + {own} words, {count:,} texts, {column.nbytes / 1e6:.0f} MB: sketches {sketch:.2f} s, pairs {search:.2f} s,"
                f" {search / count * 1e6:.1f} us a text; removed {(kept.twin >= 0).sum()}; {pairs.notes}"
            )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("corpus", type=Path, nargs="?")
    options.add_argument("truth", type=Path, nargs="?")
    given = options.parse_args()
    run(pa.array(["a b c d e f " * 20] * 3, pa.large_string()))  # compiles the kernels
    if given.corpus is not None:
        quality(given.corpus, given.truth or given.corpus.with_name(f"{given.corpus.stem}_truth.jsonl"))
    growth()


if __name__ == "__main__":
    main()
