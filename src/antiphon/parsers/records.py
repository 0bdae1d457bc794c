"""Rows of data, written as records under the names of their columns."""

from __future__ import annotations

import re
from typing import Final

from antiphon.parsers import markup

_NUMBER: Final = re.compile(r"[-+]?[0-9.,:/ €$%-]*$")


class Records:
    """Takes rows one after another. The first is the head if it looks like names: different, no numbers."""

    def __init__(self) -> None:
        self._names: list[str] | None = None
        self._first = True

    def row(self, cells: list[str]) -> str:
        """Write down a row; "" for the head."""
        if self._first:
            self._first = False
            names = [markup.collapse(cell) for cell in cells]
            while names and not names[-1]:
                names.pop()
            if _is_head(names):
                self._names = names
                return ""
        if self._names is None:
            text = " | ".join(text for cell in cells if (text := markup.collapse(cell)))
            return f"{text}\n" if text else ""
        names = self._names
        if len(cells) > len(names):
            names = names + [""] * (len(cells) - len(names))
        return markup.record(names[: len(cells)], cells)


def _is_head(names: list[str]) -> bool:
    return (
        len(names) >= 2
        and all(name and len(name) <= 200 and not _NUMBER.match(name) for name in names)
        and len({name.casefold() for name in names}) == len(names)
    )
