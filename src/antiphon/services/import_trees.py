"""Plants the tree of an imported chat: what of it is here already stays, what is new becomes items.

A message is the same if it follows the same item, has the same id in its source and says the same. So
importing again adds what has come since, and what was changed stands beside what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_exports.chats import (
    Chat,
    Message,
    StoredFile,
    fingerprint,
    payload_of,
    source_of,
    token_count,
)
from antiphon.domain.conversations import PathRange, open_segment, segment_start
from antiphon.domain.items import NewItem, Position
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from antiphon.services.placing import advance

PAGE: Final = 100
SEGMENTS: Final = 200
MOST_COMMANDS: Final = 400
MOST_CHARACTERS: Final = 4 * 1024 * 1024
"""What is written in one commit, about."""
BREATH: Final = 200
ROOT: Final = ""
NO_CONVERSATION: Final = ""


class Known(msgspec.Struct):
    """What a conversation has of an import, and of whatever else.

    `items` are imported ones by the item they follow, the id they have in their source, and what they say;
    `followed` the ids of all items that something follows.
    """

    items: dict[tuple[str, str, str], Position] = {}
    followed: set[str] = set()


Filing = Callable[[Message], Awaitable[Mapping[str, StoredFile]]]
Write = Callable[[list[ws.Command]], Awaitable[None]]

_encode = msgspec.json.Encoder().encode


async def known_items(storage: Storage, conversation_id: str) -> Known:
    """Look at a conversation's tree page by page; hidden items count, too."""
    places: dict[tuple[str, int], str] = {}
    found: list[tuple[tuple[str, int], Position, tuple[str, str]]] = []
    followed: set[tuple[str, int]] = set()
    after = None
    while page := await storage.tree.segments(conversation_id, after=after, limit=SEGMENTS):
        after = page[-1].segment.id
        for one in page:
            segment = one.segment
            before = (segment.parent_id or ROOT, segment.fork_depth)
            last = segment.fork_depth + one.count
            for first in range(segment.fork_depth + 1, last + 1, PAGE):
                part = PathRange(segment.id, first, min(first + PAGE - 1, last))
                # Asked for no conversation, so that what is hidden in this one is told.
                for item in await storage.tree.items([part], NO_CONVERSATION):
                    followed.add(before)
                    source = source_of(item.body())
                    if source is not None:
                        found.append((before, item.position, source))
                    before = (segment.id, item.depth)
                    places[before] = item.id
    items = {(places.get(before, ROOT), *source): position for before, position, source in found}
    return Known(items, {places[place] for place in followed if place in places})


class Planting:
    """Writes the messages of one chat behind each other, parents first, in commits of bounded size."""

    def __init__(
        self, who: Principal, chat: Chat, conversation_id: str, known: Known, now_us: int, *, file: Filing,
        write: Write,
    ) -> None:  # fmt: skip
        self._who = who
        self._chat = chat
        self._conversation_id = conversation_id
        self._known = known
        self._now_us = now_us
        self._file = file
        self._write = write
        self._commands: list[ws.Command] = []
        self._characters = 0
        self._tips: dict[str, str] = {}
        self._times: dict[str, int] = {}
        self.positions: dict[str, Position] = {}
        self.added: set[str] = set()

    async def plant(self) -> None:
        """Write what is not here yet; what is left in `rest` is for the last commit."""
        for number, message in enumerate(self._chat.messages, 1):
            if number % BREATH == 0:
                await asyncio.sleep(0)  # much may be here already, and others want to be served
            above = self.positions[message.parent] if message.parent is not None else None
            key = (above.item_id or ROOT if above else ROOT, message.key, fingerprint(message.draft))
            created = message.created_us or self._times.get(message.parent or ROOT) or self._chat.created_us
            self._times[message.key] = created or self._now_us
            here = self._known.items.get(key)
            if here is not None:
                self.positions[message.key] = here
            else:
                await self._put(message, above)

    async def _put(self, message: Message, above: Position | None) -> None:
        who, files = self._who, await self._file(message)
        payload = payload_of(self._chat.kind, message, files)
        role = message.draft.role if payload["type"] == "message" else None
        item = NewItem(
            id=ids.new_id(who.slot), type=payload["type"], role=role, status="completed",
            payload=_encode(payload).decode(), token_count=token_count(payload),
        )  # fmt: skip
        after = self._place(above)
        self._commands.append(
            ws.PutItems(
                after=after, owner_id=who.account_id, slot=who.slot, run_id=None,
                author_id=who.actor_id if role in ("user", "system") else None,
                created_us=self._times[message.key], items=(item,),
            )
        )  # fmt: skip
        position = advance(after, (item,))
        self.positions[message.key] = position
        self._tips[position.segment_id] = item.id
        self.added.add(message.key)
        self._characters += len(item.payload)
        if len(self._commands) >= MOST_COMMANDS or self._characters >= MOST_CHARACTERS:
            await self._write(self.rest())

    def _place(self, above: Position | None) -> Position:
        """Return the place that follows another: in its line, if that was begun here and ends there."""
        if above is not None and self._tips.get(above.segment_id) == above.item_id:
            return above
        who = self._who
        if above is not None and above.segment_id not in self._tips:
            self._commands.append(wp.RequireItem(position=above))
        segment = open_segment(ids.new_id(who.slot), self._conversation_id, above)
        self._commands.append(ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot))
        return segment_start(segment)

    def rest(self) -> list[ws.Command]:
        """Return the commands that have not been written, and forget them."""
        commands, self._commands, self._characters = self._commands, [], 0
        return commands

    def ends(self, heads: Collection[str], *, in_view: bool) -> list[tuple[str, Position | None]]:
        """Return the messages that nothing follows here and no branch ends at (`heads`).

        Each with the place that was here before on which it has come to stand. What came in earlier and
        never got a branch is among them: an import was broken off. The line in view comes first; with
        `in_view` also if it ends at a message that something follows.
        """
        current = self._chat.current
        stands_on: dict[str, str | None] = {}
        followed: set[str | None] = set()
        for one in self._chat.messages:
            followed.add(one.parent)
            if one.key in self.added:
                stands_on[one.key] = stands_on.get(one.parent or ROOT, one.parent)
        ends = [
            one.key
            for one in self._chat.messages
            if one.key not in followed and self._is_loose(one.key, heads)
        ]
        if current is not None and (current in ends or (in_view and current in self.added)):
            ends = [current, *(key for key in ends if key != current)]
        return [(key, self.positions.get(stands_on.get(key) or ROOT)) for key in ends]

    def _is_loose(self, key: str, heads: Collection[str]) -> bool:
        item_id = self.positions[key].item_id or ROOT
        return key in self.added or (item_id not in heads and item_id not in self._known.followed)
