"""Speed of text.language's models, and how often they name the language that a document is said to be in.

    python tests/bench/bench_language.py FILE.jsonl [--model py3langid --model lid.176 …] [--rounds 5]

FILE has `text` and `lang`, null where nobody knows. Documentation is often half translated: documents in which more than
2 % of the words are the English the, of, and, to, is, that are therefore counted apart, unless they are said to be English.
User CPU of one core, best of several interleaved rounds; the fasttext package answers the same texts where it can.
"""

from __future__ import annotations

import argparse
import resource
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fasttext
import orjson
import pyarrow as pa
from d4a.curator.stage import Machine
from d4a.modalities.text.language import Language, LanguageOptions

ENGLISH = frozenset(("the", "of", "and", "to", "is", "that"))
Answers = list[str | None]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """User CPU seconds, and what came of it."""
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    result = work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - start, result


def in_d4a(batches: list[pa.RecordBatch], **options: Any) -> Callable[[], Answers]:
    stage = Language(LanguageOptions(**options))
    stage.open(stage.prepare(Machine()))
    stage.measure(batches[0].slice(0, 2))  # compiles
    return lambda: [code for batch in batches for code in stage.measure(batch)["language"].to_pylist()]


def in_fasttext(texts: list[str], model: str) -> Callable[[], Answers]:
    path = Language(LanguageOptions(model=model)).prepare(Machine()).local["path"]
    theirs = fasttext.load_model(path)
    return lambda: [theirs.predict(text.replace("\n", " "))[0][0].removeprefix("__label__") for text in texts]


def half_english(text: str) -> bool:
    words = text.lower().split()
    return sum(word in ENGLISH for word in words) > 0.02 * len(words)


def agreement(answers: Answers, wanted: Answers, counted: list[bool]) -> str:
    pairs = [pair for pair, counts in zip(zip(wanted, answers, strict=True), counted, strict=True) if counts]
    return f"{sum(a == b for a, b in pairs) / max(1, len(pairs)):9.4f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file", type=Path)
    options.add_argument("--model", action="append")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    records = [orjson.loads(line) for line in given.file.read_bytes().splitlines()]
    texts, wanted = [record["text"] for record in records], [record.get("lang") for record in records]
    batches = [pa.record_batch({"text": pa.array(texts[i : i + 2048], pa.large_string())}) for i in range(0, len(texts), 2048)]
    works: dict[str, Callable[[], Answers]] = {}
    for model in given.model or ["py3langid", "lid.176"]:
        works[f"{model}, default"] = in_d4a(batches, model=model)
        works[f"{model}, 4,096 bytes"] = in_d4a(batches, model=model, max_bytes=4096)
        if model != "py3langid":
            works[f"{model}, fasttext package"] = in_fasttext(texts, model)
    best, answers = dict.fromkeys(works, float("inf")), {}
    for _ in range(given.rounds):
        for name, work in works.items():
            seconds, answers[name] = timed(work)
            best[name] = min(best[name], seconds)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    known = [code is not None for code in wanted]
    whole = [code is not None and (code == "en" or not half_english(text)) for code, text in zip(wanted, texts, strict=True)]
    print(f"{megabytes:.1f} MB, {len(texts):,} documents; user CPU of one core, best of {given.rounds}")
    print(f"labels: {sum(known):,} documents in {len(set(wanted) - {None})} languages, {sum(whole):,} of them not half English")
    print(f"{'':34} {'MB/s':>6} {'us/text':>8} {'all':>9} {'not half':>9}")
    for name, seconds in best.items():
        rates = f"{megabytes / seconds:6.1f} {seconds / len(texts) * 1e6:8.1f}"
        print(f"{name:34} {rates} {agreement(answers[name], wanted, known)} {agreement(answers[name], wanted, whole)}")
        missed = Counter((w, a) for w, a, counts in zip(wanted, answers[name], whole, strict=True) if counts and w != a).most_common(5)
        print("    " + ", ".join(f"{w} named {a}: {count}" for (w, a), count in missed))


if __name__ == "__main__":
    main()
