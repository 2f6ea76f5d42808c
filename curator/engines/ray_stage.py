"""The one stage that d4a gives to NeMo Curator: units in, what became of them out.

Imported only where NeMo Curator is, in the processes of a Ray session. A unit commits its own files, so no task
carries data; its result goes through a file, for a pipeline tells its own only when all of it has ended.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from nemo_curator.stages.base import ProcessingStage
from nemo_curator.stages.resources import Resources
from nemo_curator.tasks import FileGroupTask

from ..errors import D4AError
from ..store import replacing


class UnitStage(ProcessingStage[FileGroupTask, FileGroupTask]):  # type: ignore[misc]
    """Does the units of a task, one after the other: task.data holds the files their results go to."""

    name = "d4a"
    batch_size = 1

    def __init__(self, module: str, function: str, gpus: float) -> None:
        """`module`, `function`: what does a unit; `gpus`: of one task, a fraction shares a card."""
        self.module, self.function = module, function
        self.resources = Resources(cpus=1.0, gpus=gpus)

    def ray_stage_spec(self) -> dict[str, Any]:
        """One more try of a task whose process died: by itself Ray tries for ever, and the record would kill each of them."""
        return {"ray_remote_args": {"max_retries": 1}}

    def process(self, task: FileGroupTask) -> FileGroupTask:
        """Write one result a unit: {"result": …}, or {"error": [class, what, where, hint]} for what a user can mend."""
        from importlib import import_module

        work = getattr(import_module(self.module), self.function)
        for path, unit in zip(task.data, task._metadata["units"], strict=True):
            with replacing(Path(path)) as file:
                file.write(orjson.dumps(_answer(work, orjson.loads(unit))))
        return FileGroupTask(dataset_name=task.dataset_name, data=task.data, _metadata={})


def _answer(work: Any, unit: Any) -> dict[str, Any]:
    try:
        return {"result": work(unit)}
    except D4AError as error:
        return {"error": [type(error).__name__, error.what, error.where, error.hint]}


def tasks(units: list[bytes], folder: Path, count: int) -> list[FileGroupTask]:
    """At most `count` tasks, units dealt out in turn; results in `folder`, by the number of the unit."""
    count = min(count, len(units))
    groups = [range(first, len(units), count) for first in range(count)]
    return [
        FileGroupTask(dataset_name="d4a", data=[str(folder / f"{k}.json") for k in group], _metadata={"units": [units[k] for k in group]})
        for group in groups
    ]
