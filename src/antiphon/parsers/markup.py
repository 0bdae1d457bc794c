"""How documents with a structure of their own are written down: as Markdown."""

from __future__ import annotations

import re
from typing import Final

_SPACE: Final = re.compile(r"[ \t\n\r\f\v\xa0]+")
_MAX_LEVEL: Final = 6


def collapse(text: str) -> str:
    """Make one space of every run of white space, as a browser does."""
    return _SPACE.sub(" ", text).strip()


def heading(level: int, text: str) -> str:
    """A heading on a line of its own; "" if it has no text."""
    text = collapse(text)
    return f"{'#' * min(max(level, 1), _MAX_LEVEL)} {text}\n\n" if text else ""


def paragraph(text: str) -> str:
    """A paragraph; "" if it has no text."""
    text = text.strip()
    return f"{text}\n\n" if text else ""


def item(text: str, depth: int = 0) -> str:
    """An item of a list; "" if it has no text."""
    text = text.strip()
    return f"{'  ' * min(depth, 8)}- {text}\n" if text else ""


def row(cells: list[str], *, first: bool) -> str:
    """A row of a table; the first is taken for its head. "" if all cells are empty."""
    texts = [collapse(cell).replace("|", "\\|") for cell in cells]
    if not any(texts):
        return ""
    line = f"| {' | '.join(texts)} |\n"
    return line + f"|{' --- |' * len(texts)}\n" if first else line


def code(text: str) -> str:
    """Text whose lines stay as they are."""
    if not text.strip():
        return ""
    fence = "~~~" if "```" in text else "```"
    return f"{fence}\n{text.strip(chr(10))}\n{fence}\n\n"


def record(names: list[str], values: list[str]) -> str:
    """A row of data as "name: value" lines; "" if all values are empty. Values keep no line breaks."""
    lines = [
        f"{name}: {text}" if name else text
        for name, value in zip(names, values, strict=True)
        if (text := collapse(value))
    ]
    return "\n".join(lines) + "\n\n" if lines else ""
