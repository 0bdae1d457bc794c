"""PowerPoint presentations: each slide is a page, with its title, its text, its tables and its notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from antiphon.parsers import markup, ooxml
from antiphon.parsers.archive import Archive
from antiphon.parsers.reading import PageStart, Part, Title
from antiphon.parsers.xml import START, Event
from antiphon.ports.document_parser import Limits, ParseFailed

_SKIPPED: Final = frozenset(("Fallback", "sldNum", "dt", "ftr", "hdr", "sldImg"))
"""Placeholders that repeat on every slide, and the second saying of what was said."""


def read_pptx(archive: Archive, main: str, limits: Limits) -> Iterator[Part]:
    """Yield the title and the slides, in the order they are shown."""
    if named := ooxml.title(archive):
        yield Title(named)
    slides = _slides(archive, main)
    if len(slides) > limits.pages:
        raise ParseFailed(f"The document has {len(slides):,} slides.", code="invalid_file")
    for slide in slides:
        yield PageStart(len(slides))
        yield from _Slide().text(ooxml.part_events(archive, slide))
        if notes := ooxml.related(archive, slide, "notesSlide"):
            text = "".join(_Slide().text(ooxml.part_events(archive, notes))).strip()
            yield markup.paragraph(f"Notes: {text}") if text else ""


def _slides(archive: Archive, main: str) -> list[str]:
    targets = ooxml.relations(archive, main)
    found: list[str] = []
    for event in ooxml.part_events(archive, main):
        if event.kind == START and event.value == "sldId":
            kind, target = targets.get(event.attributes.get("id", ""), ("", ""))
            if kind == "slide" and target in archive:
                found.append(target)
    return found


class _Slide(ooxml.Following):
    """Follows shapes, paragraphs and tables of a slide or its notes."""

    def __init__(self) -> None:
        super().__init__()
        self._title = False
        self._skip_shape = False
        self._cells: list[str] | None = None
        self._cell: list[str] = []
        self._rows = 0
        self._depth = 0

    def _start(self, event: Event) -> None:
        name = event.value
        if name == "Fallback":
            self._skip = 1
        elif name in ("sp", "graphicFrame"):
            self._title = self._skip_shape = False
        elif name == "ph":
            kind = event.attributes.get("type", "")
            self._title = kind in ("title", "ctrTitle")
            self._skip_shape = kind in _SKIPPED
        elif name == "t":
            self._in_text = not self._skip_shape
        elif name == "pPr":
            level = event.attributes.get("lvl", "0")
            self._depth = int(level) if level in "012345678" and level else 0
        elif name == "br":
            self._text.append("\n")
        elif name == "tbl":
            self._rows = 0
        elif name == "tr":
            self._cells = []
        elif name == "tc":
            self._cell = []

    def _end(self, name: str) -> str:
        if name == "t":
            self._in_text = False
        elif name == "p":
            return self._paragraph()
        elif name == "tc" and self._cells is not None:
            self._cells.append(" ".join(self._cell))
        elif name == "tr" and self._cells is not None:
            cells, self._cells = self._cells, None
            self._rows += 1
            return markup.row(cells, first=self._rows == 1)
        elif name == "tbl":
            return "\n"
        return ""

    def _paragraph(self) -> str:
        text, self._text = "".join(self._text), []
        depth, self._depth = self._depth, 0
        if self._cells is not None:
            self._cell.append(text)
            return ""
        if self._title:
            return markup.heading(1, text)
        return markup.item(text, depth) if depth else markup.paragraph(text)
