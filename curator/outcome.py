"""What a run came to: plain data that the driver fills, and publishing, report and summary read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class FlowOutcome:
    """What became of one flow: rows of the summary, and how much was new work."""

    name: str
    records: int = 0
    kept: int = 0
    scanned: int = 0
    stages: list[dict[str, Any]] = field(default_factory=list)
    silent_rules: list[str] = field(default_factory=list)
    layout: str = ""
    shards: list[dict[str, Any]] = field(default_factory=list)
    licences: dict[str, int] = field(default_factory=dict)
    suffixes: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """Result of a run."""

    root: Path
    dataset_id: str
    flows: list[FlowOutcome]
    seconds: float
    published: bool
    limit: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For `--json`: plain values."""
        flows = [
            {name: getattr(flow, name) for name in ("name", "records", "kept", "scanned", "stages", "silent_rules")} for flow in self.flows
        ]
        shards = [shard["path"] for flow in self.flows for shard in flow.shards]
        return {"path": str(self.root), "dataset_id": self.dataset_id, "published": self.published, "flows": flows, "shards": shards}
