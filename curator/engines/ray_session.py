"""What runs beside the driver while the engine is `ray`: a Ray of its own, and the pipelines.

Two processes, because an executor of NeMo Curator leaves Ray when its pipeline ends, and a Ray that it began
would end with that: `cluster` holds the Ray of this run, `work` hands pipelines to it. Both end when their
standard input does, so nothing outlives a driver, however it ends. A cluster that the user names is only joined.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, TextIO

import orjson

TASKS = 4096  # of one pipeline: Ray Data holds a block for each


def _own_stdout() -> TextIO:
    """Standard output for the driver alone: whatever else is printed here goes to standard error."""
    mine = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return mine


def hold_cluster(workers: int) -> None:
    """Begin a Ray that no other program is told of, say its address, end it with the driver."""
    out = _own_stdout()
    import ray

    with tempfile.TemporaryDirectory(prefix="d4a-ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, _temp_dir=folder, _node_ip_address="127.0.0.1"
        )
        try:
            print(ray.get_runtime_context().gcs_address, file=out)
            sys.stdin.read()
        finally:
            ray.shutdown()


def work(address: str) -> None:
    """Run the pipelines asked for: one JSON line each in, one for its end out."""
    out = _own_stdout()
    os.environ["RAY_ADDRESS"] = address
    os.environ["NEMO_CURATOR_SLURM_ARRAY_ENABLED"] = "0"  # else it takes a share of the tasks in an array job
    lines = iter(sys.stdin.buffer.readline, b"")
    asked = next(lines, None)
    while asked is not None:
        # the driver writes again only after an answer: an end before it is the driver's own
        following: list[bytes | None] = []
        waiting = threading.Thread(target=_wait_for_driver, args=(lines, following), daemon=True)
        waiting.start()
        print(orjson.dumps(_run_pipeline(orjson.loads(asked))).decode(), file=out)
        waiting.join()
        asked = following[0]


def _wait_for_driver(lines: Any, following: list[bytes | None]) -> None:
    line = next(lines, None)
    if line is None:
        os._exit(1)
    following.append(line)


def _run_pipeline(asked: dict[str, Any]) -> dict[str, Any]:
    from nemo_curator.backends.ray_data import RayDataExecutor
    from nemo_curator.pipeline import Pipeline

    from .ray_stage import UnitStage, tasks

    if asked["gpus"] and not _cards():
        return {"failed": "its units want a card, and this Ray has none; --device cpu, or nodes with cards"}
    units = Path(asked["units"]).read_bytes().splitlines()
    stage = UnitStage(asked["module"], asked["function"], asked["gpus"])
    try:
        Pipeline(name="d4a", stages=[stage]).run(RayDataExecutor(), initial_tasks=tasks(units, Path(asked["folder"]), TASKS))
    except Exception as error:  # whatever Ray raises: units without a result are the engine's matter
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"failed": ""}


def _cards() -> float:
    """Of all nodes. A task that wants what no node has would wait for ever."""
    import ray

    ray.init()
    try:
        return float(ray.cluster_resources().get("GPU", 0))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    hold_cluster(int(sys.argv[2])) if sys.argv[1] == "cluster" else work(sys.argv[2])
