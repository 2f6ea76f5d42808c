"""What a user sees of the recipe loader: the recipe, its digest, and what is said about mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from unicodedata import east_asian_width

import pytest
from d4a.curator.errors import RecipeError
from d4a.curator.load import digest, load
from foreign_stages import install, installed
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = """\
name: demo
text:
  sources:
    - {path: data/}
  stages:
    - {use: text.acme.toxicity, max_score: 0.5}
    - {use: text.acme.list, file: words.txt}
output:
  path: out
"""
STAGES = "name: demo\noutput: {path: out}\ntext:\n  sources: [{path: a}]\n  stages:\n"  # followed by line 6


@pytest.fixture(autouse=True, scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(tmp_path_factory.mktemp("site") / "packages"):
        yield


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "r.yaml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def said(text: str, *overrides: str) -> str:
    """The whole message about a recipe."""
    with pytest.raises(RecipeError) as caught:
        load(write(text), overrides)
    return str(caught.value)


def options(text: str, *overrides: str) -> dict[str, object]:
    """Options of the first text stage."""
    recipe = load(write(text), overrides)
    assert recipe.text is not None
    return recipe.text.stages[0].options


# ----------------------------------------------------------------------------------------- what comes out


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


# ------------------------------------------------------------------------------------------------ extends


def test_mappings_merge_and_lists_replace() -> None:
    write(GOOD, "base.yaml")
    recipe = load(write("extends: base.yaml\nname: child\ntext:\n  partition_bytes: 1MiB\n  stages: [{use: text.acme.toxicity}]\n"))
    assert recipe.text is not None
    assert (recipe.name, recipe.output.path, recipe.text.partition_bytes) == ("child", "out", 2**20)
    assert recipe.text.sources[0].path == "data/"
    assert [stage.use for stage in recipe.text.stages] == ["text.acme.toxicity"]


def test_null_takes_a_flow_away() -> None:
    write(GOOD + "image:\n  sources: [{path: photos}]\n", "base.yaml")
    assert list(load(write("extends: base.yaml\n")).flows()) == ["text", "image"]
    assert list(load(write("extends: base.yaml\nimage: ~\n")).flows()) == ["text"]


def test_extends_is_relative_to_its_own_file(here: Path) -> None:
    (here / "sub").mkdir()
    write(GOOD, "sub/base.yaml")
    write("extends: base.yaml\nname: middle\n", "sub/middle.yaml")
    assert load(write("extends: sub/middle.yaml\n")).name == "middle"


def test_a_mistake_is_shown_in_the_file_that_holds_it() -> None:
    write(GOOD.replace("max_score: 0.5", "max_score: 5"), "base.yaml")
    assert said("extends: base.yaml\noutput:\n  oder: input\n") == dedent("""\
        r.yaml:3:3: unknown key `oder` in `output`
              oder: input
              ^
            hint: did you mean `order`?
        base.yaml:6:44: `text.acme.toxicity.max_score` must be a number from 0 to 1, not 5
                - {use: text.acme.toxicity, max_score: 5}
                                                       ^
            hint: Highest score that stays [0 to 1] (default 1)""")


def test_circles_and_missing_parents_are_refused() -> None:
    write("extends: r.yaml\n", "other.yaml")
    assert said("extends: other.yaml\n") == dedent("""\
        other.yaml:1:10: a recipe cannot extend itself: r.yaml -> other.yaml -> r.yaml
            extends: r.yaml
                     ^""")
    assert said("name: x\nextends: othr.yaml\n") == dedent("""\
        r.yaml:2:10: there is no file othr.yaml
            extends: othr.yaml
                     ^
            hint: did you mean `other.yaml`?""")
    assert "one recipe extends one other" in said("extends: [a.yaml, b.yaml]\n")


# ---------------------------------------------------------------------------------------------- overrides


def test_overrides_address_by_index_label_and_path() -> None:
    two = GOOD.replace("    - {use: text.acme.list", "    - {use: text.acme.toxicity, as: text.acme}\n    - {use: text.acme.list")
    recipe = load(
        write(two),
        [
            "text.stages.0.max_score=0.1",
            "text.acme.toxicity.max_score=0.2",  # the longest label, not `text.acme`
            "text.acme.max_score=0.3",
            "text.acme.model.weights=w.pt",
            "text.acme.words=[a, b]",
            "text.sources.0.path=*.jsonl",
            "output.split.val=0.1",
            "output.shard_bytes=1 MiB",
            "description=a = b",
        ],
    )
    assert recipe.text is not None
    assert [stage.options.get("max_score") for stage in recipe.text.stages] == [0.2, 0.3, None]
    assert recipe.text.stages[1].options["model"] == {"weights": "w.pt", "layers": 12}
    assert recipe.text.stages[1].options["words"] == ["a", "b"]
    assert (recipe.text.sources[0].path, recipe.description) == ("*.jsonl", "a = b")
    assert (recipe.output.split, recipe.output.shard_bytes) == ({"val": 0.1}, 2**20)


def test_mistakes_in_overrides() -> None:
    overrides = [
        "text.acme.toxicity.max_score=high",
        "text.acme.toxcity.max_score=0.1",
        "text.acme.list.flie=x",
        "text.stages.9.max_score=0.1",
        "text.acme.toxicity",
        "text.acme.toxicity=1",
        "output.path.deeper=1",
        "otput.path=x",
        "text.acme.toxicity.words=[a, b",
        "extends=x",
        "output.seed=1",
    ]
    assert said(GOOD, *overrides) == dedent("""\
        --set 1: `text.acme.toxicity.max_score` must be a number from 0 to 1, not "high"
            text.acme.toxicity.max_score=high
                                         ^
            hint: Highest score that stays [0 to 1] (default 1)
        --set 2: `text.acme.toxcity.max_score` is no setting of this recipe
            text.acme.toxcity.max_score=0.1
            ^
            hint: did you mean `text.acme.toxicity.max_score`?
        --set 3: `text.acme.list` has no option `flie`
            text.acme.list.flie=x
                           ^
            hint: did you mean `file`?
        --set 4: `text.stages` has 2 entries, and no `9`
            text.stages.9.max_score=0.1
                        ^
            hint: entries are counted from 0
        --set 5: an override is ADDRESS=VALUE
            text.acme.toxicity
            ^
            hint: for instance `--set output.seed=1`
        --set 6: `text.acme.toxicity` is a whole stage
            text.acme.toxicity=1
            ^
            hint: set one of its options: `text.acme.toxicity.OPTION=VALUE`
        --set 7: `output.path` is "out" and has nothing below it
            output.path.deeper=1
                        ^
        --set 8: `otput.path` is no setting of this recipe
            otput.path=x
            ^
            hint: did you mean `output.path`?
        --set 9: this `[` is never closed
            text.acme.toxicity.words=[a, b
                                     ^
            hint: add `]`, or a comma between two entries
        --set 10: `extends` is no setting of this recipe
            extends=x
            ^
            hint: stages here: `text.acme.toxicity`, `text.acme.list`""")


def test_options_that_do_not_agree_are_shown_where_the_last_one_was_set() -> None:
    assert said(GOOD, "name=x", "text.acme.toxicity.variant=exact", "text.acme.toxicity.model.weights=w.pt") == dedent("""\
        --set 2: `text.acme.toxicity`: the exact variant uses no model
            text.acme.toxicity.variant=exact
                               ^""")


def test_a_label_in_two_places_must_be_addressed_by_path() -> None:
    twice = GOOD.replace("output:", "image:\n  sources: [{path: p}]\n  stages: [{use: image.acme.faces, as: text.acme.list}]\noutput:")
    assert "write `text.stages.1.file` or `image.stages.0.file`" in said(twice, "text.acme.list.file=x")


# -------------------------------------------------------------------------------------- mistakes, word by word


def test_everything_at_once() -> None:
    recipe = """\
        name: my web
        text:
          sources:
            - {pth: data/, recursive: yes}
          stages:
            - {use: text.acme.toxicity, words: bad, max_scor: 0.5}
            - {use: text.acme.toxicity, max_score: 65%, mode: anotate}
            - {use: image.acme.faces}
            - text.acme.list
            - {text.acme.list: {file: a}}
            - {use: text.acme.list}
            - {use: text.acme.toxicity, as: b, max_score: "0.8", min_words:128}
            - {usee: text.acme.list}
            - {use: text.acme.toxicity, as: b, options: {max_score: true}}
            - {use: text.acme.toxicity, as: my l, max_score: true}
        output:
          shard_bytes: 256 megs
          split: {val: 1}
        stages: []
        nam: x
        nam: y
        """
    assert said(dedent(recipe)) == dedent("""\
        r.yaml:1:7: `name` must be text of letters, digits, `.`, `_` and `-` that begins with a letter or a digit, not "my web"
            name: my web
                  ^
            hint: for instance `my-web`
        r.yaml:4:8: unknown key `pth` in `text.sources.0`
                - {pth: data/, recursive: yes}
                   ^
            hint: did you mean `path`?
        r.yaml:4:31: `text.sources.0.recursive` must be true or false, not "yes"
                - {pth: data/, recursive: yes}
                                          ^
            hint: write true
        r.yaml:6:40: `text.acme.toxicity.words` must be a list of texts, not "bad"
                - {use: text.acme.toxicity, words: bad, max_scor: 0.5}
                                                   ^
            hint: put it in brackets: [bad]
        r.yaml:6:45: `text.acme.toxicity` has no option `max_scor`
                - {use: text.acme.toxicity, words: bad, max_scor: 0.5}
                                                        ^
            hint: did you mean `max_score`?
        r.yaml:7:13: `text.acme.toxicity` is used twice (first in line 6)
                - {use: text.acme.toxicity, max_score: 65%, mode: anotate}
                        ^
            hint: give one of them a label of its own: `as: NAME`
        r.yaml:7:44: `text.acme.toxicity.max_score` must be a number from 0 to 1, not "65%"
                - {use: text.acme.toxicity, max_score: 65%, mode: anotate}
                                                       ^
            hint: write the share as a number: 0.65
        r.yaml:7:55: `text.acme.toxicity.mode` must be one of `judge`, `annotate`, `tag`, not "anotate"
                - {use: text.acme.toxicity, max_score: 65%, mode: anotate}
                                                                  ^
            hint: did you mean `annotate`?
        r.yaml:8:13: `image.acme.faces` is no stage for text
                - {use: image.acme.faces}
                        ^
            hint: it belongs in `image.stages`
        r.yaml:9:7: `text.stages.3` must be a mapping, not "text.acme.list"
                - text.acme.list
                  ^
            hint: write `- use: text.acme.list`
        r.yaml:10:8: `text.stages.4.use` is missing
                - {text.acme.list: {file: a}}
                   ^
            hint: write `use: text.acme.list`, and its options beside it
        r.yaml:11:7: `text.acme.list.file` is missing
                - {use: text.acme.list}
                  ^
            hint: A list of words, one a line
        r.yaml:12:51: `b.max_score` must be a number from 0 to 1, not "0.8"
                - {use: text.acme.toxicity, as: b, max_score: "0.8", min_words:128}
                                                              ^
            hint: write it without quotes
        r.yaml:12:58: `b` has no option `min_words:128`
                - {use: text.acme.toxicity, as: b, max_score: "0.8", min_words:128}
                                                                     ^
            hint: a space is missing after the colon: `min_words: 128`
        r.yaml:13:8: `text.stages.7.use` is missing
                - {usee: text.acme.list}
                   ^
            hint: write `use:`, not `usee:`
        r.yaml:14:37: two stages have the label `b` (first in line 12)
                - {use: text.acme.toxicity, as: b, options: {max_score: true}}
                                                ^
            hint: labels tell stages apart in ledger and report: choose another
        r.yaml:14:40: `b` has no option `options`
                - {use: text.acme.toxicity, as: b, options: {max_score: true}}
                                                   ^
            hint: options stand beside `use`
        r.yaml:15:37: `text.stages.9.as` must be text of letters, digits, `.`, `_` and `-` that begins with a letter or a digit, not "my l"
                - {use: text.acme.toxicity, as: my l, max_score: true}
                                                ^
            hint: `as` names the stage in ledger and report
        r.yaml:15:54: `my l.max_score` must be a number from 0 to 1, not true
                - {use: text.acme.toxicity, as: my l, max_score: true}
                                                                 ^
            hint: Highest score that stays [0 to 1] (default 1)
        r.yaml:16:1: `output.path` is missing
            output:
            ^
            hint: Folder of the dataset; created if missing
        r.yaml:17:16: `output.shard_bytes`: not a size: '256 megs'; write a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB
              shard_bytes: 256 megs
                           ^
            hint: A shard ends before it would grow beyond this (one sample may exceed it) (default 256MiB)
        r.yaml:18:16: `output.split.val` must be a number above 0, below 1, not 1
              split: {val: 1}
                           ^
            hint: Share of each held-out split; the rest is `train`
        r.yaml:19:1: unknown key `stages`
            stages: []
            ^
            hint: put it under `text:` or `image:`
        r.yaml:20:1: unknown key `nam`
            nam: x
            ^
            hint: did you mean `name`?
        r.yaml:21:1: `nam` is given twice (first in line 20)
            nam: y
            ^
            hint: delete one of the two""")


VALUES = {
    "{use: text.acme.toxicity, cut: [0.1, high]}": """\
        r.yaml:6:44: `text.acme.toxicity.cut.1` must be a number, not "high"
                - {use: text.acme.toxicity, cut: [0.1, high]}
                                                       ^
            hint: One cut, or one a language (default 1)""",
    "{use: text.acme.toxicity, cut: {en: 1}}": """\
        r.yaml:6:38: `text.acme.toxicity.cut` must be a number or a list of numbers, not a mapping
                - {use: text.acme.toxicity, cut: {en: 1}}
                                                 ^
            hint: One cut, or one a language (default 1)""",
    "{use: text.acme.toxicity, model: w.pt}": """\
        r.yaml:6:40: `text.acme.toxicity.model` must be a mapping (weights, layers), or null, not "w.pt"
                - {use: text.acme.toxicity, model: w.pt}
                                                   ^
            hint: write `{weights: w.pt}`""",
    "{use: text.acme.toxicity, model: {weihgts: w.pt, layers: 0}}": """\
        r.yaml:6:41: unknown key `weihgts` in `text.acme.toxicity.model`
                - {use: text.acme.toxicity, model: {weihgts: w.pt, layers: 0}}
                                                    ^
            hint: did you mean `weights`?
        r.yaml:6:64: `text.acme.toxicity.model.layers` must be a whole number of at least 1, not 0
                - {use: text.acme.toxicity, model: {weihgts: w.pt, layers: 0}}
                                                                           ^
            hint: Layers to run (default 12)""",
    "{use: text.acme.toxicity, variant: exact, model: {weights: w}}": """\
        r.yaml:6:7: `text.acme.toxicity`: the exact variant uses no model
                - {use: text.acme.toxicity, variant: exact, model: {weights: w}}
                  ^""",
    "{use: text.acme.broken}": """\
        r.yaml:6:13: stage text.acme.broken (acme_stages:Nowhere) does not load: module 'acme_stages' has no attribute 'Nowhere'
                - {use: text.acme.broken}
                        ^
            hint: reinstall the package that registers it""",
    "{use: text.acme.toxicity, words: [no, 3]}": """\
        r.yaml:6:45: `text.acme.toxicity.words.1` must be text, not 3
                - {use: text.acme.toxicity, words: [no, 3]}
                                                        ^
            hint: put it in quotes: "3\"""",
    "{use: text.acme.toxicity, variant: Fast, min_words: 1_000}": """\
        r.yaml:6:42: `text.acme.toxicity.variant` must be one of `fast`, `exact`, not "Fast"
                - {use: text.acme.toxicity, variant: Fast, min_words: 1_000}
                                                     ^
            hint: did you mean `fast`?
        r.yaml:6:59: `text.acme.toxicity.min_words` must be a whole number of at least 0, or null, not "1_000"
                - {use: text.acme.toxicity, variant: Fast, min_words: 1_000}
                                                                      ^
            hint: write it without `_`""",
    "{use: text.acme.toxicity, min_words: 99999999999999999999}": """\
        r.yaml:6:44: `text.acme.toxicity.min_words` must be a whole number of at least 0, or null, not "99999999999999999999"
                - {use: text.acme.toxicity, min_words: 99999999999999999999}
                                                       ^
            hint: numbers in a recipe are finite, and whole ones lie within 64 bits: 9223372036854775807 at most""",
    "{use: text.quality.gopher, min_words: 200000}": """\
        r.yaml:6:45: `text.quality.gopher.min_words`: min_words 200000 is above max_words 100000: nothing stays
                - {use: text.quality.gopher, min_words: 200000}
                                                        ^
            hint: null switches either of them off""",
    "{use: text.quality.gopher, max_mean_word_length: 2.5}": """\
        r.yaml:6:56: `text.quality.gopher.max_mean_word_length`: min_mean_word_length 3 is above max_mean_word_length 2.5: nothing stays
                - {use: text.quality.gopher, max_mean_word_length: 2.5}
                                                                   ^
            hint: null switches either of them off""",
    "{use: text.quality.gopher, variant: dolma, max_hashes_per_word: 0.1}": """\
        r.yaml:6:71: `text.quality.gopher.max_hashes_per_word`: the dolma variant has no such rule
                - {use: text.quality.gopher, variant: dolma, max_hashes_per_word: 0.1}
                                                                                  ^
            hint: leave it out""",
}


@pytest.mark.parametrize("stage", VALUES)
def test_one_stage(stage: str) -> None:
    assert said(f"{STAGES}    - {stage}\n") == dedent(VALUES[stage])


@pytest.mark.parametrize("stage", ["{use: text.language, keep: []}", "{use: text.pii, kinds: []}", "{use: text.url, blocklist: []}"])
def test_an_empty_list_that_would_be_no_choice_at_all(stage: str) -> None:
    use, option = stage[6:-5].split(", ")
    told = said(f"{STAGES}    - {stage}\n")
    assert f"`{use}.{option}` must have at least 1 entry, not 0\n        - {stage}\n" in told and "hint: " in told


@pytest.mark.parametrize("stage", ["text.quality.gopher", "text.quality.c4"])
def test_a_variant_that_is_no_word(stage: str) -> None:
    assert f"`{stage}.variant` must be one of " in said(f"{STAGES}    - {{use: {stage}, variant: [dolma]}}\n")


@pytest.mark.parametrize("name", ["text.acme.toxcity", "toxicity", "text.toxicity"])
def test_an_unknown_stage_is_suggested_and_the_others_are_listed(name: str) -> None:
    hint = said(f"{STAGES}    - {{use: {name}}}\n").split("hint: ")[1]
    assert hint.startswith("did you mean `text.acme.toxicity`? text stages: ")
    assert "text.acme.list" in hint
    assert "image" not in hint


SYNTAX = {
    "name: demo\n\tpath: x\n": """\
        r.yaml:2:1: a tab cannot indent YAML
            \tpath: x
            ^
            hint: use spaces""",
    "name:demo\noutput: {path: x}\n": """\
        r.yaml:2:7: this `:` does not fit here
            output: {path: x}
                  ^
            hint: a space is missing after the colon in line 1""",
    "output: {path: x\nname: demo\n": """\
        r.yaml:1:9: this `{` is never closed
            output: {path: x
                    ^
            hint: add `}`, or a comma between two entries""",
    "name: demo\ndrop_if: {person: >= 1}\n": """\
        r.yaml:2:19: a value cannot begin with `>`
            drop_if: {person: >= 1}
                              ^
            hint: put the value in quotes""",
    "text:\n  sources:\n    - path: *.jsonl\n": """\
        r.yaml:3:13: a text that begins with `*` or `&` must be in quotes
                - path: *.jsonl
                        ^
            hint: put the value in quotes""",
    "name: demo\n---\nname: other\n": """\
        r.yaml:2:1: a second document begins here
            ---
            ^
            hint: one file holds one recipe: delete the line `---`""",
    "a: !!python/object/apply:os.system [ls]\n": """\
        r.yaml:1:4: YAML tags are not read in recipes: !!python/object/apply:os.system
            a: !!python/object/apply:os.system [ls]
               ^
            hint: leave the tag out, or quote a text that begins with `!`""",
    "a: &a [*a]\n": """\
        r.yaml:1:4: aliases repeat this without end, or nearly so
            a: &a [*a]
               ^
            hint: write it out, or use `extends`""",
    "a: x\x1b[31my\n": """\
        r.yaml:1:5: character U+001B has no place in a recipe
            a: x\ufffd[31my
                ^""",
    "- name: demo\n": """\
        r.yaml:1:1: a recipe is a mapping, not a list
            - name: demo
            ^
            hint: begin with `name: my-dataset`""",
    "# nothing yet\n": """\
        r.yaml: the recipe is empty
            hint: `d4a copy quickstart my.yaml` writes one to start from""",
}


@pytest.mark.parametrize("text", SYNTAX)
def test_syntax_in_plain_words(text: str) -> None:
    assert said(text) == dedent(SYNTAX[text])


def test_what_a_whole_recipe_lacks() -> None:
    assert said("description: x\n") == dedent("""\
        r.yaml:1:1: there is nothing to curate
            description: x
            ^
            hint: add `text:` or `image:` with its sources
        r.yaml:1:1: `name` is missing
            description: x
            ^
            hint: Short name of the dataset
        r.yaml:1:1: `output` is missing
            description: x
            ^
            hint: a mapping (path, shard_bytes, split, order, seed)""")


def test_files_that_cannot_be_read(here: Path) -> None:
    write(GOOD, "recipe.yaml")
    (here / "folder").mkdir()
    (here / "utf16.yaml").write_bytes("name: x".encode("utf-16"))
    cases = {
        "recpie.yaml": "there is no file recpie.yaml\n    hint: did you mean `recipe.yaml`?",
        "folder": "folder is a folder, not a recipe",
        "utf16.yaml": "utf16.yaml is not UTF-8 (byte 0)\n    hint: save it as UTF-8",
    }
    for name, message in cases.items():
        with pytest.raises(RecipeError) as caught:
            load(name)
        assert str(caught.value) == message


def test_a_bom_and_windows_line_ends_shift_nothing(here: Path) -> None:
    (here / "dos.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("0.5", "5").replace("\n", "\r\n").encode())
    with pytest.raises(RecipeError) as caught:
        load("dos.yaml")
    assert str(caught.value).startswith("dos.yaml:6:44: `text.acme.toxicity.max_score`")


def test_the_caret_stands_under_the_mistake_behind_chinese() -> None:
    message = said(GOOD.replace("path: data/", "path: 数据/, recursive: yse"))
    line, caret = message.split("\n")[1:3]
    before = line[: line.index("yse")]
    assert len(caret) - 1 == sum(2 if east_asian_width(char) in "WF" else 1 for char in before)


# -------------------------------------------------------------------------------------------- hostile input


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "a: &a [x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)),
        f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]\n",
        "a: " + "9" * 5000,
        "seed: 1e999999999\n",
        "x" * 2_000_000,
        "x" * 400_000,
        'extends: "a\\0b"\n',
        '"\\e[31m": "\\ud800"\n',
    ],
    ids=["nesting", "aliases", "long-aliases", "digits", "exponent", "file-size", "size", "nul", "escapes"],
)
def test_bombs_are_refused_quickly(text: str) -> None:
    message = said(text, "output.path=*\udcff")
    assert message
    assert all(char.isprintable() or char in "\t\n" for char in message)  # nothing speaks to the terminal


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, 12), st.text(alphabet="{}[]:,-#&*!|>'\"%@`~ \n\tab1.é数\u2028", max_size=6))
def test_any_damage_is_a_recipe_error_with_a_place(at: int, cut: int, put: str) -> None:
    text = GOOD[:at] + put + GOOD[at + cut :]
    try:
        load(write(text))
    except RecipeError as error:
        for problem in error.problems:
            assert problem.what
            assert problem.line == 0 or 1 <= problem.column <= len(problem.source) + 1


# ------------------------------------------------------------------------------------------ other packages


def test_a_stage_of_another_package_needs_only_to_be_installed(here: Path) -> None:
    install(here / "site")
    write(GOOD.replace("max_score: 0.5", "max_scor: 0.5"))
    program = "import d4a.curator.load as l, d4a.curator.errors as e\ntry: l.load('r.yaml')\nexcept e.RecipeError as error: print(error)"
    env = {**os.environ, "PYTHONPATH": str(here / "site"), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[0] == "r.yaml:6:33: `text.acme.toxicity` has no option `max_scor`"
