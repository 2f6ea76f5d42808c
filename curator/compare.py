"""Two datasets of the same sources beside each other: which decisions flip, and how far measured values are apart.

Records are the same where flow and key are. Both ledgers are read side by side: runs over the same sources have them in the same order,
and where they have not, rows wait until the other dataset shows theirs. A sorted join would need no room for those, and a copy of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .columns import fixed_rows
from .dedup.embeddings import EmbeddingDedup
from .errors import UsageError
from .registry import stage_class, stage_names
from .shards.manifest import Dataset, read
from .stage import Floats

EXAMPLES = 3  # keys of a flip
_BATCH_ROWS = 16_384
Pair = tuple[pa.Table, pa.Table]


@dataclass
class Flip:
    """Records of one fate in `a` and another one in `b`: `kept`, or `STAGE: REASON`."""

    a: str
    b: str
    count: int = 0
    keys: list[str] = field(default_factory=list)


@dataclass
class Difference:
    """How far one measured value, or embedding, is apart.

    compared  records that have it in both; differ: of those; one_sided: records that have it in one only
    largest, mean   absolute difference of numbers, over `compared`; None for other values
    cosine    the smallest, of embeddings; None for other values
    key       the record with the largest difference, or smallest cosine
    """

    name: str
    compared: int = 0
    differ: int = 0
    one_sided: int = 0
    largest: float | None = None
    mean: float | None = None
    cosine: float | None = None
    key: str | None = None


@dataclass
class FlowComparison:
    """One flow: records in both and in one only, flips by fate, most frequent first, and values."""

    flow: str
    both: int
    only_a: int
    only_b: int
    kept_a: int
    kept_b: int
    flips: list[Flip]
    values: list[Difference]


@dataclass
class Comparison:
    """What two datasets say of each other.

    recipe   path of an option -> what it is in each, where it differs; the output's path and the name are left out
    numeric  flow/label of a neural stage -> its numeric class in each, None where it has none
    """

    a: str
    b: str
    recipe: dict[str, list[Any]]
    numeric: dict[str, list[dict[str, str] | None]]
    flows: list[FlowComparison]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def compare(a: Path, b: Path) -> Comparison:
    """Compare two finished datasets. Raises UsageError for what is none, and where they have no record in common."""
    datasets = read(a), read(b)
    flows = [name for name in datasets[0].flows if name in datasets[1].flows]
    if not flows:
        what = " and ".join(f"{root} has {', '.join(one.flows) or 'nothing'}" for root, one in zip((a, b), datasets, strict=True))
        raise UsageError(f"no flow in common: {what}", hint="compare datasets of the same sources")
    found = [_flow((a, b), datasets, flow) for flow in flows]
    if not any(one.both for one in found) and any(one.only_a or one.only_b for one in found):
        raise UsageError("no record in common: keys differ", f"{a}, {b}", "compare datasets of the same sources")
    recipes = [_flat({k: v for k, v in one.recipe.items() if k != "name"}) for one in datasets]
    options = {name: [one.get(name) for one in recipes] for name in sorted({*recipes[0], *recipes[1]})}
    labels = sorted({*datasets[0].numeric, *datasets[1].numeric})
    return Comparison(
        str(a),
        str(b),
        {name: pair for name, pair in options.items() if pair[0] != pair[1] and name != "output.path"},
        {label: [one.numeric.get(label) for one in datasets] for label in labels},
        found,
    )


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    """Path of an option -> its value, as `--set` takes it: stages by their names."""
    if isinstance(value, dict) and "label" in value:
        return _flat({**value["options"], "use": value["use"], "mode": value["mode"]}, value["label"])
    nested = isinstance(value, dict) or (isinstance(value, list) and all(isinstance(each, dict) for each in value))
    if not nested or not value:
        return {at: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return {path: each for name, one in pairs for path, each in _flat(one, f"{at}.{name}".lstrip(".")).items()}


def _flow(roots: tuple[Path, Path], datasets: tuple[Dataset, Dataset], flow: str) -> FlowComparison:
    flips: dict[tuple[str, str], Flip] = {}
    both, kept, only = 0, [0, 0], [0, 0]
    for one, other in _side_by_side(roots, datasets, "ledger", flow, ["verdict", "stage", "reason"], only):
        fates = [_fates(table) for table in (one, other)]
        both += one.num_rows
        kept = [count + (pc.sum(pc.equal(fate, "kept")).as_py() or 0) for count, fate in zip(kept, fates, strict=True)]
        moved = pc.not_equal(*fates)
        rows = zip(*(fate.filter(moved).to_pylist() for fate in fates), one.column("key").filter(moved).to_pylist(), strict=True)
        for before, after, key in rows:
            flip = flips.setdefault((before, after), Flip(before, after))
            flip.count += 1
            flip.keys += [key] if flip.count <= EXAMPLES else []
    ordered = sorted(flips.values(), key=lambda flip: (-flip.count, flip.a, flip.b))
    return FlowComparison(flow, both, only[0], only[1], kept[0], kept[1], ordered, _values(roots, datasets, flow))


def _fates(table: pa.Table) -> pa.ChunkedArray:
    dropped = pc.binary_join_element_wise(table.column("stage"), table.column("reason"), ": ")
    return pc.if_else(pc.equal(table.column("verdict"), "kept"), "kept", dropped)


# -------------------------------------------------------------------------------------------------- values


def _values(roots: tuple[Path, Path], datasets: tuple[Dataset, Dataset], flow: str) -> list[Difference]:
    """Of all columns that both have, in the order of the first."""
    found = []
    for folder in ("scores", "sketches"):
        schemas = [_schema(root, dataset, folder, flow) for root, dataset in zip(roots, datasets, strict=True)]
        names = [f.name for f in schemas[0] if f.name in schemas[1].names and f.type == schemas[1].field(f.name).type]
        names = [name for name in names if name not in ("id", "key")]
        columns = {name: _Column(name, _measure(datasets[0], flow, folder, name, schemas[0].field(name).type)) for name in names}
        for one, other in _side_by_side(roots, datasets, folder, flow, names, [0, 0]) if names else ():
            for name, column in columns.items():
                column.add(one.column("key"), one.column(name).combine_chunks(), other.column(name).combine_chunks())
        found += [column.difference() for column in columns.values()]
    return found


def _measure(dataset: Dataset, flow: str, folder: str, column: str, kind: pa.DataType) -> Callable[[pa.Array, pa.Array], Any] | None:
    """What says how far two columns of a kind are apart, largest first; None: they are equal or not, as signatures are."""
    if folder == "scores" and kind != pa.uint64() and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return _distances
    label, _, name = column.rpartition(".")
    uses = {stage.label: stage.use for stage in dataset.flows[flow].stages}
    known = name == "embedding" and uses.get(label) in stage_names()
    return _angles if known and issubclass(stage_class(uses[label]), EmbeddingDedup) else None


def _distances(a: pa.Array, b: pa.Array) -> Floats:
    left, right = (each.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) for each in (a, b))
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        apart: Floats = np.where(same, 0, np.nan_to_num(np.abs(left - right), nan=np.inf, posinf=np.inf))
    return apart


def _angles(a: pa.Array, b: pa.Array) -> Floats:
    """1 - cosine of rows of float16; vectors of zeros, which stand for no embedding, are close to each other only."""
    left, right = (fixed_rows(each, np.float16, (each.type.byte_width // 2,)).astype(np.float64) for each in (a, b))
    length = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: Floats = (left * right).sum(1) / np.where(length > 0, length, 1)
    apart: Floats = np.where((left == right).all(1), 0, 1 - cosines)
    return apart


def _unequal(a: pa.Array, b: pa.Array) -> Floats:
    apart: Floats = pc.not_equal(a, b).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return apart


class _Column:
    """Adds up how far a column is apart."""

    def __init__(self, name: str, measure: Callable[[pa.Array, pa.Array], Any] | None) -> None:
        self._found, self._measure, self._sum, self._most = Difference(name), measure, 0.0, -1.0

    def add(self, keys: pa.ChunkedArray, a: pa.Array, b: pa.Array) -> None:
        """Values of the same records."""
        found, both = self._found, pc.and_(a.is_valid(), b.is_valid())
        found.one_sided += pc.sum(pc.xor(a.is_valid(), b.is_valid())).as_py() or 0
        a, b, keys = a.filter(both), b.filter(both), keys.filter(both)
        if not len(a):
            return
        found.compared += len(a)
        apart = (self._measure or _unequal)(a, b)
        found.differ += int(np.count_nonzero(apart))
        self._sum += float(apart.sum())
        worst = int(np.argmax(apart))
        if apart[worst] > max(self._most, 0):
            found.key = keys[worst].as_py()
        self._most = max(self._most, float(apart[worst]))

    def difference(self) -> Difference:
        """What came of it."""
        found = self._found
        if found.compared and self._measure is _angles:
            found.cosine = 1 - self._most
        elif found.compared and self._measure is _distances:
            found.largest, found.mean = self._most, self._sum / found.compared
        return found


# ------------------------------------------------------------------------------------------- side by side


def _files(root: Path, dataset: Dataset, folder: str, flow: str) -> list[Path]:
    paths = [root / name for name in sorted(dataset.files) if name.startswith(f"{folder}/{flow}-")]
    for path in paths:
        if not path.is_file():
            raise UsageError("a table of the dataset is not there", str(path), "run the same `d4a curate` again")
    return paths


def _schema(root: Path, dataset: Dataset, folder: str, flow: str) -> pa.Schema:
    files = _files(root, dataset, folder, flow)
    return pq.read_schema(files[0]) if files else pa.schema([])


def _side_by_side(
    roots: tuple[Path, Path], datasets: tuple[Dataset, Dataset], folder: str, flow: str, columns: list[str], only: list[int]
) -> Iterator[Pair]:
    """Rows of the records in both, aligned; `only`: how many there were in one alone, counted at the end."""
    left, right = (_rows(_files(root, one, folder, flow), ["key", *columns]) for root, one in zip(roots, datasets, strict=True))
    one = other = None  # rows that wait
    while (new := [next(left, None), next(right, None)]) != [None, None]:
        one, other = _joined(one, new[0]), _joined(other, new[1])
        if one is None or other is None:
            continue
        if one.column("key").equals(other.column("key")):
            yield one, other
            one = other = None
            continue
        places = pc.index_in(one.column("key"), other.column("key"))
        if len(found := places.drop_null()):
            yield one.filter(places.is_valid()), other.take(found)
        elsewhere = pc.invert(pc.is_in(other.column("key"), one.column("key")))
        one, other = one.filter(places.is_null()), other.filter(elsewhere)
    only[:] = [0 if rest is None else rest.num_rows for rest in (one, other)]


def _joined(held: pa.Table | None, more: pa.Table | None) -> pa.Table | None:
    return pa.concat_tables([held, more]) if held is not None and more is not None else held if more is None else more


def _rows(files: list[Path], columns: list[str]) -> Iterator[pa.Table]:
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
                yield pa.Table.from_batches([batch])
