"""Speed of reading sources of images, on one core: no image is decoded.

    python tests/bench/bench_image_read.py [--images 20000] [--bytes 10000] [--rounds 3]

Samples of a made-up image of BYTES bytes, a caption and a JSON, in a plain tar; rows with the same bytes in Parquet; and JSON lines
that name loose files. CPU time (user and system) of one process, best of several interleaved rounds, beside a floor in the same run:
Python's tarfile for tars, pyarrow's rows for Parquet, open and read for files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import tarfile
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from d4a.curator.modality import Entry
from d4a.curator.recipe import Source
from d4a.modalities.image import tar_samples
from d4a.modalities.image.read import read_entry
from d4a.modalities.image.records import IMAGE_COLUMNS

Work = Callable[[], object]


def cpu() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def write_sources(folder: Path, images: int, size: int) -> None:
    rng = random.Random(0)
    rows = []
    with tarfile.open(folder / "a.tar", "w") as tar:
        for k in range(images):
            data = b"\xff\xd8\xff\xe0" + rng.randbytes(size)
            note = {"caption": f"a caption of a few words {k}", "url": f"https://example.org/{k}.jpg", "width": 256, "height": 256}
            for suffix, member in (("jpg", data), ("txt", note["caption"].encode()), ("json", json.dumps(note).encode())):
                info = tarfile.TarInfo(f"{k:08d}.{suffix}")
                info.size = len(member)
                tar.addfile(info, BytesIO(member))
            (folder / f"{k}.jpg").write_bytes(data)
            rows.append({"image": {"bytes": data, "path": None}, "caption": note["caption"]})
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=1000)
    (folder / "a.jsonl").write_text("".join(json.dumps({"image": f"{k}.jpg", "caption": f"a caption {k}"}) + "\n" for k in range(images)))


def walk_tarfile(path: Path) -> None:
    with tarfile.open(path) as tar:
        for _ in tar:
            pass


def read_tarfile(path: Path) -> None:
    with tarfile.open(path) as tar:
        for member in tar:
            found = tar.extractfile(member)
            assert found is not None
            found.read()


def read_rows(path: Path) -> None:
    for batch in pq.ParquetFile(path).iter_batches(64):
        batch.to_pylist()


def works(folder: Path, images: int) -> dict[str, Work]:
    """What is measured, each floor before what stands beside it."""

    def entry(name: str, start: int = 0) -> Entry:
        state = (folder / name).stat()
        return Entry(str(folder), name, state.st_size, state.st_mtime_ns, start, state.st_size)

    def read(name: str) -> Work:
        return lambda: [batch.num_rows for batch in read_entry(entry(name), Source(path="."), IMAGE_COLUMNS)]

    tar = folder / "a.tar"
    last = entry("a.tar", tar.stat().st_size - 20_000)
    return {
        "tar: headers by tarfile": lambda: walk_tarfile(tar),
        "tar: headers, to find a range": lambda: tar_samples.first_border(str(tar), last, [(0, "")]),
        "tar: members by tarfile": lambda: read_tarfile(tar),
        "tar: samples in batches": read("a.tar"),
        "Parquet: rows by pyarrow": lambda: read_rows(folder / "a.parquet"),
        "Parquet: in batches": read("a.parquet"),
        "files: open and read": lambda: [Path(folder, f"{k}.jpg").read_bytes() for k in range(images)],
        "files that JSON lines name: in batches": read("a.jsonl"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        write_sources(Path(folder), given.images, given.bytes)
        measured = works(Path(folder), given.images)
        best = dict.fromkeys(measured, float("inf"))
        for _ in range(given.rounds):
            for name, work in measured.items():
                start = cpu()
                work()
                best[name] = min(best[name], cpu() - start)
    floor = 0.0
    for number, (name, seconds) in enumerate(best.items()):
        floor = seconds if number % 2 == 0 else floor
        print(f"{name:40s} {given.images / seconds:10,.0f} images/s/core  {seconds / floor:5.2f} x")


if __name__ == "__main__":
    main()
