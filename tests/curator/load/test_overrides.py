"""Recipes that build on others: `extends` and `--set`."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from d4a.curator.load.files import load
from recipe_texts import GOOD, said, write

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


def test_a_label_in_two_places_must_be_addressed_with_its_flow() -> None:
    twice = GOOD.replace("output:", "image:\n  sources: [{path: p}]\n  stages: [{use: image.acme.faces, as: text.acme.list}]\noutput:")
    assert "write `text.text.acme.list.file` or `image.text.acme.list.file`" in said(twice, "text.acme.list.file=x")
    recipe = load(write(twice), ["image.text.acme.list.mode=annotate"])
    assert recipe.image and recipe.image.stages[0].mode == "annotate"
