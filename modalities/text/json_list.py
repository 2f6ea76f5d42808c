"""JSON lists and single JSON documents -> records, as if each element were a line; one element bounds the memory.

A kernel finds where elements end, by strings and brackets alone, and orjson then parses each: so a broken element costs
only itself, where a streaming parser would have to stop at it. What an element leaves open takes the rest with it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...curator.backends.cpu import kernel
from ...curator.recipe import Source
from .jsonl import add_json
from .lines import CHUNK_BYTES, Begun, TooLong
from .rows import Rows
from .streams import ReadError, Stream

SPACE = b" \t\r\n"
_LEVELS = 1 << 12  # brackets remembered; orjson takes no element nearly as deep
_Bytes = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]


def read_json_list(stream: Stream, source: Source) -> Iterator[pa.RecordBatch]:
    """Elements of a list as reader batches; `line` is the index of the element."""
    rows = Rows()
    index = 0
    try:
        for block in element_blocks(stream):
            for raw in block:
                if isinstance(raw, bytes) and not raw.strip(SPACE):
                    rows.refuse("broken_json", "nothing where an element should be", index)
                else:
                    add_json(rows, raw, index, source, "element_too_long")
                index += 1
                if rows.full:
                    yield rows.take()
    except ReadError as error:
        rows.refuse(error.reason, f"{error.detail}, {rows.total} records", index)
    if rows.total == 0:
        rows.refuse("empty_file", "an empty list")
    if len(rows):
        yield rows.take()


def element_blocks(stream: Stream) -> Iterator[list[bytes | TooLong]]:
    """Elements of the list that a stream holds, in blocks, without the commas; too long ones come as TooLong.

    Raises ReadError behind the last whole element where the list does not end, or where something follows it.
    """
    state, stack = np.array([1, 0, 0, 0], np.int64), np.zeros(_LEVELS, np.uint8)
    ends = np.empty(CHUNK_BYTES, np.int64)
    begun, found = Begun(), 0
    chunk = _behind_the_bracket(stream)
    while chunk:
        count = _find_ends(np.frombuffer(chunk, np.uint8), state, stack, ends)
        block: list[bytes | TooLong] = []
        start = 0
        for end in ends[:count].tolist():
            begun.add(chunk[start:end])
            block.append(begun.finish())
            start = end + 1
        if state[0] == 0:
            empty = not found and len(block) == 1 and isinstance(block[0], bytes) and not block[0].strip(SPACE)
            yield [] if empty else block
            _check_rest(chunk[start:], stream)
            return
        begun.add(chunk[start:])
        found += count
        yield block
        chunk = stream.read(CHUNK_BYTES) or b""
    raise ReadError("truncated_json", f"the list has no end; {begun.size} bytes behind the last whole element")


def _behind_the_bracket(stream: Stream) -> bytes:
    """Something of the list, which a caller has seen to begin with a bracket, or only a blank."""
    head = b""
    while piece := stream.read(CHUNK_BYTES - len(head)):
        head += piece
        list_ = head.removeprefix(codecs.BOM_UTF8).lstrip(SPACE)
        if list_.startswith(b"["):
            return list_[1:] or b" "
    return b""


def _check_rest(rest: bytes, stream: Stream) -> None:
    while not rest.strip(SPACE):
        rest = stream.read(CHUNK_BYTES) or b""
        if not rest:
            return
    raise ReadError("broken_json", "something follows the list, and is not read")


@kernel
def _find_ends(data: _Bytes, state: _Ints, stack: _Bytes, ends: _Ints) -> int:
    """Where the elements of a list end, at a comma or at its closing bracket; returns how many do in this piece of it.

    data    (n,) uint8       the next piece
    state   (4,) int64       brackets open, the list's own included, 0 behind it; in a string; behind a backslash; open braces
    stack   (_LEVELS,) uint8 the open brackets
    ends    (n or more,) int64  offsets into data
    A closing bracket closes the innermost of its kind with all that stands open in it, and nothing where there is none:
    so an element that forgets one still ends where it ends.
    """
    opened, inside, escaped, braces = state
    count = 0
    for j in range(len(data)):
        byte = data[j]
        if inside:
            if escaped:
                escaped = 0
            elif byte == 92:  # backslash
                escaped = 1
            elif byte == 34:  # quote
                inside = 0
        elif byte == 34:
            inside = 1
        elif byte == 44 and opened == 1:  # comma
            ends[count] = j
            count += 1
        elif byte == 123 or byte == 91:  # { [
            if opened < len(stack):
                stack[opened] = byte
                braces += byte == 123
            opened += 1
        elif byte == 125 or byte == 93:  # } ]
            if opened > len(stack):
                opened -= 1
            elif byte == 93 and opened == 1:
                opened = 0
                ends[count] = j
                count += 1
                break
            elif (braces if byte == 125 else opened - 1 - braces) > 0:
                closed = 0
                while closed != byte - 2:
                    opened -= 1
                    closed = stack[opened]
                    braces -= closed == 123
    state[0], state[1], state[2], state[3] = opened, inside, escaped, braces
    return count
