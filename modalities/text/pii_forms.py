"""What a find of each kind is, in words exact enough to write it anew: `d4a stages text.pii` prints them."""

from __future__ import annotations

from .pii_numbers import IBAN_LENGTHS
from .pii_words import FILE_ENDINGS

_SECRET = """
Secrets found. A, prefixed tokens: the prefix and all characters of a set behind it, their number within limits, and before it
no letter, digit, _ or -, unless it is five dashes. AKIA or ASIA and 16 of A-Z and 0-9 (AWS); ghp_ gho_ ghu_ ghs_ ghr_ and 36 to
255 letters or digits, github_pat_ and 82 of those or _ (GitHub); glpat- and 20 or more of letters, digits, _ and - (GitLab);
xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- and 20 or more of letters, digits and -, a digit among them (Slack); AIza and 35 of
letters, digits, _ and - (Google); sk- and 32 or more of these, a small letter, a capital and a digit among them (OpenAI,
Anthropic); sk_live_ sk_test_ rk_live_ rk_test_ and 16 to 247 letters or digits (Stripe); npm_ and 36 letters or digits; pypi-
and 50 or more of letters, digits, _ and -, mixed as behind sk-; hf_ and 34 letters or digits (Hugging Face). B, JSON Web Tokens:
eyJ and 10 or more of
letters, digits, _ and -, a dot, the same again, a dot, and 10 or more of these characters; before it as in A. C, private keys:
from a line of five dashes, `BEGIN `, at most 34 capitals, digits and spaces that end in `PRIVATE KEY` or `PRIVATE KEY BLOCK`,
and five dashes, through the next such line, which has `END ` in place of `BEGIN `, with 64 to 32,768 bytes between them.
Assignments such as password = "…" are not looked for: in manuals all of them are examples.
"""
_IBAN = f"""
IBANs found (ISO 13616). A country of the registry, two digits, and capitals or digits, together as long as the country's
IBANs are; solid, or in fours with one space between; the first four characters put last and letters read as 10 to 35, the
remainder by 97 is 1; no letter, digit or _ beside it. Lengths:
{"; ".join(f"{size} {countries}" for size, countries in IBAN_LENGTHS.items())}.
"""
_CARD = """
Numbers of payment cards found (ISO 7812). 13 to 19 digits in a row, or groups of 4-4-4-4-3, 4-4-4-4, 4-6-5 or 4-6-4 digits, the
longer where two fit, with the same separator, a space or a dash; Luhn's sum is right; the first digits and the length are an
issuer's: 4 (13, 16 and 19 digits), 51 to 55 and 2221 to 2720 (16), 34 and 37 (15), 300 to 305, 3095, 36, 38 and 39 (14), 2200 to
2204, 3528 to 3589, 6011, 644 to 659 and 62 (16 to 19). Beside it no letter, digit or _, nor one beyond a dash; before it no
dot, behind it no dot with a digit.
"""
_IP = """
IP addresses found. IPv4: four numbers from 0 to 255 with dots, without leading zeros, that are not all below 32, as versions
and sections are; beside it no letter, digit or _, and no letter or _ beyond a dash; before it no dot, behind it no dot
with a digit. Not personal: 0/8, 10/8, 100.64/10, 127/8, 169.254/16, 172.16/12, 192.0.0/24, 192.0.2/24, 192.168/16, 198.18/15,
198.51.100/24, 203.0.113/24 and 224/3 (IANA). IPv6: all of 0-9, a-f, A-F and : in a row, without a colon at the end that follows
no other colon, is eight groups of one to four digits, or fewer with one `::`; before it no letter, digit, _, dot or colon,
behind it no letter, digit or _ and no dot with a digit; a dotted tail is an IPv4 address. Personal is 2000::/3 but for
2001::/23, 2001:db8::/32, 2002::/16 and 3fff::/20. `private_ips` adds these four, ::1, fc00::/7, fe80::/10 and ff00::/8, and the
IPv4 ranges that are not personal, there also addresses of numbers below 32.
"""
_EMAIL = f"""
E-mail addresses found. Before the @ all letters, digits and . _ % + - in a row that hold no two dots in a row, from the first
letter, digit or _ among them, and no dot last. Behind it the longest domain: two or more labels of letters, digits and inner
dashes with dots between; the last label is 2 to 24 letters, or xn-- and 2 to 59 letters, digits and dashes, and no letter or
digit of its alphabet follows. Letters on both sides are also U+00C0 to U+024F but × and ÷, and U+0370 to U+052F, so that
accented, Greek and Cyrillic addresses are found whole; a last label has either these or ASCII letters. It is none of
{" ".join(FILE_ENDINGS)}.
"""
_PHONE = """
Telephone numbers found. International: + and groups of digits, as many as make together 8 to 15 digits, no letter, digit or _ at
a group's end; the first does not begin with 0, 28, 83 or 89; between two groups stands one of space . - /, or 1 to 5 digits in
brackets, which count, with one of these or nothing on each side. National: NXX-NXX-XXXX and NXX.NXX.XXXX, with 1- or 1. before it or
not, and (NXX) NXX-XXXX, with the space or not: N is 2 to 9, the second digit of the first group not 9, and neither of the first
two groups ends in 11. 0 and more digits in three groups with dashes, of 2 to 5, 2 to 4 and 4 digits, together 9 to 11, or in two
groups with a dash or slash, of 3 to 5 and 6 to 8, together 10 to 12, the second digit of all not 0; 0X XX XX XX XX, X in the first not
0, with spaces or with dots and no digit beyond one more of these on either side. 1, then 3 to 9 and nine digits (China), 3-4-4
with spaces or with dashes, or solid where the next character, or the last one but for a space and a colon before that, is not
ASCII. Before it stands nothing, a character that is not ASCII, a space, tab or line end, or one of ( [ { < > " ' , ; : |, but no
mask; behind it no letter, digit or _, nor one beyond one of - . / : , _ @ = + %.
"""
FORMS = {
    kind: " ".join(text.split())
    for kind, text in (("secret", _SECRET), ("iban", _IBAN), ("card", _CARD), ("ip", _IP), ("email", _EMAIL), ("phone", _PHONE))
}
