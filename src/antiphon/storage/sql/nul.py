"""NUL in text, for stores whose text cannot hold it."""

from __future__ import annotations

from typing import Final

MARK: Final = "\uffff"
"""A character that Unicode gives to nobody: text that begins with it stands for another."""


def needs_mark(text: str) -> bool:
    """Whether a text cannot be kept as it is."""
    return "\0" in text or text.startswith(MARK)


def escaped(text: str) -> str:
    """Return a text without NUL from which `unescaped` makes the same again."""
    return MARK + text.replace("\\", "\\\\").replace("\0", "\\0")


def unescaped(text: str) -> str:
    """Return what was escaped."""
    pieces = text[1:].split("\\\\")
    return "\\".join(piece.replace("\\0", "\0") for piece in pieces)
