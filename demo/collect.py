"""Gather the demo's text: what every machine that has installed d4a holds, and no network is needed for.

Package metadata, licences and documentation of the installed distributions are copied as they are; the
documentation strings of the standard library become one gzipped JSONL file. Done once: later installs must
not change the input of a demo that is meant to show reuse.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

WANTED = re.compile(r"(^|/)(METADATA|[^/]*(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*|[^/]+\.(md|rst|txt))$", re.IGNORECASE)
UNWANTED = re.compile(r"(RECORD|entry_points\.txt|top_level\.txt|SOURCES\.txt|requires\.txt|/tests?/|\.(py|pyc|so|json)$)", re.IGNORECASE)
SKIPPED_MODULES = {"test", "tests", "idlelib", "lib2to3", "site-packages", "__pycache__", "turtledemo", "ensurepip"}
MIN_CHARS = 300


def copy_documents(target: Path) -> int:
    """Copy the documents of every installed distribution; returns how many."""
    count = 0
    for one in sorted(distributions(), key=_label):
        for file in sorted(one.files or [], key=str):
            if WANTED.search(str(file)) and not UNWANTED.search(str(file)) and ".." not in file.parts:
                source = Path(str(one.locate_file(file)))
                if source.is_file():
                    place = target / _label(one) / str(file)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, place)
                    count += 1
    return count


def _label(one: Distribution) -> str:
    return f"{one.metadata['Name']}-{one.version}"


def docstrings() -> Iterator[dict[str, str]]:
    """Documentation strings of the standard library, without importing it."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if SKIPPED_MODULES & set(relative.parts):
            continue
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        for name, text in _documented(tree, module):
            if len(text) >= MIN_CHARS:
                yield {"id": name, "text": text, "file": str(relative)}


def _documented(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text:
            yield name, text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _documented(child, f"{name}.{child.name}")


def main() -> None:
    """Fill the folder named on the command line, unless it is there."""
    target = Path(sys.argv[1])
    if target.exists():
        print(f"{target}: already there")
        return
    unfinished = target.with_name(target.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    count = copy_documents(unfinished / "packages")
    with gzip.GzipFile(unfinished / "docstrings.jsonl.gz", "wb", mtime=0) as file:
        rows = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in docstrings()]
        file.writelines(rows)
    unfinished.rename(target)
    print(
        f"{target}: {count} documents of installed packages, {len(rows)} documentation strings of Python {sysconfig.get_python_version()}"
    )


if __name__ == "__main__":
    main()
