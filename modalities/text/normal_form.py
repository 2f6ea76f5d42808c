"""The form of a text that shingles are made from: what a published pipeline does to it before it compares.

One pass of a kernel that writes the changed text; marks on letters are taken apart by Arrow before it, and only in texts that have any.
Records keep their text as it is: `text.clean` is the stage that changes it.
"""

from __future__ import annotations

import string
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from ...curator.backends.cpu import lean, lean_kernel, read_only
from ...curator.columns import Bytes, Offsets, buffers
from .normalise import rewrite, touched
from .tokens import encode
from .unicode import CASE_SHIFT, LETTER, NUMERIC, RUN, SOLO, SPACE, Entries, Index, character, table

Actions = npt.NDArray[np.uint8]

_KEEP, _SKIP, _GAP, _ZERO = range(4)
_WHITE, _MARK, _DIGIT, _OTHER = (np.uint32(128 + k) for k in range(4))
_0, _1 = np.uint64(0), np.uint64(1)
_NOUGHT = np.uint32(0x30)


class NormalForm(BaseModel):
    """What is done to a text before shingles are made from it; the record keeps its text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lower: bool = Field(default=False, description="Capital letters become small.")
    punctuation: Literal["keep", "delete", "separate"] = Field(
        default="keep",
        description="delete: the 32 marks of ASCII are taken out (`don't` is `dont`). separate: runs of what is no letter,"
        " mark or number become one space.",
    )
    white_space: Literal["keep", "collapse"] = Field(
        default="keep", description="collapse: runs of white space become one space; none at the ends."
    )
    numbers: Literal["keep", "zero"] = Field(default="keep", description="zero: runs of digits become one 0.")
    accents: Literal["keep", "decompose", "strip"] = Field(
        default="keep", description="decompose: Unicode's form NFD, which has marks behind their letters. strip: without them (é is e)."
    )


def in_normal_form(texts: pa.Array, form: NormalForm) -> pa.Array:
    """The texts as the form has them; one of which nothing would be left stays as it is, so that `...` and `!!!` differ.

    texts    (n,) large_string; null counts as empty
    returns  (n,) large_string
    """
    if form.accents != "keep":
        texts = rewrite(texts, touched("NFD"), lambda some: pc.utf8_normalize(some, "NFD"))
    if form.accents == "strip":
        texts = rewrite(texts, r"\p{Mn}", lambda some: pc.replace_substring_regex(some, r"\p{Mn}+", ""))
    if form == NormalForm(accents=form.accents):
        return texts
    offsets, data = buffers(texts)
    out = np.empty(int(offsets[-1] - offsets[0]) * 3 // 2 + 8, np.uint8)  # a capital of two bytes may have a small one of three
    bounds = np.zeros(len(offsets), np.int64)
    _write(read_only(data), offsets, *table(), _actions(form), form.lower, out, bounds)
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(bounds), pa.py_buffer(out[: bounds[-1]]))


@cache
def _actions(form: NormalForm) -> Actions:
    """(128 + 4,) uint8: what becomes of each ASCII character, then of other white space, punctuation, digits and the rest."""
    actions = np.full(132, _KEEP, np.uint8)
    spaces = [code for code in range(128) if chr(code).isspace()]
    marks = [ord(mark) for mark in string.punctuation]
    digits = [ord(digit) for digit in string.digits]
    others = [code for code in range(128) if not (chr(code).isspace() or chr(code).isalnum())]
    if form.white_space == "collapse":
        actions[[*spaces, 128]] = _GAP
    if form.punctuation == "delete":
        actions[marks] = _SKIP
    if form.punctuation == "separate":
        actions[[*others, 129]] = _GAP
    if form.numbers == "zero":
        actions[[*digits, 130]] = _ZERO
    return actions


@lean_kernel
def _write(
    data: Bytes, offsets: Offsets, index: Index, entries: Entries, actions: Actions, lower: bool, out: Bytes, bounds: Offsets
) -> None:
    o = _0
    for d in range(offsets.size - 1):
        i, end = np.uint64(offsets[d]), np.uint64(offsets[d + 1])
        begin = o
        gap = number = False
        while i < end:
            code, properties, length = character(data, i, end, index, entries)
            i += length
            action = actions[code if code < 128 else _kind(properties)]
            if action == _SKIP or (action == _ZERO and number and not gap):
                continue
            if action == _GAP:
                gap = True
                continue
            if gap and o > begin:
                out[o] = 0x20
                o += _1
            gap, number = False, action == _ZERO
            if number:
                code = _NOUGHT
            elif lower:
                code = np.uint32(np.int32(code) + (properties >> CASE_SHIFT))
            o = encode(code, out, o)
        if o == begin:
            for k in range(np.uint64(offsets[d]), end):
                out[o] = data[k]
                o += _1
        bounds[d + 1] = o


@lean
def _kind(properties: np.int32) -> np.uint32:
    """Which of the last actions a character beyond ASCII meets."""
    if properties & SPACE:
        return _WHITE
    if not properties & (RUN | SOLO):
        return _MARK
    return _DIGIT if properties & NUMERIC and not properties & LETTER else _OTHER
