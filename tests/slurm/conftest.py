"""A cluster for the session, and a recipe of two rounds whose stages wait on demand and write down what they do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from deadly_stages import install
from small_corpus import published, write_text_inputs
from warm_command import Warm

SCRIPT = Path(__file__).with_name("cluster.sh")
NODES = 3
LONG_S = 600.0  # of a wait that has no end: a machine may be loaded
# of another author: one measures before dedup, one is a model behind it, so that there are two rounds and the second wants a card
STAGES = '''
import os, time
import pyarrow as pa
from d4a.curator.options import Options
from d4a.curator.stage import Filter, Value


class Noted(Filter):
    """Adds a line to SCANS, then waits while there is a file of that name and `.held`; a partition of the tests is one batch.

    The file says how many scans before it may pass.
    """

    name = "text.test.noted"
    Options = Options
    values = (Value("nothing", pa.int32(), "0"),)

    def measure(self, batch):
        if path := os.environ.get("SCANS"):
            with open(path, "a") as file:
                file.write(f"{self.name}\\n")
            with open(path) as file:
                before = len(file.readlines()) - 1
            while (free := passing(path)) is not None and before >= free:
                time.sleep(0.05)
        return {"nothing": pa.array([0] * batch.num_rows, pa.int32())}

    def rules(self):
        return []


def passing(path):
    try:
        with open(path + ".held") as file:
            return int(file.read())
    except FileNotFoundError:
        return None


class Model(Noted):
    """The same, where models run."""

    name = "text.test.model"
    cost = "model"
'''
ENTRY_POINTS = "[d4a.stages]\ntext.test.noted = noted_stages:Noted\ntext.test.model = noted_stages:Model\n"
RECIPE = """name: cluster
text:
  sources:
    - path: "{source}"
  partition_bytes: 48000
  stages:
    - use: text.clean
    - use: text.test.noted
    - use: text.dedup.exact
    - use: text.dedup.fuzzy
    - use: text.test.model
output:
  path: "{out}"
  shard_bytes: 256KiB
"""


def missing() -> str:
    """Why no cluster can run here; empty where one can."""
    if os.geteuid() != 0:
        return "a Slurm of several nodes needs root"
    lacking = [name for name in ("slurmctld", "slurmd", "munged", "ip", "nsenter", "unshare") if shutil.which(name) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)} (tests/slurm/install.sh)"
    tried = subprocess.run(["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


def closed(*paths: Path) -> list[str]:
    """Folders above these, which not everybody may enter."""
    above = {parent for path in paths for parent in path.resolve().parents}
    return sorted(str(folder) for folder in above if folder.exists() and not folder.stat().st_mode & 0o001)


@dataclass(frozen=True)
class Scans:
    """What the stages of one test tell: a file with a line for each scan that was begun."""

    path: Path

    @property
    def count(self) -> int:
        """How many were begun."""
        return len(self.path.read_text().splitlines()) if self.path.exists() else 0

    def hold(self, behind: int = 0) -> None:
        """Let that many pass; the others do not end before `release`."""
        held = Path(f"{self.path}.held")
        held.with_suffix(".new").write_text(str(behind))
        held.with_suffix(".new").rename(held)

    def release(self) -> None:
        """Let all pass."""
        Path(f"{self.path}.held").unlink()


@dataclass
class Cluster:
    """A running Slurm, and what a user would type on its login node."""

    environment: dict[str, str]
    templates: Path
    home: Path  # of somebody
    warm: Warm
    hurried: dict[str, float] = field(default_factory=dict)  # requeued job -> when it may be hurried again

    def call(self, *words: object, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command where the cluster answers."""
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, env={**self.environment, **more}, timeout=LONG_S)
        assert code is None or done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        return done

    def d4a(self, *words: object, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """`d4a …`; the exit code must be `code`."""
        arguments = [*map(str, words), *["--workers", "1"] * (words[0] == "curate")]
        done = self.warm.run(arguments, Path.cwd(), int(LONG_S), f"import os; os.environ.update({more!r})")
        assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def somebody(self, *words: object) -> str:
        """What a command says to a user who is nobody in particular."""
        return self.call(SCRIPT, "as", "somebody", *words).stdout

    def submit(self, recipe: Path, out: Path, templates: Path | None = None, nodes: int = 2, **more: str) -> None:
        """Submit with the templates of the tests, and for nodes with cards."""
        site = ("--templates", templates or self.templates, "--nodes", nodes, "--device", "cuda")
        self.d4a("slurm", "submit", recipe, "--out", out, *site, **more)

    def other_templates(self, folder: Path, old: str, new: str) -> Path:
        """The templates of the tests, but for something in cpu.sbatch."""
        shutil.copytree(self.templates, folder)
        text = (folder / "cpu.sbatch").read_text()
        assert old in text
        (folder / "cpu.sbatch").write_text(text.replace(old, new))
        return folder

    def status(self, out: Path) -> dict[str, dict[str, object]]:
        """step -> row of `d4a slurm status`."""
        return {row["step"]: row for row in json.loads(self.d4a("slurm", "status", out, "--json").stdout)["rows"]}

    def queue(self) -> list[list[str]]:
        """(job, state, name) of all that waits or runs."""
        return [line.split() for line in self.call("squeue", "-h", "-r", "-o", "%i %T %j").stdout.splitlines()]

    def until(self, what: Callable[[], object]) -> None:
        """Wait for something; requeued jobs begin soon, not when their credential has expired."""
        ends = time.monotonic() + LONG_S
        while not what():
            assert time.monotonic() < ends, f"{self.queue()}\n{self.call('scontrol', 'show', 'job').stdout[-3000:]}"
            for line in self.call("squeue", "-h", "-r", "-t", "PD", "-o", "%i %r").stdout.splitlines():
                job, reason = line.split(maxsplit=1)
                if reason == "BeginTime" and time.monotonic() > self.hurried.get(job, 0):
                    # a credential of the second in which the one before was revoked is refused, and the job failed
                    self.call("scontrol", "update", f"jobid={job}", "starttime=now+2", code=None)
                    self.hurried[job] = time.monotonic() + 10
            time.sleep(0.1)

    def drained(self) -> bool:
        """Whether nothing waits or runs."""
        return not self.queue()

    def nodes(self, state: str) -> None:
        """`drain` all nodes, so that nothing begins, or `resume` them."""
        self.call("scontrol", "update", f"nodename=n[1-{NODES}]", f"state={state}", "reason=test")

    def node(self, act: str, name: str) -> None:
        """`crash` or `boot` a node."""
        self.call(SCRIPT, act, name)


@pytest.fixture
def told(tmp_path: Path) -> Scans:
    return Scans(tmp_path / "scans")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if why := missing():
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="d4a-slurm-", dir="/tmp"))  # short: it holds sockets
    number = os.getpid()
    environment = {
        **os.environ,
        "DIR": str(folder),
        "BR": f"d4a{number % 100000}",
        "NET": f"10.{200 + number % 50}.{number % 250}",
        "PORT": str(20000 + number % 10000),  # of slurmctld: another session's may run beside this one
        "NODES": str(NODES),
        "CPUS": "8",
        "MAXARRAY": "2",
        "SLURM_CONF": str(folder / "etc/slurm.conf"),
        "CLOSED": " ".join(closed(Path(sys.prefix), Path(sys.base_prefix), Path(__file__), *map(Path, filter(None, sys.path)))),
        "COLUMNS": "160",
    }
    stages = folder / "stages"
    environment |= install(stages)
    (stages / "noted_stages-1.0.dist-info").mkdir()
    (stages / "noted_stages.py").write_text(STAGES)
    (stages / "noted_stages-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: noted-stages\nVersion: 1.0\n")
    (stages / "noted_stages-1.0.dist-info/entry_points.txt").write_text(ENTRY_POINTS)
    templates = folder / "templates"
    running = Cluster(environment, templates, folder / "home", Warm(tmp_path_factory.mktemp("warm"), **environment))
    running.d4a("slurm", "templates", templates)
    for path in templates.glob("*.sbatch"):
        cores = 4 if path.name == "gpu.sbatch" else 2  # four: a round of the tests is one element there, of two units at a time
        text = re.sub(r"--time=\S+", "--time=10", path.read_text()).replace("cpus-per-task=8", f"cpus-per-task={cores}")
        path.write_text(re.sub(r"#SBATCH --mem=.*\n", "", text))
    try:
        running.call(SCRIPT, "start")
        yield running
    finally:
        running.warm.close()
        running.call(SCRIPT, "stop", code=None)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Calm:
    """The undisturbed local run: what every other must equal."""

    recipe: Path
    source: Path
    out: Path
    files: dict[str, str]
    units: int


@pytest.fixture(scope="session")
def calm(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    folder = tmp_path_factory.mktemp("calm")
    write_text_inputs(folder / "in", files=3)
    recipe = folder / "r.yaml"
    recipe.write_text(RECIPE.format(source=folder / "in", out=folder / "out"))
    told = cluster.d4a("curate", recipe, "--device", "cpu", "--json", SCANS=str(folder / "scans"))
    assert json.loads(told.stdout)["published"]
    return Calm(recipe, folder / "in", folder / "out", published(folder / "out"), len((folder / "scans").read_text().splitlines()))
