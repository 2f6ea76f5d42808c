"""Addresses and numbers: IP, payment cards, IBAN. Each part verifies one place and gives the place behind the find, or 0.

What the registries say is written down here: IANA's special-purpose ranges, issuers of cards, lengths of IBANs.
"""

from __future__ import annotations

import numpy as np

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes
from .pii_borders import CLASS, DIGIT, HEX, UPPER, Flag, Int, digits_from, is_digit

# country -> characters of its IBANs (ISO 13616, SWIFT's registry)
IBAN_LENGTHS = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_LENGTHS = np.zeros(26 * 26, np.int64)
for _length, _countries in IBAN_LENGTHS.items():
    for _country in _countries.split():
        _LENGTHS[(ord(_country[0]) - 65) * 26 + ord(_country[1]) - 65] = _length

_0, _A, _SPACE, _DASH, _COLON, _DOT = (ord(c) for c in "0A -:.")
_VERSION_PARTS = 32  # four numbers below it are a version or a section far more often than an address


# --------------------------------------------------------------------------------------------- addresses


@lean
def ipv4(data: Bytes, i: Int, end: Int, private: Flag) -> Int:
    """Behind the IPv4 address at i."""
    address, low, j = 0, True, i
    for k in range(4):
        behind = digits_from(data, j, min(end, j + 4))
        if behind == j or behind > j + 3 or (behind > j + 1 and data[j] == _0):
            return 0
        number = 0
        while j < behind:
            number = number * 10 + data[j] - _0
            j += 1
        if number > 255:
            return 0
        address = address << 8 | number
        low = low and number < _VERSION_PARTS
        if k < 3:
            if j >= end or data[j] != _DOT:
                return 0
            j += 1
    if _is_special4(address):
        return j if private else 0
    return 0 if low else j


@lean
def _is_special4(address: Int) -> Flag:
    """In a range that names no one: private, loopback, documentation, multicast and what else IANA reserves."""
    a, ab, abc = address >> 24, address >> 16, address >> 8
    return (
        a == 0
        or a == 10
        or a == 127
        or a >= 224
        or ab & 0xFFC0 == 0x6440  # 100.64/10
        or ab == 0xA9FE  # 169.254/16
        or ab & 0xFFF0 == 0xAC10  # 172.16/12
        or ab == 0xC0A8  # 192.168/16
        or ab & 0xFFFE == 0xC612  # 198.18/15
        or abc == 0xC00000  # 192.0.0/24
        or abc == 0xC00002  # 192.0.2/24
        or abc == 0xC63364  # 198.51.100/24
        or abc == 0xCB0071  # 203.0.113/24
    )


@lean
def ipv6(data: Bytes, i: Int, end: Int, private: Flag) -> Int:
    """Behind the IPv6 address at i, in RFC 4291's form without a dotted tail."""
    j = i
    while j < end and j < i + 41 and (CLASS[data[j]] & HEX or data[j] == _COLON):
        j += 1
    if j - i >= 2 and data[j - 1] == _COLON and data[j - 2] != _COLON:
        j -= 1  # punctuation
    groups, gaps, head = _groups(data, i, j)
    if not ((gaps == 0 and groups == 8) or (gaps == 1 and groups < 8)):
        return 0
    a, b = head >> 16, head & 0xFFFF
    reserved = (a == 0x2001 and (b < 0x200 or b == 0xDB8)) or a == 0x2002 or (a == 0x3FFF and b < 0x1000)
    if a & 0xE000 == 0x2000 and not reserved:
        return j
    loopback = j - i == 3 and data[i] == _COLON and data[i + 2] == _0 + 1
    if private and (reserved or loopback or a & 0xFE00 == 0xFC00 or a & 0xFFC0 == 0xFE80 or a & 0xFF00 == 0xFF00):
        return j
    return 0


@lean
def _groups(data: Bytes, i: Int, end: Int) -> tuple[Int, Int, Int]:
    """(groups, double colons, first 32 bits) of a text of hexadecimal digits and colons; (0, 9, 0) where it is no address."""
    groups, gaps = 0, 0
    head: Int = 0
    before_gap = -1
    j = i
    while j < end:
        if data[j] == _COLON:
            if j + 1 < end and data[j + 1] == _COLON:
                gaps += 1
                before_gap = groups
                j += 2
            elif j == i:
                return 0, 9, 0
            else:
                j += 1
            if j < end and data[j] == _COLON:
                return 0, 9, 0
            continue
        number: Int = 0
        size = 0
        while j < end and data[j] != _COLON:
            digit = np.int64(data[j] | 0x20)
            number = number << 4 | (digit - _0 if digit <= _0 + 9 else digit - 87)
            size += 1
            j += 1
            if size > 4:
                return 0, 9, 0
        if groups < 2 and before_gap < 0:
            head |= number << (16 - 16 * groups)
        groups += 1
    return groups, gaps, head


# ------------------------------------------------------------------------------------------------ cards


@lean
def card(data: Bytes, i: Int, end: Int) -> Int:
    """Behind the card number at i, which begins a run of digits."""
    size = digits_from(data, i, min(end, i + 20)) - i
    if 13 <= size <= 19:
        return _checked_card(data, i, i + size, size)
    if size != 4 or i + 4 >= end or (data[i + 4] != _SPACE and data[i + 4] != _DASH):
        return 0
    b = _next_group(data, i + 4, end, data[i + 4])
    if b - i == 9:
        c = _next_group(data, b, end, data[i + 4])
        d = _next_group(data, c, end, data[i + 4])
        if c - i != 14 or d - i != 19:
            return 0
        e = _next_group(data, d, end, data[i + 4])
        found = _checked_card(data, i, e, 19) if e - i == 23 else 0
        return found if found else _checked_card(data, i, d, 16)
    if b - i == 11:
        c = _next_group(data, b, end, data[i + 4])
        if c - i == 17 or c - i == 16:
            return _checked_card(data, i, c, c - i - 2)
    return 0


@lean
def _next_group(data: Bytes, i: Int, end: Int, separator: np.uint8) -> Int:
    """Behind the digits that follow the separator at i; i where there are none."""
    if i == 0 or i >= end or data[i] != separator or not is_digit(data, i + 1, end):
        return i
    return digits_from(data, i + 1, min(end, i + 8))


@lean
def _checked_card(data: Bytes, i: Int, j: Int, size: Int) -> Int:
    """j, where issuer and Luhn's sum are right."""
    head: Int = 0
    for k in range(4):
        head = head * 10 + data[i + k] - _0
    if not _is_issued(head, size):
        return 0
    total: Int = 0
    double = False
    at: Int = j
    while at > i:
        at -= 1
        if CLASS[data[at]] & DIGIT:
            digit = np.int64(data[at]) - _0
            if double:
                digit = digit * 2 - 9 if digit > 4 else digit * 2
            total += digit
            double = not double
    return j if total % 10 == 0 else 0


@lean
def _is_issued(head: Int, size: Int) -> Flag:
    """Whether cards of an issuer begin with these four digits and are so long."""
    if size == 15:
        return head // 100 == 34 or head // 100 == 37
    if size == 14:
        return 3000 <= head <= 3059 or head == 3095 or head // 100 == 36 or head // 100 == 38 or head // 100 == 39
    if head // 1000 == 4:
        return size == 13 or size == 16 or size == 19
    if size < 16:
        return False
    if size == 16 and (5100 <= head <= 5599 or 2221 <= head <= 2720):
        return True
    return 2200 <= head <= 2204 or 3528 <= head <= 3589 or head == 6011 or 6440 <= head <= 6599 or head // 100 == 62


# ------------------------------------------------------------------------------------------------- IBAN


@lean
def iban(data: Bytes, i: Int, first: Int, end: Int) -> Int:
    """Behind the IBAN at i: two capitals, two digits, the account; solid, or in fours with single spaces."""
    if i < first or i + 5 > end or not (CLASS[data[i]] & UPPER and CLASS[data[i + 1]] & UPPER):
        return 0
    length = _LENGTHS[(np.int64(data[i]) - _A) * 26 + np.int64(data[i + 1]) - _A]
    if length == 0 or not (CLASS[data[i + 2]] & DIGIT and CLASS[data[i + 3]] & DIGIT):
        return 0
    spaced = data[i + 4] == _SPACE
    head: Int = 0
    rest: Int = 0
    j = i
    for k in range(length):
        if spaced and k and k % 4 == 0:
            if j >= end or data[j] != _SPACE:
                return 0
            j += 1
        if j >= end or not CLASS[data[j]] & (DIGIT | UPPER):
            return 0
        c = np.int64(data[j])
        j += 1
        digit = CLASS[c] & DIGIT != 0
        value = c - _0 if digit else c - _A + 10
        if k < 4:
            head = head * (10 if digit else 100) + value
        else:
            rest = (rest * (10 if digit else 100) + value) % 97
    whole = (rest * 1_000_000 + head) % 97  # country and check digits go behind: two letters and two digits are six
    return j if whole == 1 else 0
