"""What a reader is given and what it hands on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from antiphon.parsers.formats import Format
from antiphon.ports.document_parser import Limits


class Document(msgspec.Struct, frozen=True):
    """An open document. `filename` is what the client called it; it is never a path."""

    file: BinaryIO
    size: int
    filename: str
    format: Format
    limits: Limits


class PageStart(msgspec.Struct, frozen=True):
    """A page (slide, sheet, chapter) begins here. `total` is how many there are, 0 if unknown."""

    total: int = 0


class Title(msgspec.Struct, frozen=True):
    """The document's own title; comes before its text."""

    text: str


class Note(msgspec.Struct, frozen=True):
    """Something a person should know: a page that could not be read, a guessed encoding."""

    text: str


Part = str | PageStart | Title | Note
Reader = Callable[[Document], Iterator[Part]]
