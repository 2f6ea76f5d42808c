"""What comes out of a recipe: complete options, one digest for what is said, and stages of other packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from d4a.curator.load.files import digest, load
from foreign_stages import install
from recipe_texts import GOOD, options, write


def test_options_come_out_complete_and_checked() -> None:
    recipe = load(write(GOOD.replace("0.5}", "0.5, as: tox, mode: annotate, window: 2MiB}")))
    assert recipe.text is not None
    first = recipe.text.stages[0]
    assert (first.use, first.label, first.mode) == ("text.acme.toxicity", "tox", "annotate")
    assert first.options == {
        "variant": "fast",
        "max_score": 0.5,
        "words": [],
        "min_words": 5,
        "cut": 1.0,
        "model": None,
        "window": 2 * 2**20,
    }
    assert recipe.text.stages[1].label == "text.acme.list"


def test_digest_is_of_what_is_said_and_not_of_how() -> None:
    base = digest(load(write(GOOD)))
    assert base == digest(load(write(GOOD.replace("path: out", "path: elsewhere"))))
    assert base == digest(load(write("# a comment\n" + GOOD.replace("max_score: 0.5", "variant: fast, max_score: 5.0e-1, min_words: 5"))))
    assert base == digest(load(write(GOOD), ["text.acme.toxicity.window=1MiB"]))  # its default
    moved = GOOD.replace("name: demo\n", "") + "name: demo\n"
    assert base == digest(load(write(moved)))
    others = [
        ("0.5", "0.6"),
        ("max_score: 0.5", "mode: annotate, max_score: 0.5"),
        ("path: data/", "path: /data/"),
        ("name: demo", "name: d2"),
    ]
    assert len({base, *(digest(load(write(GOOD.replace(old, new)))) for old, new in others)}) == 5


def test_a_default_of_one_is_a_written_one_point_zero() -> None:
    plain = GOOD.replace(", max_score: 0.5", "")
    assert digest(load(write(plain))) == digest(load(write(GOOD.replace("0.5", "1.0")))) == digest(load(write(GOOD.replace("0.5", "1"))))
    assert (
        digest(load(write(GOOD)))
        == digest(load(write(GOOD.replace("0.5", "0.5, cut: 1.0"))))
        == digest(load(write(GOOD.replace("0.5", "0.5, cut: 1"))))
    )


def test_yaml_reads_words_and_numbers_as_they_look() -> None:
    assert options(GOOD, "text.acme.toxicity.words=[no, on, y, 12:30, 2024-01-01]")["words"] == ["no", "on", "y", "12:30", "2024-01-01"]
    assert options(GOOD, "text.acme.toxicity.cut=1e-3")["cut"] == 0.001
    assert options(GOOD, "text.acme.toxicity.min_words=1e5")["min_words"] == 100_000


def test_a_stage_of_another_package_needs_only_to_be_installed(here: Path) -> None:
    install(here / "site")
    write(GOOD.replace("max_score: 0.5", "max_scor: 0.5"))
    program = (
        "import d4a.curator.load.files as l, d4a.curator.errors as e\ntry: l.load('r.yaml')\nexcept e.RecipeError as error: print(error)"
    )
    env = {**os.environ, "PYTHONPATH": str(here / "site"), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.splitlines()[0] == "r.yaml:6:33: `text.acme.toxicity` has no option `max_scor`"
