"""Plants the tree of an imported chat: what of it is here already stays, what is new becomes items.

A message is the same if it follows the same item, has the same id in its source and says the same. So
importing again adds what has come since, and what was changed stands beside what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_exports.chats import (
    Attachment,
    Chat,
    Line,
    Message,
    StoredFile,
    earlier_fingerprint,
    files_missing,
    fingerprint,
    payload_of,
    source_of,
    token_count,
)
from antiphon.domain.conversations import PathRange, open_segment, segment_start
from antiphon.domain.items import Item, NewItem, Position
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from antiphon.services.paging import NO_CONVERSATION
from antiphon.services.placing import advance

PAGE: Final = 100
SEGMENTS: Final = 200
MOST_COMMANDS: Final = 400
MOST_CHARACTERS: Final = 4 * 1024 * 1024
"""What is written in one commit, about."""
BREATH: Final = 200
ROOT: Final = ""


class Known(msgspec.Struct):
    """What the conversations of a chat have of an import, and of whatever else.

    `items` are imported ones by their conversation, the item they follow, the id they have in their source,
    and what they say; `followed` the ids of all items that something follows in the same conversation, and
    `missing` by the ids of imported ones the names of files that did not come in with them.
    """

    items: dict[tuple[str, str, str, str], Position] = {}
    followed: set[str] = set()
    missing: dict[str, frozenset[str]] = {}


class Homes(Protocol):
    """The conversations of a chat's lines."""

    def of(self, line: str | None) -> str:
        """Return the id of a line's conversation; None is the chat's own."""
        ...

    def open(self, line: Line, after: Position) -> list[ws.Command]:
        """Let a line leave after a place; returns what makes its conversation, nothing if it is here."""
        ...


Place = tuple[str, int]
"""A segment and a depth."""
Filing = Callable[[Message], Awaitable[Mapping[str, StoredFile]]]
Write = Callable[[list[ws.Command]], Awaitable[None]]

_encode = msgspec.json.Encoder().encode


async def known_items(storage: Storage, conversation_ids: Sequence[str]) -> Known:
    """Look at the trees of conversations page by page; hidden items count, too."""
    places: dict[Place, tuple[str, str]] = {}
    found: list[tuple[str, Place, Position, tuple[str, str]]] = []
    followed: set[tuple[str, Place]] = set()
    missing: dict[str, frozenset[str]] = {}
    for home in conversation_ids:
        async for before, item in _following(storage, home):
            places[(item.segment_id, item.depth)] = (home, item.id)
            followed.add((home, before))
            body = item.body()
            source = source_of(body)
            if source is not None:
                found.append((home, before, item.position, source))
            if names := files_missing(body):
                missing[item.id] = names
    nothing = (NO_CONVERSATION, ROOT)
    items = {
        (home, places.get(before, nothing)[1], *source): position for home, before, position, source in found
    }
    ends = {places[at][1] for home, at in followed if places.get(at, nothing)[0] == home}
    return Known(items, ends, missing)


async def _following(storage: Storage, conversation_id: str) -> AsyncGenerator[tuple[Place, Item], None]:
    """Yield the items of a conversation's own segments, each with the place that it follows."""
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
                    yield before, item
                    before = (segment.id, item.depth)


class Planting:
    """Writes the messages of one chat behind each other, parents first, in commits of bounded size."""

    def __init__(
        self, who: Principal, chat: Chat, homes: Homes, known: Known, now_us: int, *, file: Filing,
        write: Write,
    ) -> None:  # fmt: skip
        self._who = who
        self._chat = chat
        self._homes = homes
        self._unopened = {one.key: one for one in chat.lines}
        self._known = known
        self._now_us = now_us
        self._file = file
        self._write = write
        self._commands: list[ws.Command] = []
        self._characters = 0
        self._tips: dict[str, tuple[str, str]] = {}
        self._told: dict[str | None, list[Message]] = {}
        for one in chat.messages:
            self._told.setdefault(one.line, []).append(one)
        self.times: dict[str, int] = {}
        self.positions: dict[str, Position] = {}
        self.added: set[str] = set()
        self.missing: list[Attachment] = []

    async def plant(self) -> None:
        """Write what is not here yet; what is left in `rest` is for the last commit."""
        for number, message in enumerate(self._chat.messages, 1):
            if number % BREATH == 0:
                await asyncio.sleep(0)  # much may be here already, and others want to be served
            if message.line in self._unopened:
                self._open(message.line)
            above = self.positions[message.parent] if message.parent is not None else None
            follows = above.item_id or ROOT if above else ROOT
            created = message.created_us or self.times.get(message.parent or ROOT) or self._chat.created_us
            self.times[message.key] = created or self._now_us
            here = self._here(message, follows)
            if here is not None:
                self.positions[message.key] = here
                names = self._known.missing.get(here.item_id or ROOT, ())
                self.missing += [
                    one for one in message.draft.attachments if one.name in names or one.shown in names
                ]
            else:
                await self._put(message, above)
        for line in list(self._unopened):
            self._open(line)
            await self._write_full()

    def _here(self, message: Message, follows: str) -> Position | None:
        """Return where a message is that came in earlier."""
        for digest in (fingerprint(message.draft), earlier_fingerprint(message.draft)):
            if digest is not None:
                key = (self._homes.of(message.line), follows, message.key, digest)
                if key in self._known.items:
                    return self._known.items[key]
        return None

    def _open(self, key: str) -> None:
        """Have a line leave where its chat does; the one it leaves is open by then."""
        line = self._unopened.pop(key)
        after = self.positions[line.after]
        commands = self._homes.open(line, after)
        if commands and after.segment_id not in self._tips:
            self._commands.append(wp.RequireItem(position=after))
        self._commands += commands

    async def _write_full(self) -> None:
        if len(self._commands) >= MOST_COMMANDS or self._characters >= MOST_CHARACTERS:
            await self._write(self.rest())

    async def _put(self, message: Message, above: Position | None) -> None:
        who, files = self._who, await self._file(message)
        payload = payload_of(self._chat.kind, message, files)
        role = message.draft.role if payload["type"] == "message" else None
        item = NewItem(
            id=ids.new_id(who.slot), type=payload["type"], role=role, status=message.draft.status,
            payload=_encode(payload).decode(), token_count=token_count(payload),
        )  # fmt: skip
        home = self._homes.of(message.line)
        after = self._place(above, home)
        self._commands.append(
            ws.PutItems(
                after=after, owner_id=who.account_id, slot=who.slot, run_id=None,
                author_id=who.actor_id if role in ("user", "system") else None,
                created_us=self.times[message.key], items=(item,),
            )
        )  # fmt: skip
        position = advance(after, (item,))
        self.positions[message.key] = position
        self._tips[position.segment_id] = (home, item.id)
        self.added.add(message.key)
        self._characters += len(item.payload)
        await self._write_full()

    def _place(self, above: Position | None, home: str) -> Position:
        """Return the place that follows another: in its line, if that was begun here and ends there."""
        if above is not None and self._tips.get(above.segment_id) == (home, above.item_id):
            return above
        who = self._who
        if above is not None and above.segment_id not in self._tips:
            self._commands.append(wp.RequireItem(position=above))
        segment = open_segment(ids.new_id(who.slot), home, above)
        self._commands.append(ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot))
        return segment_start(segment)

    def rest(self) -> list[ws.Command]:
        """Return the commands that have not been written, and forget them."""
        commands, self._commands, self._characters = self._commands, [], 0
        return commands

    def told(self, line: str | None) -> list[Message]:
        """Return the messages of a line, parents first."""
        return self._told.get(line, [])

    def ends(
        self, line: str | None, heads: Collection[str], *, in_view: bool
    ) -> list[tuple[str, Position | None]]:
        """Return the messages of a line that nothing of it follows here and no branch ends at (`heads`).

        Each with the place that was here before on which it has come to stand. What came in earlier and
        never got a branch is among them: an import was broken off. The line in view comes first; with
        `in_view` also if it ends at a message that something follows.
        """
        current = self._chat.current if line is None else None
        told = self.told(line)
        stands_on: dict[str, str | None] = {}
        followed: set[str | None] = set()
        for one in told:
            followed.add(one.parent)
            if one.key in self.added:
                stands_on[one.key] = stands_on.get(one.parent or ROOT, one.parent)
        ends = [one.key for one in told if one.key not in followed and self._is_loose(one.key, heads)]
        if current is not None and (current in ends or (in_view and current in self.added)):
            ends = [current, *(key for key in ends if key != current)]
        return [(key, self.positions.get(stands_on.get(key) or ROOT)) for key in ends]

    def _is_loose(self, key: str, heads: Collection[str]) -> bool:
        item_id = self.positions[key].item_id or ROOT
        return key in self.added or (item_id not in heads and item_id not in self._known.followed)
