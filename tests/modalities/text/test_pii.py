"""What text.pii finds, against its definition in plain Python, and what it writes."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from d4a.curator.stage import Judgement
from d4a.modalities.text.pii import MASKS, Pii, PiiOptions
from d4a.modalities.text.pii_kernel import KINDS, find
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pii_by_hand import by_hand


def finds(text: str, kinds: tuple[str, ...] = KINDS, private: bool = False) -> list[tuple[int, int, str]]:
    data = text.encode()
    rows, _ = find(pa.array([text], pa.large_string()), kinds, private)
    return [(len(data[:start].decode()), len(data[:end].decode()), KINDS[kind]) for start, end, kind in rows.tolist()]


TOKEN = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"
KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA" * 4 + "\n-----END RSA PRIVATE KEY-----"
MARKS = [
    " ",
    "  ",
    "\n",
    "\t",
    "：",
    "\u3000",
    *"@._+%:/=()<>|,'\"-",
    "||",
    "|||",
    "..",
    "::",
    "::1",
    "-----",
    "<EMAIL>",
    "<IP>",
    "|||EMAIL_ADDRESS|||",
]
PIECES = """
0|1|2|12|00|99|a|Z|ü|я|中|é|１|×|J|I|B|E|bob|bob@|@example.com|example.co.uk|.de|.png|.Service|bücher.de|пример.рф|xn--p1ai|.xn--a
8.8.4.200|62.3.3.25|10.0.0.1|1.2.3.4|192.0.2.1|256.|.7|224.0.0.99|2a00:1450:4001:81b::200e|2001:db8::1
fe80::1|2600:|1:2:3:4:5:6:7:8|::ffff:|abcd|3fff:1::|2002::
4111111111111111|4111 1111 1111 1111|4111-1111-1111-1111|378282246310005|3782 822463 10005|6011 0000 0000 0004|5500-0000-0000-0004
30569309025904|3056 930902 5904|4111 1111 1111 1112|4222222222222| 123|-123|6200 0000 0000 0000 003
DE89370400440532013000|DE89 3704 0044 0532 0130 00|GB82 WEST 1234 5698 7654 32|NO9386011117947|DE8937040044053201300|DE 89
+49 30 1234567|+1 (415) 555-2671|+86 138 0013 8000|(212) 555-0199|212-555-0199|1-800-555-0199|020-7946-0958|+28|+4930123456789
0755-12345678|030/1234567|01 42 68 53 00|01.42.68.53.00|13800138000|138-0013-8000|138 0013 8000
AKIAIOSFODNN7EXAMPLE|ghp_|glpat-|xoxb-|AIza|sk-|sk_live_|npm_|hf_|pypi-|github_pat_|PRIVATE KEY|BEGIN | BLOCK
eyJhbGciOiJIUzI1NiJ9|.eyJzdWIiOiIxMjM0NTY3ODkwIn0|.dozjgNryP4J3jVmNHl0w5N
"""
TOKENS = [TOKEN, TOKEN[:16], TOKEN[:34], TOKEN[:35], TOKEN * 3, KEY, KEY[:32], KEY[-30:]]
FRAGMENTS = st.sampled_from([*MARKS, *TOKENS, *(piece for line in PIECES.strip().splitlines() for piece in line.split("|"))])
TEXTS = st.lists(st.one_of(FRAGMENTS, FRAGMENTS, FRAGMENTS, st.text("0123456789.-: @aF", max_size=6)), max_size=14).map("".join)


@settings(max_examples=500, deadline=None)
@given(TEXTS, st.booleans())
@example("a@b.com@c.org", False)
@example("+49 30 1234567-8@x.org", False)
def test_finds_are_those_of_the_definition(text: str, private: bool) -> None:
    assert finds(text, KINDS, private) == by_hand(text, KINDS, private)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.sets(st.sampled_from(KINDS)).map(sorted).map(tuple))
def test_kinds_are_found_alone_as_together(text: str, kinds: tuple[str, ...]) -> None:
    assert finds(text, kinds) == by_hand(text, kinds)


def change(*texts: str | None, record: list[str | None] | None = None, **options: Any) -> list[dict[str, Any]]:
    columns = {"text": texts, "record": record or [None] * len(texts), "url": ["http://a@b.com/"] * len(texts), "meta": [None] * len(texts)}
    batch = pa.record_batch({name: pa.array(column, pa.large_string()) for name, column in columns.items()})
    return Pii(PiiOptions(**options)).change(batch, frozenset()).to_pylist()


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.sampled_from(sorted(MASKS)), st.booleans())
@example(f"-----BEGIN PRIVATE KEY-----\n{'MIIEpAIBAAKCAQEA' * 4}\n-----END PRIVATE KEY-----AKIAIOSFODNN7EXAMPLE", "dolma", False)
def test_masking_twice_is_masking_once(text: str, mask: str, private: bool) -> None:
    (once,) = change(text, mask=mask, private_ips=private)
    (twice,) = change(once["text"], mask=mask, private_ips=private)
    assert twice["text"] == once["text"]
    if mask != "fineweb":
        assert twice["found"] == 0
    spans = by_hand(text, KINDS, private)
    assert once["chars_masked"] == sum(end - start for start, end, _ in spans)
    assert [once[kind] for kind in KINDS] == [sum(kind == k for _, _, k in spans) for kind in KINDS]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Write to bob.smith+list@mail.example.co.uk.", "Write to <EMAIL>."),
        ("邮箱：zhang@qq.com。微信同号", "邮箱：<EMAIL>。微信同号"),
        ("我的邮箱是zhang@163.com欢迎来信", "我的邮箱是<EMAIL>欢迎来信"),
        ("müller@bücher.de, почта@пример.рф, a@xn--bcher-kva.example", "<EMAIL>, <EMAIL>, <EMAIL>"),
        ("<a@b.org>mailto:c@d.org?x", "<<EMAIL>>mailto:<EMAIL>?x"),
        ("from 62.3.3.25:8080, 62.3.3.0/24", "from <IP>:8080, <IP>/24"),
        ("地址62.3.3.25。", "地址<IP>。"),
        ("[2a00:1450:4001:81b::200e]:80 2A00:1450::5: up", "[<IP>]:80 <IP>: up"),
        ("::ffff:62.3.3.25", "::ffff:<IP>"),
        ("Visa 4111 1111 1111 1111, Amex 3782-822463-10005", "Visa <CARD>, Amex <CARD>"),
        ("6011111111111117 30569309025904 3530111333300000 5555555555554444 2223003122003222", "<CARD> <CARD> <CARD> <CARD> <CARD>"),
        ("1234 4111 1111 1111 1111 1234", "1234 <CARD> 1234"),
        ("IBAN: GB82 WEST 1234 5698 7654 32.", "IBAN: <IBAN>."),
        ("DE89370400440532013000 FR1420041010050500013M02606 NO9386011117947", "<IBAN> <IBAN> <IBAN>"),
        ("MT84MALT011000012345MTLCAST001S", "<IBAN>"),
        ("key AKIAIOSFODNN7EXAMPLE; AKIAIOSFODNN7EXAMPLES", "key <SECRET>; AKIAIOSFODNN7EXAMPLES"),
        (f'token="ghp_{TOKEN}" my_ghp_{TOKEN} ghp_short', f'token="<SECRET>" my_ghp_{TOKEN} ghp_short'),
        (f"glpat-{TOKEN[:20]} xoxb-1234567890-{TOKEN[:24]} AIza{TOKEN[:35]}", "<SECRET> <SECRET> <SECRET>"),
        (f"npm_{TOKEN} sk_live_{TOKEN[:24]} hf_{TOKEN[:34]}", "<SECRET> <SECRET> <SECRET>"),
        (f"sk-proj-{TOKEN} sk-ssh-ed25519-cert-v01@openssh.com", "<SECRET> <EMAIL>"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N.", "Bearer <SECRET>."),
        (f"a\n{KEY}\nb", "a\n<SECRET>\nb"),
        ("Tel. +49 (0)30 1234567, (212) 555-0199 or 1-800-555-0199", "Tel. <PHONE>, <PHONE> or <PHONE>"),
        ("电话13800138000，或010-62751234、138-0013-8000", "电话<PHONE>，或<PHONE>、<PHONE>"),
        ("03-1234-5678 / 01 42 68 53 00", "<PHONE> / <PHONE>"),
    ],
)
def test_known_cases(text: str, masked: str) -> None:
    (row,) = change(text)
    assert row["text"] == masked
    assert row["found"] == sum(row[kind] for kind in KINDS)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02 01-02-2003 12/31/1999 2021-01-01T00:00:00+0200 1369353930 17.02.2004",
        "ISBN 978-0-306-40615-7, 0-306-40615-2, ISSN 0317-8471, doi:10.1000/182.1234567890",
        "1.2.3 v10.15.7 3.14159265358979 1,234,567.89 $1,299.00 €12.345.678,90 +12.5 -13800138000",
        "13800138000 14159265359 00 01 02 03 04 05 06 07 0x13800138000",
        "555-0199 123-456-7890 212-555-01990 212-555-0199-1 a212-555-0199 192.168.001.001",
        "user@1000.service icon@2x.png bob@localhost @bob react@17.0.2 a.@b.de",
        "v62.3.3.25 1.62.3.3.25 base-62.3.3.25 62.3.3.25-rc1 62.3.3.025 62.3.3.256 ",
        "Since 4.9.0.0, see 2.6.3.1; 10.1.2.99 127.0.0.99 192.168.1.1",
        "fe80::1 2001:db8::1 12:34:56 std::vector ::1 a:2600::1",
        "4111 1111 1111 1112 4111  1111 1111 1111 0.4111111111111111 x4111111111111111",
        "DE88370400440532013000 DE8937040044053201300 XX89370400440532013000 DE89 37040044053201 3000",
        "-----BEGIN RSA PRIVATE KEY-----\n…\n-----END RSA PRIVATE KEY-----",
        "xoxb-your-token-goes-right-here",
        "U+0100..017F +1 234 a+4930123456789 C++11 (404) 12:30:45.123",
    ],
)
def test_what_only_looks_alike_is_left_alone(text: str) -> None:
    assert change(text)[0]["text"] == text


def test_masks_of_the_field() -> None:
    text = "bob@b.de 62.3.3.25 4111111111111111"
    assert change(text, mask="dolma")[0]["text"] == "|||EMAIL_ADDRESS||| |||IP_ADDRESS||| |||CREDIT_CARD|||"
    assert change(text, mask="fineweb")[0]["text"] == "email@example.com 22.214.171.124 <CARD>"
    (row,) = change(text, mask="none")
    assert row["text"] == text and row["found"] == 3 and row["chars_masked"] == 0


def test_what_is_not_looked_for_is_null_and_stays() -> None:
    (row,) = change("bob@b.de 62.3.3.25", kinds=["ip"])
    assert row["text"] == "bob@b.de <IP>" and row["email"] is None and row["ip"] == row["found"] == 1


def test_rows_keep_their_places_whatever_is_found() -> None:
    texts = ["", "a@b.de", None, "中" * 5, "x 62.3.3.25 é@b.de"] * 3
    rows = change(*texts)
    assert [row["text"] for row in rows] == ["", "<EMAIL>", None, "中" * 5, "x <IP> <EMAIL>"] * 3
    assert [row["chars_masked"] for row in rows] == [0, 6, 0, 0, 15] * 3
    many = " ".join(f"u{k}@b{k}.de" for k in range(20_000))
    assert change("x", many)[1]["text"] == " ".join(["<EMAIL>"] * 20_000)


def test_strings_of_a_conversation_are_masked_where_they_stand() -> None:
    record = '{"a@b.de": "a@b.de", "n": [1.10, 1e400, true, {"value":"say \\"hi\\" to\\nbob@b.de\\u0020\\u4e2d"}], "\\u0061": "x"}'
    other = '{"conversations":[{"value":"ask bob"}]}'
    rows = change("to bob@b.de", "ask bob", "no record a@b.de", record=[record, other, None])
    assert rows[0]["record"] == record.replace(': "a@b.de"', ': "<EMAIL>"').replace(
        '"say \\"hi\\" to\\nbob@b.de\\u0020\\u4e2d"', '"say \\"hi\\" to\\n<EMAIL> 中"'
    )
    assert json.loads(rows[0]["record"])["n"][3]["value"] == 'say "hi" to\n<EMAIL> 中'
    assert rows[1]["record"] == other and rows[2]["record"] is None
    assert rows[0]["url"] == "http://a@b.com/"


def test_a_limit_drops_and_only_decides_anew() -> None:
    rows = change("a@b.de " * 5, "a@b.de " * 6)
    table = pa.table({value.name: pa.array([row[value.name] for row in rows], value.type) for value in Pii.values})
    verdict: Judgement = Pii(PiiOptions(max_found=5)).judge(table)
    assert verdict.keep.tolist() == [True, False] and verdict.reasons == ["too_much_pii"] and verdict.value[1] == 6
    assert Pii(PiiOptions()).judge(table).keep.all()
    assert PiiOptions(max_found=5).of_kind("measure") == PiiOptions().of_kind("measure")


@pytest.mark.parametrize(
    "piece", ["a@", "a@a.", "sk-", "eyJ", "-----BEGIN PRIVATE KEY-----", "1.", "1:", "4 ", "+1", "%", "1111 ", "DE00 "]
)
def test_hostile_repeats_take_no_longer_than_text(piece: str) -> None:
    assert finds(piece * (3_000_000 // len(piece)), KINDS, True) is not None


def test_what_is_packed_is_masked_also_where_the_text_has_no_find() -> None:
    beside = '{"messages":[{"role":"user","content":"hi","tool_calls":[{"arguments":"to bob@b.de"}]}],"by":"a@b.de"}'
    taken_out = '{"conversations":[{"value":"A sentence.\\nmail bob@b.de"},{"value":"x@b.de"}],"n":1e400}'
    rows = change("hi", "A sentence.", record=[beside, taken_out])
    assert [row["record"] for row in rows] == [
        '{"messages":[{"role":"user","content":"hi","tool_calls":[{"arguments":"to <EMAIL>"}]}],"by":"<EMAIL>"}',
        '{"conversations":[{"value":"A sentence.\\nmail <EMAIL>"},{"value":"<EMAIL>"}],"n":1e400}',
    ]
    assert [row["found"] for row in rows] == [0, 0]
    assert [row["record"] for row in change("hi", "A sentence.", record=[beside, taken_out], mask="none")] == [beside, taken_out]
