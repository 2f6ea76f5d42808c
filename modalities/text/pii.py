"""text.pii: finds e-mail and IP addresses, telephone, card and account numbers and secrets, and puts masks in their place.

Every kind has an exact form, and a checksum where the number has one: what is found is what the form says, on every machine.
Names and postal addresses have no form; models that guess them are a thousand times slower and wrong too often to change a text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import orjson
import pyarrow as pa

from ...curator.options import Options, judge, measure
from ...curator.stage import Rule, Transform, Value
from .pii_borders import TAGS
from .pii_forms import FORMS
from .pii_kernel import KIND, KINDS, find, mask

_TAGS = dict(zip(KINDS, TAGS, strict=True))
MASKS = {
    "tag": _TAGS,
    "fineweb": {**_TAGS, "email": "email@example.com", "ip": "22.214.171.124"},
    "dolma": {
        "secret": "|||SECRET|||",
        "iban": "|||IBAN|||",
        "card": "|||CREDIT_CARD|||",
        "ip": "|||IP_ADDRESS|||",
        "email": "|||EMAIL_ADDRESS|||",
        "phone": "|||PHONE_NUMBER|||",
    },
}
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?')  # of JSON; group 1: it names a field

Kind = Literal["secret", "iban", "card", "ip", "email", "phone"]


class PiiOptions(Options):
    """What is looked for, what is put in its place, and how much a text may have."""

    kinds: tuple[Kind, ...] = measure(
        KINDS,
        "Kinds that are looked for. Telephone numbers are the only form without a registry or checksum: in 12,101 manuals (67 MB) it found"
        " 9, all right, and in 250 MB of program code 4, of which 3 are other numbers.",
        min_length=1,
    )
    mask: Literal["tag", "fineweb", "dolma", "none"] = measure(
        "tag",
        f"What is put in the place of a find. tag: {' '.join(_TAGS.values())}. dolma: {' '.join(MASKS['dolma'].values())}. fineweb:"
        f" {MASKS['fineweb']['email']} and {MASKS['fineweb']['ip']} (datatrove takes turns among two addresses and six numbers, so that its"
        " output depends on the order of the input), tags for the other kinds. none: the text stays as it is, and is only measured and"
        " judged.",
    )
    private_ips: bool = measure(
        False, "Also take IP addresses of private, loopback, link-local, documentation, multicast and reserved ranges for personal."
    )
    max_found: int | None = judge(
        None, "Most finds of all kinds that a text may have; null: no limit, finds are masked. Dolma drops texts with more than 5.", ge=0
    )


class Pii(Transform):
    """Find personal data and secrets, and mask them.

    Each value below says what a find of its kind is. Letters, digits and `_` are ASCII in what follows, and so is all that is found, but
    for letters in e-mail addresses: full-width forms are found behind `text.clean` with `unicode: NFKC`. Any other character, a
    Chinese one for instance, is a border. A tag, or a mask of Dolma, that stands in the text counts as a letter to what is
    beside it.

    Finds that overlap are one find: it begins where the first begins, ends where the last ends, and its kind is that of the
    find that begins first; of several that begin there, the longest; of several as long, the first of secret, iban, card, ip,
    email, phone. So nothing that any form describes is left in part, and masking twice gives what masking once gives.

    Masked are the text and all strings of a conversation's `record` (values, not names of fields), each by itself and as it came, also
    those that are no part of the text or that a stage before took out of it. `url`, `meta` and the record's id are not looked at. Counts
    are of the text as it came to this stage.
    """

    name: ClassVar[str] = "text.pii"
    Options: ClassVar[type[Options]] = PiiOptions
    values: ClassVar[tuple[Value, ...]] = (
        *(Value(kind, pa.int64(), f"{FORMS[kind]} Null where not looked for.", total=True) for kind in KINDS),
        Value("found", pa.int64(), "Finds of all kinds that are looked for.", total=True),
        Value("chars_masked", pa.int64(), "Characters (Unicode code points) of the text that masks have taken the place of.", total=True),
    )
    options: PiiOptions

    @property
    def needs(self) -> tuple[str, ...]:
        """The text; `record`, which is packed instead where there is one, is no column of captions."""
        return ("text",)

    def rules(self) -> Sequence[Rule]:
        """`too_much_pii`: more than `max_found`."""
        return (Rule("found", "max", "max_found", "too_much_pii"),)

    def change(self, batch: pa.RecordBatch, wanted: frozenset[str]) -> pa.RecordBatch:
        """The batch with masked text and record, and the values."""
        text, n = batch.column("text"), batch.num_rows
        columns = {name: batch.column(name) for name in batch.schema.names}
        found, bounds = find(text, self.options.kinds, self.options.private_ips)
        counts = np.zeros((n, len(KINDS)), np.int64)
        np.add.at(counts, (np.repeat(np.arange(n), np.diff(bounds)), found[:, KIND]), 1)
        characters = np.zeros(n, np.int64)
        if self.options.mask != "none":
            if len(found):
                text, characters = mask(text, found, bounds, self._masks)
            if "record" in columns and columns["record"].null_count < n:
                columns["record"] = self._mask_records(columns["record"])
        nothing = pa.nulls(n, pa.int64())
        columns.update({kind: pa.array(counts[:, k]) if kind in self.options.kinds else nothing for k, kind in enumerate(KINDS)})
        columns.update(text=text, found=pa.array(counts.sum(axis=1)), chars_masked=pa.array(characters))
        return pa.RecordBatch.from_pydict(columns)

    @property
    def _masks(self) -> list[str]:
        return [MASKS[self.options.mask][kind] for kind in KINDS]

    def _mask_records(self, records: pa.Array) -> pa.Array:
        """The records with their strings masked; what is no string stays byte for byte."""
        held: list[str | None] = records.to_pylist()
        places = [(row, place) for row, record in enumerate(held) if record for place in _STRING.finditer(record) if place[1] is None]
        strings = pa.array([orjson.loads(place[0]) for _, place in places], pa.large_string())
        found, bounds = find(strings, self.options.kinds, self.options.private_ips)
        if not len(found):
            return records
        masked, _ = mask(strings, found, bounds, self._masks)
        pieces: dict[int, list[str]] = {}
        ends: dict[int, int] = {}
        for k in np.flatnonzero(np.diff(bounds)).tolist():
            row, place = places[k]
            pieces.setdefault(row, []).extend((place.string[ends.get(row, 0) : place.start()], orjson.dumps(masked[k].as_py()).decode()))
            ends[row] = place.end()
        for row, parts in pieces.items():
            record = held[row]
            assert record is not None
            held[row] = "".join((*parts, record[ends[row] :]))
        return pa.array(held, records.type)
