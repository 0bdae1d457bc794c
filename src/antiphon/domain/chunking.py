"""Cuts a text into passages: by its structure, then sentences, then lines, then words.

Sizes are those of our own token estimator, which counts UTF-8 bytes, so they add up exactly. Every
passage is a substring of the text it was cut from; nothing is normalised.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from antiphon.domain.blocks import Block, BlockScanner, Kind, Shape
from antiphon.domain.collections import Chunking
from antiphon.domain.usage import BYTES_PER_TOKEN

MIN_TOKENS: Final = 100
MAX_TOKENS: Final = 4096
"""OpenAI's bounds on `max_chunk_size_tokens`."""

MAX_HEADING: Final = 400
MAX_HEADING_PART: Final = 200
"""Characters of a passage's path of titles, and of one title in it."""

_SENTENCE: Final = re.compile(
    r"[.!?…][\"'”’»)\]]{0,4}\s++(?![a-zà-ÿа-я])"
    r"|[。！？｡؟।][”」』）]{0,4}\s*+"
    r"|\n[^\S\n]*+\n\s*+"
)
_TITLE: Final = re.compile(r"^ {0,3}(?:#|=+\s*$|-{2,}\s*$)", re.MULTILINE)
"""Where Markdown may have a heading; not in every such place there is one."""
_CONTINUATION: Final = bytes(range(0x80, 0xC0))


class Piece(msgspec.Struct, frozen=True):
    """A passage in the making: `text` is the canonical text from `start` to `end`; `page` counts from 1."""

    start: int
    end: int
    text: str
    heading: str
    page: int | None


def utf8_length(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Cutter:
    """Cuts a text that arrives in pieces; memory does not grow with it."""

    def __init__(self, shape: Shape, chunking: Chunking, title: str = "") -> None:
        self._scanner = BlockScanner(shape)
        self._packer = _Packer(chunking, title)

    def add(self, text: str) -> list[Piece]:
        """Read on, and return the passages that are complete."""
        return self._pack(self._scanner.add(text))

    def page(self) -> list[Piece]:
        """The next page begins here; passages do not cross pages."""
        pieces = self.end()
        self._packer.page = (self._packer.page or 0) + 1
        return pieces

    def end(self) -> list[Piece]:
        """Return what is left."""
        pieces = self._pack(self._scanner.end())
        pieces += self._packer.close()
        return pieces

    def _pack(self, blocks: list[Block]) -> list[Piece]:
        pieces: list[Piece] = []
        for block in blocks:
            pieces += self._packer.add(block)
        return pieces


def cut(
    text: Iterable[str], shape: Shape, chunking: Chunking, *, title: str = "", page_starts: Iterable[int] = ()
) -> Iterator[Piece]:
    """Cut a text, given in pieces that follow each other. `page_starts` are offsets in it, ascending."""
    cutter = Cutter(shape, chunking, title)
    starts = iter(page_starts)
    next_page = next(starts, None)
    offset = 0
    for part in text:
        done = 0
        while next_page is not None and next_page <= offset + len(part):
            yield from cutter.add(part[done : next_page - offset])
            done = next_page - offset
            yield from cutter.page()
            next_page = next(starts, None)
        yield from cutter.add(part[done:])
        offset += len(part)
    yield from cutter.end()


def cut_short(text: str, chunking: Chunking) -> Piece | None:
    """Return the only passage of a Markdown text that is short and has no heading, else None.

    It is the one that `cut` returns: whatever blocks there are, they fit into it.
    """
    if utf8_length(text) > chunking.max_tokens * BYTES_PER_TOKEN or _TITLE.search(text):
        return None
    body = text.strip()
    start = len(text) - len(text.lstrip())
    return Piece(start, start + len(body), body, "", None) if body else None


class _Packer:
    """Fills passages with blocks, in order."""

    def __init__(self, chunking: Chunking, title: str) -> None:
        self.page: int | None = None
        self._most = max(chunking.max_tokens, 1) * BYTES_PER_TOKEN
        self._overlap = min(chunking.overlap_tokens, chunking.max_tokens // 2) * BYTES_PER_TOKEN
        self._title = _clean(title)
        self._path: list[tuple[int, str]] = []
        self._parts: list[str] = []
        self._start = 0
        self._size = 0  # bytes in `_parts`
        self._bare = True  # nothing but headings in `_parts`
        self._label = ""

    def add(self, block: Block) -> list[Piece]:
        out: list[Piece] = []
        heading = block.kind == "heading"
        if heading:
            if not self._bare:
                out += self.close()
            if block.begins:
                self._descend(block)
        size = utf8_length(block.text.rstrip())
        fits = self._size + size <= self._most or self._size >= self._most // 4 or block.kind == "record"
        if size <= self._most and fits:
            segments: Iterable[str] = (block.text,)
        else:
            segments = _segments(block.text, block.kind, self._most)
        start = block.start
        for segment in segments:
            inside = start > block.start or not block.begins
            self._place(start, segment, block.label if inside and not heading else "", out)
            start += len(segment)
        if not heading and self._parts:
            self._bare = False
        return out

    def close(self) -> list[Piece]:
        """Finish the passage in work, if there is one."""
        out: list[Piece] = []
        self._finish(out)
        return out

    def _descend(self, block: Block) -> None:
        while self._path and self._path[-1][0] >= block.level:
            self._path.pop()
        self._path.append((block.level, _clean(block.label)))

    def _place(self, start: int, segment: str, label: str, out: list[Piece]) -> None:
        solid = segment.rstrip()
        size = utf8_length(solid)
        if self._parts and solid and self._size + size > self._most:
            self._finish(out, next_size=size)
        if not self._parts:
            lead = len(segment) - len(segment.lstrip())
            start, segment = start + lead, segment[lead:]
            if not segment:
                return
            self._start, self._label = start, label
        self._parts.append(segment)
        self._size += utf8_length(segment)
        if not solid and self._size > 2 * self._most:
            self._finish(out)

    def _finish(self, out: list[Piece], next_size: int | None = None) -> None:
        """Close the passage; if one of `next_size` bytes goes on from it, begin that with the overlap."""
        text = "".join(self._parts)
        start, label = self._start, self._label
        self._parts, self._size, self._bare = [], 0, True
        body = text.rstrip()
        if not body:
            return
        out.append(Piece(start, start + len(body), body, self._heading(label), self.page))
        if next_size is None or not self._overlap:
            return
        gap = utf8_length(text[len(body) :])
        kept = _tail(body, min(self._overlap, self._most - next_size - gap))
        if kept:
            self._parts = [text[len(body) - kept :]]
            self._start = start + len(body) - kept
            self._size = utf8_length(self._parts[0])
            self._bare, self._label = False, label

    def _heading(self, label: str) -> str:
        parts: list[str] = []
        for part in (self._title, *(text for _, text in self._path), _clean(label)):
            if part and (not parts or part.casefold() != parts[-1].casefold()):
                parts.append(part)
        return " > ".join(parts)[:MAX_HEADING]


def _clean(title: str) -> str:
    return " ".join(title[: 4 * MAX_HEADING_PART].split())[:MAX_HEADING_PART]


def _segments(text: str, kind: Kind, most: int) -> Iterator[str]:
    """Split a block into parts of at most `most` bytes, without the white space after them."""
    by_line = kind in ("code", "table")
    for unit in _units(text, kind, most):
        if utf8_length(unit.rstrip()) <= most:
            yield unit
            continue
        for line in (unit,) if by_line else unit.splitlines(keepends=True):
            if utf8_length(line.rstrip()) <= most:
                yield line
            else:
                yield from _windows(line, max(most // 4, 4))


def _units(text: str, kind: Kind, most: int) -> Iterator[str]:
    """Split a block into lines or sentences; of a record into its values, and the sentences of long ones."""
    if kind in ("code", "table"):
        yield from text.splitlines(keepends=True)
    elif kind == "record":
        for line in text.splitlines(keepends=True):
            yield from (line,) if utf8_length(line.rstrip()) <= most else _sentences(line)
    else:
        yield from _sentences(text)


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for match in _SENTENCE.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _windows(text: str, most: int) -> Iterator[str]:
    """Split at white space, or anywhere but before a mark that belongs to the letter before it."""
    position = 0
    while position < len(text):
        end = position + _prefix(text[position : position + most], most)
        if end < len(text):
            end = _break(text, position, end)
        yield text[position:end]
        position = end


def _break(text: str, start: int, end: int) -> int:
    for at in range(end, start + (end - start) // 2, -1):
        if text[at - 1].isspace():
            return at
    for at in range(end, max(start + 1, end - 16), -1):
        if not _joins(text[at]) and not _joins(text[at - 1], after=True):
            return at
    return end


def _joins(character: str, *, after: bool = False) -> bool:
    """Whether a character may not stand first in a passage (or, `after`, not last)."""
    if after:
        return character == "\u200d"
    return character == "\u200d" or unicodedata.category(character)[0] == "M"


def _prefix(text: str, most: int) -> int:
    """How many of the first characters take at most `most` bytes; at least one."""
    if text.isascii():
        return min(len(text), most)
    data = text.encode("utf-8", "surrogatepass")
    count = len(data[:most].translate(None, _CONTINUATION))
    if most < len(data) and 0x80 <= data[most] < 0xC0:
        count -= 1
    return max(count, 1)


def _tail(text: str, most: int) -> int:
    """How many of the last characters a next passage repeats: whole sentences, else whole words.

    They take at most `most` bytes and are never all of `text`.
    """
    if most <= 0:
        return 0
    data = text[-most:].encode("utf-8", "surrogatepass")[-most:].lstrip(_CONTINUATION)
    first = max(len(text) - len(data.translate(None, _CONTINUATION)), 1)
    for found in _SENTENCE.finditer(text, max(first - 8, 0)):
        if first <= found.end() < len(text):
            return len(text) - found.end()
    for at in range(first, len(text)):
        if text[at - 1].isspace() and not text[at].isspace():
            return len(text) - at
    return 0
