"""What a pair search by bands will find and need, said before a record is read: a formula, and a product of planned bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .dedup.bands import probability
from .plan import FlowPlan
from .scan.partition import parts_of
from .stage import Dedup
from .store import Store

SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
FILE_BYTES = 4_000  # of a file for a record: assumed where nothing was scanned yet
MEMORY_BYTES = 80  # that a search holds of a record beside its allowance; measured: 74 of two million records


@dataclass(frozen=True)
class Records:
    """How many records a flow has, and on what the number rests."""

    count: int
    basis: str


@dataclass(frozen=True)
class Forecast:
    """One Dedup by bands.

    sketch_bytes  of a record's signature and what else is kept of it [bytes]
    """

    label: str
    bands: int
    rows: int
    sketch_bytes: int
    records: Records

    @property
    def curve(self) -> list[tuple[float, float]]:
        """(similarity, probability that a pair of it is compared)."""
        return [(similarity, probability(similarity, self.bands, self.rows)) for similarity in SIMILARITIES]

    @property
    def disk(self) -> int:
        """Sketches in the evidence; those of kept records are written again into the dataset [bytes]."""
        return self.records.count * self.sketch_bytes

    @property
    def spilled(self) -> int:
        """Temporary files of the search: a key a band, and the signatures of candidates, at most all [bytes]."""
        return self.records.count * (8 * self.bands + self.sketch_bytes)

    @property
    def memory(self) -> int:
        """What a search holds beside its allowance [bytes]."""
        return self.records.count * MEMORY_BYTES


def forecasts(store: Store, flow: FlowPlan, limit: int | None) -> Iterator[Forecast]:
    """One for every Dedup of the flow that searches by bands."""
    for planned in (stage for one in flow.rounds for stage in one.stages):
        stage = planned.make()
        banding = stage.banding() if isinstance(stage, Dedup) else None
        if banding is not None:
            sketch = sum(value.type.bit_width // 8 for value in stage.values if value.sketch)
            yield Forecast(planned.label, *banding, sketch, expected_records(store, flow, limit))


def ways(store: Store, flow: FlowPlan, limit: int | None) -> Iterator[str]:
    """A line for every Dedup whose search depends on the number of records."""
    for planned in (stage for one in flow.rounds for stage in one.stages):
        stage, records = planned.make(), expected_records(store, flow, limit)
        if isinstance(stage, Dedup) and (way := stage.way(records.count)):
            yield f"{planned.label}: of {records.count:,} records ({records.basis}), {way}"


def expected_records(store: Store, flow: FlowPlan, limit: int | None) -> Records:
    """By the share of bytes that was scanned; where nothing was, by the size of a usual record."""
    size, scanned, records = sum(part.size for part in flow.partitions), 0, 0
    for part in flow.partitions:
        held = parts_of(store, flow, 0, part)
        if held:
            scanned, records = scanned + part.size, records + held[0].manifest["records"]
    if scanned == size:
        found = Records(records, "as scanned")
    elif records:
        found = Records(records * size // scanned, f"{records:,} in the {scanned / size:.1%} of bytes scanned so far")
    elif flow.modality.refers and not any(
        flow.modality.splits(e.path, flow.flow.sources[e.source]) for p in flow.partitions for e in p.entries
    ):
        found = Records(sum(len(part.entries) for part in flow.partitions), "one a file")
    else:
        found = Records(
            -(-size // FILE_BYTES), f"assumed: {FILE_BYTES:,} bytes of file each; `d4a curate --limit 1` scans a part and tells better"
        )
    return found if limit is None or found.count <= limit else Records(limit, "--limit")
