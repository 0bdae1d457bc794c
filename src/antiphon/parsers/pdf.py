"""PDF: the text of each page, in the order it is drawn. Pictures of text have none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from antiphon.parsers.reading import Document, Note, PageStart, Part, Title
from antiphon.ports.document_parser import Limits, ParseFailed

MAX_NOTED_PAGES: Final = 20

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it comments every oddity of a document


class Pages:
    """Keeps account of pages: which could not be read, which are empty."""

    def __init__(self, total: int, limits: Limits) -> None:
        if total > limits.pages:
            raise ParseFailed(
                f"The document has {total:,} pages; at most {limits.pages:,} are read.", code="invalid_file"
            )
        self.total = total
        self._failed: list[tuple[int, str]] = []
        self._empty: list[int] = []

    def failed(self, number: int, error: Exception) -> None:
        """Note that a page cannot be read, and go on to the others."""
        self._failed.append((number, type(error).__name__))

    def done(self, number: int, text: str) -> str:
        """Take the text of a page; return it as it stands in the canonical text."""
        if not text.strip():
            self._empty.append(number)
            return ""
        return text if text.endswith("\n") else text + "\n"

    def end(self) -> Iterator[Note]:
        """Say what is missing. Raises ParseFailed if nothing was read."""
        if len(self._failed) + len(self._empty) >= self.total:
            if self._failed:
                number, why = self._failed[0]
                raise ParseFailed(f"page {number}: cannot be read ({why}).", code="invalid_file", page=number)
            raise ParseFailed(
                f"The document has no text: its {self.total:,} pages hold pictures or nothing. Scanned pages"
                " need text recognition first.",
                code="invalid_file",
            )
        for number, why in self._failed[:MAX_NOTED_PAGES]:
            yield Note(f"page {number}: cannot be read ({why}); the other pages are.")
        if self._empty:
            shown = ", ".join(map(str, self._empty[:MAX_NOTED_PAGES]))
            more = " and more" if len(self._empty) > MAX_NOTED_PAGES else ""
            yield Note(f"Pages without text: {shown}{more}.")


def read_pdf(document: Document) -> Iterator[Part]:
    """Yield the title and the pages of a PDF."""
    try:
        reader = PdfReader(document.file, strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ParseFailed("The document is protected by a password.", code="invalid_file")
        pages = Pages(_declared_pages(reader), document.limits)
        title = reader.metadata.title if reader.metadata else None
    except ParseFailed:
        raise
    except (
        PyPdfError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ParseFailed(f"The PDF is damaged ({type(error).__name__}).", code="invalid_file") from error
    except NotImplementedError as error:
        raise ParseFailed("The PDF is encrypted in a way that is not read.", code="invalid_file") from error
    if isinstance(title, str) and title.strip():
        yield Title(title.strip())
    for number in range(1, pages.total + 1):
        yield PageStart(pages.total)
        try:
            text = _page(reader, number)
        except (MemoryError, OSError):
            raise
        except Exception as error:
            pages.failed(number, error)
        else:
            yield pages.done(number, text)
    yield from pages.end()


def _declared_pages(reader: PdfReader) -> int:
    """How many pages the document says it has, before its tree of pages is walked."""
    root: Any = reader.trailer["/Root"]
    declared = root["/Pages"].get("/Count", 0)
    declared = declared.get_object() if hasattr(declared, "get_object") else declared
    if isinstance(declared, int) and declared > 100_000:
        return declared
    return len(reader.pages)


def _page(reader: PdfReader, number: int) -> str:
    return reader.pages[number - 1].extract_text()
