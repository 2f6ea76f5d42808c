"""PDF files written byte by byte: pages of lines, a title, and the hostile kinds."""

from __future__ import annotations

FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def document(objects: list[bytes], info: bytes = b"") -> bytes:
    """The file of these objects, numbered from 1; the first is the catalogue."""
    parts, places, size = [b"%PDF-1.4\n"], [], 9
    for number, body in enumerate(objects, 1):
        places.append(size)
        parts.append(b"%d 0 obj\n%b\nendobj\n" % (number, body))
        size += len(parts[-1])
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"<< /Size %d /Root 1 0 R %b >>" % (len(objects) + 1, info)
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n%b\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table, trailer, size))
    return b"".join(parts)


def stream(body: bytes, entries: bytes = b"") -> bytes:
    """A stream object."""
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(body), entries, body)


def pdf(pages: list[list[str]], title: bytes = b"", info: bytes = b"") -> bytes:
    """A file with these lines of text on its pages; `title` and `info` as they stand in the file."""
    contents = []
    for lines in pages:
        shown = b" ".join(b"(%b) Tj T*" % line.encode("latin-1") for line in lines)
        contents.append(stream(b"BT /F1 12 Tf 72 720 Td 14 TL %b ET" % shown))
    return _pages(contents, title, info)


def _pages(contents: list[bytes], title: bytes = b"", info: bytes = b"", resources: bytes = b"/Font << /F1 3 0 R >>") -> bytes:
    count = len(contents)
    kids = b" ".join(b"%d 0 R" % (5 + 2 * i) for i in range(count))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count %d /Kids [%b] >>" % (count, kids), FONT]
    objects.append(b"<< /Title %b >>" % (title or b"()"))
    for i, content in enumerate(contents):
        page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << %b >> /Contents %d 0 R >>"
        objects += [page % (resources, 6 + 2 * i), content]
    return document(objects, b"/Info 4 0 R " + info)


def encrypted() -> bytes:
    """A file that no empty password opens."""
    return pdf(
        [["secret"]], info=b"/Encrypt << /Filter /Standard /V 1 /R 2 /O <%b> /U <%b> /P -4 >> /ID [<00> <00>]" % (b"00" * 32, b"11" * 32)
    )


def bomb(levels: int = 12) -> bytes:
    """3 kB that take days and all memory: a page that draws a form ten times, which draws a form ten times, …"""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
        FONT,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /XObject << /X 6 0 R >> >> /Contents 5 0 R >>",
        stream(b"/X Do"),
    ]
    for level in range(levels):
        inner = b"/X Do " * 10 if level < levels - 1 else b"BT /F1 12 Tf (a) Tj ET"
        uses = b"/XObject << /X %d 0 R >> /Font << /F1 3 0 R >>" % (7 + level)
        objects.append(stream(inner, b"/Type /XObject /Subtype /Form /BBox [0 0 600 700] /Resources << %b >>" % uses))
    return document(objects)
