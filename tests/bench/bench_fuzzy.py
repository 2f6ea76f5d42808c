"""Quality and speed of text.dedup.fuzzy on a corpus with known answers.

    python tests/bench/bench_fuzzy.py [CORPUS.jsonl [TRUTH.jsonl]] [--threshold 0.8]

Reads {"id", "text", "lang"} lines and a truth of {"id", "base", "kind"} lines (default: CORPUS with `_truth` in its
name); `template` records are negatives that must stay. Without a corpus, one in six scripts is made up. Prints how
many planted copies were removed, by similarity, kind and script, whether every drop was right, the CPU time of each
step (best of 5). Sketches by the length of texts are in bench_text.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

from d4a.curator.dedup.keepers import Kept, choose_keepers
from d4a.curator.stage import Bools, Ints, Pairs
from d4a.modalities.text.fss import shingle_sets
from d4a.modalities.text.fuzzy import FuzzyOptions, FuzzyText
from d4a.modalities.text.jaccard import jaccard
from d4a.modalities.text.tokens import tokenise
from entered_texts import Corpus
from planted_texts import planted


def stored(corpus: Path, truth: Path | None) -> tuple[list[dict], list[dict]]:
    """Records and truth of two files."""
    truth = truth or corpus.with_name(f"{corpus.stem}_truth.jsonl")
    return [orjson.loads(line) for line in corpus.open("rb")], [orjson.loads(line) for line in truth.open("rb")]


def made_up() -> tuple[list[dict], list[dict]]:
    """Records and truth of planted texts."""
    texts = planted(originals=4000, seed=1)
    rows = [{"id": k, "text": one.text, "lang": one.script} for k, one in enumerate(texts)]
    return rows, [{"id": k, "base": one.base, "kind": one.kind} for k, one in enumerate(texts)]


def run(stage: FuzzyText, batch: pa.RecordBatch) -> tuple[Corpus, Pairs, Kept, dict[str, float]]:
    """Sketch, pairs and keepers of a batch of texts, and the CPU time of each."""
    stage.sketch(batch.slice(0, 1))  # else it has the tokens of the last time
    ticks = [time.process_time()]
    columns = stage.sketch(batch)
    ticks.append(time.process_time())
    entered = Corpus(batch.column("text"), columns)
    pairs = stage.pairs(entered)
    ticks.append(time.process_time())
    kept = choose_keepers(pairs.a, pairs.b, pairs.similarity, stage.preference(entered), stage.threshold)
    ticks.append(time.process_time())
    return entered, pairs, kept, dict(zip(("sketch", "pairs", "keepers"), np.diff(ticks).tolist(), strict=True))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("corpus", type=Path, nargs="?")
    options.add_argument("truth", type=Path, nargs="?")
    options.add_argument("--threshold", type=float, default=0.8)
    given = options.parse_args()
    rows, truth = made_up() if given.corpus is None else stored(given.corpus, given.truth)
    stage = FuzzyText(FuzzyOptions(threshold=given.threshold))
    batch = pa.record_batch({"text": pa.array([row["text"] for row in rows], pa.large_string())})
    run(stage, batch)  # compiles the kernels
    runs = [run(stage, batch) for _ in range(5)]
    entered, pairs, kept, _ = runs[0]
    times = {name: min(one[3][name] for one in runs) for name in runs[0][3]}
    report(rows, truth, kept, given.threshold, entered)
    megabytes = batch.column("text").nbytes / 1e6
    print(f"\n{megabytes:.1f} MB of text, {len(rows)} records; bands x rows {stage.banding()}; {pairs.notes}")
    for name, seconds in times.items():
        print(f"{name:8} {seconds:7.3f} s  {megabytes / seconds:8.0f} MB/s of CPU")


def report(rows: list[dict], truth: list[dict], kept: Kept, threshold: float, entered: Corpus) -> None:
    """Print recall by similarity and kind, and the errors."""
    place = {row["id"]: k for k, row in enumerate(rows)}
    copies = [t for t in truth if t["kind"] not in ("base", "template")]
    a = np.array([place[t["id"]] for t in copies])
    b = np.array([place[t["base"]] for t in copies])
    sets = shingle_sets(tokenise(entered.texts), 5)
    exact = jaccard(sets, a, b)
    dropped = kept.twin >= 0
    removed = dropped[a] | dropped[b]
    table = defaultdict(list)
    for k, copy in enumerate(copies):
        for name in _groups(copy, exact[k], threshold):
            table[name].append(removed[k])
    print(f"{'planted copies':46} {'number':>6} {'one of the two removed':>22}")
    for name in sorted(table):
        print(f"{name:46} {len(table[name]):6} {np.mean(table[name]):22.3f}")
    where = np.flatnonzero(dropped)
    true = jaccard(sets, where, kept.twin[where])
    by_script([row["lang"] for row in rows], a[exact >= threshold], removed[exact >= threshold], where, true >= threshold)
    templates = [place[t["id"]] for t in truth if t["kind"] == "template"]
    print(f"\nremoved {dropped.sum()}: twin kept {(~dropped[kept.twin[where]]).sum()}, truly similar {(true >= threshold).sum()}")
    print(f"named similarity off by at most {np.abs(true - kept.similarity[where]).max(initial=0):.1e}")
    print(f"template records removed: {int(dropped[templates].sum())} of {len(templates)}")


def by_script(langs: list[str | None], similar: Ints, found: Bools, dropped: Ints, right: Bools) -> None:
    """Print for every language or script how many pairs that are similar were found, and how many drops were right."""
    names = np.array([str(lang) for lang in langs])
    print(f"\n{'by script':20} {'similar pairs':>13} {'found':>7} {'dropped':>9} {'truly similar':>13}")
    for name in sorted({*names[similar], *names[dropped]}):
        mine, gone = found[names[similar] == name], right[names[dropped] == name]
        print(f"{name:20} {len(mine):13} {mine.mean() if len(mine) else 1:7.3f} {len(gone):9} {gone.sum():13}")


def _groups(copy: dict, exact: float, threshold: float) -> list[str]:
    groups = [f"kind {copy['kind']}"]
    for name, value in (("d4a tokens", exact), ("split() words", copy.get("j_w5"))):
        if value is not None:
            span = f"{threshold} to 1" if value >= threshold else f"0.5 to {threshold}" if value >= 0.5 else "0 to 0.5"
            groups.append(f"similarity by {name}: {span}")
    return groups


if __name__ == "__main__":
    main()
