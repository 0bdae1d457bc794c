"""Reads a dump of a key-value store entry by entry: JSON lines, or one object of all keys."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

PIECE_CHARACTERS = 64 * 1024
MOST_CHARACTERS = 64 * 1024 * 1024
"""An entry longer than this is refused."""

_decoder = json.JSONDecoder()


class BadDump(Exception):
    """The file is no dump; says where."""


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each key with its value; raises BadDump and OSError."""
    with path.open("rb") as file:
        yield from entries_of(file)


def entries_of(binary: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield the same of an open file; raises BadDump and OSError."""
    file = io.TextIOWrapper(binary, encoding="utf-8-sig")
    try:
        first = file.readline(MOST_CHARACTERS)
        yield from _lines(file, first) if _is_entry(first) else _members(file, first)
    except UnicodeDecodeError as error:
        raise BadDump("The file is not UTF-8 text.") from error


def _is_entry(line: str) -> bool:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "key" in found and "value" in found


def _lines(file: IO[str], first: str) -> Iterator[tuple[str, Any]]:
    """One object a line: `key` and `value`; others of its fields do not matter."""
    number, line = 0, first
    while line:
        number += 1
        if len(line) > MOST_CHARACTERS:
            raise BadDump(f"Line {number} is longer than {MOST_CHARACTERS} characters.")
        if line.strip():
            yield _entry(line, number)
        line = file.readline(MOST_CHARACTERS + 1)


def _entry(line: str, number: int) -> tuple[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("key"), str) or "value" not in found:
        raise BadDump(f"Line {number} is no JSON object with 'key' and 'value'.")
    return found["key"], found["value"]


class _Text:
    """What is read of a file and not used yet."""

    def __init__(self, file: IO[str], text: str) -> None:
        self._file = file
        self._text = text
        self._size = PIECE_CHARACTERS

    def more(self) -> bool:
        """Read on, twice as much each time; False at the end."""
        if len(self._text) > MOST_CHARACTERS:
            raise BadDump(f"An entry is longer than {MOST_CHARACTERS} characters.")
        piece = self._file.read(self._size)
        self._size *= 2
        self._text += piece
        return bool(piece)

    def peek(self) -> str:
        """Return the next character that is no white space, "" at the end."""
        self._text = self._text.lstrip()
        while not self._text and self.more():
            self._text = self._text.lstrip()
        return self._text[:1]

    def skip(self, wanted: str) -> None:
        """Pass over a character that must come next."""
        if self.peek() != wanted:
            raise BadDump(f"The file is no JSON object of keys and values: '{wanted}' is missing.")
        self._text = self._text[1:]

    def value(self) -> Any:
        """Return the next JSON value, whole: something must follow it."""
        self.peek()
        while True:
            try:
                found, end = _decoder.raw_decode(self._text)
                if end < len(self._text):
                    self._text, self._size = self._text[end:], PIECE_CHARACTERS
                    return found
            except RecursionError:
                raise BadDump("A value is nested too deeply.") from None
            except ValueError:
                pass  # perhaps only its beginning has been read
            if not self.more():
                raise BadDump("The file ends within a value, or is no JSON.")


def _members(file: IO[str], first: str) -> Iterator[tuple[str, Any]]:
    """One object whose members are the keys; `first` has been read of it."""
    text = _Text(file, first)
    text.skip("{")
    while text.peek() != "}":
        key = text.value()
        text.skip(":")
        if not isinstance(key, str):
            raise BadDump("The file is no JSON object of keys and values.")
        yield key, text.value()
        if text.peek() != "}":
            text.skip(",")
