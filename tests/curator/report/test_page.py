"""The whole page: sound markup, nothing from elsewhere, bounded, the same for the same data, harmless whatever the data say."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from d4a.curator.ledger import LEDGER
from d4a.curator.report.content import Column, FlowContent, Threshold
from d4a.curator.report.page import LIMIT, render
from PIL import Image
from small_report import Page, Previews, counts_of, dataset_of, dropped, duplicate, kept, write

ROWS = [
    *(kept(i) for i in range(40)),
    *(dropped(100 + i, "filter", "too_few_words", value=float(i), threshold=50.0) for i in range(20)),
    *(dropped(200 + i, "read", "broken_json", detail="Expecting value") for i in range(3)),
    *(duplicate(300 + i, "doc-00007", 0.8 + i / 100) for i in range(9)),
    *(duplicate(400 + i, f"doc-{i:05d}", 0.95) for i in range(6)),
]
TEXT = ("text/plain", b"One river, then another; a hundred of them make the sea.")
WORDS = Column("filter", "words", "Number of `words`.", (Threshold("min", 50.0, "too_few_words"),))
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "breakout": "\"'><img src=http://127.0.0.1:9/x onerror=alert(1)>",
    "style": "</style><style>*{background:url(http://127.0.0.1:9/y)}",
    "close": "</title></svg></table></html><!--",
    "entity": "&lt;script&gt;&#0;&amp",
    "bidi": "photo\u202egpj.exe\u2066\u2069",
    "control": "a\x00b\x07c\x1b[31md\x7fe\x85f",
    "lines": "first\nsecond\r\nthird\u2028fourth\ttab",
    "long": "x" * 10_000,
    "link": "javascript:alert(1)",
    "wide": "𝕳𝖊𝖑𝖑𝖔 \u0301\u0301\u0301 \ufffe \ufeff 海纳百川",
}


def check_safe(page: Page) -> None:
    """Nothing runs, nothing loads, nothing leads away, and every name inside is there once."""
    names = {name for name, _ in page.elements}
    assert not names & {"script", "iframe", "object", "embed", "link", "base", "form", "input", "foreignobject", "image", "use", "animate"}
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("href", "src", "action", "formaction", "xlink:href", "srcset", "background", "poster"):
            value = attributes.get(name)
            assert value is None or (value[1:] in identifiers if tag == "a" else value.startswith("data:image/jpeg;base64,")), (
                tag,
                name,
                value,
            )
        for used in re.findall(r"url\(([^)]*)\)", attributes.get("style", "")):
            assert used[1:] in identifiers
        for named in attributes.get("aria-labelledby", "").split():
            assert named in identifiers
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert not re.search(r"url\(|@import|@font-face|expression|http", style)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src" not in policy and "img-src data:;" in policy
    assert page.source.index("Content-Security-Policy") < page.source.index("<style>")


def test_a_page_is_sound_and_says_what_happened(page) -> None:
    words = pa.array([*np.arange(100), None])
    made = page(ROWS, scores={"filter.words": words}, columns=[WORDS], previews=Previews(every=TEXT))
    check_safe(made)
    for told in ("small", "40", "of 78 records", "too_few_words", "broken_json", "Expecting value", "near_duplicate", "1.2.3", "d4a why ."):
        assert told in made.text, told
    assert "50 on the kept side, 50 on the other" in made.text and "1 without it" in made.text
    assert "15 records dropped. 7 kept records stand for them: 6 for 1 record, 1 for 6 to 9 records" in made.text
    assert {attributes["id"] for attributes in made.all("article")} == {"text"}


def test_drawings_have_a_title_and_words_and_tables_have_heads(page) -> None:
    made = page(ROWS, scores={"filter.words": pa.array(np.arange(100))}, columns=[WORDS])
    for svg in made.all("svg"):
        assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and len(svg["aria-labelledby"].split()) == 2)
    assert all(head.get("scope") in {"col", "row", "rowgroup"} for head in made.all("th"))
    assert all("alt" in picture for picture in made.all("img"))
    assert made.all("html")[0]["lang"] == "en" and len(made.all("h1")) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_data_say_they_say_it_as_text(page, name: str) -> None:
    bad = HOSTILE[name]
    rows = [
        kept(1, bad, source=bad),
        kept(2, f"{bad}~2"),
        dropped(3, "filter", bad, detail=bad, value=1.0, threshold=2.0, source=bad),
        dropped(4, "read", bad, detail=bad, source=bad),
        duplicate(5, bad, 0.9, key=f"dropped {bad}", source=bad),
        dropped(6, bad, "reason"),
    ]
    made = page(
        rows,
        stages=("read", "filter", "dedup", bad),
        scores={f"filter.{name}": pa.array([bad, bad, None])},
        columns=[Column("filter", name, bad)],
        previews=Previews(every=("text/plain", bad.encode("utf-8", "replace") * 3)),
        sources=[bad, bad],
        partition_source=[0, 1],
        skipped={bad: 3},
        silent=[bad],
        annotating=[bad],
        notes=[{bad: 3}] * 4,
        dataset={"recipe": {"name": "x", "description": bad, "licence": bad}, "licences": {"text": {bad: 1}}, "numeric": {bad: {bad: bad}}},
    )
    check_safe(made)
    assert {tag for tag, _ in made.elements if tag in {"script", "img"}} == set()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]", made.source)
    assert len(made.data) < 200_000
    if name == "script":
        assert bad in made.text
    if name == "bidi":
        assert "photo⟨RLO⟩gpj.exe" in made.text
    if name == "control":
        assert "a␀b␇c␛[31md␡e" in made.text
    if name == "long":
        assert "(10,000 characters)" in made.text and "x" * 2000 not in made.source


def jpeg(size: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (160, 160), (200, 40, 40)).save(out, "JPEG")
    return out.getvalue() + b"\0" * (size - out.tell())


@pytest.mark.parametrize("view", [("image/jpeg", jpeg(24_000)), ("text/plain", ("海<&\u202e" * 150).encode())], ids=["images", "texts"])
def test_no_data_make_the_page_larger_than_two_megabytes(tmp_path: Path, view: tuple[str, bytes]) -> None:
    names = [f"{'n' * 90}{i}" for i in range(50)]
    rows = [kept(i, f"{'k' * 3000}{i}") for i in range(40)]
    rows += [
        dropped(1000 * s + 20 * r + i, stage, reason, value=1.0 * i, threshold=2.0, key=f"{'<' * 3000}{s}{r}{i}", detail='"' * 2000)
        for s, stage in enumerate(names[:6], 1) for r, reason in enumerate(names[:40]) for i in range(6)
    ]  # fmt: skip
    rows += [duplicate(10**6 + 100 * s + i, f"{'k' * 3000}{i % 5}", 0.9, stage=names[s]) for s in range(6, 10) for i in range(30)]
    scores = pa.table({f"{names[i % 6]}.v{i}": pa.array(np.random.default_rng(i).lognormal(3, 2, 300)) for i in range(400)})
    flows, contents = {}, []
    for name in ("text", "image", "pair"):
        (tmp_path / name).mkdir()
        ledger = write(
            tmp_path / name, "ledger", pa.Table.from_pylist([{**row, "flow": name} for row in rows], schema=LEDGER), 10**6, 65_536
        )
        columns = [Column(names[i % 6], f"v{i}", "d" * 5000, (Threshold("min", 5.0, names[i % 40]),)) for i in range(400)]
        flows[name] = counts_of(rows, ["read", *names])
        contents.append(
            FlowContent(
                name=name,
                ledger=ledger,
                scores=write(tmp_path / name, "scores", scores, 10**6, 65_536),
                columns=columns,
                dedups=dict.fromkeys(names[6:10], 0.8),
                sources=[f"{'s' * 500}{i}" for i in range(100)],
                partition_source=list(range(100)),
                skipped={f".{'q' * 400}{i}": i for i in range(500)},
                silent=["r" * 500] * 500,
                notes=[dict.fromkeys(names, 3)] * 51,
            )
        )
    data = render(dataset_of(flows), contents, Previews(every=view))
    assert len(data) <= LIMIT == 2_000_000
    made = Page(data)
    check_safe(made)
    assert "more left out to keep this page small" in made.text
    assert len(made.all("svg")) > 30 and made.text.count("closest call") > 10  # much of it is there nevertheless


def test_the_same_data_give_the_same_page_however_the_tables_are_cut(page) -> None:
    arguments = {"scores": {"filter.words": pa.array(np.arange(500) % 97)}, "columns": [WORDS], "previews": Previews(every=TEXT)}
    pages = [page(ROWS, rows_a_file=size, rows_a_group=group, **arguments).data for size, group in ((10**6, 65_536), (30, 7), (1, 1))]
    assert pages[0] == pages[1] == pages[2]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "No record came in"),
        ([kept(0)], "1 of 1 record kept (100%)"),
        ([dropped(0, "filter", "too_short", value=1.0, threshold=2.0)], "There is nothing to load: no record was kept."),
        ([dropped(i, "read", "broken_json") for i in range(5)], "0 of 5 records kept (0%)"),
        ([kept(0), duplicate(1, "doc-00000", 1.0)], "1 record dropped. 1 kept record stands for them: one each."),
        ([kept(0), duplicate(1, "gone", 0.85)], "gone"),
    ],
    ids=["none", "one", "all dropped", "all unreadable", "one pair", "a twin without a row"],
)
def test_small_and_empty_datasets_have_a_page(page, rows: list, told: str) -> None:
    scores = {"filter.words": pa.array([float(i) for i in range(len(rows))], pa.float64())}
    made = page(rows, scores=scores, columns=[WORDS], partition_source=[0] if rows else [])
    check_safe(made)
    assert told in made.text


def test_only_pictures_are_shown_as_pictures(page) -> None:
    views = {
        0: ("image/jpeg", jpeg(5000)),
        1: ("image/svg+xml", b"<svg onload=alert(1)>"),
        2: ("image/jpeg", b"<html>"),
        3: ("text/html", b"<b>"),
    }
    made = page([kept(i) for i in range(5)], previews=Previews(views))
    check_safe(made)
    assert len(made.all("img")) == 1 and made.text.count("no preview") == 4
