"""Generating an answer: provider stream → ops → journal, and one commit at the end.

The work belongs to the application, not to the request that began it: a client that leaves
stops nothing, except that an ephemeral run dies with its only client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec

from antiphon.domain.errors import ProviderError, without_frames
from antiphon.domain.run_events import OPENING_OPS, RunLog
from antiphon.domain.runs import Ending, Run, RunError, State
from antiphon.ports.clock import Clock
from antiphon.ports.model_provider import ModelRequest
from antiphon.ports.storage import UnitOfWork
from antiphon.services.counters import Counters
from antiphon.services.model_routes import ModelRoute
from antiphon.services.models import Models
from antiphon.services.response_cache import Memo
from antiphon.services.runs.emitter import Emitter
from antiphon.services.runs.finishing import finish_set
from antiphon.services.runs.journal import RunJournal
from antiphon.services.runs.live import LiveRun, LiveRuns
from antiphon.services.runs.metering import account_for, usage_of
from antiphon.services.runs.relay import relay

log = logging.getLogger(__name__)

INTERRUPTED = RunError("server_error", "The server stopped while this answer was being generated.")


class Engine:
    """Owns the runs of this process from their begin commit to their terminal commit."""

    def __init__(
        self,
        models: Models,
        journal: RunJournal,
        runs: LiveRuns,
        unit_of_work: UnitOfWork,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._models = models
        self._journal = journal
        self._runs = runs
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._counters = counters
        self._side_writes: set[asyncio.Task[None]] = set()
        self.on_ended: Callable[[Run], None] | None = None

    @property
    def worker_id(self) -> str:
        """The worker a run is leased to when it begins here."""
        return self._journal.worker_id

    async def leased(self) -> str:
        """Return `worker_id` when its lease holds; raises Unavailable if that takes too long."""
        await self._journal.lease.held()
        return self._journal.worker_id

    def start(self, live: LiveRun, route: ModelRoute, request: ModelRequest | None) -> None:
        """Begin generating; returns at once. Without a request the run ends at once, without output."""
        live.task = asyncio.get_running_loop().create_task(self._generate(live, route, request))

    def cancel(self, live: LiveRun) -> None:
        """Ask a run to stop; does nothing if it is already ending."""
        live.cancel_requested = True
        live.stop()

    async def _generate(self, live: LiveRun, route: ModelRoute, request: ModelRequest | None) -> None:
        # Not kept with the run: who reads an answer slowly must not hold its sources in memory.
        grounding, live.grounding = live.grounding, None
        emitter = Emitter(live.log, live.run.slot) if grounding is None else grounding.emitter(live.log)
        live.generating = True
        try:
            if live.stopped:
                raise asyncio.CancelledError
            if live.run.state == "queued":
                live.run.state = "in_progress"
                live.log.append(("P",))
                self._journal.touch(live, urgent=True)
            if request is not None:
                if grounding is not None:
                    shown = partial(self._journal.touch, live, urgent=True)
                    request = await grounding.ground(live.log, request, shown)
                await self._relay(live, emitter, route, request)
            ending = _natural_end(emitter, live.log, request)
        except asyncio.CancelledError:
            if live.lost:
                if live.memo is not None:
                    live.memo.give_up(again=True)
                raise
            error = None if live.cancel_requested else INTERRUPTED
            ending = _broken_end(emitter, live.log, request, error)
        except ProviderError as refused:
            error = RunError(refused.code or "server_error", refused.message)
            ending = _broken_end(emitter, live.log, request, error)
            without_frames(refused)
            live.failure = refused
        except Exception as fault:
            log.exception("run %s failed", live.run.id)
            without_frames(fault)
            error = RunError("server_error", "Internal error.")
            ending = _broken_end(emitter, live.log, request, error)
        self._finish(live, emitter, route, ending)

    async def _relay(self, live: LiveRun, emitter: Emitter, route: ModelRoute, request: ModelRequest) -> None:
        memo = live.memo
        if memo is None:
            call = await self._models.open(route, request)
        else:
            call = await memo.open(self._models, route, request)
        # Closed on the way out, so that a cancelled answer's upstream call ends at once.
        async with aclosing(call):
            try:
                await relay(call, live, emitter, self._journal)
            except ProviderError as error:
                self._models.failed(call, error)
                raise

    def _finish(self, live: LiveRun, emitter: Emitter, route: ModelRoute, ending: Ending) -> None:
        emitter.close(ending.item_status)
        choices = max(emitter.reasons, default=-1) + 1
        live.log.append(("Z", [emitter.reasons.get(choice) for choice in range(choices)], *emitter.notes))
        run = live.ended = _ended(live.run, emitter, ending, self._clock.now_us())
        answered = emitter.started
        by = route.answered_by(answered.provider, answered.model) if answered else route
        memo = live.memo
        cached = memo is not None and memo.hit
        if memo is not None:
            self._keep(memo, run)
        self._counters.run_ended(run, by.provider, by.model, cached=cached)
        if self.on_ended is not None:
            self.on_ended(run)
        if run.stored:
            live.finish = lambda fresh: finish_set(
                run, live.log, price=by.price, model=by.id, fresh=fresh, sealed=live.sealed > OPENING_OPS,
                cached=cached,
            )  # fmt: skip
        else:
            live.finish = lambda fresh: ()
            self._aside(self._unit_of_work.commit(*account_for(run, by.price, by.id, cached=cached)))
        self._journal.touch(live, urgent=True)

    def _keep(self, memo: Memo, run: Run) -> None:
        if run.state == "completed":
            self._aside(memo.keep())
        else:
            memo.give_up(again=run.state != "incomplete")

    def _aside(self, coroutine: Any) -> None:
        """Write what nobody waits for: an ephemeral run's ledger line, an answer for the cache."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._side_writes.add(task)
        task.add_done_callback(self._side_written)

    def _side_written(self, task: asyncio.Task[None]) -> None:
        self._side_writes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("what is written beside a run was lost", exc_info=error)

    async def close(self) -> None:
        """End every run that still goes, keeping its partial answer, and wait until that is stored."""
        tasks = [live.task for live in self._runs if live.task is not None]
        for live in self._runs:
            live.stop()
        await asyncio.gather(*tasks, *self._side_writes, return_exceptions=True)


def _natural_end(emitter: Emitter, ops: RunLog, request: ModelRequest | None) -> Ending:
    reasons = set(emitter.reasons.values())
    state: State = "completed"
    reason = None
    if "content_filter" in reasons:
        state, reason = "incomplete", "content_filter"
    elif "length" in reasons:
        state, reason = "incomplete", "max_output_tokens"
    return Ending(state=state, incomplete_reason=reason, usage=usage_of(emitter, ops, request))


def _broken_end(
    emitter: Emitter, ops: RunLog, request: ModelRequest | None, error: RunError | None
) -> Ending:
    state: State = "failed" if error is not None else "cancelled"
    return Ending(state=state, error=error, usage=usage_of(emitter, ops, request))


def _ended(run: Run, emitter: Emitter, ending: Ending, now_us: int) -> Run:
    return msgspec.structs.replace(
        run,
        state=ending.state,
        usage=ending.usage,
        error=ending.error,
        incomplete_reason=ending.incomplete_reason,
        provider=emitter.started.provider if emitter.started else run.provider,
        ended_us=now_us,
    )
