"""Lists of words mean the same to every stage that looks for words."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from d4a.curator.errors import UsageError
from d4a.curator.stage import Machine
from d4a.modalities.text.c4 import C4, C4Options
from d4a.modalities.text.url import Url, UrlOptions
from line_texts import batch

LIST = b"\xef\xbb\xbf# a comment\r\nbad\r\n\r\n  # another\n \x00worse\x00 \n\x00\x00\n"
NOTHING = [b"", b"\n \n\t\n", b"\x00\x00\n\x00", b"# bad\n  # worse\n", gzip.compress(b"# bad\n", mtime=0)]


def counted(path: Path) -> list[int]:
    """How many words of the list stand in a text with all that the file has, and in an address with the same."""
    page = C4(C4Options(bad_words=str(path), min_sentences="off", min_words_per_line="off"))
    page.open(page.prepare(Machine()))
    address = Url(UrlOptions(hard_words=str(path)))
    address.open(address.prepare(Machine()))
    text = pa.table(page.change(batch("A comment, another: bad and worse."), frozenset()))
    url = address.measure(pa.record_batch({"url": pa.array(["http://a.comment/another/bad-and-worse"], pa.large_string())}))
    return [*text["bad_words"].to_pylist(), *url["hard"].to_pylist()]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_comments_blank_lines_and_gzip_are_the_same_for_all(tmp_path: Path, pack: type) -> None:
    (tmp_path / "list").write_bytes(pack(LIST))
    assert counted(tmp_path / "list") == [2, 2]


@pytest.mark.parametrize("data", NOTHING)
def test_a_list_without_a_word_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "list"
    path.write_bytes(data)
    for stage in (C4(C4Options(bad_words=str(path))), *(Url(UrlOptions(**{f"{name}_words": str(path)})) for name in ("strict", "soft"))):
        with pytest.raises(UsageError, match="has no word") as told:
            stage.prepare(Machine())
        assert told.value.where == str(path) and "# begins a comment line" in told.value.hint


def test_a_folder_or_a_damaged_file_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(gzip.compress(LIST)[:-4])
    for path, words in ((tmp_path / "list", "is damaged"), (tmp_path, "cannot be read|without a file")):
        for stage in (C4(C4Options(bad_words=str(path))), Url(UrlOptions(hard_words=str(path)))):
            with pytest.raises(UsageError, match=words):
                stage.prepare(Machine())
