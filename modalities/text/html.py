"""HTML -> its text, with resiliparse or trafilatura (the extra [text]), and the charset it is written in.

A page that no charset decodes without loss is refused, because a replacement character would only show up in
training; but a few broken characters in much UTF-8, as scripts that cut texts leave them, are taken out.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from ...curator.errors import MachineError
from ...curator.journal import JOURNAL
from .html_limits import check_cost
from .streams import ReadError

Extract = Literal["resiliparse", "trafilatura", "plain"]
_MAX_DEPTH = 512  # Blink's limit too; finding the main text takes time quadratic in depth, 67 s at 30,000
_SURELY_FLAT = 64  # tags that count as open; misnested ones make a parser open more elements than it saw tags, but not eight times more
_TOO_DEEP = "*" + ">*" * _MAX_DEPTH
_MAX_LOST = 0.01  # of the bytes beyond ASCII; in no other charset are 99 % of them UTF-8 by chance
_ASCII = bytes(range(128))
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# what a name means on the web (WHATWG Encoding Standard), as Python calls it
_WIDER = {"gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs", "iso8859-11": "cp874"}


class Page(NamedTuple):
    """A decoded page.

    text     without its byte order mark
    charset  Python's name of what it was decoded with
    lost     characters that were broken, and taken out
    """

    text: str
    charset: str
    lost: int


def check_html(extract: Extract = "resiliparse") -> None:
    """Whether text can be taken out of HTML here. Raises MachineError when the extra is missing."""
    try:
        import resiliparse.extract.html2text  # noqa: F401
    except ImportError as error:
        raise MachineError("reading HTML needs resiliparse", hint="pip install 'd4a[text]'") from error
    if extract == "trafilatura":
        try:
            import trafilatura  # noqa: F401
        except ImportError as error:  # one of the packages it needs, perhaps
            raise MachineError(f"extract: trafilatura needs trafilatura: {error}", hint="pip install 'd4a[text]'") from error


def main_text(page: bytes, extract: Extract = "resiliparse") -> str:
    """The text of a page of unknown charset. Raises ReadError where there is none, or where this machine cannot extract it."""
    return page_text(decode(page).text, extract)


def page_text(page: str, extract: Extract = "resiliparse") -> str:
    """The text of a page: its main content as resiliparse or trafilatura see it, or all that is visible (plain). Raises ReadError."""
    (text,) = page_texts([page], [page.encode()], extract)
    if isinstance(text, ReadError):
        raise text
    return text


def page_texts(pages: Sequence[str], raws: Sequence[bytes], extract: Extract) -> list[str | ReadError]:
    """The texts of some pages, or why there is none.

    raws  the pages in UTF-8
    Pages are counted first and parsed then: in turns, each would find the processor's caches full of the other.
    """
    try:
        check_html(extract)
    except MachineError as error:
        return [ReadError("missing_extra", f"{error.what}: {error.hint}")] * len(pages)
    from resiliparse.parse.html import HTMLTree

    depths = [_depth(raw) for raw in raws]
    take = _by_trafilatura if extract == "trafilatura" else _by_resiliparse(main=extract == "resiliparse")
    try:
        return [
            depth if isinstance(depth, ReadError) else _text(page, depth, HTMLTree.parse, take)
            for page, depth in zip(pages, depths, strict=True)
        ]
    finally:
        JOURNAL.stepped()


def _depth(raw: bytes) -> int | ReadError:
    try:
        return check_cost(raw)
    except ReadError as error:
        return error


def _text(page: str, depth: int, parse: Callable[[str], Any], take: Callable[[str, Any], str]) -> str | ReadError:
    if (crash := JOURNAL.step()) is not None:
        return ReadError(*crash)
    try:
        tree = parse(page)
        if depth > _SURELY_FLAT and tree.document is not None and tree.document.query_selector(_TOO_DEEP) is not None:
            return ReadError("html_too_deep", f"more than {_MAX_DEPTH} elements inside one another")
        text = take(page, tree)
    except ValueError as error:  # the parser's own errors
        return ReadError("broken_html", str(error))
    except ReadError as error:
        return error
    return text if text and not text.isspace() else ReadError("no_main_text")


def _by_resiliparse(main: bool) -> Callable[[str, Any], str]:
    from resiliparse.extract.html2text import extract_plain_text

    take = partial(extract_plain_text, preserve_formatting=True, main_content=main, alt_texts=False)
    return lambda page, tree: take(tree)


def _by_trafilatura(page: str, tree: Any) -> str:
    """With FineWeb's options, but for `deduplicate`: that would make the text of a page depend on the pages before it."""
    from trafilatura import extract

    try:
        return extract(page, favor_precision=True, include_comments=False, deduplicate=False) or ""
    except Exception as error:  # its own and lxml's, of many kinds
        raise ReadError("broken_html", f"trafilatura: {error!r}") from error


# -------------------------------------------------------------------------------------------------- charset


def decode(data: bytes, declared: str = "", html: bool = True, cut: bool = False) -> Page:
    """Bytes as text: by byte order mark, as UTF-8 where they are valid, else as `declared`, by their meta tag, by their bytes.

    declared  charset that came with the bytes, from an HTTP header
    html      look for a meta tag
    cut       the end is missing: a character that it cut in two does not count
    Browsers ask the header before the bytes; but valid UTF-8 with a byte beyond ASCII is no accident, whatever a server says.
    Raises ReadError when no charset decodes all of it.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _first(data, [encoding], cut)
    seven_bits = data.isascii()
    if seven_bits and b"\x1b" not in data and b"\0" not in data:
        return Page(data.decode("ascii"), "utf-8", 0)
    if not seven_bits:
        page = _as_utf8(data, cut)
        if page is not None:
            return page
    others = _candidates(data, declared, html)
    return _first(data, [*others, "utf-8"] if seven_bits else ["utf-8", *others], cut)


def _as_utf8(data: bytes, cut: bool) -> Page | None:
    """UTF-8, but for a few broken characters; None where it is something else."""
    try:
        return Page(_strictly(data, "utf-8", cut), "utf-8", 0)
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "ignore")
    beyond = len(data.translate(None, _ASCII))
    lost = len(data) - len(text.encode())
    return Page(text, "utf-8", lost) if lost <= _MAX_LOST * beyond else None


def _candidates(data: bytes, declared: str, html: bool) -> list[str]:
    try:
        from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5
    except ImportError:
        return []
    found = [map_encoding_to_html5(declared, fallback_utf8=False) if declared else None]
    found += [detect_encoding(data, from_html_meta=True)] if html else []
    found.append(detect_encoding(data))
    return [_WIDER.get(encoding, encoding) for encoding in found if encoding is not None]


def _first(data: bytes, encodings: list[str], cut: bool) -> Page:
    problems = []
    for encoding in dict.fromkeys(encodings):
        try:
            return Page(_strictly(data, encoding, cut), encoding.removesuffix("-sig"), 0)
        except UnicodeDecodeError as error:
            problems.append(f"{encoding}: byte {error.start}")
    raise ReadError("unknown_charset", "; ".join(problems))


def _strictly(data: bytes, encoding: str, cut: bool) -> str:
    return codecs.getincrementaldecoder(encoding)().decode(data) if cut else data.decode(encoding)
