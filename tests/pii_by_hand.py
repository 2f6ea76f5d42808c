"""What text.pii finds, by the definition that `d4a stages text.pii` prints, in regular expressions and plain Python."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from d4a.modalities.text.pii_forms import FORMS
from d4a.modalities.text.pii_kernel import KINDS

WORD = "[A-Za-z0-9_]"
MASK = r"<(?:SECRET|IBAN|CARD|IP|EMAIL|PHONE)>|\|\|\|"
JOINED = f"(?:{WORD}|{MASK})"
LETTER = "[A-Za-z_]"
FOREIGN = "À-ÖØ-öø-ɏͰ-ԯ"


def ends_in(text: str, pattern: str) -> bool:
    return re.search(f"(?:{pattern})\\Z", text, re.ASCII) is not None


def begins_with(text: str, pattern: str) -> bool:
    return re.match(f"(?:{pattern})", text, re.ASCII) is not None


PREFIXES = [
    r"A[KS]IA[A-Z0-9]{16}(?![A-Z0-9])",
    r"gh[oprsu]_([A-Za-z0-9]{36,255}+)(?![A-Za-z0-9])",
    r"github_pat_([A-Za-z0-9_]{82}+)(?![A-Za-z0-9_])",
    r"glpat-([A-Za-z0-9_-]{20,}+)",
    r"xox[abeoprs]-(?=[A-Za-z-]*[0-9])([A-Za-z0-9-]{20,}+)",
    r"AIza([A-Za-z0-9_-]{35}+)(?![A-Za-z0-9_-])",
    r"(?:sk|pypi)-(?=[\w-]*[0-9])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?:(?<=sk-)[\w-]{32,}+|(?<=pypi-)[\w-]{50,}+)",
    r"[sr]k_(?:live|test)_([A-Za-z0-9]{16,247}+)(?![A-Za-z0-9])",
    r"npm_([A-Za-z0-9]{36}+)(?![A-Za-z0-9])",
    r"hf_([A-Za-z0-9]{34}+)(?![A-Za-z0-9])",
    r"eyJ[\w-]{10,}+\.eyJ[\w-]{10,}+\.[\w-]{10,}+",
]
SECRET = re.compile("|".join(f"(?:{p})" for p in PREFIXES), re.ASCII)
KEY_LINE = re.compile(r"-----(BEGIN|END) (?=[A-Z0-9 ]{0,34}-----)[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")


def secrets(text: str) -> Iterator[tuple[int, int]]:
    for at in range(len(text)):
        match = SECRET.match(text, at)
        if match and (not ends_in(text[:at], r"[A-Za-z0-9_-]") or text[:at].endswith("-----")):
            yield match.span()
    begin = None
    for at in range(len(text)):
        line = KEY_LINE.match(text, at)
        if line and line[1] == "BEGIN":
            begin = line
        elif line:
            if begin and 64 <= len(text[begin.end() : line.start()].encode()) <= 32_768:
                yield begin.start(), line.end()
            begin = None


def ibans(text: str) -> Iterator[tuple[int, int]]:
    lengths = {c: int(n) for n, cs in re.findall(r"(\d\d)((?: [A-Z]{2})+)(?=[;.])", FORMS["iban"]) for c in cs.split()}
    for at in range(len(text)):
        size = lengths.get(text[at : at + 2], 0)
        spaces = (size - 1) // 4 if text[at + 4 : at + 5] == " " else 0
        found = text[at : at + size + spaces]
        fours = [found[k : k + 5] for k in range(0, len(found), 5)] if spaces else []
        solid = found.replace(" ", "") if all(four[4:] in (" ", "") for four in fours) else ""
        if size and re.fullmatch(f"[A-Z]{{2}}[0-9]{{2}}[A-Z0-9]{{{size - 4}}}", solid):
            number = int("".join(str(int(c, 36)) for c in solid[4:] + solid[:4]))
            before, behind = text[:at], text[at + len(found) :]
            if number % 97 == 1 and not ends_in(before, JOINED) and not begins_with(behind, JOINED):
                yield at, at + len(found)


def luhn(number: str) -> bool:
    digits = [int(c) for c in reversed(number)]
    return sum(digits[::2] + [sum(divmod(2 * d, 10)) for d in digits[1::2]]) % 10 == 0


def issued(number: str) -> bool:
    n, four = len(number), int(number[:4])
    return (
        (number[0] == "4" and n in (13, 16, 19))
        or ((51 <= four // 100 <= 55 or 2221 <= four <= 2720) and n == 16)
        or (four // 100 in (34, 37) and n == 15)
        or ((300 <= four // 10 <= 305 or four == 3095 or four // 100 in (36, 38, 39)) and n == 14)
        or ((2200 <= four <= 2204 or 3528 <= four <= 3589 or four == 6011 or 644 <= four // 10 <= 659 or four // 100 == 62) and n >= 16)
    )


CARD = [
    re.compile(form + r"(?![0-9])", re.ASCII)
    for form in (
        r"\d{13,19}",
        r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}\1\d{3}",
        r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}",
        r"\d{4}([ -])\d{6}\1\d{5}",
        r"\d{4}([ -])\d{6}\1\d{4}",
    )
]


def cards(text: str) -> Iterator[tuple[int, int]]:
    for run in re.finditer("[0-9]+", text):
        at = run.start()
        for form in CARD:
            match = form.match(text, at)
            number = re.sub("[ -]", "", match[0]) if match else ""
            if match and issued(number) and luhn(number):
                before, behind = text[:at], text[match.end() :]
                if not ends_in(before, rf"{JOINED}-?|\.") and not begins_with(behind, rf"-?{JOINED}|\.[0-9]"):
                    yield match.span()
                break


_SPECIAL4 = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16
198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3
"""
SPECIAL4 = [ipaddress.ip_network(net) for net in _SPECIAL4.split()]
RESERVED6 = [ipaddress.ip_network(n) for n in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
LOCAL6 = [ipaddress.ip_network(n) for n in ("::1/128", "fc00::/7", "fe80::/10", "ff00::/8")]


def addresses(text: str, private: bool) -> Iterator[tuple[int, int]]:
    for match in re.finditer(r"(?<![0-9])[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(?=\D|\Z)", text, re.ASCII):
        yield from four_numbers(text, *match.span(), private)
    for match in re.finditer(r"(?<![0-9])(?=([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+))", text, re.ASCII):
        yield from four_numbers(text, *match.span(1), private)
    for at in range(len(text)):
        run = re.compile("[0-9A-Fa-f:]+").match(text, at)
        if run is None or ends_in(text[:at], rf"{JOINED}|[.:]"):
            continue
        found = run[0][:-1] if re.search("[^:]:$", run[0]) else run[0]
        behind = text[run.end() :]
        if begins_with(behind, rf"{JOINED}|\.[0-9]") or begins_with(text[at + len(found) :], rf"{JOINED}|\.[0-9]"):
            continue
        try:
            address = ipaddress.IPv6Address(found)
        except ValueError:
            continue
        special = any(address in net for net in RESERVED6)
        if found != "::1" and address == ipaddress.IPv6Address("::1"):
            continue  # only in its usual form
        personal = address in ipaddress.ip_network("2000::/3") and not special
        if personal or (private and (special or any(address in net for net in LOCAL6))):
            yield at, at + len(found)


def four_numbers(text: str, start: int, end: int, private: bool) -> Iterator[tuple[int, int]]:
    before, behind = text[:start], text[end:]
    if ends_in(before, rf"{JOINED}|\.|(?:{LETTER}|{MASK})-") or begins_with(behind, rf"{JOINED}|\.[0-9]|-(?:{LETTER}|{MASK})"):
        return
    try:
        address = ipaddress.IPv4Address(text[start:end])
    except ValueError:
        return
    special = any(address in net for net in SPECIAL4)
    if private if special else any(int(n) >= 32 for n in text[start:end].split(".")):
        yield start, end


LOCAL = re.compile(rf"[A-Za-z0-9._%+{FOREIGN}-]+\Z")
LABEL = f"[A-Za-z0-9{FOREIGN}](?:[A-Za-z0-9{FOREIGN}-]*[A-Za-z0-9{FOREIGN}])?"
ENDINGS = re.search(r"It is none of (.*)\.", FORMS["email"])[1].replace(" ", "|")
TOP = [
    re.compile(rf"(?:{LABEL}\.)+(?!(?i:{ENDINGS})\Z)[A-Za-z]{{2,24}}"),
    re.compile(rf"(?:{LABEL}\.)+[{FOREIGN}]{{2,24}}"),
    re.compile(rf"(?:{LABEL}\.)+[Xx][Nn]--[A-Za-z0-9-]{{1,58}}[A-Za-z0-9]"),
]
FOLLOWS = [re.compile("[A-Za-z0-9]"), re.compile(f"[A-Za-z0-9{FOREIGN}]"), re.compile(f"[A-Za-z0-9{FOREIGN}-]")]


def emails(text: str) -> Iterator[tuple[int, int]]:
    for at in (k for k, c in enumerate(text) if c == "@"):
        local = LOCAL.search(text[:at])
        if local is None or local[0].endswith("."):
            continue
        name = re.sub(rf"^[^A-Za-z0-9_{FOREIGN}]+", "", local[0].rpartition("..")[2])
        run = re.match(f"[A-Za-z0-9.{FOREIGN}-]*", text[at + 1 :])[0]
        for size in range(len(run), 2, -1):
            behind = text[at + 1 + size : at + 2 + size]
            fits = [top.fullmatch(run[:size]) and not follows.match(behind) for top, follows in zip(TOP, FOLLOWS, strict=True)]
            if name and any(fits):
                yield at - len(name), at + 1 + size
                break


INTERNATIONAL = re.compile(
    r"\+(?!0|28|83|89)[0-9]+(?![A-Za-z_])((?:(?:[ ./-]?\([0-9]{1,5}\)[ ./-]?|[ ./-])[0-9]+(?![0-9A-Za-z_]))*)", re.ASCII
)
GROUP = re.compile(r"(?:[ ./-]?\([0-9]{1,5}\)[ ./-]?|[ ./-])[0-9]+", re.ASCII)
AREA, EXCHANGE = "[2-9](?!11)[0-8][0-9]", "[2-9](?!11)[0-9][0-9]"
NATIONAL = [
    rf"(?:1[-.])?{AREA}([-.]){EXCHANGE}\1[0-9]{{4}}",
    rf"\({AREA}\) ?{EXCHANGE}-[0-9]{{4}}",
    r"0(?=[0-9-]{11,13}(?![0-9]))[1-9][0-9]{0,3}-[0-9]{2,4}-[0-9]{4}",
    r"0(?=(?:[0-9][/-]?){9,11}(?![0-9]))[1-9][0-9]{1,3}[/-][0-9]{6,8}",
    r"0[1-9](?: [0-9]{2}){4}(?! [0-9])",
    r"0[1-9](?:\.[0-9]{2}){4}(?!\.[0-9])",
    r"1[3-9][0-9]([ -])[0-9]{4}\1[0-9]{4}",
    r"1[3-9][0-9]{9}",
]


def phones(text: str) -> Iterator[tuple[int, int]]:
    for at in range(len(text)):
        match = INTERNATIONAL.match(text, at)
        if match:
            ends = [match.start(1), *(match.start(1) + g.end() for g in GROUP.finditer(match[1]))]
            fitting = [end for end in ends if 8 <= sum(map(str.isdigit, text[at:end])) <= 15]
            if fitting and free(text, at, fitting[-1]):
                yield at, fitting[-1]
        for k, form in enumerate(NATIONAL):
            match = re.compile(form + "(?![0-9])", re.ASCII).match(text, at)
            if match is None or not free(text, *match.span()):
                continue
            digits = sum(map(str.isdigit, match[0]))
            if (k == 2 and not 9 <= digits <= 11) or (k == 3 and not 10 <= digits <= 12):
                continue
            if k in (4, 5) and ends_in(text[:at], r"[0-9] " if k == 4 else r"[0-9]\."):
                continue
            lead = re.sub(":?\\Z", "", re.sub(" \\Z", "", text[:at]))
            if k == 7 and not (lead[-1:] > "\x7f" or text[match.end() : match.end() + 1] > "\x7f"):
                continue
            yield match.span()


def free(text: str, start: int, end: int) -> bool:
    lead = start == 0 or text[start - 1] > "\x7f" or text[start - 1] in "\t\n\r ([{<>\"',;:|"
    return lead and not ends_in(text[:start], JOINED) and not begins_with(text[end:], rf"[-./:,_@=+%]?{JOINED}")


def by_hand(text: str, kinds: tuple[str, ...] = KINDS, private: bool = False) -> list[tuple[int, int, str]]:
    """(start, end, kind) of the finds, by the definition that `d4a stages text.pii` prints."""
    forms = {"secret": secrets, "iban": ibans, "card": cards, "ip": lambda t: addresses(t, private), "email": emails, "phone": phones}
    candidates = sorted({(start, -end, KINDS.index(kind)) for kind in kinds for start, end in forms[kind](text)})
    found: list[tuple[int, int, str]] = []
    for start, minus_end, kind in candidates:
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], -minus_end), found[-1][2])
        else:
            found.append((start, -minus_end, KINDS[kind]))
    return found
