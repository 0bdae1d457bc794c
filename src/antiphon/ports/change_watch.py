"""Port to a witness of commits: it hears which conversations and whose aliases they touch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class ChangeWatch(Protocol):
    """Hears of commits in memory and at once; never raises. Ids are those of conversations and owners."""

    def begin(self, touched: Collection[str]) -> None:
        """A commit that touches these begins."""
        ...

    def end(self, touched: Collection[str]) -> None:
        """It has ended, one way or the other."""
        ...
