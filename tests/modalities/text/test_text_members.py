"""The packed sample: what is written, and that its size is known before."""

from __future__ import annotations

import json

import orjson
import pyarrow as pa
from d4a.curator.stage import reader_schema
from hypothesis import example, given, settings
from hypothesis import strategies as st
from text_files import TEXT

ANY = "".join(map(chr, [*range(0x20), 0x22, 0x5C, 0x7F, 0x80, 0x2028, 0xFFFD, 0x1F600]))


def _batch(texts: list[str | None], metas: list[str | None]) -> pa.RecordBatch:
    columns = [{"text": text, "meta": meta} for text, meta in zip(texts, metas, strict=True)]
    return pa.RecordBatch.from_pylist([{name: row.get(name) for name in reader_schema(TEXT).names} for row in columns], reader_schema(TEXT))


@settings(deadline=None)
@given(st.lists(st.tuples(st.text() | st.text(alphabet=ANY), st.none() | st.dictionaries(st.text(), st.text(alphabet=ANY))), max_size=8))
@example([(ANY, {ANY: ANY}), ("", None)])
def test_sizes_are_those_of_the_members(records: list[tuple[str, dict[str, str] | None]]) -> None:
    texts = [text for text, _ in records]
    metas = [None if meta is None else orjson.dumps(meta).decode() for _, meta in records]
    members = [TEXT.members({"text": text, "meta": meta}) for text, meta in zip(texts, metas, strict=True)]
    assert all(set(member) == {"json"} for member in members)
    sizes = TEXT.sizes(_batch(texts, metas))["json"]
    assert sizes.type == pa.int64() and sizes.to_pylist() == [len(member["json"]) for member in members]
    for (text, meta), member in zip(records, members, strict=True):
        assert json.loads(member["json"]) == ({"text": text} if meta is None else {"text": text, "meta": meta})


def test_sizes_of_slices_and_of_refused_records() -> None:
    batch = _batch(["a", None, 'q"', "ü"], [None, None, "{}", '{"a":1}'])
    whole = TEXT.sizes(batch)["json"].to_pylist()
    assert whole == [len('{"text":"a"}'), None, len('{"text":"q\\"","meta":{}}'), len('{"text":"ü","meta":{"a":1}}'.encode())]
    assert TEXT.sizes(batch.slice(2))["json"].to_pylist() == whole[2:]
    assert TEXT.sizes(batch.slice(0, 0))["json"].to_pylist() == []


def test_meta_is_written_as_it_was_read() -> None:
    assert TEXT.members({"text": "t", "meta": '{"b":1.50,"a":[]}'}) == {"json": b'{"text":"t","meta":{"b":1.50,"a":[]}}'}


@given(st.text(max_size=700), st.text(alphabet="aé漢😀", min_size=0, max_size=1500))
def test_a_preview_is_the_first_600_characters(head: str, tail: str) -> None:
    text = head + tail
    assert TEXT.preview(text.encode()) == ("text/plain", text[:600].encode())
