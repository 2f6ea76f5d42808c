"""Which near copies are found: image.dedup.perceptual, alone, by its index and with a network, beside imagededup where it is installed.

    python tests/bench/bench_near.py [FOLDER] [--embedding] [--growth 20000]

FOLDER holds truth.jsonl, one line a file: path, group (files of one group are copies), kind (`base` is the original), ok (it decodes)
and note (`ignore`: not scored). Without it, scenes are drawn. Prints precision, recall and F1 of all pairs and the share of copies of
each kind that are paired with their original; with --growth, also user CPU of the index on made thumbnails, beside comparing all.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
from bench_image import decoded
from d4a.curator.columns import fixed_rows
from d4a.curator.dedup.neighbours import neighbours
from d4a.curator.stage import Workspace
from d4a.modalities.image import phash, phash_index
from d4a.modalities.image.perceptual import PerceptualOptions
from d4a.models import embed

SPACE = Workspace(Path(tempfile.gettempdir()), 1 << 30)
Pairs = Iterable[tuple[str, str]]


class Truth:
    """Which files of a folder are copies of each other; files of a group with two originals are not scored."""

    def __init__(self, root: Path) -> None:
        rows = [json.loads(line) for line in (root / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
        originals = Counter(row["group"] for row in rows if row["kind"] == "base")
        self.skipped = {row["path"] for row in rows if originals[row["group"]] > 1 or row.get("note") == "ignore"}
        self.rows = [row for row in rows if row["ok"]]
        scored = [row for row in self.rows if row["path"] not in self.skipped]
        self.base = {row["group"]: row["path"] for row in scored if row["kind"] == "base"}
        self.copies = [row for row in scored if row["kind"] != "base" and row["group"] in self.base]
        groups: dict[str, list[str]] = {}
        for row in scored:
            groups.setdefault(row["group"], []).append(row["path"])
        self.pairs = {frozenset(pair) for group in groups.values() for pair in combinations(group, 2)}

    def score(self, what: str, pairs: Pairs) -> None:
        """Print how good some pairs are."""
        found = {frozenset(pair) for pair in pairs if len(set(pair)) == 2 and not self.skipped & set(pair)}
        precision, recall = len(found & self.pairs) / max(1, len(found)), len(found & self.pairs) / len(self.pairs)
        kinds = Counter(row["kind"] for row in self.copies)
        hit = Counter(row["kind"] for row in self.copies if frozenset((row["path"], self.base[row["group"]])) in found)
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        print(f"{what:44s} P {precision:.3f}  R {recall:.3f}  F1 {f1:.3f}")
        print("    " + "  ".join(f"{kind} {hit[kind] / kinds[kind]:.2f}" for kind in sorted(kinds)))


def draw(root: Path, scenes: int = 120) -> None:
    """Scenes and four near copies of each, with their truth."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import image_makers as makers

    rng, rows = random.Random(0), []
    for number in range(scenes):
        picture = makers.scene(number)
        for kind in ["base", *rng.sample(sorted(makers.NEAR_COPIES), 4)]:
            name = f"{number}-{kind}.bin"
            (root / name).write_bytes(makers.encode(picture) if kind == "base" else makers.NEAR_COPIES[kind](picture, rng))
            rows.append(json.dumps({"path": name, "group": str(number), "kind": kind, "ok": True}))
    (root / "truth.jsonl").write_text("\n".join(rows), encoding="utf-8")


def compare(root: Path, network: bool) -> None:
    """Score all ways on one folder."""
    truth, options = Truth(root), PerceptualOptions()
    batches = decoded([(root / row["path"]).read_bytes() for row in truth.rows], frozenset({"gray64", "rgb224"} if network else {"gray64"}))
    fine = np.concatenate([batch.column("reason").is_null().to_numpy(zero_copy_only=False) for batch in batches])
    names = np.array([row["path"] for row in truth.rows], object)[fine]
    batches = [batch.filter(batch.column("reason").is_null()) for batch in batches]
    thumbs = phash.thumbnails(np.concatenate([fixed_rows(batch.column("gray64"), np.uint8, (64, 64)) for batch in batches]))
    some = np.flatnonzero(phash.contrast(thumbs) >= options.min_contrast)
    thumbs, names = phash.equalised(thumbs[some]), names[some]
    every = phash.similar_pairs(thumbs, options.threshold)
    windows = list(zip(names[every[0]], names[every[1]], strict=True))
    truth.score("image.dedup.perceptual", windows)
    index = phash_index.similar_pairs(thumbs, options.threshold, SPACE)
    truth.score("  the same, by its index", zip(names[index.a], names[index.b], strict=True))
    if network:
        spec = embed.EfficientNetSpec(efficientnet="lite0")
        model = embed.load(spec, str(embed.find(spec).path), "fp32", "cpu", 16)
        vectors = np.concatenate([model.embed(fixed_rows(batch.column("rgb224"), np.uint8, (224, 224, 3))) for batch in batches])[some]
        near = neighbours(vectors, options.min_cosine)
        agree = phash.similarities(thumbs, phash.hashes(thumbs), near.a, near.b, options.gate, 64) >= options.gate
        lifted = zip(names[near.a[agree]], names[near.b[agree]], strict=True)
        truth.score("  with embedding: efficientnet lite0", [*windows, *lifted])
        for cosine in (0.9, 0.95):
            alone = neighbours(vectors, cosine)
            truth.score(f"  efficientnet lite0 alone, cosine {cosine}", zip(names[alone.a], names[alone.b], strict=True))
    if find_spec("imagededup"):
        imagededup(root, truth)


def imagededup(root: Path, truth: Truth) -> None:
    """imagededup's PHash, with its own decoding and default distance."""
    from imagededup.methods import PHash

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    method, hashes = PHash(verbose=False), {}
    for row in truth.rows:
        value = method.encode_image(root / row["path"])
        if value:
            hashes[row["path"]] = value
    found = method.find_duplicates(encoding_map=hashes, max_distance_threshold=10, search_method="bktree")
    truth.score("imagededup PHash, distance 10", [(name, other) for name, others in found.items() for other in others])


def grow(count: int) -> None:
    """User CPU of the index and of brute force on surfaces with the spectrum of photographs, a tenth of them twice."""
    rng, frequency = np.random.default_rng(0), np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.rfftfreq(32), indexing="ij"))
    parts = []
    for start in range(0, count - count // 10, 4096):
        noise = np.fft.rfft2(rng.normal(size=(min(4096, count - count // 10 - start), 32, 32)))
        rough = np.fft.irfft2(noise / np.maximum(frequency, 1 / 32))
        parts.append(128 + 50 * (rough - rough.mean((1, 2), keepdims=True)) / rough.std((1, 2), keepdims=True))
    pictures = np.concatenate(parts)
    pictures = np.concatenate([pictures, pictures[: count // 10] + rng.normal(0, 12, (count // 10, 32, 32))])
    thumbs, floor = phash.equalised(np.clip(np.rint(pictures), 0, 255).astype(np.uint8)), PerceptualOptions().pairs_from
    phash_index.similar_pairs(thumbs[:300], floor, SPACE)  # compiles the kernels
    start = time.process_time()
    found = phash_index.similar_pairs(thumbs, floor, SPACE)
    cost = time.process_time() - start
    start = time.process_time()
    a, b, _ = phash.similar_pairs(thumbs, floor)
    brute = time.process_time() - start
    both = np.isin(a * count + b, found.a * count + found.b).mean()
    ours, theirs = (f"{1e6 * seconds / count:.0f} us/image" for seconds in (cost, brute))
    print(f"{count:,} thumbnails: index {ours}, all pairs {theirs}; {both:.4f} of {len(a):,} pairs found")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, nargs="?")
    options.add_argument("--embedding", action="store_true")
    options.add_argument("--growth", type=int, default=0)
    given = options.parse_args()
    if given.folder:
        compare(given.folder, given.embedding)
    else:
        with tempfile.TemporaryDirectory() as folder:
            draw(Path(folder))
            compare(Path(folder), given.embedding)
    if given.growth:
        grow(given.growth)


if __name__ == "__main__":
    main()
