"""Which reader reads which format; imported by the reading process only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from antiphon.parsers.archive import Archive
from antiphon.parsers.docx import read_docx
from antiphon.parsers.formats import CODE, HTML, MARKDOWN, PDF, PDFIUM, TEXT, Format
from antiphon.parsers.html import read_html
from antiphon.parsers.ooxml import main_part
from antiphon.parsers.pdf import read_pdf
from antiphon.parsers.reading import Document, Part, Reader
from antiphon.parsers.text import read_text

try:
    from antiphon.parsers.pdfium import read_pdfium
except ImportError:  # the extra `pdf-fast` is not installed
    read_pdfium = read_pdf

_READERS: Final[dict[Format, Reader]] = {
    PDF: read_pdf,
    PDFIUM: read_pdfium,
    HTML: read_html,
    MARKDOWN: read_text,
    TEXT: read_text,
    CODE: read_text,
}


def read(document: Document) -> tuple[Format, Iterator[Part]]:
    """Say what a document really is, and read it."""
    reader = _READERS.get(document.format)
    if reader is not None:
        return document.format, reader(document)
    archive = Archive(document.file, document.size)
    found, main = main_part(archive)
    return found, read_docx(archive, main)
