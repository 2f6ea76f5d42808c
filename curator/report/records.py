"""Records to look at: samples of what was dropped and kept, and groups of duplicates side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .differences import CUT, mark
from .figures import count, number, plural
from .markup import Html, clip, join, lines, name, picture, tag
from .survey import TYPICAL, Group, Groups, Row

_BLANK_LINES = re.compile(r"[ \t]*[\r\n\u2028\u2029]\s*")
_SAMPLE_CHARACTERS = 320
_EXCERPT_CHARACTERS = 600
_NARROW = "\u00a0"  # keeps a sign and its number on one line
_PICTURE_BYTES = 24_000
Views = Mapping[int, Mapping[str, bytes]]


@dataclass(frozen=True)
class Gallery:
    """What the rows of one flow look like.

    views    id -> media type -> preview
    values   (stage, reason) -> name of the value that decided
    keeps    (stage, reason) -> "≥" or "≤", where the side is known
    """

    views: Views
    values: Mapping[tuple[str, str], str]
    keeps: Mapping[tuple[str, str], str]

    @property
    def has_text(self) -> bool:
        """Whether any of the rows has an excerpt."""
        return any("text/plain" in views for views in self.views.values())

    def text(self, row: Row | None) -> str | None:
        """The excerpt of a record with a text, or caption; one that was cut ends in `CUT`."""
        data = self.views.get(row["id"], {}).get("text/plain") if row else None
        if data is None:
            return None
        whole = data.decode("utf-8", "replace")
        text = _BLANK_LINES.sub("\n", whole[:_EXCERPT_CHARACTERS].strip())
        return text + CUT if len(whole) >= _EXCERPT_CHARACTERS else text

    def view(self, row: Row, characters: int = _SAMPLE_CHARACTERS) -> Html:
        """Thumbnail and excerpt of a record, whichever it has, or a line that there is none."""
        text = self.text(row)
        if text is None:
            return self.thumbnail(row) or tag("p", "no preview", class_="thumb none")
        words = excerpt(lines(text if len(text) <= characters else text[:characters].rstrip() + CUT))
        return join([self.thumbnail(row), words])

    def thumbnail(self, row: Row | None) -> Html:
        """The picture of a record, empty where it has none."""
        found = self.views.get(row["id"], {}) if row else {}
        for media_type, data in found.items():
            shown = picture(media_type, data, f"thumbnail of {clip(row['key'], 80)}") if row and len(data) <= _PICTURE_BYTES else None
            if shown is not None:
                return tag("div", shown, class_="thumb")
        return Html("")

    def decided(self, row: Row) -> Html:
        """What was measured, and against what."""
        if row["value"] is None:
            return Html("")
        key = (row["stage"], row["reason"])
        label = "similarity" if row["similarity"] is not None else self.values.get(key) or self.values.get((row["stage"], "")) or "value"
        limit = (
            ""
            if row["threshold"] is None
            else f" · {'drops from' if row['similarity'] is not None else _limit(self.keeps.get(key))}{_NARROW}{number(row['threshold'])}"
        )
        return tag("p", f"{label} ", tag("b", number(row["value"])), limit, class_="measured")


def _limit(side: str | None) -> str:
    return f"stays if {side}" if side else "threshold"


def excerpt(text: Html) -> Html:
    """A piece of running text."""
    return tag("p", text, class_="excerpt", dir="auto")


def card(row: Row, gallery: Gallery, note: str = "") -> Html:
    """One record of the samples."""
    parts = [tag("p", name(row["key"]), class_="key")]
    if row["source"] != row["key"]:
        parts.append(tag("p", name(row["source"]), class_="source"))
    parts.append(gallery.decided(row))
    if row["detail"]:
        parts.append(tag("p", clip(row["detail"], 160), class_="detail"))
    if row["twin"] is not None:
        parts.append(tag("p", "like ", name(row["twin"], 60), class_="detail"))
    if note:
        parts.append(tag("p", note, class_="flag"))
    return tag("li", gallery.view(row), *parts, class_="card")


def cards(rows: Sequence[tuple[Row, str]], gallery: Gallery) -> Html:
    """Some records beside each other."""
    return tag("ul", *(card(row, gallery, note) for row, note in rows), class_="cards")


def together(typical: Sequence[Row], closest: Sequence[Row]) -> list[tuple[Row, str]]:
    """As many rows as were drawn: some of them, and behind these the closest calls, marked as such."""
    near = {row["id"] for row in closest}
    drawn = [row for row in typical if row["id"] not in near]
    return [*((row, "") for row in drawn[: max(TYPICAL - len(near), 0)]), *((row, "closest call") for row in closest)]


# -------------------------------------------------------------------------------------------------- groups


def group_summary(groups: Groups) -> Html:
    """How many groups there are, and how large they are."""
    sizes = groups.sizes
    total = int(sizes[1:].sum())
    bands = [(1, 1), (2, 2), (3, 5), (6, 10), (11, 100), (101, 1000), (1001, len(sizes))]
    counted = [(low, min(high, len(sizes) - 1), int(sizes[low : high + 1].sum())) for low, high in bands]
    parts = [f"{count(n)} for {_between(low, high)}" for low, high, n in counted if n]
    dropped = int((sizes * np.arange(len(sizes))).sum())
    stand = f"{plural(total, 'kept record')} {'stands' if total == 1 else 'stand'} for them"
    return tag("p", f"{plural(dropped, 'record')} dropped. {stand}: {'one each' if dropped == total else ', '.join(parts)}.", class_="lead")


_FAR_APART = tag("p", "The excerpts begin in different places; what the texts share lies further on.", class_="same")


def _between(low: int, high: int) -> str:
    return plural(low, "record") if low == high else f"{count(low)} to {plural(high, 'record')}"


def group_figure(group: Group, gallery: Gallery) -> Html:
    """The kept record first, then some of those dropped for it, with the words that differ marked."""
    reference = gallery.text(group.kept)
    parts = [_kept_card(group, gallery), *(_dropped_card(row, reference, gallery) for row in group.dropped)]
    more = group.size - len(group.dropped)
    head = f"{group.kind}: {plural(group.size, 'record')} dropped" + (f", {len(group.dropped)} of them shown" if more else "")
    words = reference is not None
    listed = tag("ul", *parts, class_="cards twins" if words else "cards")
    return tag("figure", tag("figcaption", head), listed, class_="group words" if words else "group")


def _kept_card(group: Group, gallery: Gallery) -> Html:
    kept = group.kept
    if kept is None:
        return tag("li", tag("p", "kept", class_="flag kept"), tag("p", name(group.twin), class_="key"), class_="card keeper")
    later = f"kept here; dropped later by {kept['stage']}: {kept['reason']}"
    flag = tag("p", "kept" if kept["verdict"] == "kept" else clip(later, 120), class_="flag kept")
    return tag("li", flag, gallery.view(kept, 1000), tag("p", name(kept["key"]), class_="key"), class_="card keeper")


def _dropped_card(row: Row, reference: str | None, gallery: Gallery) -> Html:
    text, thumbnail = gallery.text(row), gallery.thumbnail(row)
    if text is None or reference is None:
        shown = gallery.view(row, 1000)
    elif text.lower() == reference.lower():
        alike = row["similarity"] is None or row["similarity"] >= 1
        words = "caption." if thumbnail else "excerpt." if alike else "excerpt; the texts differ further on."
        shown = join([thumbnail, tag("p", f"The same {words}", class_="same")])
    elif marked := mark(text, reference):
        shown = join([thumbnail, excerpt(marked)])
    else:
        shown = join([gallery.view(row, 1000), "" if thumbnail else _FAR_APART])  # captions may differ where pictures are alike
    said = f" · {clip(row['detail'], 160)}" if row["detail"] else ""
    measured = tag("p", "similarity ", tag("b", number(row["similarity"])), said, class_="measured")
    return tag("li", tag("p", "dropped", class_="flag"), shown, tag("p", name(row["key"]), class_="key"), measured, class_="card")
