"""The checks of `make gpu-check`, one function each. `scale` is a share of the full size, so that they run small in tests."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from check import DiffersError
from d4a.curator.backends import device, rapids
from d4a.curator.dedup import clusters, neighbours
from d4a.modalities.text import fss
from d4a.modalities.text.minhash import Permutations, minhash, nemo_permutations, own_permutations
from d4a.modalities.text.tokens import Tokens

CARD = "cuda"  # tests run some of the checks in small on the CPU
VECTORS = Path(__file__).parents[1] / "cudf_signatures.json"


def equal(what: str, found: Any, expected: Any) -> None:
    """Raises DiffersError naming how much of two arrays differs, and where first."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise DiffersError(f"{what}: shape {found.shape}, not {expected.shape}")
    wrong = np.argwhere(found != expected)
    if len(wrong):
        at = tuple(wrong[0].tolist())
        raise DiffersError(f"{what}: {len(wrong):,} of {expected.size:,} values, first at {at}: {found[at]}, not {expected[at]}")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and seconds by the clock: everything here ends in an array of the host."""
    start = time.perf_counter()
    found = work()
    return found, max(time.perf_counter() - start, 1e-9)


def texts_of(size: int, seed: int, longest: int = 4000) -> pa.Array:
    """Random texts of about `size` bytes together: ASCII, Latin, Cyrillic, Han, emoji and marks in runs; some are empty or null."""
    random = np.random.default_rng(seed)
    ranges = ((32, 127), (0xC0, 0x250), (0x400, 0x500), (0x4E00, 0x9FFF), (0x1F300, 0x1F6FF), (0x300, 0x370))
    found: list[str | None] = []
    left = size
    while left > 0:
        runs = [
            random.integers(*ranges[kind], n)
            for kind, n in zip(random.choice(6, 5, p=[0.6, *[0.08] * 5]), random.integers(1, 200, 5), strict=True)
        ]
        text = "".join(map(chr, np.concatenate(runs).tolist())) * int(random.integers(1, max(2, longest // 500)))
        found.append(text[: int(random.integers(0, longest))] if random.random() > 0.01 else None)
        left -= len((found[-1] or "").encode()) + 1
    return pa.array(found, pa.large_string())


# ------------------------------------------------------------------------------------------------------ signatures


def machine(scale: float) -> str:
    """The card, versions, and what d4a would take for its computations."""
    import cupy

    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    found = [f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB, driver {runtime.driverGetVersion()}"]
    for library in ("cudf", "cupy", "numba_cuda"):
        chosen = device.choose("cuda", library)
        found.append(chosen.why.partition(";")[0])
        if chosen.backend != "rapids":
            raise DiffersError(", ".join(found))
    return ", ".join([*found, f"numba {version('numba')}"])


def vectors(scale: float) -> str:
    """Published and derived signatures; of the derived ones some tell a product that wraps from one that does not."""
    published = derived = 0
    for vector in json.loads(VECTORS.read_text(encoding="utf-8")):
        if vector["units"] != "characters":
            continue
        dtype = np.uint32 if vector["bits"] == 32 else np.uint64
        permuted = Permutations(np.array(vector["a"], dtype), np.array(vector["b"], dtype), vector["seed"])
        texts = [text[0] * text[1] if isinstance(text, list) else text for text, _ in vector["rows"]]
        expected = [values or [0] * len(vector["a"]) for _, values in vector["rows"]]
        found = rapids.minhash(pa.array(texts, pa.large_string()), vector["window"], *permuted)
        equal(vector["name"], found, np.array(expected, dtype))
        if vector["name"].startswith("derived"):
            derived += len(texts)
        else:
            published += len(texts)
    return f"{published} published and {derived} derived rows"


def columns(scale: float) -> str:
    """Nulls, empty texts, slices, as cuDF takes them from Arrow; d4a itself hands it none of these."""
    import cudf

    permuted = nemo_permutations(260, 32)
    count = 0
    some = pa.array(["", None, "a", "ab", "é" * 30, None, "", "x" * 24, "x" * 23, "中" * 100, None], pa.large_string())
    for column in (some, some[1:], some[2:9], some[1:2], some[:0], some.cast(pa.string())[3:]):
        equal("d4a's columns", rapids.minhash(column, 24, *permuted), minhash(column, "characters", 24, permuted))
        if len(column):
            told = cudf.Series.from_arrow(column).str.minhash(permuted.seed, a=cudf.Series(permuted.a), b=cudf.Series(permuted.b), width=24)
            rows = [row or [0] * 260 for row in told.to_arrow().to_pylist()]
            equal("columns as they are", np.array(rows, np.uint32), minhash(column, "characters", 24, permuted))
        count += 1
    return f"{count} columns"


def long_texts(scale: float) -> str:
    """Texts on both sides of the border from which cuDF spreads a text over 64 blocks; d4a keeps those on the CPU until this is ok."""
    random = np.random.default_rng(3)
    kib = 1024 if scale == 1 else 8
    sizes = [255 * kib, 256 * kib - 1, 256 * kib, 257 * kib, 1024 * kib]
    texts = []
    for size in sizes:
        letters = random.integers(97, 123, size).astype(np.uint8).tobytes().decode()
        texts += [letters, "".join(chr(0x4E00 + ord(letter)) for letter in letters[: size // 3]) + "ab"[: size % 3]]
    column, permuted = pa.array(texts, pa.large_string()), nemo_permutations(260, 32)
    wide = own_permutations(64, 64)
    expected, expected_64 = minhash(column, "characters", 24, permuted), minhash(column, "characters", 24, wide)
    times = max(2, int(100 * scale))
    wrong, first = 0, ""
    for _ in range(times):
        for found, right in ((rapids.minhash(column, 24, *permuted), expected), (rapids.minhash(column, 24, *wide), expected_64)):
            bad = np.flatnonzero((found != right).any(axis=1))
            wrong += bool(len(bad))
            first = first or (f"texts of {', '.join(f'{len(texts[row].encode()):,}' for row in bad)} bytes" if len(bad) else "")
    if wrong:
        raise DiffersError(f"{wrong} of {2 * times} runs, {first}")
    return f"{len(texts)} texts of {sizes[0]:,} to {sizes[-1]:,} bytes, {times} times, 32 and 64 bits"


def unicode(scale: float) -> str:
    """Random Unicode; 1 GB, or what a minute allows."""
    permuted, done, start, seed = nemo_permutations(128, 32), 0, time.monotonic(), 0
    wanted = 1e9 * scale
    while done < wanted and time.monotonic() - start < 60:
        column = texts_of(int(min(4e6, wanted)), seed, longest=20_000 if seed % 4 else 500)
        for width in (5, 24):
            equal(f"seed {seed}, width {width}", rapids.minhash(column, width, *permuted), minhash(column, "characters", width, permuted))
        if seed % 8 == 0:
            wide = own_permutations(32, 64)
            equal(f"seed {seed}, 64 bits", rapids.minhash(column, 24, *wide), minhash(column, "characters", 24, wide))
        done, seed = done + int(4e6), seed + 1
    return f"{min(done, wanted) / 1e6:,.0f} MB, widths 5 and 24"


def hash_speed(scale: float) -> str:
    """Signatures of NeMo Curator, transfers and Arrow included, beside one core."""
    permuted = nemo_permutations(260, 32)
    line = "The quick brown fox jumps over the lazy dog; 敏捷的棕色狐狸 jumps again. "
    random = np.random.default_rng(0)
    made = ["".join(line[k:] for k in random.integers(0, 60, 60)) for _ in range(int(2000 * scale) + 2)]
    column = pa.array(made * (1 if scale < 1 else 20), pa.large_string())
    size = sum(len(text.encode()) for text in made) * (len(column) // len(made))
    told = []
    rapids.minhash(column[:10], 24, *permuted)
    for name, part in (("all at once", column), ("2048 texts", column[:2048])):
        _, seconds = timed(lambda part=part: rapids.minhash(part, 24, *permuted))  # type: ignore[misc]
        told.append(f"{size * len(part) / len(column) / seconds / 1e9:.2f} GB/s {name}")
    small = column[:500]
    minhash(small[:2], "characters", 24, permuted)
    _, seconds = timed(lambda: minhash(small, "characters", 24, permuted))
    return f"{', '.join(told)}; one core {size * len(small) / len(column) / seconds / 1e6:.0f} MB/s"


# -------------------------------------------------------------------------------------------------- the FSS kernel


def sketch_kernel(scale: float) -> str:
    """numba-cuda's sketches of short and long texts."""
    from d4a.curator.backends.sketch_cuda import sketch

    random = np.random.default_rng(1)
    sizes = np.concatenate([[0, 1, 4, 5, 6], random.integers(1, 2000, max(2, int(20_000 * scale))), [200_000] if scale == 1 else []])
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    hashes = random.integers(0, 2**64, offsets[-1], np.uint64)
    hashes[offsets[-2] :] = hashes[offsets[-2] : offsets[-2] + 3].repeat(len(hashes[offsets[-2] :]) // 3 + 1)[: len(hashes[offsets[-2] :])]
    tokens = Tokens(hashes, offsets, random.integers(0, 2**64, len(sizes), np.uint64))
    arguments = (*tokens, 5, fss.BASE, fss.MIX, fss.ROUNDS)
    expected, cpu = timed(lambda: fss.signatures(tokens, 5))
    equal("first run", sketch(*arguments), expected)
    found, seconds = timed(lambda: sketch(*arguments))
    equal("second run", found, expected)
    _, cpu = timed(lambda: fss.signatures(tokens, 5))
    return f"{len(hashes) / seconds / 1e6:,.0f} M tokens/s, one core {len(hashes) / cpu / 1e6:,.0f}"


# ------------------------------------------------------------------------------------------------------ pair search


def _embeddings(n: int, width: int) -> Any:
    random = np.random.default_rng(4)
    found = random.normal(size=(max(1, n // 8), width)).astype(np.float32)[random.integers(0, max(1, n // 8), n)]
    for start in range(0, n, 65536):
        part = found[start : start + 65536]
        part += 0.1 * random.normal(size=part.shape).astype(np.float32)
    return found.astype(np.float16)


def homes(scale: float) -> str:
    """Nearest centroids and visits across borders; equal centroids among them, where the first has to win."""
    n, k = int(200_000 * scale), max(8, int(800 * scale**0.5))
    data = _embeddings(n, 512 if scale == 1 else 32)
    found = clusters.centroids(data[: 64 * k], k, 2, 0)
    found[k // 2] = found[0]
    floor = 0.9
    grid = clusters.on_grid(data)
    inverse, reach = clusters._inverse_distances(found), np.float32(clusters._reach(floor, data.shape[1]))
    rapids.Centroids(found, inverse).visits(grid[:100], reach, 8)
    looked, seconds = timed(lambda: rapids.Centroids(found, inverse).visits(grid, reach, 8))
    wanted, cpu = timed(lambda: clusters.assign(data, found, floor, 8))
    for name, mine, theirs in (
        ("homes", looked.home, wanted.home),
        ("visitors", looked.row, wanted.visitor),
        ("visited", looked.cluster, wanted.visited),
    ):
        equal(name, mine, theirs)
    home, closeness = rapids.Centroids(found).nearest(grid[: 64 * k])
    expected = clusters._nearest(grid[: 64 * k], found)
    equal("nearest", home, expected[0])
    equal("closeness", closeness, expected[1])
    return f"{n:,} vectors, {k} centroids, {len(looked.row):,} visits: {seconds:.2f} s, CPU {cpu:.2f} s"


def pairs(scale: float) -> str:
    """Pairs above a cosine: the card proposes, float64 decides."""
    n = int(50_000 * scale)
    data = _embeddings(n, 512 if scale == 1 else 32)
    wanted, cpu = timed(lambda: neighbours.neighbours(data, 0.95))
    units, least = neighbours.unit_rows(data), np.float32(0.95 - 2e-7 * (data.shape[1] + 8))

    def on_card() -> Any:
        kept = []
        for top in range(0, n, 2048):
            i, j = rapids.alike(units[top : top + 2048], units[top:], least)
            i, j = i + top, j + top
            i, j = i[i < j], j[i < j]
            kept.append(np.stack([i, j], 1)[neighbours.cosines(data[i], data[j]) >= 0.95])
        return np.concatenate(kept)

    on_card_pairs, seconds = timed(on_card)
    equal("pairs", on_card_pairs, np.stack([wanted.a, wanted.b], 1))
    return f"{len(wanted.a):,} pairs of {n:,} vectors: {seconds:.2f} s, CPU {cpu:.2f} s"


# --------------------------------------------------------------------------------------------------- models, and all


def clip(scale: float) -> str:
    """ViT-B-32 of random weights, from a file as published ones are, in fp32 and bf16."""
    import open_clip
    import torch
    from d4a.models import embed

    torch.manual_seed(0)
    name = "ViT-B-32" if scale == 1 else "ViT-S-32-alt"
    images = np.random.default_rng(0).integers(0, 256, (max(4, int(1024 * scale)), 224, 224, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/random.pt"
        torch.save(open_clip.create_model(name).state_dict(), path)
        spec = embed.ClipSpec(clip=name, weights=path)
        reference = embed.load(spec, path, "fp32", "cpu", 4).embed(images[:16]).astype(np.float64)
        told = [torch.cuda.get_device_name(0)] if CARD == "cuda" else []
        for precision in ("fp32", "bf16"):
            card = embed.load(spec, path, precision, CARD, min(256, len(images)))
            found = card.embed(images)
            again, seconds = timed(lambda card=card: card.embed(images))  # type: ignore[misc]
            equal(f"two runs in {precision}", again, found)
            equal("alone and among others", card.embed(images[:1]), found[:1])
            cosine = float((found[:16].astype(np.float64) * reference).sum(axis=1).min())
            told.append(f"{precision} {len(images) / seconds:,.0f} images/s, least cosine to the CPU {cosine:.5f}")
            if cosine < 0.99:
                raise DiffersError("; ".join(told))
    return "; ".join(told)


def yolo(scale: float) -> str:
    """YOLO11n of random weights, which find boxes all the same, from a checkpoint as published ones are."""
    from d4a.models import weights
    from d4a.models import yolo as detectors

    weights.go_offline()
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    side = 640 if scale == 1 else 320
    images = np.random.default_rng(0).integers(0, 256, (max(4, int(256 * scale)), side // 32, side // 32, 3), np.uint8)
    images = images.repeat(32, axis=1).repeat(32, axis=2)
    net = YOLO("yolo11n.yaml")
    for layer in net.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0  # one pass sets the scales, else all boxes are equally unlikely
    with torch.no_grad():
        net.model.train()(torch.from_numpy(images[:4]).permute(0, 3, 1, 2) / 255)
    with tempfile.TemporaryDirectory() as folder:
        net.save(f"{folder}/random.pt")
        few, raw = np.ascontiguousarray(images[:4].transpose(0, 3, 1, 2), np.float32) / 255, {}
        for where in ("cpu", CARD):
            raw[where] = detectors.load(f"{folder}/random.pt", where, 4).forward(few).cpu().numpy()
        card = detectors.load(f"{folder}/random.pt", CARD, min(32, len(images)))
        boxes, _ = timed(lambda: card.detect(images, 0.01, 0.7))
        again, seconds = timed(lambda: card.detect(images, 0.01, 0.7))
    equal("two runs", np.concatenate(again), np.concatenate(boxes))
    apart = np.abs(raw[CARD] - raw["cpu"])
    pixels, confidence = float(apart[:, :4].max()), float(apart[:, 4:].max())
    told = f"{len(images) / seconds:,.0f} images/s; apart from the CPU: {pixels:.3f} pixels, {confidence:.5f} confidence"
    if pixels > 8 or confidence > 0.05:
        raise DiffersError(told)
    return told


def dataset(scale: float) -> str:
    """The same recipes on both, by a sketch of cuDF's and by d4a's kernel: one dataset, to the byte."""
    random = np.random.default_rng(6)
    words = ["".join(map(chr, random.integers(97, 123, 6).tolist())) for _ in range(3000)]
    rows = []
    for k in range(int(5000 * scale)):
        text = random.choice(words, 80)
        rows += [{"id": f"{k}", "text": " ".join(text)}, {"id": f"{k} again", "text": " ".join([*text[:78], "other", "words"])}]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        made = [_curated(Path(folder), stage) for stage in ({"scheme": "fss"}, {"preset": "nemo"})]
    return f"{len(rows):,} records, datasets {' and '.join(one[:16] for one in made)}"


def _curated(folder: Path, options: dict[str, str]) -> str:
    """The id of the dataset that CPU and card make of the same texts."""
    name = next(iter(options.values()))
    stages = [{"use": "text.dedup.fuzzy", **options}]
    recipe = {"name": "x", "text": {"sources": [{"path": "in.jsonl"}], "stages": stages}, "output": {"path": "out"}}
    (folder / "r.yaml").write_text(json.dumps(recipe))

    def d4a(*words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "d4a.curator", *words], cwd=folder, capture_output=True, text=True)
        print(done.stdout, done.stderr, file=sys.stderr)
        done.check_returncode()
        return done.stdout

    if CARD == "cuda" and "computes on the card" not in (told := d4a("plan", "r.yaml")):
        raise DiffersError(f"the plan does not use the card: {told}")
    ids = []
    for where in ("cpu", CARD):
        d4a("curate", "r.yaml", "--device", where, "--out", f"{name}-{where}", "--workers", "2", "--fresh")
        ids.append(json.loads((folder / f"{name}-{where}" / "dataset.json").read_text())["dataset_id"])
    if ids[0] != ids[1]:
        raise DiffersError(f"{name}: datasets {ids[0]} and {ids[1]}")
    return str(ids[0])
