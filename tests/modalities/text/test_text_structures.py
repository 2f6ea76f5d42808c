"""Instructions and conversations: the text that rules see, the record as it came, and what is refused."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from text_files import only_problem, rows, written

ALPACA = {
    "instruction": "Name a river.",
    "input": "",
    "output": "The Rhine.",
    "system": "Be brief.",
    "history": [["Hello", "Hi"], ["How are you?", "Fine"]],
    "id": "a1",
    "url": "https://example.org/a",
}
SHAREGPT = {
    "conversations": [{"from": "human", "value": "Name a river."}, {"from": "gpt", "value": "The Rhine."}, {"from": "human", "value": ""}],
    "system": "Be brief.",
    "tools": "[{}]",
    "id": "s1",
}
MESSAGES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Name"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "a river."}],
        },
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "tool_calls": []},
        {"role": "assistant", "content": "The Rhine."},
    ],
    "id": 17,
}
KNOWN = {
    "alpaca": (ALPACA, "Be brief.\n\nHello\n\nHi\n\nHow are you?\n\nFine\n\nName a river.\n\nThe Rhine.", "a1"),
    "sharegpt": (SHAREGPT, "Be brief.\n\nName a river.\n\nThe Rhine.", "s1"),
    "messages": (MESSAGES, "Be brief.\n\nName\n\na river.\n\nThe Rhine.", "17"),
}


def _jsonl(folder: Path, records: list[dict[str, Any]]) -> Path:
    return written(folder / "a.jsonl", "".join(json.dumps(record) + "\n" for record in records))


def _list(folder: Path, records: list[dict[str, Any]]) -> Path:
    return written(folder / "a.json", json.dumps(records, indent=1))


def _parquet(folder: Path, records: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(records), folder / "a.parquet")
    return folder / "a.parquet"


@pytest.mark.parametrize("structure", KNOWN)
@pytest.mark.parametrize("given", ["auto", "named"])
@pytest.mark.parametrize("write", [_jsonl, _list, _parquet])
def test_rules_see_all_turns_and_the_record_stays_as_it_came(
    tmp_path: Path, structure: str, given: str, write: Callable[[Path, list[dict[str, Any]]], Path]
) -> None:
    record, text, ident = KNOWN[structure]
    if write is _parquet and structure == "messages":  # a column holds values of one type
        turns = [dict(turn) for turn in MESSAGES["messages"]]
        turns[1]["content"] = "Name\n\na river."
        record = {**MESSAGES, "messages": turns}
    path = write(tmp_path, [record, record])
    first, second = rows(path, structure="auto" if given == "auto" else structure)
    assert (first["text"], first["id"], first["line"], second["line"]) == (text, ident, 0, 1)
    assert first["url"] == record.get("url") and first["meta"] is None
    packed = json.loads(first["record"])
    assert _without_nulls(packed) == _without_nulls(record) and list(packed) == list(record)


def _without_nulls(value: Any) -> Any:
    """Arrow gives every turn all the fields that any turn has."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner not in (None, [])}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def test_the_record_is_byte_for_byte_what_stood_in_the_line(tmp_path: Path) -> None:
    line = '{"score": 1.50, "n": 1180591620717411303424, "messages" : [{"role":"user","content":"h\\u00e9"}], "id": 1180591620717411303424}'
    (row,) = rows(written(tmp_path / "a.jsonl", f" {line} \r\n"))
    assert (row["record"], row["text"], row["id"]) == (line, "hé", "1180591620717411303424")


def test_a_text_field_wins_unless_the_source_says_otherwise(tmp_path: Path) -> None:
    path = _jsonl(tmp_path, [{"text": "t", **SHAREGPT}])
    assert rows(path)[0]["text"] == "t" and json.loads(rows(path)[0]["meta"])["conversations"] == SHAREGPT["conversations"]
    assert rows(path, structure="sharegpt")[0]["text"] == KNOWN["sharegpt"][1]
    assert only_problem(_jsonl(tmp_path, [SHAREGPT]), structure="text")[0] == "no_text_field"


def test_a_table_of_instructions(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "instruction,input,output,id\nAdd,1 and 2,3,\n")
    (row,) = rows(path)
    assert row["text"] == "Add\n\n1 and 2\n\n3" and row["id"] is None
    assert json.loads(row["record"]) == {"instruction": "Add", "input": "1 and 2", "output": "3", "id": ""}


BROKEN = [
    ("messages", {"messages": "hello"}, "`messages` is a string, not a list"),
    ("messages", {"messages": []}, "`messages` holds no turn"),
    ("messages", {"dialogue": []}, "no `messages`; fields: dialogue"),
    ("messages", {"messages": [{"role": "user", "content": "x"}, "y"]}, "turn 1 is a string, not an object"),
    ("messages", {"messages": [{"content": "x"}]}, "turn 0: no `role`; fields: content"),
    ("messages", {"messages": [{"role": "user", "content": 3}]}, "turn 0: `content` is a number, not a string"),
    ("messages", {"messages": [{"role": "user"}]}, "turn 0: no `content`"),
    ("messages", {"messages": [{"role": "user", "content": ["x"]}]}, "turn 0: part 0 is no object"),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "turn 0: part 0: no `text`"),
    ("messages", {"messages": [{"role": "user", "content": ""}]}, "no text in it"),
    ("sharegpt", {"conversations": [{"role": "user", "content": "x"}]}, "turn 0: no `from`; fields: role, content"),
    ("sharegpt", {"conversations": [{"from": "human"}]}, "turn 0: no `value`"),
    ("sharegpt", {"conversations": [{"from": "human", "value": "x"}], "system": {}}, "`system` is an object, not a string"),
    ("alpaca", {"instruction": "x"}, "no `output`; fields: instruction"),
    ("alpaca", {"output": "x"}, "no `instruction`; fields: output"),
    ("alpaca", {"instruction": "x", "output": ["y"]}, "`output` is a list, not a string"),
    ("alpaca", {"instruction": "x", "output": "y", "history": [["only one"]]}, "history, turn 0: not an instruction and a response"),
]


@pytest.mark.parametrize(("structure", "record", "detail"), BROKEN)
def test_a_broken_conversation_says_which_turn_and_why(tmp_path: Path, structure: str, record: dict[str, Any], detail: str) -> None:
    bad, good = rows(_jsonl(tmp_path, [{**record, "id": 5}, KNOWN[structure][0]]), structure=structure)
    assert bad["reason"] == "broken_conversation" and bad["id"] == "5" and bad["record"] is None
    assert bad["detail"].startswith(detail)
    assert good["text"] == KNOWN[structure][1]


def test_a_conversation_nested_without_end_is_refused(tmp_path: Path) -> None:
    deep = '{"messages":[{"role":"user","content":"x"}],"deep":' + "[" * 400 + "]" * 400 + "}"
    assert only_problem(written(tmp_path / "a.jsonl", deep)) == ("broken_json", "nested deeper than 254 levels")


def test_a_bad_cell_of_a_parquet_conversation_costs_its_row(tmp_path: Path) -> None:
    turns = pa.array([[{"from": "human", "value": b"one"}], [{"from": "human", "value": b"tw\xffo"}], None])
    kind = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
    raw = turns.flatten().field("value").view(pa.string())
    inner = pa.StructArray.from_arrays([turns.flatten().field("from"), raw], fields=list(kind.value_type))
    pq.write_table(pa.table({"conversations": pa.ListArray.from_arrays(pa.array([0, 1, 2, 2]), inner)}), tmp_path / "a.parquet")
    found = rows(tmp_path / "a.parquet")
    assert [(row["text"], row["reason"], row["line"]) for row in found] == [
        ("one", None, 0),
        (None, "invalid_utf8", 1),
        (None, "broken_conversation", 2),
    ]


def test_a_dataset_of_conversations(tmp_path: Path, d4a) -> None:
    (tmp_path / "in").mkdir()
    _jsonl(tmp_path / "in", [SHAREGPT, MESSAGES, {"messages": []}, {"text": "plain", "url": "u", "n": 1}, {**SHAREGPT, "id": "copy"}])
    flow = "text: {sources: [{path: in}], stages: [{use: text.clean}, {use: text.dedup.exact}]}"
    written(tmp_path / "r.yaml", f"name: chat\n{flow}\noutput: {{path: out, order: input}}\n")
    d4a("curate", "r.yaml")
    with tarfile.open(tmp_path / "out/text/train/000000.tar") as tar:
        samples = [json.load(tar.extractfile(member)) for member in tar]
    packed = {sample.pop("key"): sample for sample in samples}
    assert packed["s1"]["record"] == SHAREGPT and packed["17"]["record"] == MESSAGES
    assert not {"text", "meta", "url"} & {*packed["s1"], *packed["17"]}
    assert all(sample["source"].startswith("a.jsonl#") for sample in samples)
    (plain,) = (sample for key, sample in packed.items() if "text" in sample)
    assert (plain["text"], plain["url"], plain["meta"]) == ("plain", "u", {"n": 1})
    ledger = {row["key"]: row["reason"] for row in ds.dataset(sorted((tmp_path / "out/ledger").glob("*.parquet"))).to_table().to_pylist()}
    assert ledger["copy"] == "exact_duplicate" and list(ledger.values()).count("broken_conversation") == 1
