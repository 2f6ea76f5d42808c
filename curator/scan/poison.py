"""Records that crash a stage, or the reader: found, written down, and left out, so that each costs itself only.

A stage that raises is asked again record by record, in the same process. A worker that dies takes its unit with it; the journal says
what it had in hand. The unit runs again doing one thing at a time, then with that batch taken record by record, and the one that it dies
of is written down beside the unit's evidence, where every later attempt reads it. So the others are measured in the batches that they
would have been in without it, whoever runs the unit, and `--fresh` tries again. Bisection would cost a worker for each halving; this
costs one.
"""

from __future__ import annotations

import errno
import re
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from ..engines.worker import TIMEOUT, UNIT_TIME, Death, Unit
from ..errors import D4AError
from ..journal import BACK, FRONT, JOURNAL, NOTHING, READ
from ..plan import FlowPlan, load_plan
from ..store import Store, read_json, write_json

CRASHED = "crashed"
REASONS = (CRASHED, TIMEOUT)
CRASHES = 100  # that a run bears where the recipe says nothing of bad records: more, and the stage is broken
_DETAIL_CHARACTERS = 200
_KILLS_BELIEVED = 3  # at one place, with no other worker beside
_Result = TypeVar("_Result")


# ----------------------------------------------------------------------------------------- how many are borne


@dataclass
class Tolerance:
    """Bad records of a flow so far, by reason: unreadable ones, and those that crash.

    allowed  `max_bad_records` of the recipe; None: any number that can be read, and CRASHES that crash
    """

    flow: str
    allowed: int | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, counts: dict[str, int], last: str = "") -> None:
        """Raises D4AError where these are more than allowed; `last` says what came of the last of them."""
        self.counts.update(counts)
        crashes = sum(self.counts[reason] for reason in REASONS)
        bad = self.counts.total() if self.allowed is not None else crashes
        allowed = CRASHES if self.allowed is None else self.allowed
        if bad <= allowed:
            return
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.counts.most_common(4))
        what = f"{self.flow}: {bad} bad records so far ({reasons}); " + (
            "without max_bad_records a run bears" if self.allowed is None else "max_bad_records is"
        )
        hint = f"the last: {last}; " if last else ""
        raise D4AError(f"{what} {allowed}", hint=f"{hint}raise max_bad_records in the recipe if that is to be expected")


# --------------------------------------------------------------------------------------------- written down


class Poison:
    """What is known to crash of a partition in a round. Kept as rows of `label, row`, `entry, step` or `entry, rows`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: list[dict[str, Any]] = read_json(path) or []

    @classmethod
    def of(cls, store: Store, flow: FlowPlan, round_index: int, ordinal: int) -> Poison:
        """Beside the evidence of the partition: in a folder whose name is the key of its stages, options and files."""
        key = flow.scan_key(round_index, flow.partitions[ordinal])
        return cls(store.unit("scan", flow.name, key) / "poison.json")

    def add(self, death: Death, **place: Any) -> None:
        """Write one down."""
        reason, detail = (TIMEOUT, "") if death.cause == TIMEOUT else (CRASHED, death.cause)
        self.found.append({**place, "reason": reason, "detail": detail})
        write_json(self._path, self.found)

    def rows(self, label: str) -> dict[int, tuple[str, str]]:
        """Row of the partition -> reason and detail, of one stage."""
        return {one["row"]: (one["reason"], one["detail"]) for one in self.found if one.get("label") == label}

    def steps(self) -> dict[tuple[int, int], tuple[str, str]]:
        """(entry, step) -> reason and detail, of records that a reader must not give to native code."""
        return {(one["entry"], one["step"]): (one["reason"], one["detail"]) for one in self.found if "step" in one}

    def rests(self) -> dict[int, tuple[int, str, str]]:
        """Entry -> rows behind which it cannot be read, reason and detail."""
        return {one["entry"]: (one["rows"], one["reason"], one["detail"]) for one in self.found if "rows" in one}


def after_death(unit: Unit, death: Death) -> Unit:
    """The unit to run next after its worker died alone: as it was, with more care, or without the record.

    Raises D4AError where no record is to blame. A SIGKILL may have come from outside: it is believed when it comes again at the place.
    """
    place = death.place
    if death.cause == "SIGKILL":
        where = [place.stage, place.at, place.row, place.step]
        killed = unit["killed"] + 1 if unit.get("killed_at") == where else 1
        unit = {**unit, "killed_at": where, "killed": killed}
        if killed < _KILLS_BELIEVED:
            return unit
    if unit["kind"] != "scan" or place.stage == NOTHING or death.cause == UNIT_TIME:
        raise _unexplained(unit, death)
    store = Store(Path(unit["root"]))
    plan = load_plan(store.state / "plan.json", unit["plan"])
    flow = plan.flow(unit["flow"])
    poison = Poison.of(store, flow, unit["round"], unit["partition"])
    store.fence(unit["run"])()
    if place.stage == READ:
        if place.step and (place.at, place.step) not in poison.steps():
            poison.add(death, entry=place.at, step=place.step)
        elif place.at not in poison.rests():
            poison.add(death, entry=place.at, rows=place.row)
        else:
            raise _unexplained(unit, death)
    elif place.row >= 0:
        label = [planned.label for planned in flow.rounds[unit["round"]].all][place.stage]
        poison.add(death, label=label, row=place.row)
    else:
        place_now, before = {"stage": place.stage, "batch": place.at}, unit.get("care", {})
        tried = before.items() >= place_now.items()
        return {**unit, "care": {**place_now, "together": not tried}}
    found = Counter(one["reason"] for one in poison.found)
    Tolerance(flow.name, plan.recipe.max_bad_records).add(dict(found), death.by)
    return unit


def _unexplained(unit: Unit, death: Death) -> D4AError:
    hint = "run the same command again: it goes on where it stopped"
    hint += (
        "; a smaller partition_bytes, or fewer --workers, need less memory, and so does a smaller --memory"
        if "memory" in death.cause
        else ""
    )
    if death.cause == UNIT_TIME:
        hint += "; where no file system hangs, a unit may need more than --unit-time, or a smaller partition_bytes"
    what = f"{_name(unit)}: a worker was {death.by}, and so was the next, with nothing beside it"
    return D4AError(f"{what}; no record is to blame", hint=hint)


def _name(unit: Unit) -> str:
    """A unit for people."""
    if unit["kind"] == "scan":
        return f"scan {unit['flow']}, partition {unit['partition']}"
    return f"pack {unit['shard']['path']}" if unit["kind"] == "pack" else f"{unit['kind']} {unit['flow']}"


# -------------------------------------------------------------------------------------------------- in a unit


class Guard:
    """Runs stages on batches so that a record that crashes one costs itself only.

    ahead  stages that may be at work while those behind them are: so many, from the first on
    care  the batch that the worker before died of: {"stage", "batch", "together"}; `together`: its records are tried one by one and
          then run as a batch again; else what they gave one by one is the result
    """

    def __init__(self, poison: Poison, tolerance: Tolerance, ahead: int, care: dict[str, Any] | None = None) -> None:
        self._poison, self.tolerance, self._ahead, self._care = poison, tolerance, ahead, care
        self._raised: dict[str, dict[int, tuple[str, str]]] = {}  # label -> row -> why, found by this process
        JOURNAL.untouchable = poison.steps()

    def count(self, bad: Counter[str]) -> None:
        """Bad records of a batch. Raises D4AError where the recipe allows fewer."""
        self.tolerance.add(bad)

    def mark(self, label: str, live: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with reason and detail where a record is known to crash the stage."""
        known = self._poison.rows(label) | self._raised.get(label, {})
        if not known:
            return live
        rows = live.column("row").to_pylist()
        if known.keys().isdisjoint(rows):
            return live
        for name, index in (("reason", 0), ("detail", 1)):
            column = [known[row][index] or None if row in known else None for row in rows]
            live = live.set_column(live.schema.get_field_index(name), name, pa.array(column, pa.string()))
        return live

    def run(
        self, position: int, label: str, number: int, run: Callable[[pa.RecordBatch], _Result], live: pa.RecordBatch
    ) -> list[_Result] | None:
        """What the stage makes of batch `number`, in one piece or one a record. None: some records crash it, `mark` knows them now.

        Raises D4AError where it raises for the batch, and for none of its records alone.
        """
        care = self._care if self._care and (self._care["stage"], self._care["batch"]) == (position, number) else None
        if care is not None:
            alone = self._one_by_one(position, label, number, run, live)
            if alone is None or not care["together"]:
                return alone
            self._care = None
        self._begin(position, number, live.column("row")[0].as_py() if live.num_rows == 1 else -1)
        try:
            return [run(live)]
        except BaseException as error:
            _raise_if_not_the_records(error)
            if self._one_by_one(position, label, number, run, live) is not None:
                rows = f"rows {live.column('row')[0]} to {live.column('row')[-1]} of the partition"
                raise D4AError(
                    f"{label} failed for a batch, though for none of its records alone: {error!r}", rows, "--debug shows the traceback"
                ) from error
            return None
        finally:
            JOURNAL.rest(self._lane(position))

    def _begin(self, position: int, number: int, row: int) -> None:
        JOURNAL.stage(self._lane(position), position, number, row)

    def _lane(self, position: int) -> int:
        return FRONT if position < self._ahead else BACK

    def _one_by_one(
        self, position: int, label: str, number: int, run: Callable[[pa.RecordBatch], _Result], live: pa.RecordBatch
    ) -> list[_Result] | None:
        """One result a record; None where some raised."""
        results: list[_Result] = []
        raised = self._raised.setdefault(label, {})
        before = len(raised)
        for index, row in enumerate(live.column("row").to_pylist()):
            self._begin(position, number, row)
            try:
                results.append(run(live.slice(index, 1)))
            except BaseException as error:
                _raise_if_not_the_records(error)
                raised[row] = CRASHED, last_line(error)
                # counted with the batch; here so that a stage that never works ends before it was asked for each of thousands
                Tolerance(self.tolerance.flow, self.tolerance.allowed).add({CRASHED: len(raised)}, f"{label}: {last_line(error)}")
        return results if len(raised) == before else None


def _raise_if_not_the_records(error: BaseException) -> None:
    """Raises an error that is nobody's fault but the machine's or the recipe's; sys.exit is the record's, as any exception."""
    if isinstance(error, D4AError) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        raise error


def last_line(error: BaseException) -> str:
    """`ValueError: what it said`; without addresses, which are others each time."""
    line = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
    return re.sub(r"0x[0-9a-fA-F]{6,}", "0x…", line)[:_DETAIL_CHARACTERS]
