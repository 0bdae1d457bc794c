"""Port to the memory of wrong logins: how often a name (or from a device) was tried in vain of late."""

from __future__ import annotations

from typing import Protocol


class Attempts(Protocol):
    """Counts failures by a name of any length, whether anything of that name exists or not."""

    async def blocked_seconds(self, name: str) -> float:
        """Return how long no further attempt is allowed; 0.0 if one is."""
        ...

    async def failed(self, name: str) -> None:
        """Count a failure."""
        ...
