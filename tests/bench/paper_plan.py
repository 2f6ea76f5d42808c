"""10 TB of text and a billion images on paper: units, files, memory, volumes and hours by the rates that the README measured.

`python tests/bench/paper_plan.py` prints the tables of slurm/README.md. Rates are a core's; what was never measured is named so.
"""

from __future__ import annotations

KB, MB, GB, TB, MIB = 1e3, 1e6, 1e9, 1e12, 2**20
CORES = 4 * 64  # four nodes

# README, "Measured"
TEXT_SCAN = 1 / (1 / (50 * MB) + 1 / (371 * MB))  # text.clean and four rules from .zst; sketches of text.dedup.fuzzy [bytes/s/core]
DECIDE_S, DECIDE_B, DECIDE_TEMPORARY_B = 8.3e-6, 233, 260  # a record: (3.4 - 1.3 GB) / 9 million; 2.6 GB / 10 million
WHOLE = 74 * MB  # `d4a curate` with text.dedup.fuzzy alone, JSONL in, shards out [bytes/s/core]
IMAGE_SCAN = 600  # decode and hashes [images/s/core]
IMAGE_EMBED_S = 0.039  # EfficientNet-Lite0 [core s]; no card was measured
# measured once for this page: on 20 MB of manuals, on 50,000 small files, and by bench_scale.py from 0.2 to 0.8 million records
LAYOUT_S, LAYOUT_B, LAYOUT_TEMPORARY_B = 6.7e-6, 145, 340  # a record: (2.4 - 1.1 GB) / 9 million
EVIDENCE_B = 990  # a record: values and a signature, compressed
LIST_S, LIST_B, LIST_JSON_B = 25e-6, 1_700, 296  # a file: CPU, memory and plan.json
UNIT_FILES = 5  # evidence, text, manifest, two folders


def row(what: str, value: str, how: str) -> None:
    """One line of a table."""
    print(f"| {what} | {value} | {how} |")


def hours(seconds: float) -> str:
    """Core hours, and hours on the nodes."""
    return f"{seconds / 3600:,.0f} core h: {seconds / 3600 / CORES:,.2f} h"


def text(size: float = 10 * TB, record: float = 4 * KB, partition: float = 512 * MIB, kept: float = 0.6) -> None:
    """10 TB."""
    records, units, shards = size / record, size / partition, size * kept / (256 * MIB)
    print("| 10 TB of text | | |\n|---|---|---|")
    row("records", f"{records / 1e9:.1f} billion", "4 kB each")
    row("scan units", f"{units:,.0f}", "`partition_bytes: 512MiB`, plain size; 149,000 with the default")
    row("files of the scan", f"{units * UNIT_FILES:,.0f}", f"{UNIT_FILES} a unit, in 256 folders")
    row("scan", hours(size / TEXT_SCAN), f"{TEXT_SCAN / MB:.0f} MB/s/core: `text.clean`, four rules, sketches, from .zst")
    row("read at that speed", f"{TEXT_SCAN * CORES / 3 / GB:.1f} GB/s", f"{CORES} cores, .zst of a third")
    row("evidence", f"{records * EVIDENCE_B / TB:.1f} TB", f"{EVIDENCE_B} B a record, mostly signatures")
    row("stored text", f"{size / TB:.0f} TB", "as it is, one text behind the other")
    row("**decide**", f"**{records * DECIDE_S / 3600:.1f} h in one process**", f"{DECIDE_S * 1e6:.1f} us a record")
    row("its memory, its temporary files", f"{records * DECIDE_B / GB:,.0f} GB, {records * DECIDE_TEMPORARY_B / GB:,.0f} GB",
        f"{DECIDE_B} and {DECIDE_TEMPORARY_B} B a record, beside --memory")  # fmt: skip
    row("**laying out**", f"**{records * LAYOUT_S / 3600:.1f} h in one process**", f"{LAYOUT_S * 1e6:.1f} us a record of 60 words")
    row("its memory, its temporary files", f"{records * LAYOUT_B / GB:,.0f} GB, {records * LAYOUT_TEMPORARY_B / GB:,.0f} GB",
        f"{LAYOUT_B} and {LAYOUT_TEMPORARY_B} B a record")  # fmt: skip
    row("shards, pack units", f"{shards:,.0f}", f"256 MiB; {kept:.0%} kept")
    row("a whole run, dedup alone", hours(size / WHOLE), f"{WHOLE / MB:.0f} MB/s/core from JSONL to shards, no rules")
    row("shuffle volume", f"{size * kept / TB:.0f} TB read in {records * kept / 1e9:.1f} billion pieces",
        "a shard's records lie in as many partitions; with `order: input` they are neighbours")  # fmt: skip


def images(count: float = 1e9, size: float = 101 * KB, partition: float = 512 * MIB) -> None:
    """A billion."""
    units = count * size / partition
    print("\n| a billion images | | |\n|---|---|---|")
    row("bytes", f"{count * size / TB:.0f} TB", f"{size / KB:.0f} kB each")
    row("scan units", f"{units:,.0f}", "`partition_bytes: 512MiB`")
    row("listing", f"{count * LIST_S / 3600:.1f} h in one process", f"{LIST_S * 1e6:.0f} us a file on a local disk")
    row("**the plan**", f"**{count * LIST_B / TB:.1f} TB of memory, plan.json {count * LIST_JSON_B / GB:,.0f} GB**",
        f"{LIST_B / KB:.1f} kB and {LIST_JSON_B} B a file")  # fmt: skip
    row("scan: decode and hashes", hours(count / IMAGE_SCAN), f"{IMAGE_SCAN} images/s/core")
    row("read at that speed", f"{IMAGE_SCAN * CORES * size / GB:.1f} GB/s", f"{CORES} cores")
    row("scan: embeddings on CPUs", hours(count * IMAGE_EMBED_S), "39 ms an image, EfficientNet-Lite0")
    row("scan: embeddings on 32 cards", f"{count / 2000 / 32 / 3600:.1f} h", "if a card makes 2,000 a second: never measured")
    row("decide, hashes alone", f"{count * DECIDE_S / 3600:.1f} h, {count * DECIDE_B / GB:,.0f} GB", "as texts")
    row("laying out", f"{count * LAYOUT_S / 3600:.1f} h, {count * LAYOUT_B / GB:,.0f} GB", "as texts")
    row(
        "pack",
        f"{count * size * 2 / TB:,.0f} TB read and written",
        "bytes are copied; an image is a file of its own, so order costs no more",
    )


if __name__ == "__main__":
    text()
    images()
