"""What is said about mistakes in stages and their options, word by word."""

from __future__ import annotations

from textwrap import dedent

import pytest
from recipe_texts import STAGES, said


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
    "{use: text.quality.repetition, variant: rpv2, max_duplicate_lines: 0.3}": """\
        r.yaml:6:74: `text.quality.repetition.max_duplicate_lines`: the rpv2 variant has no such rule
                - {use: text.quality.repetition, variant: rpv2, max_duplicate_lines: 0.3}
                                                                                     ^
            hint: leave it out""",
    "{use: text.dedup.substring, mode: tag}": """\
        r.yaml:6:41: `text.dedup.substring` finds parts that records share, and no clusters of records that could be tagged
                - {use: text.dedup.substring, mode: tag}
                                                    ^
            hint: mode: annotate counts what it would cut out of each record""",
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


def test_what_a_whole_recipe_lacks() -> None:
    assert said("description: x\n") == dedent("""\
        r.yaml:1:1: there is nothing to curate
            description: x
            ^
            hint: add `text:` or `image:` or `pair:` with its sources
        r.yaml:1:1: `name` is missing
            description: x
            ^
            hint: Short name of the dataset
        r.yaml:1:1: `output` is missing
            description: x
            ^
            hint: a mapping (path, shard_bytes, split, order, seed)""")
