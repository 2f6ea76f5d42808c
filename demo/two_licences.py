"""Show `d4a why` on a licence that was dropped for its twin: the closest pair that differs in more than spacing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds

root = Path(sys.argv[1])
ledger = ds.dataset(sorted((root / "ledger").glob("text-*.parquet")))
licence = pc.match_substring_regex(pc.field("key"), "(?i)licen") & pc.match_substring_regex(pc.field("twin"), "(?i)licen")
near = ledger.to_table(filter=(pc.field("stage") == "text.dedup.fuzzy") & licence & (pc.field("similarity") < 0.99))
if near.num_rows:
    key = near.sort_by([("similarity", "descending"), ("key", "ascending")]).column("key")[0].as_py()
    print(f"$ d4a why {root} {key}", flush=True)
    subprocess.run([str(Path(sys.executable).with_name("d4a")), "why", str(root), key], check=True)
