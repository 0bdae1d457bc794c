"""Excel workbooks: each sheet is a page, each row a record of "column: value" lines. Nothing is computed."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Final

from antiphon.parsers import markup, ooxml
from antiphon.parsers.archive import Archive
from antiphon.parsers.reading import PageStart, Part, Title
from antiphon.parsers.records import Records
from antiphon.parsers.xml import START, TEXT, Event
from antiphon.ports.document_parser import Limits, ParseFailed

MAX_COLUMNS: Final = 16_384
MAX_SHARED: Final = 5_000_000
"""Excel's own bound on columns; and one on different texts."""

_DATES: Final = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
"""Numbers of Excel's own formats that show dates or times (ECMA-376 Part 1, 18.8.30)."""

_DATE_SIGNS: Final = re.compile(r"[dmyhs]", re.I)
_NOT_SIGNS: Final = re.compile(r'"[^"]*"|\\.|\[(?!h|m|s)[^\]]*\]|general', re.I)
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})[0-9]+$")


def read_xlsx(archive: Archive, main: str, limits: Limits) -> Iterator[Part]:
    """Yield the title and the sheets, hidden ones too."""
    if named := ooxml.title(archive):
        yield Title(named)
    sheets, since_1904 = _sheets(archive, main)
    if len(sheets) > limits.pages:
        raise ParseFailed(f"The document has {len(sheets):,} sheets.", code="invalid_file")
    shared = ooxml.related(archive, main, "sharedStrings")
    styles = ooxml.related(archive, main, "styles")
    cells = _Cells(
        list(_shared(archive, shared)) if shared else [],
        _date_styles(archive, styles) if styles else frozenset(),
        since_1904,
    )
    for name, part in sheets:
        yield PageStart(len(sheets))
        yield markup.heading(1, name)
        records = Records()
        for row in cells.rows(ooxml.part_events(archive, part)):
            yield records.row(row)


def _sheets(archive: Archive, main: str) -> tuple[list[tuple[str, str]], bool]:
    """Name and part of each sheet, and whether days count from 1904."""
    targets = ooxml.relations(archive, main)
    found: list[tuple[str, str]] = []
    since_1904 = False
    for event in ooxml.part_events(archive, main):
        if event.kind != START:
            continue
        if event.value == "workbookPr":
            since_1904 = event.attributes.get("date1904", "") in ("1", "true")
        elif event.value == "sheet":
            kind, target = targets.get(event.attributes.get("id", ""), ("", ""))
            if kind == "worksheet" and target in archive:
                found.append((event.attributes.get("name", ""), target))
    return found, since_1904


def _shared(archive: Archive, part: str) -> Iterator[str]:
    """The texts that cells refer to by number; how they are pronounced is left out."""
    text: list[str] = []
    inside = phonetic = False
    count = 0
    for event in ooxml.part_events(archive, part):
        if event.kind == TEXT:
            if inside and not phonetic:
                text.append(event.value)
        elif event.value == "t":
            inside = event.kind == START
        elif event.value == "rPh":
            phonetic = event.kind == START
        elif event.value == "si" and event.kind != START:
            count += 1
            if count > MAX_SHARED:
                raise ParseFailed("The workbook has too many texts.", code="invalid_file")
            yield "".join(text)
            text = []


def _date_styles(archive: Archive, part: str) -> frozenset[int]:
    """Which of the cells' styles show a number as a date."""
    own: set[int] = set()
    styles: list[int] = []
    inside = False
    for event in ooxml.part_events(archive, part):
        given = event.attributes
        if event.value == "cellXfs":
            inside = event.kind == START
        elif event.kind == START and event.value == "numFmt":
            if _DATE_SIGNS.search(_NOT_SIGNS.sub("", given.get("formatCode", "")[:255])):
                own.add(_number(given.get("numFmtId")))
        elif event.kind == START and event.value == "xf" and inside:
            styles.append(_number(given.get("numFmtId")))
    return frozenset(index for index, number in enumerate(styles) if number in _DATES or number in own)


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 9 else -1


class _Cells:
    """Turns a sheet's cells into rows of texts."""

    def __init__(self, shared: list[str], dates: frozenset[int], since_1904: bool) -> None:
        self._shared = shared
        self._dates = dates
        self._origin = datetime.datetime(1904, 1, 1) if since_1904 else datetime.datetime(1899, 12, 30)

    def rows(self, events: Iterator[Event]) -> Iterator[list[str]]:
        row: list[str] = []
        text: list[str] = []
        kind = style = ""
        inside = False
        column = -1
        for event in events:
            if event.kind == TEXT:
                if inside:
                    text.append(event.value)
            elif event.value in ("v", "t"):
                inside = event.kind == START
            elif event.value == "c":
                if event.kind == START:
                    kind, style = event.attributes.get("t", "n"), event.attributes.get("s", "0")
                    column = _column(event.attributes.get("r", ""), column + 1)
                    text = []
                elif value := self._value("".join(text), kind, style):
                    row.extend([""] * (column + 1 - len(row)))
                    row[column] = value
            elif event.value == "row":
                if event.kind != START and row:
                    yield row
                row, column = [], -1

    def _value(self, text: str, kind: str, style: str) -> str:
        if kind == "s":
            index = _number(text.strip())
            return self._shared[index] if 0 <= index < len(self._shared) else ""
        if kind == "b":
            return "TRUE" if text.strip() == "1" else "FALSE"
        if kind == "n" and _number(style) in self._dates:
            return self._date(text)
        return text

    def _date(self, text: str) -> str:
        try:
            moment = self._origin + datetime.timedelta(days=round(float(text) * 86_400) / 86_400)
        except (ValueError, OverflowError):
            return text
        moment = moment.replace(microsecond=0)
        if moment.time() == datetime.time():
            return moment.date().isoformat()
        return moment.time().isoformat() if moment.year < 1900 else moment.isoformat(" ")


def _column(reference: str, following: int) -> int:
    """The number of a cell's column, from 0; the next one if the cell does not say."""
    found = _REFERENCE.match(reference)
    if found is None:
        return min(following, MAX_COLUMNS)
    number = 0
    for letter in found[1]:
        number = number * 26 + ord(letter) - 64
    return min(number - 1, MAX_COLUMNS)
