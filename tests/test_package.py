"""The package as users install it: what the wheel holds, where it may lie, who may import whom, and a foreign stage."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from small_corpus import write_text_inputs

ROOT = Path(__file__).parents[1]
# floors of the house, top to bottom: a module imports from its own floor's package or from floors below
FLOORS = [
    {"cli", "cli_slurm", "cli_options", "__main__"},
    {"slurm", "show", "run", "schema"},
    {"scan", "decide", "pack", "explain", "compare", "engines", "report", "ledger", "outcome", "forecast", "units"},
    {"plan", "needed", "sources", "doctor", "catalog", "load"},
    {"stage", "options", "modality", "files", "registry", "store", "shards", "dedup", "wording"},
    {"backends", "chance", "journal", "recipe", "columns", "progress", "lock", "errors"},
]


def checkout(target: Path) -> Path:
    """A copy of the files that belong to the project, under another name."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    for name in names or [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file() and p.relative_to(ROOT).parts[0][0] != "."]:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = checkout(tmp_path_factory.mktemp("any name-it likes"))
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_only_d4a_and_all_of_it(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"d4a"}
    modules = [p for folder in ("curator", "modalities", "models", "configs") for p in (ROOT / folder).rglob("*.py")]
    expected = {f"d4a/{path.relative_to(ROOT)}" for path in modules} | {"d4a/__init__.py", "d4a/py.typed"}
    assert expected <= names
    for data in (
        "configs/recipe.schema.json",
        "configs/quickstart.yaml",
        "slurm/cpu.sbatch",
        "slurm/element.sh",
        "modalities/text/unicode.npz",
        "curator/report/report.css",
    ):
        assert f"d4a/{data}" in names
    assert not [name for name in names if "/tests/" in name or "/bench/" in name or "/demo/" in name]


def test_an_installed_wheel_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    write_text_inputs(tmp_path / "in", files=2)
    recipe = tmp_path / "r.yaml"  # with stages whose kernels are soon compiled: in another place they are so anew
    stages = "[{use: text.clean}, {use: text.dedup.exact}]"
    recipe.write_text(f"name: small\ntext:\n  sources: [{{path: in}}]\n  stages: {stages}\noutput: {{path: out}}\n")
    # -S and a path of our own: the editable install of the checkout must not be found
    others = [folder for folder in sys.path if "site-packages" in folder]
    program = f"import sys; sys.path[:0] = {[str(site), *others]!r}; from d4a.curator.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, "curate", str(recipe), "--workers", "1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/dataset.json").exists()


def test_every_arrow_points_down() -> None:
    """curator imports no modality and no model, and its floors only what lies below; modalities know neither acts nor engines."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    for path in sorted((ROOT / "curator").rglob("*.py")):
        parts = path.relative_to(ROOT / "curator").with_suffix("").parts
        if parts[0] == "__init__":
            continue
        for module in imported(path):
            assert module[0] == "curator" or module == ("configs",), f"{path} imports {module}"
            if len(module) > 1 and module[1] != parts[0]:
                assert floor[module[1]] >= floor[parts[0]], f"{'/'.join(parts)} imports {'.'.join(module)}, which is above it"
    allowed = {"stage", "options", "modality", "files", "recipe", "wording", "store", "errors"}
    allowed |= {"backends", "chance", "columns", "dedup", "journal"}
    for folder in ("modalities", "models"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for module in imported(path):
                assert module[0] != "curator" or module[1] in allowed, f"{path} imports {'.'.join(module)}"


def imported(path: Path) -> list[tuple[str, ...]]:
    """Modules of d4a that a file imports, as parts below the package; relative imports only, TYPE_CHECKING left out."""
    found = []
    package = path.relative_to(ROOT).parts[:-1]
    tree = ast.parse(path.read_text())
    hidden = {
        id(n) for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test) for b in i.body for n in ast.walk(b)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in hidden:
            assert not (node.module or "").startswith("d4a"), f"{path}: relative imports only"
            if node.level:
                base = package[: len(package) - node.level + 1]
                if node.module:
                    found.append((*base, *node.module.split(".")))
                else:
                    found += [(*base, alias.name) for alias in node.names]
    return found


def test_nothing_heavy_is_imported_for_help() -> None:
    program = "import sys, atexit; atexit.register(lambda: print(*sys.modules)); from d4a.curator.cli import main; main()"
    loaded = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True).stdout.split()
    for heavy in ("pydantic", "pyarrow", "numpy", "numba", "torch", "PIL", "ultralytics", "open_clip", "yaml"):
        assert heavy not in loaded


FOREIGN = '''
import pyarrow as pa
import pyarrow.compute as pc
from d4a.curator.options import Options, judge
from d4a.curator.stage import Filter, Rule, Value


class ShoutOptions(Options):
    max_marks: int = judge(0, "Exclamation marks allowed.", ge=0)


class Shout(Filter):
    """Drop texts that shout."""

    name = "text.shout"
    Options = ShoutOptions
    values = (Value("marks", pa.int64(), "Number of exclamation marks."),)
    needs = ("text",)

    def measure(self, batch):
        return {"marks": pc.count_substring(batch.column("text"), "!").cast(pa.int64())}

    def rules(self):
        return [Rule("marks", "max", "max_marks", "shouts")]
'''


def test_a_stage_of_another_installed_package(tmp_path: Path, d4a) -> None:
    """A real package, built and installed by pip into a folder of its own, and found through its entry point."""
    package = tmp_path / "acme"
    package.mkdir()
    (package / "acme_stages.py").write_text(FOREIGN)
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "acme-stages"\nversion = "1"\n[tool.setuptools]\npy-modules = ["acme_stages"]\n'
        '[project.entry-points."d4a.stages"]\n"text.shout" = "acme_stages:Shout"\n'
    )
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), str(package)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (tmp_path / "in.jsonl").write_text('{"id": "calm", "text": "a quiet line"}\n{"id": "loud", "text": "buy now!!!"}\n')
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\ntext:\n  sources: [{path: in.jsonl}]\n  stages: [{use: text.shout}]\noutput: {path: out}\n")
    env = {"PYTHONPATH": str(site)}
    d4a("curate", recipe, "--workers", 2, env=env)
    told = d4a("why", "out", "loud", env=env).stdout
    assert "dropped" in told and "text.shout: shouts" in told and "measured    3, threshold 0" in told
    assert "Number of exclamation marks." in d4a("stages", "text.shout", env=env).stdout
    assert "there is no stage `text.shout`" in d4a("curate", recipe, code=2).stderr
