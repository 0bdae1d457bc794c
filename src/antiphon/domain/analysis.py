"""Placeholder of the analysed words of a text until the index's own analysis is merged."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"\w+")


def analyse(text: str, language: str | None) -> str:
    """Return the words of a text, in small letters, separated by spaces."""
    del language
    return " ".join(_WORD.findall(text.casefold()))
