"""The answers that are being made now, as administrators see them: whose, by which model, since when.

What is said in them is not shown.
"""

from __future__ import annotations

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import USER
from antiphon.domain.runs import Run
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import not_found
from antiphon.services.administration import Administrator, audit
from antiphon.services.conversations import cursor_of
from antiphon.services.paging import Page
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.live import LiveRuns
from antiphon.services.runs.metering import produced_tokens


class RunningAnswer(msgspec.Struct, frozen=True):
    """An answer that is being made; `output_tokens` is an estimate, None if it is made elsewhere."""

    run: Run
    user_name: str | None
    age_seconds: float
    output_tokens: int | None


class Running:
    """Lists and ends answers of everybody."""

    def __init__(self, storage: Storage, live: LiveRuns, engine: Engine, clock: Clock) -> None:
        self._storage = storage
        self._live = live
        self._engine = engine
        self._clock = clock

    async def page(self, admin: Administrator, *, after: str | None, limit: int) -> Page[RunningAnswer]:
        """List the answers that run, oldest first; where several servers share the store, those of all."""
        cursor = cursor_of(after, ids.RESPONSE) or ""
        found = {live.run.id: live.run for live in self._live if live.run.id > cursor}
        if self._storage.workers.is_shared:
            stored = await self._storage.runs.running(None, after=cursor, limit=limit + 1)
            found = {run.id: run for run in stored} | found
        page = [found[run_id] for run_id in sorted(found)[: limit + 1]]
        names: dict[str, str | None] = {}
        for run in page[:limit]:
            if run.author_id not in names:
                account = await self._storage.accounts.get(run.author_id)
                names[run.author_id] = account.name if account is not None else None
        return Page([self._told(run, names[run.author_id]) for run in page[:limit]], len(page) > limit)

    def _told(self, run: Run, name: str | None) -> RunningAnswer:
        live = self._live.here(run.id)
        age = max(self._clock.now_us() - run.created_us, 0) / 1e6
        return RunningAnswer(run, name, age, produced_tokens(live.log) if live is not None else None)

    async def cancel(self, admin: Administrator, wire_id: str) -> str:
        """End an answer, with what it has; returns its id. Raises NotFound for one that does not run."""
        run_id = ids.parse(wire_id, ids.RESPONSE)
        live = self._live.here(run_id) if run_id is not None else None
        if run_id is None or (live is None and await self._storage.workers.running_log(run_id) is None):
            not_found("Running response", wire_id)
        line = audit(admin, self._clock, "run.cancel", ids.RESPONSE + run_id)
        if live is not None:
            await self._storage.unit_of_work.commit(line)
            self._engine.cancel(live)
        else:
            await self._storage.unit_of_work.commit(ws.RequestCancel(run_id=run_id), line)
        return run_id


def user_of(run: Run) -> str:
    """Return the wire id of who asked."""
    return USER + run.author_id
