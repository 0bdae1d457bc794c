"""Plain text, Markdown and source code: kept as they are, whatever their encoding."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from antiphon.parsers.encodings import wide_encoding
from antiphon.parsers.formats import HEAD_BYTES, MARKDOWN
from antiphon.parsers.reading import Document, Note, Part, Title

_CHUNK: Final = 1 << 18
_FALLBACK: Final = "cp1252"
_MARKDOWN_TITLE: Final = re.compile(r"^ {0,3}#[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_FRONT_MATTER: Final = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
_FRONT_TITLE: Final = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t\r]*$", re.MULTILINE)


def read_text(document: Document) -> Iterator[Part]:
    """Yield the text as it stands, with its line ends."""
    encoding = find_encoding(document.file)
    if encoding.note:
        yield Note(encoding.note)
    first = True
    for text in decoded(document.file, encoding.name):
        if first and document.format is MARKDOWN and (title := _title(text)):
            yield Title(title)
        first = False
        yield text


def _title(text: str) -> str | None:
    head = text[:16_384]
    if front := _FRONT_MATTER.match(head):
        if named := _FRONT_TITLE.search(front[1]):
            return named[1]
        head = head[front.end() :]
    found = _MARKDOWN_TITLE.search(head.replace("\r\n", "\n"))
    return found[1] if found else None


class Encoding:
    """An encoding's name, and what must be said about it."""

    def __init__(self, name: str, note: str = "") -> None:
        self.name = name
        self.note = note


def find_encoding(file: BinaryIO) -> Encoding:
    """Find out how a text is encoded: by its mark, as UTF-16 by its zeros, as UTF-8 if it is that throughout.

    A few bad bytes do not make a text any less UTF-8; otherwise it is taken for Windows-1252, the
    commonest of the old ones, and that is noted. The file stands at its beginning afterwards.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    wide = wide_encoding(head)
    if wide is not None:
        file.seek(0)
        return Encoding(wide)
    letters = bad = 0
    for text in decoded(file, "utf-8-sig"):
        if not text.isascii():
            letters += len(text) - len(text.encode("ascii", "ignore"))
            bad += text.count("\ufffd")
    file.seek(0)
    if bad == 0:
        return Encoding("utf-8-sig")
    if bad * 20 <= letters:
        return Encoding("utf-8-sig", f"{bad} bytes or characters are damaged; the rest is UTF-8.")
    return Encoding(_FALLBACK, "The text is not UTF-8; it was read as Windows-1252.")


def decoded(file: BinaryIO, encoding: str) -> Iterator[str]:
    """Yield the text of a file from its beginning; what cannot be decoded becomes U+FFFD."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    while data := file.read(_CHUNK):
        if text := decoder.decode(data):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text
