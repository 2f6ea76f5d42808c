"""What the page shows of a ledger: samples of every reason, the closest calls, groups of duplicates.

The ledger is read a row group at a time, and of each kind of record only the few with the lowest rank are held, so
memory does not grow with the records. Samples follow a keyed order of ids, not the first ones met: sources are sorted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.acero as acero
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ..ledger import LEDGER
from ..stage import Floats, Ints
from .distributions import row_groups

TYPICAL = 4
CLOSEST = 2
KEPT = 12
MEMBERS = 4
GROUPS = 2  # of each kind: largest, least alike, typical
SIMILARITY_BINS = 40
_SHOWN = [
    "id",
    "key",
    "source",
    "verdict",
    "stage",
    "reason",
    "value",
    "threshold",
    "detail",
    "twin",
    "similarity",
    "survivor",
    "sample_key",
]
_LARGEST = [("count", "descending"), ("twin", "ascending")]
_CODED = ["verdict", "stage", "reason"]
Row = dict[str, Any]


@dataclass
class Pool:
    """The rows with the lowest ranks among those offered; equal ranks go by the keyed order of ids."""

    most: int
    held: list[tuple[float, int, Row]] = field(default_factory=list)

    def offer(self, table: pa.Table, where: Ints, rank: Floats, draw: npt.NDArray[np.uint64]) -> None:
        """Consider the rows of a table at `where`; `rank` and `draw` are as long as `where`."""
        if len(self.held) == self.most:
            near = rank <= self.held[-1][0]
            where, rank, draw = where[near], rank[near], draw[near]
        best = np.lexsort([draw, rank])[: self.most]
        if len(self.held) == self.most:
            best = best[[(rank[i], int(draw[i])) < self.held[-1][:2] for i in best]] if len(best) else best
        rows = table.take(pa.array(where[best])).to_pylist()
        self.held += [(float(rank[i]), int(draw[i]), row) for i, row in zip(best.tolist(), rows, strict=True)]
        self.held = sorted(self.held, key=lambda item: item[:2])[: self.most]

    def rows(self) -> list[Row]:
        """The rows, lowest rank first."""
        return [row for _, _, row in self.held]


@dataclass
class Group:
    """A record that a Dedup kept, and some of the records it dropped for it, the most alike first.

    kind   "largest", "least alike" or "typical"
    size   records dropped for it by this stage
    """

    stage: str
    twin: str
    kind: str
    size: int = 0
    kept: Row | None = None
    dropped: list[Row] = field(default_factory=list)


@dataclass
class Groups:
    """All groups of one Dedup in numbers, and a few to look at.

    sizes  (m,) int64: how many groups dropped 0, 1, … records
    """

    sizes: Ints
    shown: list[Group]


@dataclass
class Survey:
    """Samples of one flow.

    typical, closest  (stage, reason) -> rows: drawn evenly, and those nearest to the threshold
    kept         rows of kept records, drawn evenly
    by_source    (sources, 2) int64: records, and kept records, of each source
    similarity   stage -> (SIMILARITY_BINS,) int64: drops by similarity, from the stage's threshold to 1
    groups       stage -> Groups
    """

    typical: dict[tuple[str, str], Pool]
    closest: dict[tuple[str, str], Pool]
    kept: Pool
    by_source: Ints
    similarity: dict[str, Ints]
    groups: dict[str, Groups]


def survey(paths: Sequence[Path], dedups: Mapping[str, float], partition_source: Sequence[int]) -> Survey:
    """Read the ledger of a flow. `dedups`: label -> threshold of its Dedups."""
    found = _first_reading(paths, dedups, np.array(partition_source, np.int64))
    chosen, sizes = _choose_groups(paths, dedups, found)
    _fill_groups(paths, chosen, found)
    for label in sizes:
        found.groups[label] = Groups(sizes[label], [group for group in chosen if group.stage == label])
    return found


def scrambled(ids: Ints) -> npt.NDArray[np.uint64]:
    """(n,) uint64: ids in an order that has nothing to do with theirs (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _first_reading(paths: Sequence[Path], dedups: Mapping[str, float], source_of: Ints) -> Survey:
    typical: defaultdict[tuple[str, str], Pool] = defaultdict(lambda: Pool(TYPICAL))
    closest: defaultdict[tuple[str, str], Pool] = defaultdict(lambda: Pool(CLOSEST))
    counts = np.zeros((int(source_of.max()) + 1 if len(source_of) else 1, 2), np.int64)
    found = Survey(typical, closest, Pool(KEPT), counts, {label: np.zeros(SIMILARITY_BINS, np.int64) for label in dedups}, {})
    for path in paths:
        with pq.ParquetFile(path, read_dictionary=_CODED) as file:
            for index in range(file.num_row_groups):
                _read(file.read_row_group(index, columns=_SHOWN).combine_chunks(), dedups, source_of, found)
    return found


def _read(table: pa.Table, dedups: Mapping[str, float], source_of: Ints, found: Survey) -> None:
    if not table.num_rows:
        return
    ids = table.column("id").to_numpy()
    draw = scrambled(ids)
    kept = pc.equal(table.column("verdict").cast(pa.string()), "kept").to_numpy()
    ordinals = ids >> 32
    source = source_of[ordinals] if len(source_of) > ordinals.max() else np.zeros(len(ids), np.int64)
    found.by_source += np.bincount(source * 2 + kept, minlength=found.by_source.size).reshape(-1, 2) @ np.array([[1, 0], [1, 1]])
    where = np.flatnonzero(kept)
    found.kept.offer(table, where, np.zeros(len(where)), draw[where])
    distance = np.abs(_numbers(table, "value") - _numbers(table, "threshold"))
    for (stage, reason), where in _classes(table, ~kept).items():
        found.typical[stage, reason].offer(table, where, np.zeros(len(where)), draw[where])
        near = where[~np.isnan(distance[where])]
        if len(near):
            found.closest[stage, reason].offer(table, near, distance[near], draw[near])
        if stage in dedups:
            similarity = _numbers(table, "similarity")[where]
            found.similarity[stage] += np.histogram(similarity, SIMILARITY_BINS, (dedups[stage] if dedups[stage] < 1 else 0.5, 1))[0]


def _numbers(table: pa.Table, name: str) -> Floats:
    found: Floats = table.column(name).to_numpy()
    return found


def _classes(table: pa.Table, dropped: npt.NDArray[np.bool_]) -> dict[tuple[str, str], Ints]:
    """(stage, reason) -> rows dropped for it."""
    parts = [table.column(name).chunk(0) for name in ("stage", "reason")]
    stage, reason = (part.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64) for part in parts)
    stages, reasons = (part.dictionary.to_pylist() for part in parts)
    both = np.where(dropped, stage * max(len(reasons), 1) + reason, -1)
    return {
        (stages[code // len(reasons)], reasons[code % len(reasons)]): np.flatnonzero(both == code)
        for code in np.unique(both[dropped]).tolist()
    }


# -------------------------------------------------------------------------------------------------- groups


def _choose_groups(paths: Sequence[Path], dedups: Mapping[str, float], found: Survey) -> tuple[list[Group], dict[str, Ints]]:
    """For every Dedup its largest groups, those of its least alike pairs and those of drawn ones; and the sizes of all."""
    counted = _count_twins(paths, dedups)
    chosen: list[Group] = []
    sizes: dict[str, Ints] = {}
    for label in dedups:
        mine = counted.filter(pc.equal(counted.column("stage"), label)) if counted.num_rows else counted
        sizes[label] = np.bincount(mine.column("count").to_numpy()) if mine.num_rows else np.zeros(1, np.int64)
        several = mine.filter(pc.greater(mine.column("count"), 1))
        largest = (
            several.take(pc.select_k_unstable(several, GROUPS, [("count", "descending"), ("twin", "ascending")]))
            if several.num_rows
            else several
        )
        reasons = [key for key in sorted(found.typical) if key[0] == label]
        kinds = [
            ("largest", largest.column("twin").to_pylist()),
            ("least alike", [row["twin"] for key in reasons for row in found.closest[key].rows() if row["similarity"] < 1]),
            ("typical", [row["twin"] for key in reasons for row in found.typical[key].rows()]),
        ]
        taken: set[str] = set()
        for kind, twins in kinds:
            fresh = [twin for twin in dict.fromkeys(twins) if twin is not None and twin not in taken][:GROUPS]
            taken.update(fresh)
            chosen += [Group(label, twin, kind) for twin in fresh]
    return chosen, sizes


def _count_twins(paths: Sequence[Path], dedups: Mapping[str, float]) -> pa.Table:
    """stage, twin, count: records dropped for each twin, streamed through Arrow's own group-by."""
    empty = pa.table({"stage": pa.array([], pa.string()), "twin": pa.array([], pa.string()), "count": pa.array([], pa.int64())})
    if not dedups:
        return empty
    ledger = ds.dataset([str(path) for path in paths], schema=LEDGER)
    wanted = pc.is_in(pc.field("stage"), pa.array(list(dedups), pa.string())) & pc.field("twin").is_valid()
    return acero.Declaration.from_sequence(
        [
            acero.Declaration("scan", acero.ScanNodeOptions(ledger, columns=["stage", "twin"], filter=wanted)),
            acero.Declaration("filter", acero.FilterNodeOptions(wanted)),
            acero.Declaration("aggregate", acero.AggregateNodeOptions([([], "hash_count_all", None, "count")], ["stage", "twin"])),
        ]
    ).to_table()


def _fill_groups(paths: Sequence[Path], chosen: list[Group], found: Survey) -> None:
    """Rows of the chosen groups: the kept twin, and records dropped for it."""
    if not chosen:
        return
    twins = pa.array(sorted({group.twin for group in chosen}), pa.string())
    pools = {(group.stage, group.twin): Pool(MEMBERS) for group in chosen}
    kept: dict[str, Row] = {}
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for whole in row_groups(paths, _SHOWN):
        table = whole.filter(pc.or_(pc.is_in(whole.column("twin"), twins), pc.is_in(whole.column("key"), twins)))
        draw = scrambled(table.column("id").to_numpy())
        for row in table.filter(pc.is_in(table.column("key"), twins)).to_pylist():
            kept[row["key"]] = row
        for stage, twin in pools:
            mine = pc.and_(pc.equal(table.column("stage"), stage), pc.equal(table.column("twin"), twin)).fill_null(False)
            where = np.flatnonzero(mine.to_numpy())
            counts[stage, twin] += len(where)
            pools[stage, twin].offer(table, where, np.zeros(len(where)), draw[where])
    least = {(key[0], row["twin"]): row for key, pool in found.closest.items() for row in reversed(pool.rows())}
    for group in chosen:
        rows = {row["id"]: row for row in pools[group.stage, group.twin].rows()}
        nearest = least.get((group.stage, group.twin))
        if group.kind == "least alike" and nearest is not None and nearest["id"] not in rows:
            rows = dict(list(rows.items())[: MEMBERS - 1]) | {nearest["id"]: nearest}
        group.size, group.kept = counts[group.stage, group.twin], kept.get(group.twin)
        group.dropped = sorted(rows.values(), key=lambda row: (-(row["similarity"] or 0), row["id"]))
