"""Small inputs with known answers, made from a seed: what the tests of the machine run on."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from pathlib import Path

_TEXT = """
river basin water stone bridge valley garden winter summer market street window paper letter number answer question
engine signal copper silver forest mountain island harbor captain village teacher student doctor library history
science nature energy light shadow color music silence journey border country language memory machine measure
the of and to in that with for as on by from at which this have has been were their more other some many
"""
WORDS = _TEXT.split()


def sentence(rng: random.Random) -> str:
    """A sentence of common words."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(8, 16))).capitalize() + "."


def document(rng: random.Random, sentences: int = 12) -> str:
    """A text that no quality rule has anything against."""
    return "\n".join(sentence(rng) for _ in range(sentences))


def write_text_inputs(folder: Path, files: int = 6, records: int = 40, seed: int = 0) -> int:
    """JSONL files, some gzipped, with unique texts, exact and near copies and broken lines.

    Returns the rows a ledger must have.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    texts: list[str] = []
    rows = 0
    for number in range(files):
        lines = []
        for index in range(records):
            kind = index % 10
            if kind == 3 and texts:
                text = rng.choice(texts)
            elif kind == 6 and texts:
                text = rng.choice(texts) + "\n" + sentence(rng)
            else:
                text = document(rng)
            texts.append(text)
            lines.append(json.dumps({"id": f"{number}-{index}", "text": text, "lang": "en", "n": index}))
        lines[5] = '{"id": "broken", "text": "no end'
        lines[7] = json.dumps({"id": f"{number}-7", "body": "no text field"})
        data = ("\n".join(lines) + "\n").encode()
        rows += len(lines)
        if number % 3 == 2:
            (folder / f"part-{number:02d}.jsonl.gz").write_bytes(gzip.compress(data, mtime=0))
        else:
            (folder / f"part-{number:02d}.jsonl").write_bytes(data)
    return rows


def write_recipe(path: Path, source: Path, out: Path, **changes: str) -> Path:
    """A text recipe with small partitions and small shards, so that there are many of both."""
    threshold = changes.get("threshold", "0.8")
    path.write_text(
        f"""name: small
text:
  sources:
    - path: "{source}"
  partition_bytes: {changes.get("partition_bytes", "20000")}
  stages:
    - use: text.clean
    - use: text.dedup.exact{changes.get("more", "")}
    - {{use: text.dedup.fuzzy, threshold: {threshold}}}
output:
  path: "{out}"
  shard_bytes: 64KiB
  split: {{val: 0.1}}
"""
    )
    return path


def published(root: Path) -> dict[str, str]:
    """path -> sha256 of every file whose bytes are promised."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and ".d4a" not in path.parts and path.name != "report.html"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
