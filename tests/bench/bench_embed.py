"""Whether a model waits for images: how busy a device is behind the scan, and images/s/core with a real ViT-B-32.

    python tests/bench/bench_embed.py [FOLDER] [--images 2000] [--pass-ms 200] [--rounds 3] [--no-device] [--no-model]

The device is a stand-in: one for all workers, behind a file lock, and it sleeps --pass-ms for every forward pass of 16 images, half
as long for two workers: that should be longer than decoding takes. Utilisation is the share of the time from the first pass to the end
of the last one in which it slept, best of the rounds; `start` is what comes before the first pass. `one after the other` is the scan
without its threads, and without reading a unit before the one in front of it is done. Others on the machine count as waiting; `chrt -r 1`
before the command keeps them away.
The ViT has random weights, which cost as much as trained ones, and is compared with open_clip alone on tensors that were decoded
before, in the same process: user CPU of one core, medians of alternating rounds over 48 images.
Without a folder, 400 photographs of 0.4 megapixels are drawn from a seed and saved as JPEG, again and again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from bench_image import BATCH, decoded, drawn, found
from d4a.curator.columns import fixed_rows
from d4a.curator.doctor import machine
from d4a.curator.load.files import digest, load
from d4a.curator.plan import make_plan
from d4a.curator.scan.partition import finished, parts_of, scan_partition
from d4a.curator.stage import Machine
from d4a.curator.store import Store

PASS = 16
DEVICE = '''
import fcntl, os, time
import pyarrow as pa
from d4a.curator.options import Options, measure
from d4a.curator.scan.measure import EvidenceWriter
from d4a.curator.stage import Filter, Value

if os.environ["BENCH_AHEAD"] == "no":
    begin = EvidenceWriter.begin
    EvidenceWriter.begin = lambda self, batches, overlap, when_read: begin(self, batches, False, when_read)


class DeviceOptions(Options):
    batch_size: int = measure(16, "Images a forward pass.")


class Device(Filter):
    """Sleeps."""

    name = "image.bench.device"
    cost = "model"
    Options = DeviceOptions
    values = (Value("nothing", pa.int64(), "0"),)
    needs = ("rgb224",)

    def measure(self, batch):
        with open(os.environ["BENCH_LOG"], "a") as log:
            for _ in range(0, batch.num_rows, self.options.batch_size):
                fcntl.flock(log, fcntl.LOCK_EX)
                start = time.monotonic()
                time.sleep(float(os.environ["BENCH_PASS_S"]))
                print(start, time.monotonic(), file=log, flush=True)
                fcntl.flock(log, fcntl.LOCK_UN)
        return {"nothing": pa.array([0] * batch.num_rows, pa.int64())}

    def rules(self):
        return []
'''


def install(site: Path) -> None:
    """The stand-in, as pip would install it."""
    info = site / "bench_device-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "bench_device.py").write_text(DEVICE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-device\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[d4a.stages]\nimage.bench.device = bench_device:Device\n")


def recipe(folder: Path, stages: str, out: str, partition: str = "64MiB") -> Path:
    """Over the images in a folder."""
    path = folder / f"{out}.yaml"
    flow = f"image:\n  sources: [{{path: '{folder / 'images'}'}}]\n  partition_bytes: {partition}\n  stages: [{stages}]\n"
    path.write_text(f"name: bench\n{flow}output: {{path: '{folder / out}'}}\n")
    return path


def utilisation(folder: Path, workers: int, pass_s: float, ahead: bool) -> tuple[float, float, float]:
    """(share of the time that the device is busy, passes a second, seconds before the first)."""
    out = f"out-{workers}-{ahead}"
    log = folder / f"{out}.log"
    log.unlink(missing_ok=True)
    shutil.rmtree(folder / out, ignore_errors=True)
    environment = {"BENCH_LOG": str(log), "BENCH_PASS_S": str(pass_s), "BENCH_AHEAD": "yes" if ahead else "no", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "d4a.curator", "curate", str(recipe(folder, "{use: image.decode}, {use: image.bench.device}", out))]
    paths = os.pathsep.join(filter(None, (str(folder / "site"), os.environ.get("PYTHONPATH"))))
    environment |= {**os.environ, **environment, "PYTHONPATH": paths}
    started = time.monotonic()
    subprocess.run([*command, "--workers", str(workers), "--device", "cpu"], env=environment, check=True, capture_output=True)
    passes = np.loadtxt(log)
    span = passes[:, 1].max() - passes[:, 0].min()
    return float((passes[:, 1] - passes[:, 0]).sum() / span), len(passes) / float(span), float(passes[:, 0].min()) - started


def bench_device(folder: Path, files: list[bytes], pass_s: float, rounds: int) -> None:
    install(folder / "site")
    started = time.process_time()
    decoded(files[: 4 * BATCH], frozenset({"rgb224"}))
    one = (time.process_time() - started) / (4 * BATCH)
    print(f"decoding takes {1000 * one:.1f} ms of CPU an image, {1000 * PASS * one:.0f} ms for a pass")
    print(f"{'a device for all workers':44} {'ms/pass':>8} {'busy':>6} {'passes/s':>9} {'start s':>8}")
    for workers in (1, 2):
        for ahead, name in ((False, "one after the other"), (True, "ahead")):
            busy, rate, start = max(utilisation(folder, workers, pass_s / workers, ahead) for _ in range(rounds))
            print(f"{f'{workers} workers, {name}':44} {1000 * pass_s / workers:8.0f} {busy:6.3f} {rate:9.2f} {start:8.1f}", flush=True)


# -------------------------------------------------------------------------------------------------- a real model


def scanned(folder: Path, weights: Path, precision: str, stages: str, count: int) -> dict[str, float]:
    """CPU seconds an image of a scan: of all of it, and by stage."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        model = f"model: {{clip: ViT-B-32, weights: '{weights}'}}"
        loaded = load(str(recipe(folder, stages.format(model=model), Path(out).name, "1GiB")))
        plan = make_plan(loaded, digest(loaded), Machine("cpu", precision), Path(out))
        store, flow = Store(Path(out)), plan.flow("image")
        started = time.process_time()
        finished(scan_partition(store, flow, 0, 0, None, None, lambda: None))
        whole = time.process_time() - started
        seconds = parts_of(store, flow, 0, flow.partitions[0])[0].manifest["seconds"]
    return {name: each / count for name, each in {"all": whole, **seconds}.items()}


def alone(weights: Path, tensors: object, precision: str) -> Callable[[], None]:
    """open_clip as its own documentation uses it, in fp32 or with weights and images in bf16."""
    import open_clip
    import torch

    model = open_clip.create_model("ViT-B-32", str(weights)).eval()
    images = tensors
    if precision == "bf16":
        model, images = model.to(torch.bfloat16), tensors.to(torch.bfloat16)

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, len(images), PASS):
                model.encode_image(images[start : start + PASS], normalize=True)

    return run


def bench_model(folder: Path, files: list[bytes], rounds: int) -> None:
    import logging

    import open_clip
    import torch

    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    weights = folder / "vit.pt"
    torch.save(open_clip.create_model("ViT-B-32").state_dict(), weights)
    views = [fixed_rows(batch.column("rgb224"), np.uint8, (224, 224, 3)) for batch in decoded(files, frozenset({"rgb224"}))]
    pixels = torch.from_numpy(np.concatenate(views))
    tensors = pixels.permute(0, 3, 1, 2).float().div(255).sub(0.45).div(0.27).contiguous()
    stages = "{{use: image.decode}}, {{use: image.dedup.semantic, {model}}}, {{use: image.dedup.perceptual}}"
    chosen = machine("cpu")
    print(f"\nViT-B-32, {len(files)} images, one core; d4a chooses {chosen.precision}: {chosen.why}")
    print(f"{'':10} {'open_clip alone':>18} {'embedding in a scan':>22} {'ratio':>6} {'all: read, decode, hash, embed':>34}")
    for precision in dict.fromkeys(("fp32", chosen.precision)):
        run, own, mine = alone(weights, tensors, precision), [], []
        run()
        scanned(folder, weights, precision, stages, len(files))
        for _ in range(rounds):
            started = time.process_time()
            run()
            own.append((time.process_time() - started) / len(files))
            mine.append(scanned(folder, weights, precision, stages, len(files)))
        base, part = median(own), median(one["image.dedup.semantic"] for one in mine)
        whole = median(one["all"] for one in mine)
        print(f"{precision:10} {1 / base:11.1f} /s/core {1 / part:15.1f} /s/core {base / part:6.3f} {1 / whole:27.1f} /s/core", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, nargs="?")
    options.add_argument("--images", type=int, default=2000)
    options.add_argument("--pass-ms", type=float, default=200)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--no-device", action="store_true")
    options.add_argument("--no-model", action="store_true")
    given = options.parse_args()
    files = found(given.folder, given.images) if given.folder else list(islice(cycle(drawn(min(400, given.images))), given.images))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for number, data in enumerate(files):
            (folder / f"images/{number:05d}.jpg").write_bytes(data)
        print(f"{len(files)} images, {sum(map(len, files)) / len(files) / 1000:.0f} kB each")
        if not given.no_device:
            bench_device(folder, files, given.pass_ms / 1000, given.rounds)
        if not given.no_model:
            for path in sorted((folder / "images").iterdir())[3 * PASS :]:
                path.unlink()
            bench_model(folder, files[: 3 * PASS], given.rounds)


if __name__ == "__main__":
    main()
