"""NUL in text, for stores whose text cannot hold it."""

from __future__ import annotations

from typing import Final

MARK: Final = "\uffff"
"""A character that Unicode gives to nobody: what follows it tells what stood here."""


def has_nul(text: str) -> bool:
    """Whether a text holds NUL."""
    return "\0" in text


def needs_mark(text: str) -> bool:
    """Whether a text is kept in another form."""
    return "\0" in text or MARK in text


def escaped(text: str) -> str:
    """Return a text without NUL from which `unescaped` makes the same again; beginnings stay beginnings."""
    return text.replace(MARK, MARK + "1").replace("\0", MARK + "0")


def unescaped(text: str) -> str:
    """Return what was escaped."""
    return text.replace(MARK + "0", "\0").replace(MARK + "1", MARK)
