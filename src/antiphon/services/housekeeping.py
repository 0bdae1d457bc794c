"""What the server does for itself: forgets what has expired and ends runs that nobody owns."""

from __future__ import annotations

from typing import Final

from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Jobs
from antiphon.ports.storage import Conversations, UnitOfWork
from antiphon.ports.workers import Workers
from antiphon.services.pacing import Round, erase_slices
from antiphon.services.runs.journal import RunJournal
from antiphon.services.runs.leases import Leases
from antiphon.services.runs.live import LiveRuns
from antiphon.services.runs.recover import Recovery, Restart

SWEEP_SECONDS: Final = 5.0
FORGET_SECONDS: Final = 60.0
FORGET_ROWS: Final = 500
FORGET_CONVERSATIONS: Final = 200
WALK_SECONDS: Final = 3600.0
"""Old changes are looked for in all conversations, which finds nothing new in less."""
CHANGES_KEPT_US: Final = 7 * 24 * 3600 * 1_000_000


class Housekeeping:
    """The server's own recurring jobs."""

    def __init__(
        self,
        unit_of_work: UnitOfWork,
        conversations: Conversations,
        recovery: Recovery,
        journal: RunJournal,
        runs: LiveRuns,
        clock: Clock,
        workers: Workers,
        leases: Leases,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._conversations = conversations
        self._after = ""
        self._walked: float | None = None
        self._recovery = recovery
        self._journal = journal
        self._runs = runs
        self._clock = clock
        self._workers = workers
        self._leases = leases

    def schedule(self, jobs: Jobs, restart: Restart) -> None:
        """Hand the jobs over."""

        async def sweep() -> None:
            await self.end_orphans(restart)

        jobs.every(SWEEP_SECONDS, "end orphaned runs", sweep)
        jobs.every(FORGET_SECONDS, "forget what has expired", self.forget)
        if self._workers.is_shared:

            async def take_over() -> None:
                await self.take_over(restart)

            jobs.every(SWEEP_SECONDS, "end the runs of dead workers", take_over)
            jobs.every(FORGET_SECONDS, "forget dead workers", self._workers.forget)

    async def end_orphans(self, restart: Restart) -> None:
        """End the runs that were given up while the store refused writes, once it takes them again."""
        if not (self._journal.orphans and self._journal.healthy):
            return
        await self._journal.seal()  # what was given up must be in chunks before it is read
        self._journal.orphans = False
        await self._recovery.recover(restart, is_alive=lambda run_id: run_id in self._runs)

    async def take_over(self, restart: Restart) -> None:
        """Fence the workers whose lease has run out, and end or restart what they were generating."""
        if not self._leases.may_take_over or self._journal.orphans:
            return
        if await self._workers.fence_dead():
            await self._recovery.recover(restart, is_alive=lambda run_id: run_id in self._runs)

    async def forget(self) -> None:
        """Erase all expired idempotency keys and, once an hour, old changes; it rests in between."""
        this = Round(self._clock)
        await erase_slices(self._unit_of_work.commit, self._slice("", ""), this)
        if self._walked is None or self._clock.monotonic() - self._walked >= WALK_SECONDS:
            await self._forget_changes(this)
            self._walked = self._clock.monotonic()

    async def _forget_changes(self, this: Round) -> None:
        """Erase the old changes of all conversations, beginning where a walk that failed ended."""
        while found := await self._conversations.slice(self._after, FORGET_CONVERSATIONS):
            await self._unit_of_work.commit(self._slice(*found))
            self._after = found[1]
            await this.rest()
        self._after = ""

    def _slice(self, first: str, last: str) -> ws.Forget:
        now = self._clock.now_us()
        return ws.Forget(
            now_us=now,
            changes_before_us=now - CHANGES_KEPT_US,
            first_conversation_id=first,
            last_conversation_id=last,
            limit=FORGET_ROWS,
        )
