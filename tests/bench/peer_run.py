"""One tool, one rule, some files: JSON lines in, filtered JSON lines or evidence out. Runs in the environment of that tool.

    python peer_run.py TOOL RULE OUT WARM_UP.jsonl FILE.jsonl …

Prints one JSON object: seconds of start-up (imports, tokeniser, compiled kernels, a pass over WARM_UP) and of each file, the peak of
resident memory, what was used, and for each record the reason to drop it (null: kept; dolma only tags, it judges nothing).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

RULES = {  # rule: (stage of d4a, filter of datatrove, tagger of dolma)
    "gopher quality": ("text.quality.gopher", "GopherQualityFilter", ""),
    "gopher repetition": ("text.quality.repetition", "GopherRepetitionFilter", "gopher_v2"),
    "c4": ("text.quality.c4", "C4QualityFilter", "c4_v2"),
    "fineweb": ("text.quality.fineweb", "FineWebQualityFilter", ""),
}
SHORTEST_S = 0.3  # the clock ticks in milliseconds: what is faster is done again
Pass = Callable[[Path, Path], None]  # reads a file, writes into a folder
Verdicts = Callable[[Path, Path], "dict[str, str | None] | None"]


def d4a(stage_name: str) -> tuple[Pass, Verdicts, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from d4a.curator.modality import Entry
    from d4a.curator.recipe import Source
    from d4a.curator.registry import modality, stage_class
    from d4a.curator.stage import Machine, Transform

    stage_type: Any = stage_class(stage_name)
    variant = {"variant": "datatrove"} if "variant" in stage_type.Options.model_fields else {}
    stage = stage_type(stage_type.Options(**variant))
    stage.open(stage.prepare(Machine()))

    def evidence(batch: pa.RecordBatch) -> pa.Table:
        texts = {}
        if isinstance(stage, Transform):
            batch = stage.change(batch, frozenset())
            texts = {"text": batch.column("text")}
        measured = {v.name: batch.column(v.name) for v in stage.values} if texts else stage.measure(batch)
        verdict = stage.judge(pa.table(measured))
        reasons = [None if keep else verdict.reasons[k] for keep, k in zip(verdict.keep, verdict.reason, strict=True)]
        refused = batch.column("reason").to_pylist()
        reason = pa.array([a or b for a, b in zip(reasons, refused, strict=True)], pa.string())
        return pa.table({"id": batch.column("id"), "verdict": reason, **measured, **texts})

    def work(file: Path, out: Path) -> None:
        status = file.stat()
        entry = Entry(str(file.parent), file.name, status.st_size, status.st_mtime_ns, 0, status.st_size)
        tables = [evidence(batch) for batch in modality("text").read(entry, Source(path=str(file)))]
        pq.write_table(pa.concat_tables(tables), out / "evidence.parquet", compression="zstd")

    def verdicts(file: Path, out: Path) -> dict[str, str | None]:
        table = pq.read_table(out / "evidence.parquet", columns=["id", "verdict"])
        return dict(zip(table["id"].to_pylist(), table["verdict"].to_pylist(), strict=True))

    return work, verdicts, f"d4a {version('d4a')}, {stage_name} {variant or ''}".rstrip()


def datatrove(filter_name: str) -> tuple[Pass, Verdicts, str]:
    from datatrove.pipeline import filters
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.word_tokenizers import load_word_tokenizer
    from loguru import logger

    logger.remove()

    def writer(folder: Path) -> Any:
        return JsonlWriter(str(folder), output_filename="${rank}.jsonl", compression=None)

    def work(file: Path, out: Path) -> None:
        documents = JsonlReader(str(file.parent), glob_pattern=file.name).run()
        step = getattr(filters, filter_name)(exclusion_writer=writer(out / "dropped"))
        for _ in writer(out / "kept").run(step.run(documents)):
            pass

    def verdicts(file: Path, out: Path) -> dict[str, str | None]:
        found: dict[str, str | None] = {json.loads(line)["id"]: None for line in file.open()}
        for dropped in (out / "dropped").glob("*.jsonl"):
            found |= {d["id"]: d["metadata"]["filter_reason"] for d in map(json.loads, dropped.open())}
        return found

    tokenizer = type(load_word_tokenizer("eng")).__name__
    return (
        work,
        verdicts,
        f"datatrove {version('datatrove')}, {filter_name}, words and sentences by {tokenizer}: spaCy {version('spacy')} blank en",
    )


def dolma(tagger_name: str) -> tuple[Pass, Verdicts, str]:
    import msgspec
    from dolma.core.data_types import InputSpec
    from dolma.core.registry import TaggerRegistry

    tagger = TaggerRegistry.get(tagger_name)()
    decoder, encoder = msgspec.json.Decoder(InputSpec), msgspec.json.Encoder()

    def work(file: Path, out: Path) -> None:
        with file.open("rb") as lines, (out / "attributes.jsonl").open("wb") as written:
            for line in lines:
                row = decoder.decode(line)
                written.write(encoder.encode({"id": row.id, "attributes": tagger.tag(row)}) + b"\n")

    return work, lambda file, out: None, f"dolma {version('dolma')}, tagger {tagger_name} in process"


def cpu() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def peak_mb() -> float:
    """ru_maxrss would count the parent's memory before exec."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main(tool: str, rule: str, out: str, warm_up: str, *files: str) -> None:
    make = {"d4a": d4a, "datatrove": datatrove, "dolma": dolma}[tool]
    work, verdicts, used = make(RULES[rule][["d4a", "datatrove", "dolma"].index(tool)])
    folder = Path(out, "warm up")
    folder.mkdir()
    work(Path(warm_up), folder)
    start_s, passes, reasons = cpu(), [], {}
    for file in map(Path, files):
        start, wall, rounds = cpu(), time.perf_counter(), 0
        while cpu() - start < SHORTEST_S:
            folder = Path(out, file.name, str(rounds))
            folder.mkdir(parents=True)
            work(file, folder)
            rounds += 1
        passes.append({"user_s": (cpu() - start) / rounds, "wall_s": (time.perf_counter() - wall) / rounds})
        reasons[file.name] = verdicts(file, folder)
    print(json.dumps({"used": used, "start_s": start_s, "passes": passes, "peak_mb": peak_mb(), "reasons": reasons}))


if __name__ == "__main__":
    main(*sys.argv[1:])
