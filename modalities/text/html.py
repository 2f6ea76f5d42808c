"""HTML -> its main text, with resiliparse (the extra [text]), and the charset it is written in.

A page that no charset decodes without loss is refused: a replacement character would only show up in training.
"""

from __future__ import annotations

import codecs

from ...curator.errors import MachineError
from .streams import ReadError

_MAX_DEPTH = 512  # Blink's limit too; finding the main text takes time quadratic in depth, 67 s at 30,000
_TOO_DEEP = "*" + ">*" * _MAX_DEPTH


def check_html() -> None:
    """Whether HTML can be read here. Raises MachineError when the extra is missing."""
    try:
        import resiliparse.extract.html2text  # noqa: F401
    except ImportError as error:
        raise MachineError("reading HTML needs resiliparse", hint="pip install 'd4a[text]'") from error


def main_text(page: bytes) -> str:
    """The main text of a page. Raises ReadError where there is none, or where this machine cannot extract it."""
    try:
        check_html()
    except MachineError as error:
        raise ReadError("missing_extra", f"{error.what}: {error.hint}") from error
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    try:
        tree = HTMLTree.parse(decode(page))
        if tree.document is not None and tree.document.query_selector(_TOO_DEEP) is not None:
            raise ReadError("html_too_deep", f"more than {_MAX_DEPTH} elements inside one another")
        text: str = extract_plain_text(tree, preserve_formatting=True, main_content=True, alt_texts=False)
    except ValueError as error:  # the parser's own errors
        raise ReadError("broken_html", str(error)) from error
    if not text.strip():
        raise ReadError("no_main_text")
    return text


def decode(page: bytes) -> str:
    """The page as text: by byte order mark, as UTF-8 where it is valid, else by its meta tag, else by its bytes.

    Raises ReadError when none of them decodes all of it.
    """
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if page.startswith(mark):
            return _decode(page, [encoding])
    # valid UTF-8 with a byte beyond ASCII is no accident, whatever the meta tag says
    return _decode(page, ["utf-8", *_detected(page)])


def _detected(page: bytes) -> list[str]:
    from resiliparse.parse.encoding import detect_encoding

    found = detect_encoding(page, from_html_meta=True), detect_encoding(page)
    return [encoding for encoding in found if encoding is not None]


def _decode(page: bytes, encodings: list[str]) -> str:
    problems = []
    for encoding in dict.fromkeys(encodings):
        try:
            return page.decode(encoding)
        except UnicodeDecodeError as error:
            problems.append(f"{encoding}: byte {error.start}")
    raise ReadError("unknown_charset", "; ".join(problems))
