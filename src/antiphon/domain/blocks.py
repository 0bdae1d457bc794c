"""The structure of a canonical text, read line by line: headings, paragraphs, tables, pieces of code."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

Shape = Literal["plain", "markdown", "code", "records"]
"""How a text shows its structure: by blank lines, by Markdown's marks, as source code, or as records that end
with a blank line each.
"""

Kind = Literal["heading", "paragraph", "table", "code", "record"]
"""What a block is; a record stays whole if it fits into a passage."""

_PLAINLY: Final[dict[Shape, Kind]] = {"code": "code", "records": "record"}
"""What a block is unless it shows something else; of other shapes a paragraph."""

MAX_BLOCK: Final = 16_384
"""Characters after which a block, or a line, is handed on in parts, so that memory stays bounded."""

_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-{2,})\s*$")
_FENCE: Final = re.compile(r" {0,3}(```+|~~~+)")
_DEFINITION: Final = re.compile(
    r"(?:(?:export|default|pub|public|private|protected|internal|static|final|abstract|async|unsafe|inline|open|sealed"
    r"|data|partial|override|virtual|extern|const)(?:\([a-z]+\))? +)*"
    r"(?:def|class|func|fn|function|interface|struct|enum|trait|impl|type|module|package|namespace|object|record"
    r"|sub|proc|CREATE|create|let|var|val|const)\b"
)


class Block(msgspec.Struct, frozen=True):
    """A part of a text, with the white space after it; the blocks of a text follow each other without gaps.

    `label` is a heading's text, a table's first row or the line that opens a definition. `begins` is
    false where an earlier block is continued.
    """

    start: int
    text: str
    kind: Kind
    level: int = 0
    label: str = ""
    begins: bool = True


class BlockScanner:
    """Turns a text that arrives in pieces into blocks. How it was pieced together makes no difference."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._rest = ""
        self._lines: list[str] = []
        self._length = 0
        self._start = 0
        self._kind: Kind = _PLAINLY.get(shape, "paragraph")
        self._level = 0
        self._label = ""
        self._begins = True
        self._blank = False  # the current block has its closing blank lines
        self._line_begins = True
        self._fence = ""
        self._blocks: list[Block] = []

    def add(self, text: str) -> list[Block]:
        """Read on, and return the blocks that are complete."""
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        for line in lines:
            self._line(self._parts_of(line + "\n") if len(line) >= MAX_BLOCK else line + "\n")
            self._line_begins = True
        if len(self._rest) > MAX_BLOCK:
            self._rest = self._parts_of(self._rest)
        return self._take()

    def end(self) -> list[Block]:
        """Return what is left: the text, or a page of it, ends here."""
        if self._rest:
            rest, self._rest = self._rest, ""
            self._line(rest)
        self._line_begins = True
        self._emit()
        self._fence = ""
        return self._take()

    def _take(self) -> list[Block]:
        blocks, self._blocks = self._blocks, []
        return blocks

    def _parts_of(self, line: str) -> str:
        """Hand on a long line in parts of MAX_BLOCK characters, and return what is left of it."""
        last = (len(line) - 1) // MAX_BLOCK * MAX_BLOCK
        for start in range(0, last, MAX_BLOCK):
            self._line(line[start : start + MAX_BLOCK])
            self._line_begins = False
        return line[last:]

    def _line(self, line: str) -> None:
        if not self._line_begins:
            self._append(line)
        elif line.isspace():
            self._blank = bool(self._lines) and not self._fence
            self._append(line)
        elif self._shape == "markdown":
            self._markdown(line)
        elif self._shape == "code":
            self._code(line)
        else:
            if self._blank:
                self._emit()
            self._append(line)

    def _append(self, line: str) -> None:
        self._lines.append(line)
        self._length += len(line)
        if self._length >= MAX_BLOCK:
            self._emit(goes_on=not self._blank)

    def _emit(self, *, goes_on: bool = False) -> None:
        """Close the current block. One that goes on leaves its kind and label to the next."""
        if self._lines:
            text = "".join(self._lines)
            self._blocks.append(Block(self._start, text, self._kind, self._level, self._label, self._begins))
            self._start += len(text)
        self._lines, self._length, self._blank = [], 0, False
        self._begins = not goes_on
        if not goes_on:
            self._kind = "code" if self._fence else _PLAINLY.get(self._shape, "paragraph")
            self._label, self._level = "", 0

    def _code(self, line: str) -> None:
        top = not line[0].isspace()
        defines = top and _DEFINITION.match(line) is not None
        if top and self._lines and (self._blank or (defines and not self._announces())):
            self._emit()
        self._blank = False
        if defines and not self._label:
            self._label = line.strip()[:120]
        self._append(line)

    def _announces(self) -> bool:
        """Whether the line before belongs to the definition that follows it."""
        return self._lines[-1].lstrip().startswith(("@", "#", "//", "/*", "*", "--", "["))

    def _markdown(self, line: str) -> None:
        if self._fence:
            self._fenced(line)
        elif fence := _FENCE.match(line):
            self._emit()
            self._fence, self._kind = fence[1][:3], "code"
            self._append(line)
        elif heading := _HEADING.match(line):
            self._emit()
            self._heading(line, len(heading[1]), line[heading.end() :].strip().rstrip("#").rstrip())
        elif len(self._lines) == 1 and not self._blank and self._underlines(line):
            first = self._lines.pop()
            self._length = 0
            self._heading(first + line, 1 if line.lstrip()[0] == "=" else 2, first.strip())
        else:
            self._body(line)

    def _fenced(self, line: str) -> None:
        if line.lstrip().startswith(self._fence):
            self._fence, self._blank = "", True
        self._append(line)

    def _underlines(self, line: str) -> bool:
        return self._kind == "paragraph" and self._begins and _UNDERLINE.match(line) is not None

    def _heading(self, text: str, level: int, label: str) -> None:
        self._kind, self._level, self._label = "heading", level, label
        self._append(text)
        self._blank = True

    def _body(self, line: str) -> None:
        kind: Kind = "table" if line.lstrip().startswith("|") else "paragraph"
        if self._lines and (self._blank or kind != self._kind):
            self._emit()
        if not self._lines and self._begins:
            self._kind = kind
            self._label = line.strip()[:200] if kind == "table" else ""
        self._append(line)
