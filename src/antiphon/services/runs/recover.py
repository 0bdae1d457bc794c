"""Ending the runs that no living worker owns.

With SQLite one process holds the data directory, so at start every run that is not terminal
belongs to a dead one: its committed ops are read back, its partial answer becomes items, and
it ends `failed` before anything is served. A background run that had emitted nothing is
queued once more.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from antiphon.domain.errors import AntiphonError, Conflict, NotFound
from antiphon.domain.run_events import Op, RunLog
from antiphon.domain.runs import Run
from antiphon.domain.usage import Price, Usage
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Journal, Recovered, UnitOfWork
from antiphon.services.models import ModelRoute, Models
from antiphon.services.runs.engine import INTERRUPTED
from antiphon.services.runs.finishing import finish_set
from antiphon.services.runs.metering import produced_tokens

SLICE: Final = 200
MAX_ATTEMPTS: Final = 2

log = logging.getLogger(__name__)

Restart = Callable[[Run], Awaitable[None]]
"""Starts a queued run once more."""


def opening_ops(run: Run) -> list[Op]:
    """Return the ops that a run's row implies: created, then queued or in progress."""
    return [("C",), ("Q",) if run.background else ("P",)]


class Recovery:
    """Ends or restarts runs that were cut off."""

    def __init__(self, journal: Journal, unit_of_work: UnitOfWork, models: Models, clock: Clock) -> None:
        self._journal = journal
        self._unit_of_work = unit_of_work
        self._models = models
        self._clock = clock

    async def recover(self, restart: Restart, *, is_alive: Callable[[str], bool] = lambda _: False) -> int:
        """End all unfinished runs but those that are alive; returns how many there were.

        `is_alive` is asked after the store, and a run is registered before it is stored, so one
        that begins meanwhile is never taken for an orphan. A run that cannot be ended is logged
        and left; it keeps no other and no start waiting.
        """
        count = 0
        after = ""
        while True:
            found = await self._journal.unfinished(SLICE, after=after)
            for one in found:
                after = one.run.id
                if not is_alive(after):
                    count += await self._try_end(one, restart)
            if len(found) < SLICE:
                break
        if count:
            log.warning("ended %d runs that were cut off", count)
        return count

    async def _try_end(self, one: Recovered, restart: Restart) -> int:
        try:
            await self._end(one, restart)
        except Exception:
            log.exception("run %s could not be ended", one.run.id)
            return 0
        return 1

    async def _end(self, one: Recovered, restart: Restart) -> None:
        run, ops = one.run, longest_log(opening_ops(one.run) + one.ops)
        again = run.background and not ops.emitted and not run.cancel_requested
        if again and run.attempt < MAX_ATTEMPTS:
            try:
                await restart(msgspec.structs.replace(run, state="queued", attempt=run.attempt + 1))
                return
            except AntiphonError as error:
                log.warning("run %s cannot begin again: %s", run.id, error.message)
        close_open_outputs(ops)
        ops.append(("Z", []))
        cancelled = run.cancel_requested
        route = self._route(run.model)
        ended = msgspec.structs.replace(
            run,
            state="cancelled" if cancelled else "failed",
            error=None if cancelled else INTERRUPTED,
            usage=_usage(run, ops, route),
            reserved=True,
            ended_us=self._clock.now_us(),
        )
        price, model = (route.price, route.id) if route else (Price(), run.model)
        for fresh in (False, True):
            try:
                ending = finish_set(ended, ops, price=price, model=model, fresh=fresh, sealed=True)
                await self._unit_of_work.commit(*ending)
                return
            except Conflict as lost:
                if lost.message != "PutItems":
                    return  # it has ended meanwhile

    def _route(self, model: str) -> ModelRoute | None:
        """Return what the model's name means now, None if nothing any more."""
        try:
            return self._models.resolve(model)
        except NotFound:
            return None


def longest_log(ops: Sequence[Op]) -> RunLog:
    """Return the log of the longest prefix that can be folded; damage ends an answer, not the server."""
    log_so_far = RunLog()
    for op in ops:
        try:
            log_so_far.append(op)
        except (IndexError, KeyError, TypeError):
            log_so_far.ops.pop()
            log.exception("a run's log is damaged; its answer ends before the damage")
            break
    return log_so_far


def close_open_outputs(ops: RunLog) -> None:
    """Close what a crash left open, in the way the engine would have."""
    closed = {tuple(op[1:4]) for op in ops.ops if not isinstance(op, str) and op[0] == "E"}
    parted = {tuple(op[1:4]) for op in ops.ops if not isinstance(op, str) and op[0] == "F"}
    for output in ops.outputs:
        if output.status != "in_progress":
            continue
        for kind, part in list(output.parts):
            if (output.index, kind, part) not in closed:
                ops.append(("E", output.index, kind, part))
            if kind != "a" and (output.index, kind, part) not in parted:
                ops.append(("F", output.index, kind, part))
        if output.type == "function_call" and not output.parts:
            ops.append(("E", output.index, "a", 0))
        ops.append(("G", output.index, "incomplete"))


def _usage(run: Run, ops: RunLog, route: ModelRoute | None) -> Usage:
    """Estimate what was billed: nothing unless the model had begun to speak."""
    if not ops.emitted:
        return Usage(estimated=True)
    asked = run.input_end.tokens if run.input_end is not None else 0
    return Usage(min(asked, route.context_tokens) if route else asked, produced_tokens(ops), estimated=True)
