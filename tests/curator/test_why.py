"""What `d4a why` says of two texts, beyond the ledger's numbers."""

from __future__ import annotations

from d4a.curator.show.summary import why_record
from rich.console import Console

ROW = {
    "id": 1,
    "flow": "text",
    "key": "part",
    "source": "part",
    "verdict": "dropped",
    "stage": "text.dedup.contained",
    "reason": "contained",
    "detail": "99.5 % of it, 7.4 % of the twin",
    "edited_chars": None,
    "similarity": 0.995,
    "threshold": 0.9,
    "twin": "book",
    "twin_source": "book",
    "survivor": "book",
    "twin_row": {"id": 2, "verdict": "kept", "sample_key": "0", "shard": "text/train/000000.tar"},
}


def told(part: list[str], book: list[str]) -> str:
    console = Console(width=160)
    payloads = {1: {"text/plain": " ".join(part).encode()}, 2: {"text/plain": " ".join(book).encode()}}
    with console.capture() as capture:
        console.print(why_record(ROW, payloads))
    return capture.get()


def test_a_part_is_found_in_a_text_that_is_longer_than_what_is_compared() -> None:
    book = [f"word{k}" for k in range(20_000)]
    part = [*book[12_000:13_000], "new", *book[13_000:13_500]]
    said = told(part, book)
    assert "contained (99.5 % of it, 7.4 % of the twin)" in said
    assert "1,500 of 1,501 and 20,000 words are the same, words 12,001 to 13,500 of the twin" in said
    assert "word12999 new" in said and "more places" not in said


def test_texts_of_about_one_length_are_compared_from_their_beginning() -> None:
    book = [f"word{k}" for k in range(100)]
    assert "99 of 100 and 100 words are the same\n" in told(["new", *book[1:]], book)
    assert "all 100 words are the same\n" in told(book, book)
    long = [f"word{k}" for k in range(6000)]
    assert "5,000 of 5,000 and 6,000 words are the same (of the first 5,000 compared)" in told(long, [*long[:5900], *book])
