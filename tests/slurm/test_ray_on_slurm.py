"""`d4a slurm submit --ray`: one job whose nodes are one Ray, with the real Ray and NeMo Curator. Part of `make test-ray`."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_corpus import published

pytest.importorskip("nemo_curator", reason="NeMo Curator is not installed here: make test-ray")


def test_nodes_of_one_job_are_one_ray_and_make_the_dataset_of_a_local_run(cluster, calm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    submit = ("slurm", "submit", calm.recipe, "--out", out, "--nodes", 2, "--templates", cluster.templates, "--device", "cpu", "--ray")
    assert "ray.sbatch" in cluster.d4a(*submit, "--dry-run").stdout and not out.exists()
    cluster.d4a(*submit, SCANS=str(tmp_path / "scans"))
    cluster.until(lambda: cluster.status(out)["run"]["running"])
    cluster.until(cluster.drained)
    log = "".join(path.read_text() for path in (out / ".d4a/slurm/logs").glob("run-*.log"))
    assert published(out) == calm.files, log
    assert len((tmp_path / "scans").read_text().splitlines()) == calm.units
    assert "On worker node" in log  # Ray's word for the nodes but one
    assert cluster.status(out)["run"]["left"] == 0
