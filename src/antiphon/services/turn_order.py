"""Turns of callers who know of no branches: one after the other in a conversation.

`/v1` begins a turn beside a running one on a branch of its own and says so. Who cannot be told, since
its surface shows one line of messages, has its next message wait for the answer to the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from weakref import WeakValueDictionary

from antiphon.domain.accounts import Principal
from antiphon.domain.inputs import InputItem
from antiphon.domain.items import Item
from antiphon.ports.storage import Storage
from antiphon.services.access import Access
from antiphon.services.conversations import Conversations
from antiphon.services.followed import followed
from antiphon.services.idempotency import Key
from antiphon.services.runs.live import LiveRun, LiveRuns
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun, Turns

POLL_SECONDS: Final = 0.25
"""Between two looks at an answer that another process makes."""

PATIENCE_SECONDS: Final = 300.0
"""Who has waited for so long is answered beside what still runs, on a branch."""

Place = Callable[[TurnRequest], Awaitable[TurnRequest]]


class TurnOrder:
    """Begins a turn when the active branch of its conversation is free."""

    def __init__(
        self, storage: Storage, access: Access, turns: Turns, conversations: Conversations, runs: LiveRuns
    ) -> None:
        self._storage = storage
        self._access = access
        self._conversations = conversations
        self._turns = turns
        self._runs = runs
        self._queues: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def begin(self, who: Principal, request: TurnRequest, *, place: Place | None = None) -> Begun:
        """Begin a turn of a named conversation once nothing runs before it.

        `place` says then where it attaches, since what the conversation ends with changes meanwhile.
        Raises what `Turns.begin` does. If what runs does not end, or a turn of another surface comes
        in between, this one gets a branch of its own.
        """
        name = request.conversation_id
        if name is None:
            return await self._turns.begin(who, request)
        async with self._queue(name):
            await self._until_free(who, name)
            return await self._turns.begin(who, request if place is None else await place(request))

    async def add_items(
        self, who: Principal, conversation_id: str, items: Sequence[InputItem], *, key: Key | None = None
    ) -> list[Item]:
        """Append items once nothing runs before them; raises what `Conversations.add_items` does."""
        async with self._queue(conversation_id):
            await self._until_free(who, conversation_id)
            return await self._conversations.add_items(who, conversation_id, items, key=key)

    def _queue(self, name: str) -> asyncio.Lock:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = asyncio.Lock()
        return queue

    async def _until_free(self, who: Principal, name: str) -> None:
        within, conversation = await self._access.enter(who, name)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < give_up:
            base = await self._storage.tree.turn_base(within.account_id, conversation.id, None, 0)
            base = await followed(self._storage, within, base, 0) if base is not None else None
            claim = base.branch.run_id if base is not None and base.branch is not None else None
            if claim is None:
                return
            await _end_of(self._runs.get(within.account_id, claim))


async def _end_of(live: LiveRun | None) -> None:
    """Wait until a run has ended, or for a while if it is not of this process."""
    if live is None or _is_over(live):
        await asyncio.sleep(POLL_SECONDS)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not _is_over(live):
                await live.wait()


def _is_over(live: LiveRun) -> bool:
    return live.closed or live.lost
