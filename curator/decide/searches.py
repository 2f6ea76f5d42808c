"""What a Dedup or a Cut searches for in the whole corpus: found once, committed, and read again wherever the same is asked for.

The key holds all that decides what is found and no threshold. Sketches and texts are read only where the search runs; asking the store
first costs a few digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..plan import PlannedStage, code_key
from ..scan.evidence import View
from ..stage import Pairs, Spans
from ..store import Folder, Store, checked, committed, data_file, digest

Found = TypeVar("Found", Pairs, Spans)


def found_once(
    store: Store, view: View, planned: PlannedStage, asked: Any, kind: type[Found], search: Callable[[], Found], fence: Callable[[], None]
) -> Found:
    """What `search` finds among the records of a view, which it is asked for once.

    asked  what decides it beside the evidence, the records that entered and the stage's measuring options: plain JSON values
    """
    name, flow = kind.__name__.lower(), view.evidence.flow.name
    entering = hashlib.sha256(np.ascontiguousarray(view.indices).data).hexdigest()
    key = digest(name, planned.fingerprint(), asked, code_key(), view.evidence.identity(view.round_index), entering)
    folder, columns = store.unit("match", flow, key), [field.name for field in fields(kind) if field.name != "notes"]
    manifest = committed(folder)
    if manifest is None:
        found = search()
        with Folder(folder, fence) as unit:
            table = pa.table({column: getattr(found, column) for column in columns})
            pq.write_table(table, unit.file(name, ".parquet"), compression="zstd")
            unit.manifest = {"notes": found.notes}
        return found
    table = pq.read_table(checked(data_file(folder, manifest, name)))
    return kind(**{column: table.column(column).to_numpy() for column in columns}, notes=manifest["notes"])
