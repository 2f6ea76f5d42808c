"""From packed shards to a dataset: everything that lies beside the tars, dataset.json last.

Nothing here reads payload. All files are prepared under `.d4a/next/`, then the store moves them into place.
"""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..explain import Previews
from ..outcome import FlowOutcome
from ..plan import LIBRARIES, FlowPlan, Plan, code_key
from ..report.content import flow_content
from ..report.page import render
from ..shards import card, croissant
from ..shards.energon import energon_files, write_sqlite
from ..shards.indexes import folder_indexes
from ..shards.manifest import Dataset, File, FlowCounts, Shard, StageCounts, describe_file, merkle_root, read
from ..stage import Dedup
from ..store import DATASET, Store, committed, data_file, digest, file_digest, read_json, replacing, sync_file, write_json
from .shards import BESIDE, packed, published_shards

REPORT = "report.html"


def publish(store: Store, plan: Plan, flows: list[FlowOutcome]) -> tuple[Dataset, bool]:
    """Publish the packed shards of `flows`; returns the manifest, and whether anything was new."""
    stamp = digest(plan.recipe_digest, [[flow.name, flow.layout] for flow in flows], _described(plan), plan.limit, code_key())
    before = read_json(store.state / "published.json") or {}
    if before.get("stamp") == stamp and (store.root / DATASET).exists():
        dataset = read(store.root)
        if all((store.root / path).exists() for path in (REPORT, *(shard.path for shard in dataset.shards))):
            return dataset, False
    published = published_shards(store)
    shards = [(flow.name, found) for flow in flows for shard in flow.shards if (found := packed(store, flow.name, shard, published))]
    moves, files = _shard_files(store, shards)
    _tables(store, flows, moves, files)
    dataset = _dataset(plan, flows, [Shard.model_validate(found) for _, found in shards], files)
    _energon_sqlite(store, flows, moves, files)
    for path, data in _beside(dataset).items():
        _stage(store, path, data, moves)
        files[path] = describe_file(data)
    dataset = dataset.model_copy(update={"files": dict(sorted(files.items()))})
    _stage(store, REPORT, _report(store, plan, flows, dataset), moves)  # not among the files: its timings are no promise
    names = [*files, *(shard.path for shard in dataset.shards)]
    store.stage_publication(moves, names, dataset.to_json())
    store.finish_publication()
    shutil.rmtree(store.state / "pack", ignore_errors=True)
    write_json(store.state / "published-plan.json", plan.as_json())
    write_json(store.state / "published.json", {"stamp": stamp})
    return dataset, True


def _described(plan: Plan) -> list[str]:
    return [plan.recipe.name, plan.recipe.description, plan.recipe.licence]


def _shard_files(store: Store, shards: list[tuple[str, dict[str, Any]]]) -> tuple[dict[str, str], dict[str, File]]:
    """Moves of new shards, and the files beside all of them."""
    moves: dict[str, str] = {}
    files: dict[str, File] = {}
    for _, found in shards:
        stem = found["path"].removesuffix(".tar")
        files.update({stem + suffix: File(bytes=f["bytes"], sha256=f["sha256"]) for suffix, f in found["files"].items()})
        if found["folder"] is not None:
            manifest = committed(found["folder"])
            assert manifest is not None
            for suffix, name in BESIDE.items():
                moves[str(data_file(found["folder"], manifest, name).relative_to(store.state))] = stem + suffix
    return moves, files


def _tables(store: Store, flows: list[FlowOutcome], moves: dict[str, str], files: dict[str, File]) -> None:
    """Ledger, scores and sketches of every flow; linked, because the layout stays for the next run."""
    for flow in flows:
        folder = store.unit("layout", flow.name, flow.layout)
        manifest = committed(folder)
        assert manifest is not None
        for name, count in manifest["tables"].items():
            for index in range(count):
                stem = f"{name}-{index:06d}"
                path = f"{name}/{flow.name}-{index:06d}.parquet"
                entry = manifest["files"][stem]
                files[path] = File(bytes=entry["bytes"], sha256=entry["sha256"])
                moves[_link(store, folder / entry["name"], path)] = path


def _energon_sqlite(store: Store, flows: list[FlowOutcome], moves: dict[str, str], files: dict[str, File]) -> None:
    """Energon's sample index of every flow with shards, made from the tables beside them."""
    sources = {target: store.state / source for source, target in moves.items()}
    for flow in flows:
        if not flow.shards:
            continue
        names = sorted(shard["path"].removesuffix(".tar") + ".parquet" for shard in flow.shards)
        path = f"{flow.name}/.nv-meta/index.sqlite"
        target = store.state / "next" / "files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        write_sqlite(target, [sources.get(name, store.root / name) for name in names], flow.suffixes)
        sync_file(target)
        files[path] = File(bytes=target.stat().st_size, sha256=file_digest(target))
        moves[str(target.relative_to(store.state))] = path


def _report(store: Store, plan: Plan, flows: list[FlowOutcome], dataset: Dataset) -> bytes:
    """The page about this run, from the tables that the layout committed."""
    tables = {(flow.name, name): _layout_files(store, flow, name) for flow in flows for name in ("ledger", "scores")}
    contents = [flow_content(plan.flow(flow.name), flow, tables[flow.name, "ledger"], tables[flow.name, "scores"]) for flow in flows]
    return render(dataset, contents, Previews(store.root, plan), plan.machine)


def _layout_files(store: Store, flow: FlowOutcome, table: str) -> list[Path]:
    folder = store.unit("layout", flow.name, flow.layout)
    manifest = committed(folder)
    assert manifest is not None
    return [data_file(folder, manifest, f"{table}-{index:06d}") for index in range(manifest["tables"].get(table, 0))]


def _link(store: Store, source: Path, path: str) -> str:
    target = store.state / "next" / "files" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
    return str(target.relative_to(store.state))


def _stage(store: Store, path: str, data: bytes, moves: dict[str, str]) -> None:
    target = store.state / "next" / "files" / path
    with replacing(target) as file:
        file.write(data)
    moves[str(target.relative_to(store.state))] = path


def _dataset(plan: Plan, flows: list[FlowOutcome], shards: list[Shard], files: dict[str, File]) -> Dataset:
    """The manifest; output path, workers and engine are no part of it."""
    recipe = plan.recipe.model_dump(mode="json", exclude_none=True, exclude={"output": {"path"}})
    return Dataset(
        name=plan.recipe.name,
        dataset_id=merkle_root(shards),
        recipe=recipe,
        recipe_digest=plan.recipe_digest,
        seed=plan.recipe.output.seed,
        numeric={label: entry["numeric"] for label, entry in plan.numeric_class().items()},
        tool={"d4a": version("d4a")},
        libraries={name: version(name) for name in LIBRARIES},
        flows={flow.name: _counts(flow) for flow in flows},
        shards=shards,
        files=files,
        licences={flow.name: flow.licences for flow in flows},
        members={flow.name: flow.suffixes for flow in flows},
        sketches={flow.name: _sketches(plan.flow(flow.name)) for flow in flows},
        limit=plan.limit,
    )


def _sketches(flow: FlowPlan) -> dict[str, str]:
    stages = [stage for one in flow.rounds for stage in one.stages]
    return {stage.label: stage.sketch_digest() for stage in stages if isinstance(stage.make(), Dedup)}


def _counts(flow: FlowOutcome) -> FlowCounts:
    stages = [
        StageCounts(label=s["label"], use=s["use"], entered=s["in"], kept=s["kept"], dropped=s["in"] - s["kept"], reasons=s["reasons"])
        for s in flow.stages
    ]
    unreadable = stages[0].dropped if stages else 0
    return FlowCounts(records=flow.records, kept=flow.kept, dropped=flow.records - flow.kept, unreadable=unreadable, stages=stages)


def _beside(dataset: Dataset) -> dict[str, bytes]:
    """Small files of the whole dataset: reader indexes, Croissant, card."""
    return {
        **folder_indexes(dataset.name, dataset.shards),
        **energon_files(dataset.dataset_id, dataset.shards, dataset.members),
        "croissant.json": croissant.describe(dataset),
        "README.md": card.render(dataset).encode(),
    }
