"""`.json` files: lists element by element, single documents, and tables that are refused with what helps."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from d4a.curator.recipe import Source
from d4a.modalities.text import json_list
from d4a.modalities.text.json_list import element_blocks
from d4a.modalities.text.rows import MAX_RECORD_BYTES
from hypothesis import given, settings
from hypothesis import strategies as st
from text_files import TEXT, only_problem, rows, written

GOOD = '{"id": "a", "text": "one"}'


class Pieces(io.BytesIO):
    """A stream that gives few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self.size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.size)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('[]{},":\\ é\n'), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('[]{},"\\'), max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 9))
def test_elements_are_those_a_parser_finds(values: list[Any], indent: int | None, mark: bool, size: int) -> None:
    data = b"\xef\xbb\xbf" * mark + b" \n" + json.dumps(values, indent=indent, ensure_ascii=False).encode() + b"\r\n "
    for stream in (io.BytesIO(data), Pieces(data, size)):
        assert [json.loads(raw) for block in element_blocks(stream) for raw in block] == values


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.list"])
def test_an_element_is_a_record_and_its_index_the_line(tmp_path: Path, name: str) -> None:
    records = [{"text": "one", "id": 7, "url": "u", "n": 1.50}, {"text": "two"}]
    data = json.dumps(records, indent=2).encode()
    path = written(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
    first, second = rows(path, format="json" if name.endswith("list") else "auto")
    assert (first["text"], first["id"], first["url"], first["meta"], first["line"]) == ("one", "7", "u", '{"n":1.5}', 0)
    assert (second["text"], second["line"]) == ("two", 1)


BROKEN = {
    '{"text": "x" "n": 1}': "broken_json",
    '{"text": "x", "n": NaN}': "broken_json",
    '{"text": "x", "n": [1, 2}': "broken_json",
    '{"text": "x", "n": 1]}': "broken_json",
    '{"text": "x"}}': "broken_json",
    '{"text": "raw\nline feed"}': "broken_json",
    '{"text": "\\ud800"}': "invalid_unicode",
    '{"text": 3}': "text_not_a_string",
    "[" * 100_000 + "]" * 100_000: "broken_json",
    '{"a":' * 100_000 + "1" + "}" * 100_000: "broken_json",
    "[" + "}" * 100_000 + "]": "broken_json",
    "3": "not_an_object",
    " ": "broken_json",
}


@pytest.mark.parametrize(("element", "reason"), BROKEN.items(), ids=range(len(BROKEN)))
def test_a_broken_element_costs_itself_only(tmp_path: Path, element: str, reason: str) -> None:
    before, bad, after = rows(written(tmp_path / "a.json", f"[{GOOD},{element},{GOOD}]"))
    assert before["text"] == after["text"] == "one" and (bad["reason"], bad["line"]) == (reason, 1)


def test_a_list_that_does_not_end_says_so(tmp_path: Path) -> None:
    for rest, reason in (
        ("", "truncated_json"),
        (",", "truncated_json"),
        (f',{{"text": "no end}},{GOOD}]', "truncated_json"),
        ("," + "[" * 100_000, "truncated_json"),
        ("," + '{"a":' * 100_000, "truncated_json"),
        ("] trailing", "broken_json"),
    ):
        *good, bad = rows(written(tmp_path / "a.json", f"[{GOOD},{GOOD}{rest}"))
        assert [row["text"] for row in good] == ["one"] * (1 + bool(rest)), rest[:9]
        assert bad["reason"] == reason and bad["detail"].endswith(f"{len(good)} records"), rest[:9]
    *good, bad = rows(written(tmp_path / "a.json.gz", gzip.compress(f"[{GOOD},{GOOD}]".encode())[:-3]))
    assert bad["reason"] == "truncated_gzip"
    assert only_problem(written(tmp_path / "a.json", " [\n] ")) == ("empty_file", "an empty list")


def test_an_element_over_the_limit_is_skipped(tmp_path: Path) -> None:
    long = '{"text": "' + "x" * MAX_RECORD_BYTES + '"}'
    before, bad, after = rows(written(tmp_path / "a.json", f"[{GOOD},{long},{GOOD}]"))
    assert (before["text"], bad["reason"], after["text"]) == ("one", "element_too_long", "one")


def test_brackets_deeper_than_the_kernel_remembers_close_again(tmp_path: Path) -> None:
    deep = json_list._LEVELS + 3
    found = rows(written(tmp_path / "a.json", f"[{'[' * deep}{']' * deep},{GOOD}]"))
    assert [(row["text"], row["reason"]) for row in found] == [(None, "broken_json"), ("one", None)]


# -------------------------------------------------------------------------------------------- documents


@pytest.mark.parametrize("document", ['{"text": "one", "id": "a"}', '\n{\n "text": "one",\n "id": "a"\n}\n', '{"text": "one",\n"id": "a"}'])
def test_a_document_is_one_record(tmp_path: Path, document: str) -> None:
    (row,) = rows(written(tmp_path / "a.json", document))
    assert (row["text"], row["id"], row["line"]) == ("one", "a", None)


def test_lines_in_a_json_file_are_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", f"\n{GOOD}\n\n{{broken\n{GOOD}\n")
    assert [(row["text"], row["line"]) for row in rows(path)] == [("one", 1), (None, 3), ("one", 4)]
    assert [(row["text"], row["line"]) for row in rows(written(tmp_path / "b.jsonl", f"[{GOOD}]"), format="json")] == [("one", 0)]
    assert not TEXT.splits("a.json", Source(path="."))


TABLES = [
    ({"data": [{"text": "a"}, {"text": "b"}]}, "nested_records", "`data` is a list of 2 objects; jq -c '.data[]' makes lines of it"),
    ({"the rows": [{"text": "a"}]}, "nested_records", "jq -c '.[\"the rows\"][]'"),
    ({"0": {"text": "a"}, "1": {"text": "b"}}, "nested_records", "an object of 2 objects; jq -c '.[]' makes lines of it"),
    ({"text": ["a", "b"], "id": [1, 2]}, "table_of_columns", "orient='records', lines=True"),
    ({"text": {"0": "a"}, "id": {"0": 1}}, "table_of_columns", "orient='records', lines=True"),
    ({"columns": ["text"], "index": [0], "data": [["a"]]}, "table_of_columns", "orient='split'"),
    ({"body": "a"}, "no_text_field", "fields: body"),
]


@pytest.mark.parametrize(("document", "reason", "detail"), TABLES)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_table_in_one_object_is_refused_with_what_helps(
    tmp_path: Path, document: dict[str, Any], reason: str, detail: str, indent: int | None
) -> None:
    found = only_problem(written(tmp_path / "a.json", json.dumps(document, indent=indent)))
    assert found[0] == reason and found[1] is not None and detail in found[1]


@pytest.mark.parametrize("nested", ['{"a":' * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "{\n" + '"a":{\n' * 100_000])
def test_a_document_nested_without_end_is_refused(tmp_path: Path, nested: str) -> None:
    assert only_problem(written(tmp_path / "a.json", nested))[0] == "broken_json"
