"""The packed sample: what is written, and that its size is known before."""

from __future__ import annotations

import json

import orjson
import pyarrow as pa
from d4a.curator.modality import reader_schema
from hypothesis import example, given, settings
from hypothesis import strategies as st
from text_files import TEXT

ANY = "".join(map(chr, [*range(0x20), 0x22, 0x5C, 0x7F, 0x80, 0x2028, 0xFFFD, 0x1F600]))


def _batch(records: list[dict[str, str | None]]) -> pa.RecordBatch:
    schema = reader_schema(TEXT)
    return pa.RecordBatch.from_pylist([{name: record.get(name) for name in schema.names} for record in records], schema)


def _payload(**fields: str | None) -> dict[str, str | None]:
    return {"text": None, "url": None, "meta": None, "record": None, **fields}


_TEXTS = st.text() | st.text(alphabet=ANY)
_OBJECTS = st.dictionaries(st.text(), st.text(alphabet=ANY))


@settings(deadline=None)
@given(st.lists(st.tuples(_TEXTS, st.none() | _TEXTS, st.none() | _OBJECTS, st.none() | _OBJECTS), max_size=8))
@example([(ANY, ANY, {ANY: ANY}, None), ("", "", None, None), (ANY, ANY, None, {})])
def test_sizes_are_those_of_the_members(records: list[tuple[str, str | None, dict[str, str] | None, dict[str, str] | None]]) -> None:
    payloads = []
    for text, url, *objects in records:
        meta, record = (None if value is None else orjson.dumps(value).decode() for value in objects)
        payloads.append(_payload(text=text, url=url, meta=meta, record=record))
    members = TEXT.members(pa.Table.from_batches([_batch(payloads)]))
    assert set(members) == {"json"}
    sizes = TEXT.sizes(_batch(payloads))["json"]
    assert sizes.type == pa.int64() and sizes.to_pylist() == [len(member) for member in members["json"]]
    for (text, url, meta, record), member in zip(records, members["json"], strict=True):
        whole = {"text": text, "url": url, "meta": meta}
        packed = {name: value for name, value in whole.items() if value is not None} if record is None else {"record": record}
        assert json.loads(member) == packed


def test_sizes_of_slices_and_of_refused_records() -> None:
    batch = _batch([{"text": "a"}, {}, {"text": 'q"', "meta": "{}"}, {"text": "ü", "meta": '{"a":1}'}])
    whole = TEXT.sizes(batch)["json"].to_pylist()
    assert whole == [len('{"text":"a"}'), None, len('{"text":"q\\"","meta":{}}'), len('{"text":"ü","meta":{"a":1}}'.encode())]
    assert TEXT.sizes(batch.slice(2))["json"].to_pylist() == whole[2:]
    assert TEXT.sizes(batch.slice(0, 0))["json"].to_pylist() == []


def test_fields_are_written_as_they_were_read() -> None:
    records = [_payload(text="t", meta='{"b":1.50,"a":[]}'), _payload(text="t", url="u", record='{ "b":1.50}')]
    members = TEXT.members(pa.Table.from_batches([_batch(records)]))
    assert members == {"json": [b'{"text":"t","meta":{"b":1.50,"a":[]}}', b'{"record":{ "b":1.50}}']}


@given(st.text(max_size=700), st.text(alphabet="aé漢😀", min_size=0, max_size=1500))
def test_a_preview_is_the_first_600_characters(head: str, tail: str) -> None:
    text = head + tail
    assert TEXT.preview(text.encode()) == ("text/plain", text[:600].encode())
