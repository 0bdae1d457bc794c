"""Port `Workers` of a store that one process has for itself: it is never dead, and nobody else is there."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.ports.workers import Bell, Renewal, RunningLog, Tick


class SoleWorker:
    """Does nothing."""

    is_shared = False

    async def renew(self, worker_id: str, lease_seconds: float) -> Renewal:
        """See the port: it always holds."""
        return Renewal(True)

    async def leave(self, worker_id: str) -> None:
        """See the port."""

    async def fence_dead(self) -> int:
        """See the port."""
        return 0

    async def forget(self) -> None:
        """See the port."""

    async def running_log(self, run_id: str) -> RunningLog | None:
        """See the port: what runs, runs here."""
        return None

    async def ticks(self, worker_id: str, after: int, limit: int) -> Sequence[Tick]:
        """See the port."""
        return ()

    async def listen(self, bell: Bell) -> None:
        """See the port."""

    async def ring(self, what: str, text: str) -> None:
        """See the port: nobody else hears it, and this process knows."""
