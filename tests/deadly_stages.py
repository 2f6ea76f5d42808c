"""A package of another author with a stage that does what records say: please raise, exit, sleep, eat, print,
`kill SIGSEGV`, `fork SIGSEGV` and `once sleep`, `touch MARK`, `await MARK`; please garble, and its values are not what it declares.
Another stage does the same as a model, and a third one, which comes before it, what the records say early: `early raise`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.dataset as ds

MODULE = '''
import os
import re
import signal
import time

import pyarrow as pa

from d4a.curator.options import Options, measure
from d4a.curator.stage import Filter, Rule, Transform, Value

VERBS = "(kill|raise|exit|sleep|eat|print|fork|garble|touch|await)"
EARLY = re.compile(rf"please early (once )?{VERBS} ?([A-Z]*)")
ORDER = re.compile(rf"please (once )?{VERBS} ?([A-Z]*)")


def obey(once, verb, word):
    if once:
        try:
            open(__file__ + ".once", "x").close()
        except FileExistsError:
            return
    if verb == "fork" and os.fork() == 0:
        time.sleep(1000)
    if verb in ("kill", "fork"):
        os.kill(os.getpid(), getattr(signal, word))
    if verb == "touch":
        open(__file__ + word, "w").close()
    until = time.monotonic() + 60
    while verb == "await" and not os.path.exists(__file__ + word):
        if time.monotonic() > until:
            raise TimeoutError(word)
        time.sleep(0.01)
    if verb == "raise":
        raise ValueError(f"what is this? {object()}")
    if verb == "exit":
        raise SystemExit(0)
    if verb == "print":
        print("a library says hello", flush=True)
    if verb == "sleep":
        time.sleep(1000)
    if verb == "eat":
        held = bytearray(1 << 30)
        held[:: 4096] = bytes(len(held[:: 4096]))
        time.sleep(1000)


class Deadly(Filter):
    """Does what texts ask for."""

    name = "text.acme.deadly"
    Options = Options
    values = (Value("length", pa.int64(), "characters"),)

    def measure(self, batch):
        texts = batch.column("text").to_pylist()
        for text in texts:
            if found := ORDER.search(text):
                obey(*found.groups())
                if "garble" in found[0]:
                    return {}
        return {"length": pa.array(map(len, texts), pa.int64())}

    def rules(self):
        return []


class Early(Transform):
    """Does what texts ask for early."""

    name = "text.acme.early"

    def change(self, batch, wanted):
        for text in batch.column("text").to_pylist():
            if found := EARLY.search(text):
                obey(*found.groups())
        return batch


class ModelOptions(Options):
    batch_size: int = measure(300, "Texts a forward pass.")


class Model(Deadly):
    """Does what texts ask for, and says how many it was given at once."""

    name = "text.acme.model"
    cost = "model"
    Options = ModelOptions
    values = (*Deadly.values, Value("company", pa.int64(), "records of its batch"))

    def measure(self, batch):
        return {**super().measure(batch), "company": pa.array([batch.num_rows] * batch.num_rows)}
'''


def install(folder: Path) -> dict[str, str]:
    """Write the module and its metadata, as pip would; returns the environment in which it is installed."""
    info = folder / "deadly_stages-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "deadly_stages.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly-stages\nVersion: 1.0\n")
    names = [f"text.acme.{name.lower()} = deadly_stages:{name}" for name in ("Deadly", "Early", "Model")]
    (info / "entry_points.txt").write_text("\n".join(["[d4a.stages]", *names, ""]))
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))}


def installing(folder: Path) -> str:
    """Python that installs it into a process which has read the registry, and whose workers are forked from it."""
    if not folder.exists():
        install(folder)
    caches = "registry._points.cache_clear(); registry.stage_class.cache_clear()"
    return f"import sys; sys.path.insert(0, {str(folder)!r}); from d4a.curator import registry; {caches}"


DEADLY = "{use: text.clean}, {use: text.acme.deadly}, {use: text.dedup.exact}"


def write(folder: Path, orders: dict[str, str], stages: str = DEADLY) -> Path:
    """Texts in two files of two batches each, and a recipe; `orders`: id of a record -> what its text asks for."""
    (folder / "in").mkdir()
    for number in range(2):
        lines = [json.dumps({"id": f"calm-{number}-{k}", "text": f"number {number} {k} of many texts"}) for k in range(2500)]
        for one in [one for one in orders if one.startswith(f"{number}.")]:
            lines[int(one.split(".")[1])] = json.dumps({"id": one, "text": f"here is text {one}, please {orders[one]} now"})
        (folder / f"in/many-{number}.jsonl").write_text("\n".join(lines) + "\n")
    recipe = folder / "r.yaml"
    flow = f"text:\n  sources: [{{path: {folder / 'in'}}}]\n  partition_bytes: 150000\n  stages: [{stages}]\n"
    recipe.write_text(f"name: x\n{flow}output: {{path: {folder / 'a'}}}\n")
    return recipe


def crashed(root: Path) -> dict[str, tuple[str, str, str | None]]:
    """Key -> stage, reason and detail of the records of a dataset that crashed a stage or took too long."""
    rows = ds.dataset(sorted((root / "ledger").glob("*.parquet"))).to_table().to_pylist()
    return {r["key"]: (r["stage"], r["reason"], r["detail"]) for r in rows if r["reason"] in ("crashed", "timeout")}
