"""The process that runs PDFium for pdf.py: documents on standard input, answers on standard output, each behind its length.

It imports nothing of d4a, so that it starts in a tenth of a second.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

CPU_SECONDS = 60  # for one document; thousands of pages take a few
MEMORY_BYTES = 1 << 30
MAX_PAGES = 10_000
_MAX_CHARACTERS = 64 << 20
_PASSWORD, _SECURITY = 4, 5  # FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY


def extract(data: bytes) -> dict[str, Any]:
    """`text`, `pages` and `title` of a document, or `reason` and `detail`."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        encrypted = getattr(error, "err_code", None) in (_PASSWORD, _SECURITY)
        return {"reason": "encrypted_pdf" if encrypted else "broken_pdf", "detail": str(error)}
    count = len(document)
    if count > MAX_PAGES:
        return {"reason": "too_many_pages", "detail": f"{count} pages; the limit is {MAX_PAGES}"}
    pages: list[str] = []
    characters = 0
    for number in range(count):
        try:
            text = _page_text(document, number)
        except pypdfium2.PdfiumError as error:
            return {"reason": "broken_pdf", "detail": f"page {number + 1} of {count}: {error}"}
        pages.append(text)
        characters += len(text)
        if characters > _MAX_CHARACTERS:
            return {"reason": "text_too_long", "detail": f"by page {number + 1} of {count}; the limit is {_MAX_CHARACTERS} characters"}
    found = "\n\n".join(page for page in pages if page)
    title = _title(document)
    document.close()
    if not found:
        return {"reason": "no_text_layer", "detail": f"{count} pages"}
    return {"text": found, "pages": count, **({"title": title} if title else {})}


def _page_text(document: Any, number: int) -> str:
    """Text of a page; PDFium joins a hyphenated word and puts U+FFFE where hyphen and line end stood."""
    page = document[number]
    layer = page.get_textpage()
    text: str = layer.get_text_range()
    layer.close()
    page.close()
    return text.replace("\r\n", "\n").replace("\ufffe", "-\n").strip()


def _title(document: Any) -> str:
    try:
        return str(document.get_metadata_value("Title")).strip()
    except UnicodeDecodeError:
        return ""


def serve() -> None:
    """Answer until standard input ends; limits of the operating system end the process where a document does not end."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    while size := sys.stdin.buffer.read(8):
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
        answer = json.dumps(extract(sys.stdin.buffer.read(int.from_bytes(size, "little")))).encode()
        answers.write(len(answer).to_bytes(8, "little") + answer)
        answers.flush()


if __name__ == "__main__":
    serve()
