"""Reads JSON values out of a file one after the other, in memory for one of them.

A file is an array, whose elements are the values, one object, or JSON lines; of an object that holds a
list of `conversations`, as Antiphon's own export of everything does, the values are these. They are cut
apart before they are decoded, so that one that is broken, or far too long, does not hide those after it.
What the fast decoder refuses (nested deeper than its stack, half characters, numbers of any size) is
built from ijson's events without recursion; its own builders keep a path for every level, which at
100,000 levels takes 25 GB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any, Final

import ijson
import msgspec

from antiphon.ports.chat_exports import BadExport

MOST_BYTES: Final = 64 * 1024 * 1024
"""A longer value is left out."""
MOST_MEMORY: Final = 256 * 1024 * 1024
"""So is one that would take more once it is decoded: of small values 64 MiB would take 1.4 GB."""
PIECE_BYTES: Final = 256 * 1024
BLANKS: Final = b" \t\r\n\xef\xbb\xbf"
HEAD_BYTES: Final = 64 * 1024
"""Where a list of conversations within an object begins at the latest."""
_TEXT: Final = rb'"(?:[^"\\]|\\.)*+"'
_SCALAR: Final = rb"(?:" + _TEXT + rb"|[-+.\w]++)"
_FLAT: Final = rb"\{\s*+(?:" + _TEXT + rb"\s*+:\s*+" + _SCALAR + rb"\s*+,?+\s*+)*+\}"
_MEMBER: Final = _TEXT + rb"\s*+:\s*+(?:" + _SCALAR + rb"|" + _FLAT + rb")\s*+,\s*+"
_WRAPPED: Final = re.compile(rb"\{\s*+(?:" + _MEMBER + rb')*+"conversations"\s*+:\s*+(?=\[)', re.DOTALL)
"""What stands before a list of conversations within an object: nothing that is a list itself."""
_NEXT: Final = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+(["\[\]{}]|\Z)', re.DOTALL)
"""What comes before the next bracket, then that, or a string that does not end here."""
_REST: Final = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)

_decode = msgspec.json.Decoder().decode


class Broken(msgspec.Struct, frozen=True):
    """A value that cannot be read."""

    reason: str


TOO_LARGE: Final = Broken("too large")
STRAY: Final = Broken("something that is no object")


def documents(file: IO[bytes]) -> Iterator[Any]:
    """Yield the values of a file, `Broken` in place of those that cannot be read.

    Raises BadExport where the file ends within a value, and OSError.
    """
    first = file.readline(PIECE_BYTES)
    while first and not first.strip(BLANKS):
        first = file.readline(PIECE_BYTES)
    start = first.lstrip(BLANKS)
    wrapped = _WRAPPED.match(start)
    if not wrapped and start.startswith(b"{"):
        if first.endswith(b"\n") and not isinstance(_value(start), Broken):
            yield from _lines(file, start)
            return
        start += file.read(HEAD_BYTES)
        wrapped = _WRAPPED.match(start)
    if start:
        yield from _Cut(file, start[wrapped.end() :] if wrapped else start).values()


def _lines(file: IO[bytes], first: bytes) -> Iterator[Any]:
    line = first
    while line:
        if len(line) > MOST_BYTES:
            raise BadExport(f"A line is longer than {MOST_BYTES} bytes; what follows it is not read.")
        if line.strip(BLANKS):
            yield _value(line) if _memory(line) <= MOST_MEMORY else TOO_LARGE
        line = file.readline(MOST_BYTES + 1)


class _Cut:
    """Cuts the objects and arrays out of an array, or out of what stands one after the other."""

    def __init__(self, file: IO[bytes], start: bytes) -> None:
        self._file = file
        self._base = 1 if start.startswith(b"[") else 0
        self._start = start[self._base :]
        self._depth = self._base
        self._inside = False
        self._kept: list[bytes] = []
        self._size = 0
        self._memory = 0
        self._stray = False

    def values(self) -> Iterator[Any]:
        """Yield them decoded."""
        while self._depth >= self._base and (piece := self._piece()):
            for found in self._cut(piece):
                if self._stray:
                    yield STRAY
                    self._stray = False
                yield found if isinstance(found, Broken) else _value(found)
        if self._stray:
            yield STRAY
        if self._depth > self._base or (self._base and self._depth == self._base):
            raise BadExport("The file ends before its values do.")

    def _piece(self) -> bytes:
        """Read on, never to the middle of an escape."""
        piece, self._start = self._start or self._file.read(PIECE_BYTES), b""
        while (len(piece) - len(piece.rstrip(b"\\"))) % 2 and (more := self._file.read(1)):
            piece += more
        return piece

    def _cut(self, piece: bytes) -> Iterator[bytes | Broken]:
        at = begin = 0
        if self._inside:
            rest = _REST.match(piece)
            self._inside = rest is None
            at = rest.end() if rest else len(piece)
        while at < len(piece) and self._depth >= self._base:
            found = _NEXT.match(piece, at)
            mark = found[1] if found else b""
            end = found.end() if found else len(piece)
            if self._depth == self._base:
                before = piece[at : end - len(mark)].strip(b", \t\r\n")
                self._stray |= bool(before) or mark == b'"'
                begin = end - len(mark)
            at = end
            if mark == b'"':
                self._inside, at = True, len(piece)
            elif mark:
                self._depth += 1 if mark in b"[{" else -1
                if self._depth == self._base and mark in b"]}":
                    yield self._taken(piece[begin:end])
        if self._depth > self._base:
            self._keep(piece[begin:])

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        self._memory += _memory(part)
        if self._fits():
            self._kept.append(part)
        else:
            self._kept.clear()
        if self._memory > 2 * MOST_MEMORY:
            raise BadExport("A value is far too large; it and what follows it are not read.")

    def _fits(self) -> bool:
        return self._size <= MOST_BYTES and self._memory <= MOST_MEMORY

    def _taken(self, part: bytes) -> bytes | Broken:
        self._keep(part)
        found = b"".join(self._kept) if self._fits() else TOO_LARGE
        self._kept, self._size, self._memory = [], 0, 0
        return found


def _memory(part: bytes) -> int:
    """Estimate what a part of a value takes when it is decoded, by what can be counted quickly."""
    opened = part.count(b"[") + part.count(b"{")
    return len(part) + 30 * part.count(b'"') + 100 * opened + 8 * part.count(b",")


def _value(encoded: bytes) -> Any:
    try:
        return _decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _built(encoded)
    except (ijson.JSONError, ValueError, RecursionError):
        return Broken("no JSON" if _is_text(encoded) else "not UTF-8 text")


def _is_text(encoded: bytes) -> bool:
    try:
        encoded.decode()
    except UnicodeDecodeError:
        return False
    return True


def _built(encoded: bytes) -> Any:
    """Build a value from its events, however deep it is."""
    top: list[Any] = []
    stack: list[tuple[Any, str | None]] = [(top, None)]
    for event, value in ijson.basic_parse(encoded):
        holder, key = stack[-1]
        if event == "map_key":
            stack[-1] = (holder, value)
            continue
        if event in ("end_map", "end_array"):
            stack.pop()
            continue
        if event == "start_map":
            value = {}
        elif event == "start_array":
            value = []
        elif isinstance(value, Decimal):
            value = float(value)
        if key is None:
            holder.append(value)
        else:
            holder[key] = value
        if event.startswith("start_"):
            stack.append((value, None))
    return top[0]
