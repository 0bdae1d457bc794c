"""From a model's call into a run's log.

The first piece of an answer is waited for and shown at once. After it nobody waits for each
piece: the call says that something has come, which is taken there and then, while all it needs is
in the processor's cache; what comes more before the journal's next tick is taken by the tick. A
token then costs no task switch.
"""

from __future__ import annotations

import asyncio

from antiphon.ports.model_provider import Pullable
from antiphon.services.models import Call
from antiphon.services.runs.emitter import Emitter
from antiphon.services.runs.journal import RunJournal
from antiphon.services.runs.live import BACKLOG_BYTES, LiveRun


async def relay(call: Call, live: LiveRun, emitter: Emitter, journal: RunJournal) -> None:
    """Emit a call's events to its end; raises ProviderError."""
    ops = live.log.ops
    opened = len(ops)
    emitter.take(call.first)
    if len(ops) > opened:
        journal.touch(live, urgent=True)
    pullable = call.pullable
    if pullable is not None and len(ops) > opened:
        await _pulled(pullable, live, emitter, journal)
    async for batch in call.rest:
        before = len(ops)
        emitter.take(batch)
        if len(ops) == before:
            continue
        journal.touch(live, urgent=before == opened)
        if pullable is not None and not pullable.at_end:
            await _pulled(pullable, live, emitter, journal)
        elif emitter.characters > live.backlog_limit:
            await _hold_back(live, emitter)


async def _pulled(source: Pullable, live: LiveRun, emitter: Emitter, journal: RunJournal) -> None:
    """Take what comes, once between two ticks, until the rest of the answer can be had without waiting.

    While the store takes nothing there is no tick, so nothing more is taken either, and the call's
    own limit stops its reading.
    """
    end = asyncio.get_running_loop().create_future()
    ops = live.log.ops

    def news() -> None:
        if source.at_end:
            if not end.done():
                end.set_result(None)
        elif live.pending:
            live.behind = True
        else:
            pull()
            if len(ops) > live.journaled:
                journal.touch(live)

    def pull() -> None:
        try:
            emitter.take(source.pull())
        except Exception as error:  # the tick is everybody's
            if not end.done():
                end.set_exception(error)
        if source.at_end and not end.done():
            end.set_result(None)

    live.pull = pull
    source.on_news(news)
    try:
        news()
        await end
    finally:
        source.on_news(None)
        live.pull, live.behind = None, False


async def _hold_back(live: LiveRun, emitter: Emitter) -> None:
    """Read no further until what has come is committed."""
    live.backlog_limit = emitter.characters + BACKLOG_BYTES
    if live.committed < len(live.log.ops) and live.run.stored:
        await live.room()
