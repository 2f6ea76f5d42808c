"""The contract of stages: what they measure, match, cut or change, and what the machine promises them.

A stage works on batches (pyarrow RecordBatches), never on one Python object per record. In the scan it
measures; in the decision it judges what was measured. Thresholds therefore never reach the scan, and a
changed threshold never costs one. Options are in options.py, modalities in modality.py, names in registry.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .backends.device import Backend
from .dedup.preference import Keep, order_by
from .options import DedupOptions, Options

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Columns = dict[str, pa.Array]

# ---------------------------------------------------------------------------------------- measurements


@dataclass(frozen=True)
class Value:
    """One measured column, `<stage label>.<name>` in evidence and scores.

    packed  also written into the sample's .json member, under this name; empty: not written
    json    the strings of the column are JSON text, written into the member as such (boxes)
    sketch  a signature or embedding: kept in sketches/, not in scores/
    total   a count: summary and report say its sum over the records that reached the stage, and how many of them have any
    working  only for the stage's own decision: in neither scores nor sketches
    """

    name: str
    type: pa.DataType
    doc: str
    packed: str = ""
    json: bool = False
    sketch: bool = False
    total: bool = False
    working: bool = False


@dataclass(frozen=True)
class Rule:
    """One reason to drop: the record stays while `value <= threshold` (max) or `value >= threshold` (min).

    option  the judging option that holds the threshold; a threshold of None switches the rule off
    reason  the word in the ledger, for instance `too_few_words`
    A null value passes: what was not measured is not judged.
    """

    value: str
    keep: Literal["min", "max"]
    option: str
    reason: str


@dataclass
class Judgement:
    """One verdict for each of n records.

    keep        (n,) bool
    reason      (n,) int16    index into `reasons`; meaningless where keep
    value       (n,) float64  the measured value that decided, NaN where there is none
    threshold   (n,) float64  what it was compared with, NaN where there is none
    detail      (n,) object or None   a few words more (a class name, a language)
    """

    keep: Bools
    reasons: list[str]
    reason: npt.NDArray[np.int16]
    value: Floats
    threshold: Floats
    detail: npt.NDArray[np.object_] | None = None

    @classmethod
    def keep_all(cls, n: int) -> Judgement:
        """n records, all kept."""
        nothing = np.full(n, np.nan)
        return cls(np.ones(n, bool), [], np.zeros(n, np.int16), nothing, nothing.copy())

    def drop(self, where: Bools, reason: str, value: Floats, threshold: float) -> None:
        """Drop the records of `where` that are still kept; the first reason a record meets is the one it gets."""
        new = where & self.keep
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.reason[new] = self.reasons.index(reason)
        self.value[new] = value[new]
        self.threshold[new] = threshold
        self.keep &= ~new


def judge_rules(rules: Sequence[Rule], options: Options, values: pa.Table) -> Judgement:
    """Apply rules in order to measured values; `values` has one column a value name, unprefixed."""
    verdict = Judgement.keep_all(values.num_rows)
    for rule in rules:
        threshold = getattr(options, rule.option)
        if threshold is None:
            continue
        column = values.column(rule.value).cast(pa.float64()).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):  # NaN (null) compares as False: it passes
            broken = column < threshold if rule.keep == "min" else column > threshold
        verdict.drop(broken, rule.reason, column, float(threshold))
    return verdict


# ---------------------------------------------------------------------------------------------- stages


@dataclass(frozen=True)
class Machine:
    """What the planning machine offers to neural stages.

    device     "cpu" or "cuda"
    precision  "fp32" or "bf16"
    why        one line for people: why this device and this precision
    """

    device: str = "cpu"
    precision: str = "fp32"
    why: str = ""


@dataclass(frozen=True)
class Facts:
    """What a stage found out at plan time.

    numeric  decides values (digest of weights, precision, device kind, library versions): part of every key and of dataset.json
    local    true on this machine only (paths): in no key
    files    digests of data files: part of every key; another file is measured anew without further ado
    """

    numeric: dict[str, str] = field(default_factory=dict)
    local: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


class Stage(ABC):
    """What all stages share. Subclass Transform, Filter, Dedup or Cut.

    name       dotted noun, as in the recipe
    version    raised whenever values, verdicts or pairs change for the same input and options
    cost       "model" for neural networks: after a Filter or a Dedup such a stage starts a new round
    on_card    a card may compute its values, bit for bit the same: without a neural stage the machine is asked for a card all the same
    needs      batch columns it reads: of the reader, or offered by a Transform before it in the round
    values     columns it measures
    libraries  distributions whose version decides values; part of the scan's key
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    cost: ClassVar[Literal["cpu", "model"]] = "cpu"
    on_card: ClassVar[bool] = False
    Options: ClassVar[type[Options]] = Options
    values: ClassVar[tuple[Value, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: Any) -> None:
        self.options = options

    @property
    def needs(self) -> tuple[str, ...]:
        """Batch columns that `measure`, `change` or `sketch` reads."""
        return ()

    @property
    def pass_rows(self) -> int:
        """Records of a forward pass of a model, its option `batch_size`: batches are made of as many; 1: any number is as good."""
        return int(getattr(self.options, "batch_size", 1)) if self.cost == "model" else 1

    def prepare(self, machine: Machine) -> Facts:
        """Plan time, on the driver: find weights and data files. Raises MachineError naming what is missing."""
        return Facts()

    def open(self, facts: Facts) -> None:
        """Worker, once a unit and before any batch: load what `prepare` found (cache it per process)."""
        return


class Judging(Stage):
    """A stage whose columns can drop records: by rules, or by a `judge` of its own."""

    def rules(self) -> Sequence[Rule]:
        """Reasons to drop, in the order in which they are tried."""
        return ()

    def judge(self, values: pa.Table) -> Judgement:
        """Verdicts from the measured values (unprefixed names) of all records that reached this stage.

        The stage is not opened for this: judging needs options and values, never a model.
        """
        return judge_rules(self.rules(), self.options, values)


class Transform(Judging):
    """Changes a batch: cleans text, decodes images. May add measured values and working columns.

    offers   working columns it can add for later stages of the round (never stored)
    derives  it adds values and working columns only, and leaves the payload as it is: later rounds run it again for what it offers
    A record is refused by filling its `reason` (and `detail`) column; it takes no further part.
    """

    offers: ClassVar[tuple[str, ...]] = ()
    derives: ClassVar[bool] = False

    @abstractmethod
    def change(self, batch: pa.RecordBatch, wanted: frozenset[str]) -> pa.RecordBatch:
        """The batch with the same number of rows, changed columns and `values` added; of `offers`, only those wanted."""

    def can_offer(self, column: str) -> bool:
        """Whether this stage can add the working column; override where names carry sizes (`rgb224`)."""
        return column in self.offers


class Filter(Judging):
    """Measures a batch and changes nothing."""

    @abstractmethod
    def measure(self, batch: pa.RecordBatch) -> Columns:
        """One column for each of `values`, as long as the batch."""


@dataclass
class Pairs:
    """Verified pairs of duplicates among n records that reached a Dedup.

    a, b        (p,) int64    indices of the records, a != b, every pair once
    similarity  (p,) float64  measured, not estimated, in [0, 1]
    notes       counts worth a line in the summary, for instance {"capped_bands": 3}
    """

    a: Ints
    b: Ints
    similarity: Floats
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Workspace:
    """What a pair search may use.

    folder   for temporary files
    memory   beside a few words a record [bytes]; no result depends on it
    backend  who multiplies matrices; no result depends on it
    """

    folder: Path
    memory: int
    backend: Backend = "cpu"


class Entered(Protocol):
    """The n records that reached a Dedup or a Sampling, seen through their evidence, in input order."""

    @property
    def size(self) -> int:
        """n."""
        ...

    @property
    def settled(self) -> int:
        """So many records, the first ones, are of earlier datasets: they stay, and pairs among them do not matter."""
        ...

    def column(self, name: str) -> pa.ChunkedArray:
        """One of the stage's own values (unprefixed), or `digest` (16 bytes), `payload_bytes`, `source_index` (int64), `source`, `key`."""
        ...

    def chunks(self, name: str) -> Iterator[tuple[Ints, pa.Array]]:
        """A value, some records at a time: their indices, each once in all, and their values. One of the stage's own, or by its full
        name one that another stage measured in this round or before."""
        ...

    @property
    def workspace(self) -> Workspace:
        """Where `pairs` puts what is too much for memory, and how much memory that is."""
        ...

    def foreign(self, name: str) -> pa.ChunkedArray | None:
        """A value of another stage by its full name (`image.decode.width`); None when nobody measured it."""
        ...

    def payload(self, indices: Ints, column: str = "") -> pa.Array:
        """A payload column (text: large_string, images: large_binary; by default the first) of the records at `indices`, in that order."""
        ...


class Sampling(Filter):
    """A Filter that judges records together, by what any stage measured of them: at most so many of a kind."""

    @property
    def asks(self) -> tuple[str, ...]:
        """Values of other stages, by full name, that it looks at: the plan refuses what no stage before it measures."""
        return ()

    @abstractmethod
    def choose(self, entered: Entered) -> Judgement:
        """Verdicts of all records that reached this stage; what `judge` is to a Filter."""


class Dedup(Stage):
    """Matches records with each other: a sketch in the scan, pairs and keepers in the decision.

    prefers  values of other stages, by full name, that `preference` looks at where no `keep` is given
    """

    reason: ClassVar[str] = "duplicate"
    prefers: ClassVar[tuple[str, ...]] = ()
    Options: ClassVar[type[Options]] = DedupOptions

    @abstractmethod
    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """One column for each of `values`, as long as the batch."""

    @abstractmethod
    def pairs(self, entered: Entered) -> Pairs:
        """All pairs with a similarity that some threshold may ask for; must not depend on judging options."""

    @property
    @abstractmethod
    def threshold(self) -> float:
        """Pairs at or above this similarity are duplicates."""

    def banding(self) -> tuple[int, int] | None:
        """(bands, rows) where pairs are proposed by the bands of signatures, so that the plan can say what will be found."""
        return None

    def way(self, count: int) -> str:
        """How pairs among so many records are searched, in words for the plan, where that depends on the number; else empty."""
        return ""

    def preference(self, entered: Entered) -> Ints:
        """(n,) int64: the records' indices, the most preferred first: by the option `keep`, else larger payload, then input order."""
        keep: Keep | None = getattr(self.options, "keep", None)
        return order_by(entered, "longest" if keep is None else keep)

    def details(self, entered: Entered, dropped: Ints, twins: Ints, similarity: Floats) -> list[str] | None:
        """What the ledger says of dropped records in a few words more; None where reason and similarity say it all."""
        return None

    def order(self, entered: Entered) -> Ints:
        """(n,) int64: settled records in their order, then the others by `preference`."""
        order = self.preference(entered)
        own = order >= entered.settled
        return np.concatenate([np.sort(order[~own]), order[own]])

    def search_key(self) -> dict[str, Any]:
        """What decides which pairs are found; pairs are searched anew when it changes."""
        options: Options = self.options
        return options.of_kind("search")


@dataclass
class Spans:
    """Parts of payload that a Cut takes out of the n records that reached it.

    record      (p,) int64   index of the record, ascending
    start, end  (p,) int64   bytes [start, end) of its payload; those of one record ascending and apart
    twin        (p,) int64   index of the record that keeps the same part
    notes       counts worth a line in the summary
    """

    record: Ints
    start: Ints
    end: Ints
    twin: Ints
    notes: dict[str, int] = field(default_factory=dict)


class Cutter(Transform):
    """What a Cut does in the round behind its own: takes out of each record what was decided, and measures that.

    column  the batch column with it: list<struct<start: int64, end: int64>>, bytes of the payload; part of `needs`
    cuts    False in `mode: annotate`: `values` are measured as ever, but the payload stays and nothing is refused
    """

    column: ClassVar[str] = "spans"

    def __init__(self, options: Any, cuts: bool = True) -> None:
        super().__init__(options)
        self.cuts = cuts


class Cut(Stage):
    """Takes parts out of records: a sketch in the scan, spans in the decision; a new round begins with its `cutter`.

    Only for modalities whose payload is stored. `values` are those of the sketch, most often `working`; what is cut is measured by the
    cutter, which has the options and the label of this stage and is registered with it.
    """

    cutter: ClassVar[type[Cutter]]

    @abstractmethod
    def sketch(self, batch: pa.RecordBatch) -> Columns:
        """One column for each of `values`, as long as the batch."""

    @abstractmethod
    def spans(self, entered: Entered) -> Spans:
        """What is to be cut; found once for the same evidence, entering records, measuring and search options."""
