"""Port to background work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

Job = Callable[[], Awaitable[None]]
"""Work without arguments that may be done twice without harm."""


class Jobs(Protocol):
    """Runs work beside the requests. A job that fails is logged and hurts no other."""

    def once(self, name: str, job: Job) -> None:
        """Run a job soon."""
        ...

    def every(self, seconds: float, name: str, job: Job) -> None:
        """Run a job again and again, `seconds` after its last end."""
        ...

    async def close(self) -> None:
        """Stop all jobs and wait until they have stopped."""
        ...
