"""Word documents: headings, paragraphs, lists, tables, foot- and endnotes. Deleted text is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from antiphon.parsers import markup, ooxml
from antiphon.parsers.archive import Archive
from antiphon.parsers.reading import Part, Title
from antiphon.parsers.xml import START, Event

_HEADING: Final = re.compile(r"heading\s*([1-9])$", re.I)
_SKIPPED: Final = frozenset(("Fallback", "del", "moveFrom", "sectPr", "rPr", "tabs"))
_NOTES: Final = ("footnotes", "endnotes")


def read_docx(archive: Archive, main: str) -> Iterator[Part]:
    """Yield the title and the text of a document whose main part is `main`."""
    if named := ooxml.title(archive):
        yield Title(named)
    styles = ooxml.related(archive, main, "styles")
    levels = _levels(ooxml.part_events(archive, styles)) if styles else {}
    yield from _Body(levels).text(ooxml.part_events(archive, main))
    for kind in _NOTES:
        if part := ooxml.related(archive, main, kind):
            yield from _Body(levels).text(ooxml.part_events(archive, part))


def _levels(events: Iterable[Event]) -> dict[str, int]:
    """The level of the heading that each style makes, by the style's id."""
    levels: dict[str, int] = {}
    style = ""
    for event in events:
        if event.kind != START:
            continue
        given = event.attributes.get("val", "")
        if event.value == "style":
            style = event.attributes.get("styleId", "")
        elif event.value == "name":
            if found := _HEADING.match(given):
                levels[style] = int(found[1])
            elif given.lower() == "title":
                levels[style] = 1
        elif event.value == "outlineLvl" and given.isdigit() and int(given) < 9:
            levels.setdefault(style, int(given) + 1)
    return levels


class _Body(ooxml.Following):
    """Follows paragraphs and tables; a table within a cell becomes text of the cell."""

    def __init__(self, levels: dict[str, int]) -> None:
        super().__init__()
        self._levels = levels
        self._style = ""
        self._level = 0
        self._listed: int | None = None
        self._tables = 0
        self._cells: list[str] = []
        self._cell: list[str] = []
        self._rows = 0
        self._was_item = False
        self._around: list[tuple[list[str], str, int, int | None]] = []  # paragraphs that hold text boxes

    def _start(self, event: Event) -> None:
        name = event.value
        given = event.attributes
        if name in _SKIPPED or (name in ("footnote", "endnote") and "type" in given):
            self._skip = 1
        elif name == "t":
            self._in_text = True
        elif name == "txbxContent":
            self._around.append((self._text, self._style, self._level, self._listed))
            self._text = []
        elif name == "p":
            self._style, self._level, self._listed = "", 0, None
        elif name == "pStyle":
            self._style = given.get("val", "")
        elif name == "outlineLvl" and given.get("val", "9").isdigit():
            self._level = int(given.get("val", "9")) + 1
        elif name == "ilvl" and given.get("val", "").isdigit():
            self._listed = int(given["val"][:2])
        elif name == "numPr":
            self._listed = self._listed or 0
        elif name in ("tab", "ptab"):
            self._text.append("\t")
        elif name in ("br", "cr"):
            self._text.append("\n")
        elif name == "noBreakHyphen":
            self._text.append("-")
        elif name == "tbl":
            self._tables += 1
            self._rows = 0 if self._tables == 1 else self._rows
        elif name == "tr" and self._tables == 1:
            self._cells = []
        elif name == "tc" and self._tables == 1:
            self._cell = []

    def _end(self, name: str) -> str:
        if name == "t":
            self._in_text = False
        elif name == "p":
            return self._paragraph()
        elif name == "txbxContent" and self._around:
            self._text, self._style, self._level, self._listed = self._around.pop()
        elif name == "tc" and self._tables == 1:
            self._cells.append(" ".join(self._cell))
        elif name == "tr" and self._tables == 1:
            self._rows += 1
            gap, self._was_item = "\n" if self._was_item else "", False
            return gap + markup.row(self._cells, first=self._rows == 1)
        elif name == "tbl":
            self._tables = max(self._tables - 1, 0)
            return "" if self._tables else "\n"
        return ""

    def _paragraph(self) -> str:
        text, self._text = "".join(self._text), []
        if self._tables:
            self._cell.append(text)
            return ""
        level = self._levels.get(self._style) or self._level
        after_item, self._was_item = self._was_item, False
        gap = "\n" if after_item else ""
        if 0 < level <= 9:
            return gap + markup.heading(level, text)
        if self._listed is not None:
            self._was_item = True
            return markup.item(text, self._listed)
        return gap + markup.paragraph(text)
