"""Port to locks by name, among all processes that share a store."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Locks(Protocol):
    """Who dies gives his locks up. Within one process every lock has one holder at a time."""

    def exclusive(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold a lock that nobody else holds meanwhile; raises Unavailable if it is not free for long."""
        ...

    def shared(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold a lock that nobody holds exclusively meanwhile; other processes may share it."""
        ...

    def if_free(self, name: str) -> AbstractAsyncContextManager[bool]:
        """Hold a lock exclusively if it is free at once, and tell whether it is held."""
        ...
