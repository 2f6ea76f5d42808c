"""What is said about files that are no recipe: YAML in plain words, encodings, and what is meant to hurt."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from unicodedata import east_asian_width

import pytest
from d4a.curator.errors import RecipeError
from d4a.curator.load.files import load
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_texts import GOOD, said, write

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
