"""The ledger: one row for every input record, and for every file or rest of a file that could not be read.

Written by the layout, read by `d4a why` and the report. Parquet, sorted by id, so that any tool can ask it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from .errors import UsageError
from .shards.manifest import read

SCHEMA_VERSION = "1.0"
ROWS_A_FILE = 1_000_000

LEDGER = pa.schema(
    [
        pa.field("id", pa.int64(), metadata={"doc": "partition ordinal << 32 | row; lives in one run"}),
        pa.field("flow", pa.string(), metadata={"doc": "text, image or pair"}),
        pa.field("key", pa.string(), metadata={"doc": "what people call the record: its own id, else its source; unique in the flow"}),
        pa.field("source", pa.string(), metadata={"doc": "path relative to the source's root, #line where a file holds many records"}),
        pa.field("verdict", pa.string(), metadata={"doc": "kept or dropped"}),
        pa.field("stage", pa.string(), metadata={"doc": "label of the stage that dropped it; `read` for what could not be read"}),
        pa.field("reason", pa.string(), metadata={"doc": "the stage's word for why"}),
        pa.field("value", pa.float64(), metadata={"doc": "the measured value that decided"}),
        pa.field("threshold", pa.float64(), metadata={"doc": "what it was compared with"}),
        pa.field("detail", pa.string(), metadata={"doc": "a few words more: a language, a class, a parser's message"}),
        pa.field(
            "twin",
            pa.string(),
            metadata={
                "doc": "for a duplicate: key of the record that this stage kept instead; dataset_id:key where an earlier dataset has it"
            },
        ),
        pa.field("twin_source", pa.string(), metadata={"doc": "source of the twin"}),
        pa.field(
            "similarity",
            pa.float64(),
            metadata={"doc": "measured similarity to the twin, 1 = equal; of a contained text, the share the twin holds"},
        ),
        pa.field(
            "survivor",
            pa.string(),
            metadata={"doc": "what stands for it, following twins: a record's key, or dataset_id:key in an earlier dataset; null: nothing"},
        ),
        pa.field("edited_chars", pa.int64(), metadata={"doc": "characters that cleaning took away or changed"}),
        pa.field("split", pa.string(), metadata={"doc": "split of a kept record"}),
        pa.field("shard", pa.string(), metadata={"doc": "path of the shard of a kept record"}),
        pa.field("sample_key", pa.string(), metadata={"doc": "key in the shard: first 20 hex digits of blake2b(flow, key)"}),
    ],
    metadata={"schema_version": SCHEMA_VERSION},
)


def open_ledger(root: Path, flow: str | None = None) -> ds.Dataset:
    """The ledger of a finished dataset. Raises UsageError where there is none."""
    names = [name for name in read(root).files if name.startswith(f"ledger/{flow or ''}")]
    missing = [name for name in names if not (root / name).exists()]
    if missing or not names:
        raise UsageError(f"the ledger is not there: {', '.join(missing)}", str(root), "run the same `d4a curate` again")
    return ds.dataset([str(root / name) for name in sorted(names)], schema=LEDGER)


def find(root: Path, key: str) -> list[dict[str, Any]]:
    """Ledger rows whose key, source or sample key is `key`; else those whose key or source ends with it, at most 20."""
    key = key.encode("utf-8", "backslashreplace").decode()  # as a file name that is no UTF-8 is listed
    ledger = open_ledger(root)
    exact = ledger.to_table(filter=(pc.field("key") == key) | (pc.field("sample_key") == key) | (pc.field("source") == key))
    if exact.num_rows:
        return list(exact.to_pylist())
    ending = pc.ends_with(pc.field("key"), key) | pc.ends_with(pc.field("source"), key)
    return list(ledger.head(20, filter=ending).to_pylist())


def drops_by_reason(root: Path) -> list[dict[str, Any]]:
    """flow, stage, reason, count: most frequent first inside a flow."""
    table = open_ledger(root).to_table(columns=["flow", "verdict", "stage", "reason"], filter=pc.field("verdict") == "dropped")
    grouped = table.group_by(["flow", "stage", "reason"]).aggregate([([], "count_all")])
    rows = grouped.rename_columns(["flow", "stage", "reason", "count"]).to_pylist()
    return sorted(rows, key=lambda row: (row["flow"], -row["count"], row["stage"], row["reason"]))
