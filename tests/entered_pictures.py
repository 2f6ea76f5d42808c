"""What a dedup of pictures sees of the records that reached it, made by hand."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from d4a.curator.stage import Workspace


@dataclass
class Reached:
    """The records that reached a dedup, as Decide shows them.

    own     values of the stage, and what every record has, `payload_bytes` among them
    others  values of other stages by full name
    memory  of the workspace
    """

    own: dict[str, pa.Array]
    others: dict[str, pa.Array] = field(default_factory=dict)
    memory: int = 1 << 30
    settled = 0

    @property
    def size(self):
        return len(self.own["payload_bytes"])

    @property
    def workspace(self):
        return Workspace(Path(tempfile.gettempdir()), self.memory)

    def column(self, name):
        return pa.chunked_array([self.own[name]])

    def chunks(self, name):
        for start in range(0, self.size, 50):
            values = self.own[name].slice(start, 50)
            yield np.arange(start, start + len(values)), values

    def foreign(self, name):
        return pa.chunked_array([self.others[name]]) if name in self.others else None
