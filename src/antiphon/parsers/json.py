"""JSON: each element of a list, or each member of an object, becomes lines of "path: value"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from antiphon.parsers.formats import JSONL
from antiphon.parsers.reading import Document, Note, Part
from antiphon.parsers.text import decoded, find_encoding, read_text

MAX_BYTES: Final = 32 * 1024 * 1024
"""Larger documents are kept as they stand: taken apart, they need ten times their size."""

MAX_LINE: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 200


def read_json(document: Document) -> Iterator[Part]:
    """Yield the values of a document; what is no JSON is kept as text."""
    if document.format is JSONL:
        yield from _lines(document)
        return
    if document.size <= MAX_BYTES:
        source = "".join(decoded(document.file, find_encoding(document.file).name))
        try:
            value = msgspec.json.decode(source)
        except (msgspec.DecodeError, RecursionError, ValueError):
            yield Note("The file is not valid JSON; it was read as text.")
        else:
            yield from _records(value)
            return
    yield from read_text(document)


def _lines(document: Document) -> Iterator[Part]:
    """One value a line; a line that is none stays as it is."""
    encoding = find_encoding(document.file)
    if encoding.note:
        yield Note(encoding.note)
    rest = ""
    for text in decoded(document.file, encoding.name):
        lines = (rest + text).split("\n")
        rest = lines.pop()
        for line in lines:
            yield _line(line)
        if len(rest) > MAX_LINE:
            yield rest
            rest = ""
    yield _line(rest)


def _line(line: str) -> str:
    if not line.strip():
        return ""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return line + "\n\n"
    return "".join(_flat(value, "", 0)) + "\n"


def _records(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        parts: Iterator[tuple[str, Any]] = (("", element) for element in value)
    elif isinstance(value, dict):
        parts = iter(value.items())
    else:
        parts = iter((("", value),))
    scalars = False
    for name, part in parts:
        plain = not isinstance(part, list | dict)
        if scalars and not plain:
            yield "\n"
        yield "".join(_flat(part, name, 1))
        if not plain:
            yield "\n"
        scalars = plain


def _flat(value: Any, path: str, depth: int) -> Iterator[str]:
    """Lines of "path: value"; beyond MAX_DEPTH the rest is written as JSON."""
    if isinstance(value, dict) and value and depth < MAX_DEPTH:
        for name, part in value.items():
            yield from _flat(part, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, list) and value and depth < MAX_DEPTH:
        if all(not isinstance(part, list | dict) for part in value):
            yield _labelled(path, ", ".join(_shown(part) for part in value))
            return
        for index, part in enumerate(value):
            yield from _flat(part, f"{path}[{index}]", depth + 1)
    elif text := _shown(value):
        yield _labelled(path, text)


def _labelled(path: str, text: str) -> str:
    return f"{path}: {text}\n" if path else f"{text}\n"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return msgspec.json.encode(value).decode()
