"""Port to the workers that share a store: who lives, who is dead, and what each has written.

A worker holds a lease that it renews. A lease that ran out only says when to try: what makes taking over
safe is the fence, a record under the dead worker's next number, which it then finds taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

Bell = Callable[[str, str], None]
"""Called on the event loop with what happened and the id it happened to; must not raise."""

CANCEL = "cancel"
"""A bell: somebody asks for a run to be cancelled."""

PRESENCE = "presence"
"""A bell: who is in a conversation; in the place of the id stands what is told, as JSON."""


class Renewal(msgspec.Struct, frozen=True):
    """What a worker learns when it renews: whether it still is one, and which of its runs are to stop.

    `workers` is how many live, itself among them.
    """

    holds: bool
    cancelled: Sequence[str] = ()
    workers: int = 1


class RunningLog(msgspec.Struct, frozen=True):
    """What is committed of an unfinished run: its ops, and the last record of its worker that was read."""

    worker_id: str
    ops: list[Any]
    tick: int


class Tick(msgspec.Struct, frozen=True):
    """A worker's record; `entries` are (run, first sequence number, ops), None for a fence."""

    number: int
    entries: Sequence[tuple[str, int, list[Any]]] | None


class Workers(Protocol):
    """The workers of one store; `is_shared` says whether there can be others."""

    @property
    def is_shared(self) -> bool: ...

    async def renew(self, worker_id: str, lease_seconds: float) -> Renewal:
        """Take or extend a lease, by the store's clock; never that of a worker that was fenced."""
        ...

    async def leave(self, worker_id: str) -> None:
        """Give a lease up: its worker has no more runs."""
        ...

    async def fence_dead(self) -> int:
        """Fence all workers that have unfinished runs and no lease; returns how many there were."""
        ...

    async def forget(self) -> None:
        """Erase what workers left that were fenced long ago."""
        ...

    async def running_log(self, run_id: str) -> RunningLog | None:
        """Return what is committed of a run, None if it has ended."""
        ...

    async def ticks(self, worker_id: str, after: int, limit: int) -> Sequence[Tick]:
        """Return a worker's records above a number, in order; a run that ends in one has ended by then."""
        ...

    async def listen(self, bell: Bell) -> None:
        """Have `bell` called, too, for what happens in other processes; bells may be lost."""
        ...

    async def ring(self, what: str, text: str) -> None:
        """Have all bells called, in all processes; at most 7,000 bytes. Raises Unavailable."""
        ...
