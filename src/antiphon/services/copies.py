"""Copies of somebody else's conversation: what a fork is to who does not own the origin.

One person's deletion and partition must not hang on another's (core_spec §7.6), so nothing is
shared: the items on a path are written again, under ids and in the partition of whoever copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import MAIN_BRANCH, Conversation, open_segment, segment_start
from antiphon.domain.errors import Conflict
from antiphon.domain.items import Item, NewItem, Position
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import Access, not_found
from antiphon.services.idempotency import Idempotency, Key
from antiphon.services.paging import clip
from antiphon.services.placing import advance
from antiphon.services.turn_plans import new_branch

PAGE: Final = 20
"""Items in memory, and in one commit, at once; few, since each may hold images."""


class Copies:
    """Copies paths page by page; a copy can be seen when it is whole, and never before."""

    def __init__(self, storage: Storage, access: Access, idempotency: Idempotency, clock: Clock) -> None:
        self._storage = storage
        self._access = access
        self._idempotency = idempotency
        self._clock = clock

    async def copy(
        self, who: Principal, origin: Conversation, head: Position, *, title: str | None, key: Key | None
    ) -> Conversation:
        """Return a conversation of the caller's own that shows what `origin` shows up to `head`.

        Items that are hidden there are left out. Raises NotFound if the caller's access ends
        before the copy does.
        """
        who = who.home()
        conversation = self._hidden_conversation(who, origin, title)
        segment = open_segment(ids.new_id(who.slot), conversation.id, None)
        await self._storage.unit_of_work.commit(
            ws.NewConversation(conversation=conversation),
            sw.HideConversation(conversation_id=conversation.id),
            ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot),
        )
        end = await self._copy_path(who, origin, head, segment_start(segment))
        await self._access.enter(who, ids.CONVERSATION + origin.id)
        return await self._reveal(who, conversation, end, key)

    def _hidden_conversation(self, who: Principal, origin: Conversation, title: str | None) -> Conversation:
        now = self._clock.now_us()
        return Conversation(
            id=ids.new_id(who.slot), owner_id=who.account_id, slot=who.slot, kind="explicit",
            title=title if title is not None else origin.title, metadata=origin.metadata,
            active_branch_id=ids.new_id(who.slot), base=None, revision=1, created_us=now, updated_us=now,
        )  # fmt: skip

    async def _copy_path(
        self, who: Principal, origin: Conversation, head: Position, after: Position
    ) -> Position:
        """Write the visible items up to `head` behind `after`; returns the place of the last one."""
        tree = self._storage.tree
        ranges = await tree.path(head, floor_depth=0) if head.depth >= 0 else []
        for first in range(0, head.depth + 1, PAGE):
            window = clip(ranges, first, min(first + PAGE - 1, head.depth))
            commands = []
            for one in _rewritten(who, await tree.items(window[::-1], origin.id), after):
                commands.append(one)
                after = advance(after, one.items)
            if commands:
                await self._storage.unit_of_work.commit(*commands)
        return after

    async def _reveal(
        self, who: Principal, conversation: Conversation, head: Position, key: Key | None
    ) -> Conversation:
        now = self._clock.now_us()
        conversation = msgspec.structs.replace(conversation, created_us=now, updated_us=now)
        branch = new_branch(who, conversation.id, MAIN_BRANCH, head)
        branch = msgspec.structs.replace(branch, id=conversation.active_branch_id, created_us=now)
        commands: list[ws.Command] = []
        if key is not None:
            belongs = conversation.id
            commands.append(self._idempotency.guard(who, key, made=conversation, conversation_id=belongs))
        try:
            await self._storage.unit_of_work.commit(
                *commands,
                ws.NewBranch(branch=branch, owner_id=who.account_id, slot=who.slot),
                sw.RevealConversation(conversation_id=conversation.id, now_us=now),
            )
        except Conflict as lost:
            if lost.message == "PutKey":
                raise
            not_found("Conversation", ids.CONVERSATION + conversation.id)
        return conversation


def _rewritten(who: Principal, items: list[Item], after: Position) -> Iterator[ws.PutItems]:
    """Yield the commands that write items again: one for each line of items of one author and moment.

    What was put in keeps its author, what a model answered has none; the runs stay with the origin.
    """
    for (author_id, created_us), line in groupby(items, key=lambda item: (item.author_id, item.created_us)):
        new = tuple(
            NewItem(
                id=ids.new_id(who.slot), type=item.type, role=item.role, status=item.status,
                payload=item.payload, token_count=item.token_count,
            )
            for item in line
        )  # fmt: skip
        yield ws.PutItems(
            after=after, owner_id=who.account_id, slot=who.slot, author_id=author_id, run_id=None,
            created_us=created_us, items=new,
        )  # fmt: skip
        after = advance(after, new)
