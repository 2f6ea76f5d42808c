"""text.url: which host a text comes from, and whether lists of domains, addresses and words speak against it.

No list comes with d4a: lists are the user's choice, in files that the recipe names. What a host is follows WHATWG's URL
standard as far as look-ups need it; nothing is resolved, decoded or fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...curator.columns import Bytes, Offsets, buffers
from ...curator.options import Options, data_file, judge
from ...curator.stage import Bools, Columns, Facts, Filter, Ints, Judgement, Machine, Rule, Value
from .url_kernel import HARD, LISTED_ADDRESS, NOT_LISTED, SOFT, STRICT, Parts, Words, look_up, score, split
from .url_lists import Entries, digest_of, load_entries, load_words

_WORD_LISTS = ("strict_words", "hard_words", "soft_words")
_LISTS = "A file, or files and folders: one domain or address a line, # begins a comment, gzip or not; of a folder all files `domains` and"

_WORDS = "A file, one word a line, # begins a comment line, gzip or not"
_SHOWN = 200  # characters of an address in the ledger


class UrlOptions(Options):
    """Lists, and how much of what they name an address may have."""

    blocklist: str | tuple[str, ...] | None = data_file(
        None, f"{_LISTS} `urls` in it and below, as UT1's lists come. RefinedWeb blocks 4.6 million domains of UT1.", min_length=1
    )
    allowlist: str | tuple[str, ...] | None = data_file(
        None, f"{_LISTS} `urls`. What it names is not dropped for any other list.", min_length=1
    )
    strict_words: str | None = data_file(None, f"{_WORDS}: looked for anywhere in an address (RefinedWeb).")
    hard_words: str | None = data_file(None, f"{_WORDS}: looked for as whole words of an address (RefinedWeb).")
    soft_words: str | None = data_file(None, f"{_WORDS}: as hard_words, where one word alone means little (RefinedWeb).")
    max_strict: int | None = judge(0, "Most strict words that an address may have; null: no limit. RefinedWeb: 0.", ge=0)
    max_hard: int | None = judge(0, "Most hard words that an address may have; null: no limit. RefinedWeb: 0.", ge=0)
    max_soft: int | None = judge(1, "Most soft words that an address may have; null: no limit. RefinedWeb drops at two words: 1.", ge=0)
    drop_malformed: bool = judge(False, "Also drop texts whose address has no host that can be read.")


class Url(Filter):
    """Name the host of each text's address, and drop what lists of domains, addresses and words name.

    Looked at is the `url` of a record, from the field that the source's `url_field` names; a record without one, or with an empty one,
    is kept, and its values are null. Reasons, in this order: malformed_url (with drop_malformed), blocked_domain and blocked_url (on
    blocklist), strict_word, hard_word and soft_words (more of these than max_strict, max_hard and max_soft). What is on allowlist is
    dropped only as malformed. The ledger's detail is the entry or the words, of malformed_url the address. Without lists only the host
    is measured.

    The host: white space and control characters around the address go, and all from # on. Behind `scheme://`, or `//`, or at the begin
    where neither stands, all before the first / ? or \\ is taken; what is before the last @ in it goes, and so do a colon with digits
    and one dot at the end. ASCII letters are made small; other characters, punycode and IP addresses stay as they are, IPv6
    with its brackets. Malformed is a host that is empty, longer than 253 bytes, has an empty label, a control character, a space or one
    of " # % * / : < > ? @ [ \\ ] ^ ` { | }, a port that is no number, and without a scheme an @ or an empty port.

    An entry of a list is an address where it has a path or a query, else a domain. Before a domain `*.` and dots may stand. A domain
    names itself and all below it; IP addresses name themselves. An address names what has the same host, but for `www.` at its
    begin, and the same path and query, but for a / at the end. Lines without a host are passed over.

    Words are compared with ASCII letters made small. A whole word is a run of ASCII letters, ASCII digits and characters that are not
    ASCII; what else a hard or soft entry has is taken out of it. For strict words dots and dashes are taken out of address and entry:
    `sub-wo.rd` has `subword`. The whole address is looked at, scheme and all; a word counts once.
    """

    name: ClassVar[str] = "text.url"
    version: ClassVar[int] = 2
    Options: ClassVar[type[Options]] = UrlOptions
    values: ClassVar[tuple[Value, ...]] = (
        Value("domain", pa.string(), "The host; null without an address, or where it is malformed."),
        Value("malformed", pa.bool_(), "Whether there is an address without a host that can be read; null without an address."),
        Value("malformed_url", pa.string(), f"The address where it is malformed, its first {_SHOWN} characters; else null."),
        Value(
            "blocked", pa.string(), "The longest domain of blocklist that the host is or lies below, else its address there; null: none."
        ),
        Value("allowed", pa.string(), "The same of allowlist."),
        Value("strict", pa.int64(), "Different words of strict_words in the address; null without address or list."),
        Value("hard", pa.int64(), "Different words of hard_words in the address; null without address or list."),
        Value("soft", pa.int64(), "Different words of soft_words in the address; null without address or list."),
        *(Value(name, pa.string(), f"The words of {name} found, in order of their first ends; null: none.") for name in _WORD_LISTS),
    )
    options: UrlOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._blocked: Entries | None = None
        self._allowed: Entries | None = None
        self._words: Words | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The address."""
        return ("url",)

    def _paths(self, option: str) -> tuple[str, ...]:
        given = getattr(self.options, option)
        return () if given is None else (given,) if isinstance(given, str) else tuple(given)

    def prepare(self, machine: Machine) -> Facts:
        """The digests of all lists. Raises UsageError where one cannot be read or has nothing in it."""
        digests = {
            f"{option}_sha256": digest_of(option, paths)
            for option in ("blocklist", "allowlist", *_WORD_LISTS)
            if (paths := self._paths(option))
        }
        self.open(Facts(files=digests))
        return Facts(files=digests)

    def open(self, facts: Facts) -> None:
        """Load the lists. Raises MachineError where one is no longer what was planned with."""
        if paths := self._paths("blocklist"):
            self._blocked = load_entries("blocklist", paths, facts.files["blocklist_sha256"])
        if paths := self._paths("allowlist"):
            self._allowed = load_entries("allowlist", paths, facts.files["allowlist_sha256"])
        words = tuple(getattr(self.options, option) for option in _WORD_LISTS)
        if any(words):
            self._words = load_words(words, tuple(facts.files.get(f"{option}_sha256", "") for option in _WORD_LISTS))

    def measure(self, batch: pa.RecordBatch) -> Columns:
        """Host, entries and words of each address; null where there is none."""
        url = batch.column("url")
        offsets, data = buffers(url)
        parts = split(data, offsets)
        known = url.is_valid().to_numpy(zero_copy_only=False) & (np.diff(offsets) > 0)
        named = np.diff(parts.offsets) > 0
        malformed = pc.if_else(pa.array(known & ~named), url, pa.scalar(None, url.type))
        hosts = pa.Array.from_buffers(pa.string(), len(url), [None, pa.py_buffer(parts.offsets), pa.py_buffer(parts.hosts)])
        return {
            "domain": pc.if_else(pa.array(named), hosts, pa.scalar(None, pa.string())),
            "malformed": pa.array(~named, mask=~known),
            "malformed_url": pc.utf8_slice_codeunits(malformed, 0, _SHOWN).cast(pa.string()),
            "blocked": _entries(parts, data, hosts, self._blocked),
            "allowed": _entries(parts, data, hosts, self._allowed),
            **self._score(data, offsets, known),
        }

    def _score(self, data: Bytes, offsets: Offsets, known: Bools) -> Columns:
        n = len(known)
        columns: Columns = {name: pa.nulls(n, pa.int64()) for name in ("strict", "hard", "soft")}
        columns.update({name: pa.nulls(n, pa.string()) for name in _WORD_LISTS})
        if self._words is None:
            return columns
        counts, hits = score(data, offsets, self._words)
        for which, option in ((STRICT, "strict_words"), (HARD, "hard_words"), (SOFT, "soft_words")):
            if getattr(self.options, option) is not None:
                columns[option.removesuffix("_words")] = pa.array(counts[:, which], mask=~known)
                columns[option] = _named(hits[hits[:, 1] == which], self._words.words, n)
        return columns

    def rules(self) -> Sequence[Rule]:
        """Those for which there are words; a rule that cannot drop anything is none."""
        rules = (
            Rule("strict", "max", "max_strict", "strict_word"),
            Rule("hard", "max", "max_hard", "hard_word"),
            Rule("soft", "max", "max_soft", "soft_words"),
        )
        return [rule for rule in rules if getattr(self.options, f"{rule.value}_words") is not None]

    def judge(self, values: pa.Table) -> Judgement:
        """The reasons in their order; the detail is the entry or the words, or the address that is malformed."""
        n = values.num_rows
        verdict = Judgement.keep_all(n)
        detail = np.full(n, None, object)
        nothing = np.full(n, np.nan)
        if self.options.drop_malformed:
            malformed = values.column("malformed_url")
            self._drop(verdict, _flags(malformed.is_valid()), "malformed_url", nothing, np.nan, malformed, detail)
        judged = _flags(values.column("allowed").is_null())
        blocked = values.column("blocked")
        address = _flags(pc.match_substring_regex(blocked, "[/?]").fill_null(False))
        named = _flags(blocked.is_valid()) & judged
        self._drop(verdict, named & ~address, "blocked_domain", nothing, np.nan, blocked, detail)
        self._drop(verdict, named & address, "blocked_url", nothing, np.nan, blocked, detail)
        for rule in self.rules():
            limit = getattr(self.options, rule.option)
            if limit is not None:
                found = values.column(rule.value).cast(pa.float64()).to_numpy(zero_copy_only=False)
                with np.errstate(invalid="ignore"):
                    above = (found > limit) & judged
                self._drop(verdict, above, rule.reason, found, limit, values.column(f"{rule.value}_words"), detail)
        verdict.detail = detail
        return verdict

    @staticmethod
    def _drop(verdict: Judgement, where: Bools, reason: str, value: Any, threshold: float, why: pa.ChunkedArray, detail: Any) -> None:
        new = where & verdict.keep
        detail[new] = why.filter(pa.array(new)).to_numpy(zero_copy_only=False)
        verdict.drop(where, reason, value, threshold)


def _flags(column: pa.ChunkedArray) -> Bools:
    found: Bools = column.to_numpy()
    return found


def _entries(parts: Parts, data: Bytes, hosts: pa.Array, entries: Entries | None) -> pa.Array:
    """The entry of a list that each address meets."""
    n = len(hosts)
    if entries is None:
        return pa.nulls(n, pa.string())
    found = look_up(parts, data, entries.table, entries.addresses > 0)
    rows = np.flatnonzero(found != NOT_LISTED)
    index = np.full(n, -1, np.int64)
    index[rows] = np.arange(len(rows))
    names = [
        host.removeprefix("www.") + data[slice(*parts.rest[row])].tobytes().decode()
        if at == LISTED_ADDRESS
        else host.encode()[at:].decode()
        for row, at, host in zip(rows.tolist(), found[rows].tolist(), hosts.take(pa.array(rows)).to_pylist(), strict=True)
    ]
    return pa.array(names, pa.string()).take(pa.array(index, mask=index < 0))


def _named(hits: Ints, words: list[str], n: int) -> pa.Array:
    """(n,) string: the words that were hit, with commas between; null where none was."""
    joined: dict[int, str] = {}
    for row, _, word in hits.tolist():
        joined[row] = f"{joined[row]}, {words[word]}" if row in joined else words[word]
    index = np.full(n, -1, np.int64)
    index[list(joined)] = np.arange(len(joined))
    return pa.array(list(joined.values()), pa.string()).take(pa.array(index, mask=index < 0))
