"""HTML by construction: a plain string becomes text, only `tag` makes markup.

Everything that comes from data passes through here once, so nothing can be escaped twice or not at all. A template
engine would be a dependency for one page, and its filters can be forgotten.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "img", "wbr"})
_BIDI = {
    0x202A: "LRE",
    0x202B: "RLE",
    0x202C: "PDF",
    0x202D: "LRO",
    0x202E: "RLO",
    0x2066: "LRI",
    0x2067: "RLI",
    0x2068: "FSI",
    0x2069: "PDI",
}
# control characters as their pictures, text-direction overrides by name: a name cannot pretend to be another one
_VISIBLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\u2421",
    **dict.fromkeys((*range(128, 160), *range(55296, 57344), 65534, 65535), "�"),
    **{code: f"\u27e8{name}\u27e9" for code, name in _BIDI.items()},
    0x2028: "\u240a",
    0x2029: "\u240a",
}
_VISIBLE_LINES = {**_VISIBLE, 0x0A: "\n", 0x09: "\t", 0x0D: "\n", 0x2028: "\n", 0x2029: "\n"}
_IMAGES = {"image/jpeg": b"\xff\xd8", "image/png": b"\x89PNG", "image/webp": b"RIFF"}


class Html(str):
    """Markup that is safe as it is; made here only."""

    __slots__ = ()


def tag(element: str, /, *children: str, **attributes: str | float | None) -> Html:
    """An element. Children that are not Html are escaped; `class_` is `class`, `aria_label` is `aria-label`; None leaves it out."""
    written = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(visible(str(value)))}"' for key, value in attributes.items() if value is not None
    )
    head = f"<{element}{''.join(written)}>"
    return Html(head) if element in _VOID else Html(f"{head}{join(children)}</{element}>")


def join(parts: Iterable[str]) -> Html:
    """Fragments one behind the other."""
    return Html("".join(part if isinstance(part, Html) else escape(visible(part)) for part in parts))


def visible(text: str) -> str:
    """Text on one line without a character that hides, moves or overprints others."""
    return text.translate(_VISIBLE)


def clip(text: str, most: int) -> str:
    """The text, or its beginning and end: names differ at both. Between them stands the length of one that is very long."""
    if len(text) <= most:
        return text
    middle = "…" if len(text) < 4 * most else f" … ({len(text):,} characters) … "
    rest = max(most - len(middle), 2)
    return text[: rest - rest // 2] + middle + text[-(rest // 2) :]


def name(text: str, most: int = 96, **attributes: str | float | None) -> Html:
    """A key, path or label from the data: in type of its own and in its own direction."""
    parts = clip(text, most).split("/")
    broken = join(fragment for part in parts[:-1] for fragment in (f"{part}/", tag("wbr")))
    return tag("bdi", broken, parts[-1], **{"class_": "name", **attributes})


def lines(text: str) -> Html:
    """Running text from the data; its line breaks and tabs stay."""
    return Html(escape(text.translate(_VISIBLE_LINES)))


def prose(text: str, most: int) -> Html:
    """A stage's own words; what stands between back quotes is code."""
    pieces = clip(text, most).split("`")
    return join(tag("code", piece) if index % 2 else piece for index, piece in enumerate(pieces))


def picture(media_type: str, data: bytes, description: str) -> Html | None:
    """An image inside the page; None for what is no JPEG, PNG or WebP."""
    if not data.startswith(_IMAGES.get(media_type, b"\0none")):
        return None
    return tag("img", src=f"data:{media_type};base64,{b64encode(data).decode()}", alt=clip(description, 120), loading="lazy")
