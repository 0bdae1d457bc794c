"""What Office's documents have in common: their kind, how their parts refer to each other, their title."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import Final

from antiphon.parsers.archive import Archive
from antiphon.parsers.formats import DOCX, PPTX, XLSX, Format
from antiphon.parsers.xml import END, START, TEXT, Event, events
from antiphon.ports.document_parser import ParseFailed

CONTENT_TYPES: Final = "[Content_Types].xml"
_MAIN: Final = (
    ("wordprocessingml.document.main", DOCX),
    ("ms-word.document.macroenabled.main", DOCX),
    ("wordprocessingml.template.main", DOCX),
    ("presentationml.presentation.main", PPTX),
    ("presentationml.slideshow.main", PPTX),
    ("ms-powerpoint.presentation.macroenabled.main", PPTX),
    ("spreadsheetml.sheet.main", XLSX),
    ("ms-excel.sheet.macroenabled.main", XLSX),
)


class Following:
    """Follows the events of a part and puts its text together; what is skipped leaves no trace."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._skip = 0
        self._in_text = False

    def text(self, events: Iterable[Event]) -> Iterator[str]:
        """Return the part's text, piece by piece."""
        for event in events:
            if self._skip:
                if event.kind != TEXT:
                    self._skip += 1 if event.kind == START else -1
            elif event.kind == TEXT:
                if self._in_text:
                    self._text.append(event.value)
            elif event.kind == START:
                self._start(event)
            elif out := self._end(event.value):
                yield out

    def _start(self, event: Event) -> None:
        raise NotImplementedError

    def _end(self, name: str) -> str:
        raise NotImplementedError


def main_part(archive: Archive) -> tuple[Format, str]:
    """Say what kind of document it is, and which part is its main one."""
    if CONTENT_TYPES not in archive:
        raise ParseFailed("The file is an archive, which is not read.", code="unsupported_file")
    for event in part_events(archive, CONTENT_TYPES):
        if event.kind == START and event.value == "Override":
            content_type = event.attributes.get("ContentType", "").lower()
            for mark, found in _MAIN:
                if mark in content_type:
                    return found, event.attributes.get("PartName", "").lstrip("/")
    raise ParseFailed("The file is an Office document of a kind that is not read.", code="unsupported_file")


def part_events(archive: Archive, name: str) -> Iterator[Event]:
    """The events of one part."""
    return events(archive.chunks(name), f"The part '{name[:80]}'")


def relations(archive: Archive, part: str) -> dict[str, tuple[str, str]]:
    """Kind and target of what a part refers to inside the document, by id.

    Whatever lies outside of it is left out; it is never asked for.
    """
    folder, name = posixpath.split(part)
    listed = posixpath.join(folder, "_rels", f"{name}.rels")
    found: dict[str, tuple[str, str]] = {}
    if listed not in archive:
        return found
    for event in part_events(archive, listed):
        if event.kind != START or event.value != "Relationship":
            continue
        given = event.attributes
        if given.get("TargetMode", "").lower() == "external":
            continue
        target = posixpath.normpath(posixpath.join("/", folder, given.get("Target", ""))).lstrip("/")
        found[given.get("Id", "")] = (given.get("Type", "").rpartition("/")[2], target)
    return found


def related(archive: Archive, part: str, kind: str) -> str | None:
    """The part of a kind (`styles`, `notesSlide`) that another refers to, if it is there."""
    for found, target in relations(archive, part).values():
        if found == kind and target in archive:
            return target
    return None


def title(archive: Archive) -> str | None:
    """The title in the document's properties."""
    name = "docProps/core.xml"
    if name not in archive:
        return None
    inside = False
    text = ""
    for event in part_events(archive, name):
        if event.kind == TEXT and inside:
            text = (text + event.value)[:1_000]
        elif event.value == "title":
            inside = event.kind == START
            if event.kind == END:
                break
    return text.strip() or None
