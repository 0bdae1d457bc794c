"""NUL in text, for stores whose text cannot hold it."""

from __future__ import annotations

from typing import Final

MARK: Final = "\uffff"
"""A character that Unicode gives to nobody: what follows it tells what stood here."""


def escaped(text: str) -> str:
    """Return a text without NUL from which `unescaped` makes the same again."""
    return text.replace(MARK, MARK + "1").replace("\0", MARK + "0")


def unescaped(text: str) -> str:
    """Return what was escaped."""
    return text.replace(MARK + "0", "\0").replace(MARK + "1", MARK)
