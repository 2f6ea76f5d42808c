"""Speed of reading a WARC file, on one core, and how well text is taken out of its pages.

    python tests/bench/bench_warc.py FILE.warc.gz [--gold GOLD.jsonl] [--rounds 5] [--slow 100]

CPU time (user) of one process, best of several interleaved rounds, and as a multiple of two floors in the same run:
resiliparse's parser and main content over the same pages, already decoded; and WARC to text as a user would write it with
resiliparse's own parts (FastWARC, its charset detection, parser and extraction), which look for no damage. GOLD has `url`
and `text` of pages whose main text is known: F1 over words, mean over pages. trafilatura is measured on the first SLOW pages.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from d4a.curator.errors import MachineError
from d4a.curator.recipe import Source
from d4a.modalities.text.html import check_html, decode, page_text
from d4a.modalities.text.html_limits import check_cost
from d4a.modalities.text.http_response import parse_response
from d4a.modalities.text.streams import ReadError
from d4a.modalities.text.warc import read_warc
from d4a.modalities.text.warc_records import Record, warc_records

Work = Callable[[], object]
_WORD = re.compile(r"\w+")


def cpu() -> float:
    """User CPU seconds of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def timed(work: Work) -> float:
    start = cpu()
    work()
    return cpu() - start


def pages_of(path: Path) -> dict[str, bytes]:
    """Address -> body of the HTML responses."""
    found = {}
    for record in warc_records(str(path), 0, path.stat().st_size):
        if isinstance(record, Record) and record.headers.get("warc-type") == "response":
            found[record.headers["warc-target-uri"]] = parse_response(record.block).body
    return found


def works(path: Path, bodies: list[bytes]) -> dict[str, Work]:
    """Everything that is measured over all pages, the floor first."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding
    from resiliparse.parse.html import HTMLTree

    texts = [decode(body).text for body in bodies]
    size = path.stat().st_size

    def extracted(main: bool) -> Work:
        return lambda: [extract_plain_text(HTMLTree.parse(t), preserve_formatting=True, main_content=main, alt_texts=False) for t in texts]

    def read(extract: str) -> Work:
        return lambda: list(read_warc(str(path), 0, size, size, Source(path=str(path), extract=extract)))

    def written(main: bool) -> Work:
        def run() -> None:
            with path.open("rb") as file:
                for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
                    body = record.reader.read()
                    tree = HTMLTree.parse(bytes_to_str(body, detect_encoding(body)))
                    extract_plain_text(tree, preserve_formatting=True, main_content=main, alt_texts=False)

        return run

    def iterated() -> None:
        with path.open("rb") as file:
            for record in ArchiveIterator(file):
                record.reader.read()

    return {
        "floor: resiliparse, main content": extracted(True),
        "WARC to text by its own parts, main content": written(True),
        "WARC to text, main content": read("resiliparse"),
        "floor: resiliparse, all text": extracted(False),
        "WARC to text by its own parts, all text": written(False),
        "WARC to text, all text": read("plain"),
        "records (gunzip, heads)": lambda: sum(1 for _ in warc_records(str(path), 0, size)),
        "the same by FastWARC": iterated,
        "charset": lambda: [decode(body) for body in bodies],
        "what a page would cost": lambda: [check_cost(body) for body in bodies],
    }


def agreement(text: str, gold: str) -> float:
    """F1 of two texts as bags of words."""
    found, wanted = Counter(_WORD.findall(text)), Counter(_WORD.findall(gold))
    common = (found & wanted).total()
    return 2 * common / (found.total() + wanted.total()) if common else 0.0


def quality(pages: dict[str, bytes], gold: Path, slow: int) -> None:
    known = [json.loads(line) for line in gold.open()]
    known = [row for row in known if row["url"] in pages]
    print(f"\n{'words as in the known main text':36} {'pages':>7} {'F1':>7} {'pages/s':>9}")
    for extract, rows in (("resiliparse", known), ("plain", known), ("trafilatura", known[:slow]), ("resiliparse", known[:slow])):
        try:
            check_html(extract)
        except MachineError as error:
            print(f"{extract}: not measured: {error}")
            continue
        scores = []
        seconds = 0.0
        for row in rows:
            start = cpu()
            try:
                text = page_text(decode(pages[row["url"]]).text, extract)
            except ReadError:
                text = ""
            seconds += cpu() - start
            scores.append(agreement(text, row["text"]))
        print(f"{extract:36} {len(rows):7,} {sum(scores) / len(scores):7.3f} {len(rows) / seconds:9.0f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file", type=Path)
    options.add_argument("--gold", type=Path)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--slow", type=int, default=100)
    given = options.parse_args()
    pages = pages_of(given.file)
    bodies = list(pages.values())
    measured = works(given.file, bodies)
    best = dict.fromkeys(measured, float("inf"))
    for _ in range(given.rounds + 1):
        for name, work in measured.items():
            best[name] = min(best[name], timed(work))
    megabytes = sum(map(len, bodies)) / 1e6
    print(f"{len(bodies):,} pages, {megabytes:.1f} MB of HTML; user CPU of one core, best of {given.rounds + 1}")
    print(f"{'':44} {'pages/s':>9} {'MB/s':>7} {'x floor':>8} {'x parts':>8}")
    floor = parts = 0.0
    for name, seconds in best.items():
        floor = seconds if name.startswith("floor") else floor
        if name.startswith("records"):
            floor, parts = list(best.values())[:2]  # shares of the first
        parts = seconds if "own parts" in name else parts
        beside = "" if name.startswith("floor") else f" {seconds / parts:8.3f}"
        print(f"{name:44} {len(bodies) / seconds:9,.0f} {megabytes / seconds:7.0f} {seconds / floor:8.3f}{beside}")
    if given.gold:
        quality(pages, given.gold, given.slow)


if __name__ == "__main__":
    main()
