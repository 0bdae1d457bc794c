"""Which reader reads which format; imported by the reading process only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from antiphon.parsers import epub, ooxml
from antiphon.parsers.archive import Archive
from antiphon.parsers.csv import read_csv
from antiphon.parsers.docx import read_docx
from antiphon.parsers.formats import (
    CODE,
    CSV,
    DOCX,
    EPUB,
    HTML,
    JSON,
    JSONL,
    MARKDOWN,
    PDF,
    PDFIUM,
    PPTX,
    TEXT,
    Format,
)
from antiphon.parsers.html import read_html
from antiphon.parsers.json import read_json
from antiphon.parsers.pdf import read_pdf
from antiphon.parsers.pptx import read_pptx
from antiphon.parsers.reading import Document, Part, Reader
from antiphon.parsers.text import read_text
from antiphon.parsers.xlsx import read_xlsx

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
    CSV: read_csv,
    JSON: read_json,
    JSONL: read_json,
}


def read(document: Document) -> tuple[Format, Iterator[Part]]:
    """Say what a document really is, and read it."""
    reader = _READERS.get(document.format)
    if reader is not None:
        return document.format, reader(document)
    archive = Archive(document.file, document.size)
    if epub.CONTAINER in archive and ooxml.CONTENT_TYPES not in archive:
        return EPUB, epub.read_epub(archive, document.limits)
    found, main = ooxml.main_part(archive)
    if found is DOCX:
        return found, read_docx(archive, main)
    if found is PPTX:
        return found, read_pptx(archive, main, document.limits)
    return found, read_xlsx(archive, main, document.limits)
