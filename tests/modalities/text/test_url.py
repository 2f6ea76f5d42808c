"""Hosts and lists of text.url, against their definition in plain Python; lists in every form they come in."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from d4a.curator.errors import MachineError, UsageError
from d4a.curator.stage import Facts, Judgement, Machine
from d4a.modalities.text.url import Url, UrlOptions
from hypothesis import given, settings
from hypothesis import strategies as st

# ------------------------------------------------------------------------------------------ the definition

FORBIDDEN = re.compile(r"[\x00-\x20\x7f\"#%*/:<>?@\[\\\]^`{|}]")
WHITE = "".join(map(chr, range(0x21)))


def small(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def parsed(address: str, listed: bool = False) -> tuple[str, str] | None:
    """(host, path and query); None where it is malformed."""
    address = address.strip(WHITE).partition("#")[0].rstrip(WHITE)
    scheme = re.match(r"[A-Za-z0-9+.-]+://", address)
    bare = scheme is None and not address.startswith("//")
    address = address[scheme.end() if scheme else 0 if bare else 2 :]
    authority = re.match(r"[^/?\\]*", address)[0]
    rest = address[len(authority) :].removesuffix("/")
    if bare and "@" in authority:
        return None
    authority = authority.rpartition("@")[2]
    if listed:
        authority = authority.lstrip("*.")
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]{2,}\]|[^:\[]*)(:[0-9]*)?", authority, re.DOTALL)
    if match is None or (bare and match[2] == ":"):
        return None
    host = small(match[1])
    if not host.startswith("["):
        host = host.removesuffix(".")
        if FORBIDDEN.search(host) or "" in host.split("."):
            return None
    return (host, rest) if 0 < len(host.encode()) <= 253 else None


def listed(address: str, lines: list[str]) -> str | None:
    """The entry of a list that an address meets."""
    entries = [entry for line in lines if (entry := parsed(line, listed=True))]
    domains = {host for host, rest in entries if not rest}
    addresses = {host.removeprefix("www.") + rest for host, rest in entries if rest}
    found = parsed(address)
    if found is None:
        return None
    host, rest = found
    labels = host.split(".")
    numeric = host.startswith("[") or re.fullmatch("[0-9.]+", host)
    for name in [host] if numeric else [".".join(labels[k:]) for k in range(len(labels))]:
        if name in domains:
            return name
    whole = host.removeprefix("www.") + rest
    return whole if rest and whole in addresses else None


def words_in(address: str, words: list[str], strict: bool) -> set[str]:
    address = small(address)
    if strict:
        return {w for word in words if (w := small(word).replace(".", "").replace("-", "")) and w in re.sub("[.-]", "", address)}
    whole = re.split("[^0-9a-z\x80-\U0010ffff]+", address)
    return {w for word in words if (w := re.sub("[^0-9a-z\x80-\U0010ffff]", "", small(word))) and w in whole}


# --------------------------------------------------------------------------------------------- the tests


def opened(**options: Any) -> Url:
    stage = Url(UrlOptions(**{name: str(value) if isinstance(value, Path) else value for name, value in options.items()}))
    stage.open(stage.prepare(Machine()))
    return stage


def measure(stage: Url, *urls: str | None) -> list[dict[str, Any]]:
    table = pa.table(stage.measure(pa.record_batch({"url": pa.array(urls, pa.large_string())})))
    assert table.schema.names == [value.name for value in Url.values] and table.schema.types == [value.type for value in Url.values]
    return table.to_pylist()


def judge(stage: Url, *urls: str | None) -> list[tuple[str, str | None]]:
    """(reason or "kept", detail) of each."""
    verdict: Judgement = stage.judge(pa.table(stage.measure(pa.record_batch({"url": pa.array(urls, pa.large_string())}))))
    reasons = ["kept" if keep else verdict.reasons[code] for keep, code in zip(verdict.keep, verdict.reason, strict=True)]
    return list(zip(reasons, verdict.detail, strict=True))


def written(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


SIGNS = [*":/?#@.[]\\%-*|_ \t\n\x7f", "//", "://", ":80", ":x", "%20", "?q=1"]
NAMES = [
    "http://",
    "HTTPS://",
    "mailto:",
    "user:pw@",
    "www.",
    "a",
    "B",
    "x1",
    "é",
    "中",
    "a.b",
    "b.com",
    "com",
    "/p",
    "/p/",
    "8.8.4.4",
    "[::1]",
]
PIECES = st.sampled_from([*SIGNS, *NAMES, "sub-wo.rd", "Subword", "sub", "word", "grass", "x" * 64])
ADDRESSES = st.lists(PIECES, max_size=9).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.lists(ADDRESSES, min_size=1, max_size=4))
def test_hosts_are_those_of_the_definition(urls: list[str]) -> None:
    found = [(row["domain"], row["malformed"]) for row in measure(opened(), *urls)]
    expected = [parsed(url) for url in urls]
    assert found == [(host[0] if host else None, host is None if url else None) for host, url in zip(expected, urls, strict=True)]


@settings(max_examples=80, deadline=None)
@given(st.lists(ADDRESSES, max_size=6), st.lists(ADDRESSES, min_size=1, max_size=6))
def test_entries_are_found_as_defined(tmp_path_factory: pytest.TempPathFactory, lines: list[str], urls: list[str]) -> None:
    lines = [line for line in lines if "\n" not in line] + ["b.com"]
    path = written(tmp_path_factory.mktemp("list") / "list.txt", *lines)
    urls += [f"http://{line}/" for line in lines]
    assert [row["blocked"] for row in measure(opened(blocklist=path), *urls)] == [listed(url, lines) for url in urls]


WORDS = ["sub-word", "ub", "word", "wo", "grass", "a", "b", "x1", "é", "B.com", "subwordgrass", "p", "中"]


@settings(max_examples=80, deadline=None)
@given(*[st.lists(st.sampled_from(WORDS), min_size=1, unique=True)] * 3, st.lists(ADDRESSES, min_size=1, max_size=6))
def test_words_are_found_as_defined(
    tmp_path_factory: pytest.TempPathFactory, strict: list[str], hard: list[str], soft: list[str], urls: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("words")
    stage = opened(
        strict_words=written(folder / "a", *strict), hard_words=written(folder / "b", *hard), soft_words=written(folder / "c", *soft)
    )
    for url, row in zip(urls, measure(stage, *urls), strict=True):
        for name, words in (("strict", strict), ("hard", hard), ("soft", soft)):
            expected = words_in(url, words, name == "strict")
            assert row[name] == (len(expected) if url else None)
            assert set((row[f"{name}_words"] or "").split(", ")) - {""} == expected


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://WWW.Example.COM:8443/a?b#c", "www.example.com"),
        ("http://user:p@ss@example.com./", "example.com"),
        ("//example.com/x", "example.com"),
        ("example.com/x", "example.com"),
        ("localhost:8080/x", "localhost"),
        ("http://[2001:DB8::1]:80/", "[2001:db8::1]"),
        ("http://62.3.3.25/", "62.3.3.25"),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://bücher.example/", "bücher.example"),
        ("  http://a.b\\@c.d/ ", "a.b"),
        ("mailto:bob@b.de", None),
        ("data:text/plain,x", None),
        ("javascript:void(0)", None),
        ("http://", None),
        ("http://a..b/", None),
        ("http://a b/", None),
        ("http://a:8x/", None),
        ("http://" + "a" * 254, None),
        ("/relative", None),
    ],
)
def test_known_hosts(url: str, domain: str | None) -> None:
    (row,) = measure(opened(), url)
    assert row["domain"] == domain and row["malformed"] is (domain is None)


def test_a_domain_stands_for_all_below_it_and_nothing_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path / "list", "# comment", "bad.com", "*.worse.org # why", "http://one.net/~bob/", "62.3.3.25", "x.bad.com", "")
    urls = ["http://bad.com/", "https://a.bad.com/x", "http://a.x.bad.com", "http://notbad.com/", "http://com/", "http://worse.org/"]
    urls += [
        "http://one.net/~bob",
        "http://www.one.net/~bob/#x",
        "http://one.net/~bob/x",
        "http://1.62.3.3.25/",
        "http://62.3.3.25/",
        "bad.com.de",
        None,
    ]
    blocked = [
        "bad.com",
        "bad.com",
        "x.bad.com",
        None,
        None,
        "worse.org",
        "one.net/~bob",
        "one.net/~bob",
        None,
        None,
        "62.3.3.25",
        None,
        None,
    ]
    assert [row["blocked"] for row in measure(opened(blocklist=path), *urls)] == blocked


def test_every_drop_names_its_reason_and_what_it_met(tmp_path: Path) -> None:
    stage = opened(
        blocklist=written(tmp_path / "b", "bad.com", "one.net/page"),
        allowlist=written(tmp_path / "a", "good.bad.com"),
        strict_words=written(tmp_path / "s", "subword"),
        hard_words=written(tmp_path / "h", "casino"),
        soft_words=written(tmp_path / "o", "cam", "girls", "dating"),
        drop_malformed=True,
    )
    told = judge(
        stage,
        "http://x.bad.com/casino",
        "http://one.net/page/",
        "http://foobann.edsub-wo.rdbar.com/any/bar",
        "http://a.com/casino-royal",
        "http://a.com/casinos",
        "http://cam.com/dating/girls",
        "http://cam.com/",
        "http://good.bad.com/casino",
        "nothing here",
        "http://a b/" + "x" * 10_000,
        None,
        "",
    )
    assert told == [
        ("blocked_domain", "bad.com"),
        ("blocked_url", "one.net/page"),
        ("strict_word", "subword"),
        ("hard_word", "casino"),
        ("kept", None),
        ("soft_words", "cam, dating, girls"),
        ("kept", None),
        ("kept", None),
        ("malformed_url", "nothing here"),
        ("malformed_url", "http://a b/" + "x" * 189),
        ("kept", None),
        ("kept", None),
    ]


def test_limits_move_without_measuring_anew(tmp_path: Path) -> None:
    lists = {"soft_words": str(written(tmp_path / "o", "cam", "girls")), "hard_words": str(written(tmp_path / "h", "casino"))}
    urls = ["http://cam.com/girls", "http://casino.com/cam"]
    assert [reason for reason, _ in judge(opened(**lists, max_soft=2, max_hard=None), *urls)] == ["kept", "kept"]
    assert [reason for reason, _ in judge(opened(**lists, max_soft=0, max_hard=1), *urls)] == ["soft_words", "soft_words"]
    assert UrlOptions(**lists, max_soft=2).of_kind("measure") == UrlOptions(**lists).of_kind("measure")


def test_without_options_only_the_host_is_measured() -> None:
    stage = opened()
    assert judge(stage, "http://casino.com/", "nothing here", None) == [("kept", None)] * 3
    (row,) = measure(stage, "http://casino.com/")
    assert {name: value for name, value in row.items() if value is not None} == {"domain": "casino.com", "malformed": False}


def test_lists_come_as_files_folders_and_gzip(tmp_path: Path) -> None:
    written(tmp_path / "ut1/adult/domains", "adult.com")
    written(tmp_path / "ut1/adult/urls", "host.com/~adult")
    written(tmp_path / "ut1/adult/expressions", "adult.*")
    (tmp_path / "ut1/phishing").mkdir()
    (tmp_path / "ut1/phishing/domains").write_bytes(b"phish.com\nbroken\xe9line.com\n")
    (tmp_path / "more.gz").write_bytes(gzip.compress(b"\r\n# list\r\npacked.com\r\n"))
    stage = opened(blocklist=[str(tmp_path / "ut1"), str(tmp_path / "more.gz")])
    urls = ["adult.com", "host.com/~adult", "phish.com", "packed.com", "other.com"]
    assert [row["blocked"] for row in measure(stage, *urls)] == [*urls[:4], None]


def test_the_digest_is_the_files_and_a_changed_list_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "list", "bad.com")
    stage = Url(UrlOptions(blocklist=str(path)))
    facts = stage.prepare(Machine())
    assert facts == Facts(files={"blocklist_sha256": hashlib.sha256(b"bad.com").hexdigest()})
    written(path, "worse.com")
    changed = stage.prepare(Machine())
    assert changed != facts and [row["blocked"] for row in measure(stage, "bad.com", "worse.com")] == [None, "worse.com"]
    written(path, "bad.com", "more.com")
    with pytest.raises(MachineError, match="not the list that was planned with"):
        Url(UrlOptions(blocklist=str(path))).open(Facts(files={"blocklist_sha256": "0" * 64}))


@pytest.mark.parametrize(
    ("option", "content", "words"),
    [
        ("blocklist", None, "not there"),
        ("soft_words", None, "not there"),
        ("blocklist", b"# nothing\n0.0.0.0 bad.com\n", "no domain and no address"),
        ("hard_words", b"# nothing\n--\n", "no word"),
        ("strict_words", b"\xff\xfe", "no UTF-8"),
        ("allowlist", b"\x1f\x8bbroken", "damaged"),
    ],
)
def test_a_list_without_use_is_refused_before_anything_is_read(tmp_path: Path, option: str, content: bytes | None, words: str) -> None:
    path = tmp_path / "list"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=words) as refused:
        Url(UrlOptions(**{option: str(path)})).prepare(Machine())
    assert str(path) in refused.value.where


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without a file `domains`"):
        Url(UrlOptions(blocklist=str(tmp_path))).prepare(Machine())


def test_a_run_explains_its_drops(tmp_path: Path, d4a) -> None:
    written(
        tmp_path / "in.jsonl",
        *(json.dumps({"text": f"text {k}", "url": u}) for k, u in enumerate(["http://a.bad.com/", "http://b.com", None])),
    )
    written(tmp_path / "list", "bad.com")
    stages = "stages: [{use: text.url, blocklist: list}]"
    recipe = written(tmp_path / "r.yaml", "name: r", "text:", "  sources: [{path: in.jsonl}]", f"  {stages}", "output: {path: out}")
    d4a("curate", recipe)
    assert "text.url: blocked_domain (bad.com)" in d4a("why", "out", "in.jsonl#0").stdout
    (tmp_path / "list").unlink()
    assert "not there" in d4a("curate", recipe, code=2).stderr
