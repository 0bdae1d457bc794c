"""Books in EPUB: each chapter of the reading order is a page."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from antiphon.parsers.archive import Archive
from antiphon.parsers.html import html_parts
from antiphon.parsers.reading import Note, PageStart, Part, Title
from antiphon.parsers.xml import END, START, TEXT, events
from antiphon.ports.document_parser import Limits, ParseFailed

CONTAINER: Final = "META-INF/container.xml"
MAX_CHAPTER_BYTES: Final = 32 * 1024 * 1024

_XHTML: Final = frozenset(("application/xhtml+xml", "text/html", "application/html+xml"))


def read_epub(archive: Archive, limits: Limits) -> Iterator[Part]:
    """Yield the title and the chapters of a book."""
    title, chapters = _package(archive)
    if title:
        yield Title(title)
    if len(chapters) > limits.pages:
        raise ParseFailed(f"The book has {len(chapters):,} chapters.", code="invalid_file")
    for number, chapter in enumerate(chapters, 1):
        yield PageStart(len(chapters))
        try:
            source = archive.read(chapter, MAX_CHAPTER_BYTES).decode("utf-8-sig", "replace")
            yield from (part for part in html_parts(source) if not isinstance(part, Title))
        except ParseFailed as error:
            if len(chapters) == 1:
                raise ParseFailed(f"page {number}: {error.message}", code=error.code, page=number) from error
            yield Note(f"page {number}: {error.message}")


def _package(archive: Archive) -> tuple[str, list[str]]:
    """The book's title and its chapters' parts, in reading order."""
    package = ""
    for event in events(archive.chunks(CONTAINER), "The book's container"):
        if event.kind == START and event.value == "rootfile":
            package = event.attributes.get("full-path", "")
            break
    folder = posixpath.dirname(package)
    items: dict[str, str] = {}
    spine: list[str] = []
    title: list[str] = []
    in_title = False
    for event in events(archive.chunks(package), "The book's package"):
        if event.kind == TEXT and in_title:
            title.append(event.value[:1_000])
        elif event.value == "title":
            in_title = event.kind == START and not title
        elif event.kind == END:
            continue
        elif event.value == "item" and event.attributes.get("media-type", "").lower() in _XHTML:
            target = posixpath.normpath(posixpath.join(folder, unquote(event.attributes.get("href", ""))))
            items[event.attributes.get("id", "")] = target
        elif event.value == "itemref":
            spine.append(event.attributes.get("idref", ""))
    return "".join(title).strip(), [items[name] for name in spine if items.get(name, "") in archive]
