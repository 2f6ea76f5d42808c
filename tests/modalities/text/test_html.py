"""Text out of HTML: three ways, and pages made to break parsers, which end in a text or a reason, soon."""

from __future__ import annotations

import itertools
import time

import pytest
from d4a.curator.errors import MachineError
from d4a.curator.recipe import Source
from d4a.modalities.text.html import Extract, decode, main_text, page_text
from d4a.modalities.text.html_limits import check_cost
from d4a.modalities.text.streams import ReadError
from hypothesis import given
from hypothesis import strategies as st
from text_files import TEXT
from warc_files import PAGE

_N = 100_000
# quadratic without limits: at this size each of the first six takes from seconds to minutes
_HOSTILE = {
    "attributes": "<p " + " ".join(f"a{k}=1" for k in range(_N)) + ">text</p>",
    "attributes in a tag of odd forms": "<p" + "".join(f"/a{k}='>'" for k in range(_N)) + ">text</p>",
    "html tags that are merged": "".join(f"<html a{k}>" for k in range(_N)),
    "options": "<select>" + "<option>x" * _N,
    "depth": "<div>" * _N + "text",
    "depth of misnested tags": "<b><div></b>" * _N + "text",
    "depth behind tags that are hidden": "<div></p>" * _N,
    "tags without names": "<" * _N + "</" * _N,
    "open tags": "<p>" * _N,
    "cells": "<table>" + "<td>" * _N,
    "entities": "&#x110000;&bogus;&#xD800;&amp" * _N,
    "zeros": "\0" * _N + "<p>\0text\0</p>",
    "comments": "<!--" * _N,
    "a tag without end": "<p title='" + "x" * 10 * _N,
    "one word": "x" * 10 * _N,
    "blanks": "<p>" + " \n" * 10 * _N,
    "no body": "<html><head><title>x</title></head></html>",
    "nothing": "",
    "half a tag": "<p",
    "an end only": "</html></body></p>",
}


@pytest.mark.parametrize("name", _HOSTILE)
@pytest.mark.parametrize("extract", ["resiliparse", "plain"])
def test_hostile_pages_end_in_a_text_or_a_reason_soon(name: str, extract: Extract) -> None:
    check_cost(b"<p>")  # compiled now
    began = time.process_time()
    try:
        assert page_text(_HOSTILE[name], extract).strip()
    except ReadError as error:
        assert error.reason in ("no_main_text", "html_too_costly", "html_too_deep", "broken_html")
    assert time.process_time() - began < 30  # one and a half where it is most; some would take hours


def test_limits_do_not_meet_real_pages() -> None:
    """Long lists, large selects, inline drawings and scripts that compare: what looks costly, and is not."""
    rows = "".join(f'<tr class="a b"><td>cell {k}<br>two<td>x</tr>' for k in range(5000))
    options = "<select>" + "".join(f"<option value={k}>{k}</option>" for k in range(3000)) + "</select>"
    drawing = f'<svg><path d="{"M 10 10 L 20 20 " * 5000}"/></svg>'
    script = "<script>" + "for(i=0;i<n;i++){if(a<b){x='<div>'}}\n" * 2000 + "</script>"
    page = PAGE.replace("{title}", "Möwen").replace("<p>", f"{options}{drawing}{script}<table>{rows}</table><p>", 1)
    assert "Brötchen" in page_text(page, "plain") and "cell 4999" in page_text(page, "plain")


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [
        ("<html a b=c>", 2),
        ("<html/a/b/c>", 3),
        ("<body a=\"x y > z\" b='q'c=1 d>", 4),
        ('<body a = "x y" b = c>', 2),
        ("<html a=/x/y/z b>", 2),
        ("<html =a b>", 2),
        ("<html a><html b><body c>", 3),
        ("<html>", 0),
    ],
)
def test_attributes_are_counted_as_browsers_do(tag: str, attributes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from d4a.modalities.text import html_limits

    for limit, behind in itertools.product((attributes, attributes - 1), ("", "x" * 64)):  # 64 bytes are looked at at a time where they are
        monkeypatch.setattr(html_limits, "_MAX_ATTRIBUTES", limit)
        if limit < attributes:
            with pytest.raises(ReadError, match="html_too_costly"):
                check_cost((tag + behind).encode())
        else:
            check_cost((tag + behind).encode())


_PIECES = (
    "<p>",
    "</p>",
    "<A b=c>",
    "</a>",
    '<i x="1>2" y=\'">\'>',
    "<br/>",
    '<a-long-name c = "d">',
    "</A-long-name>",
    "<",
    ">",
    '="',
    "'",
    " ",
)


@given(st.lists(st.sampled_from(_PIECES), max_size=9).map("".join))
def test_depth_is_the_same_a_byte_or_64_bytes_at_a_time(page: str) -> None:
    assert check_cost(page.encode()[:63]) == check_cost(page.encode()[:63] + b" " * 64)


@pytest.mark.parametrize("behind", ["", "x" * 64])
def test_depth_follows_the_names_of_tags(behind: str) -> None:
    nested = {
        "<p><B></b></P>": 2,
        "<p></b><b></b>": 2,
        "<br><img/>": 0,
        "<a_></a\x7f><i>": 2,
        "<blockquote></BLOCKQUOTE><i>": 1,
        "</p><p a='<i>'>": 1,
    }
    assert {page: check_cost((page + behind).encode()) for page in nested} == nested
    assert check_cost(("<p>" * 999 + behind).encode()) == 256


def test_three_ways_to_take_text_out() -> None:
    page = PAGE.format(title="Möwen").encode()
    assert "Brötchen" in main_text(page) and "Impressum" not in main_text(page)
    assert "Impressum" in main_text(page, "plain") and "Start" in main_text(page, "plain")
    pytest.importorskip("trafilatura", exc_type=ImportError)
    body = page.replace(b"<p>", b"<p>" + b"Sie fliegen weit hinaus, wenn der Wind es will. " * 8)
    again = [main_text(body, "trafilatura") for _ in range(3)]  # a page seen before gives its text again
    assert again[0] == again[1] == again[2] and "Brötchen" in again[0] and "Impressum" not in again[0]
    for name in ("open tags", "entities", "zeros", "no body", "nothing", "a tag without end"):
        with pytest.raises(ReadError):
            page_text(_HOSTILE[name][:20_000], "trafilatura")


def test_without_trafilatura_a_page_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trafilatura", None)
    with pytest.raises(MachineError, match="trafilatura"):
        TEXT.check(Source(path=".", extract="trafilatura"))
    TEXT.check(Source(path="."))
    with pytest.raises(ReadError, match="missing_extra"):
        main_text(PAGE.encode(), "trafilatura")
    assert main_text(PAGE.encode())


def test_a_page_cut_in_a_character_is_whole_but_for_it() -> None:
    cut = "Möwen und Brötchen ü".encode()[:-1]
    assert decode(cut, cut=True).text == "Möwen und Brötchen "
    assert decode("日本".encode("euc_jp")[:-1], "euc-jp", cut=True) == ("日", "euc_jp", 0)
