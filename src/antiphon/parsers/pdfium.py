"""PDF by PDFium, a native library: several times as fast. Used where it is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pypdfium2

from antiphon.parsers.pdf import Pages
from antiphon.parsers.reading import Document, PageStart, Part, Title
from antiphon.ports.document_parser import ParseFailed


def read_pdfium(document: Document) -> Iterator[Part]:
    """Yield the title and the pages of a PDF."""
    try:
        pdf = pypdfium2.PdfDocument(document.file)
    except pypdfium2.PdfiumError as error:
        why = "is protected by a password" if "password" in str(error).lower() else "is damaged"
        raise ParseFailed(f"The PDF {why}.", code="invalid_file") from error
    pages = Pages(len(pdf), document.limits)
    title = pdf.get_metadata_value("Title")
    if title.strip():
        yield Title(title.strip())
    for number in range(1, pages.total + 1):
        yield PageStart(pages.total)
        try:
            text = _page(pdf, number)
        except pypdfium2.PdfiumError as error:
            pages.failed(number, error)
        else:
            yield pages.done(number, text)
    yield from pages.end()


def _page(pdf: pypdfium2.PdfDocument, number: int) -> str:
    page = pdf[number - 1]
    try:
        return str(page.get_textpage().get_text_bounded())
    finally:
        page.close()
