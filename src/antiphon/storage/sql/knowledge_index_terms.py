"""Words as indexes other than FTS5 look them up: in small letters, without quotes, of bounded length."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

PLACE: Final = 2
"""What FTS5 adds to a passage's length, so that all engines score alike."""
MAX_TERM: Final = 128


def cleaned(word: str) -> str:
    """Return a word as it is looked up."""
    return word.replace('"', "").lower()[:MAX_TERM]


def terms_of(alternatives: Iterable[str]) -> list[str]:
    """Return the different words of several texts."""
    words = (cleaned(word) for one in alternatives for word in one.split())
    return list(dict.fromkeys(word for word in words if word))


def in_order(text: str) -> list[str]:
    """Return the words of a phrase."""
    return [word for one in text.split() if (word := cleaned(one))]
