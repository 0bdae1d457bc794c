"""The live feed of a conversation: what its members put in and what models answer, as it is committed.

A feed is a cursor over the conversation's changes and over the logs of the answers that run in it, not a
queue: a slow reader reads on from where it stands. It looks again at every change, so who may no longer
read is told so at the next one; besides it looks from time to time, as another process may have written.
Who is there and who is writing is told as it is now, whatever happened in between.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import NotFound
from antiphon.domain.items import Item
from antiphon.domain.members import EDITOR
from antiphon.domain.run_events import TEXT, Op
from antiphon.domain.runs import Run
from antiphon.ports.storage import Change, Runs
from antiphon.services.access import Access
from antiphon.services.answers import Answers
from antiphon.services.changes import Changes
from antiphon.services.conversations import Conversations
from antiphon.services.paging import Page
from antiphon.services.presence import Around, Presence
from antiphon.services.runs.follow import Follower
from antiphon.services.runs.live import LiveRuns

LOOK_SECONDS: Final = 4.0
"""Between two looks without news: a bell may be lost, and an owner's account may end."""

CATCH_UP_SECONDS: Final = 2.0
"""How long an answer's end waits for the last of its text, which may come from another server."""

PAGE: Final = 100
MAX_INPUT: Final = 100
"""Messages that one turn is shown to have brought."""
MAX_RUNNING: Final = 100
"""Answers that run in one conversation and are told of when a feed begins."""


class Said(msgspec.Struct, frozen=True):
    """A message is in the conversation; `run_id` is the answer it belongs to or asks for."""

    item: Item
    run_id: str | None = None


class Began(msgspec.Struct, frozen=True):
    """An answer has begun; its texts follow."""

    run_id: str
    model: str


class Delta(msgspec.Struct, frozen=True):
    """A piece of an answer's text, which begins `offset` code points from the text's beginning."""

    run_id: str
    text: str
    offset: int = 0


class Ended(msgspec.Struct, frozen=True):
    """An answer has ended; its messages came before. `error` says why it failed, if it did."""

    run_id: str
    state: str
    error: str | None = None


class Changed(msgspec.Struct, frozen=True):
    """Something else happened: a branch, a member, a title."""

    kind: str
    body: Any


Heard = Said | Began | Delta | Ended | Changed


class Happened(msgspec.Struct, frozen=True):
    """A change of the conversation, with the items it speaks of as they are now, and their answers by id."""

    change: Change
    body: dict[str, Any]
    items: list[Item] = []
    runs: dict[str, Run] = {}


class Gap(msgspec.Struct, frozen=True):
    """The changes up to `revision` are not kept any more: the conversation is to be read anew."""

    revision: int


class Silence(msgspec.Struct, frozen=True):
    """Nothing has happened for a while."""


Step = Happened | Delta | Gap | Around | Silence


class Feeds:
    """Opens feeds; whoever may read a conversation may follow it."""

    def __init__(
        self,
        access: Access,
        conversations: Conversations,
        answers: Answers,
        live: LiveRuns,
        stored: Runs,
        changes: Changes,
        presence: Presence,
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.look_seconds = look_seconds
        self.conversations = conversations
        self.answers = answers
        self.changes = changes
        self.presence = presence
        self._access = access
        self._live = live
        self._stored = stored
        self._open: set[Feed] = set()

    async def open(
        self, who: Principal, conversation_id: str, *, after: int | None = None, deltas: bool = True
    ) -> Feed:
        """Return the feed of a conversation after a revision (what comes from now on); raises NotFound.

        With `deltas` the texts of answers are told, of those that run now from their beginning.
        """
        found = await self.conversations.get(who, conversation_id)
        feed = Feed(self, who, found, found.revision if after is None else after, deltas=deltas)
        self._open.add(feed)
        try:
            feed.running = [ids.RESPONSE + run.id for run in await self._running(found.id)]
            for run_id in feed.running if deltas else ():
                await feed.follow(run_id)
        except BaseException:
            feed.close()  # nobody else has it: its reader would be there for ever
            raise
        return feed

    async def _running(self, conversation_id: str) -> list[Run]:
        """Return the answers that run in a conversation, here or elsewhere."""
        here = [
            live.run for live in self._live if live.run.conversation_id == conversation_id and live.run.stored
        ]
        if not self.presence.is_shared:
            return here
        known = {run.id for run in here}
        stored = await self._stored.running(conversation_id, after=None, limit=MAX_RUNNING)
        return here + [run for run in stored if run.id not in known]

    async def page(self, who: Principal, conversation_id: str, *, after: int, limit: int) -> Page[Happened]:
        """Return the changes of a conversation above a revision, with their items; raises NotFound."""
        found = await self.conversations.changes(who, conversation_id, after=after, limit=limit + 1)
        told = [await self.happened(who, conversation_id, change) for change in found[:limit]]
        return Page(told, len(found) > limit)

    async def happened(self, who: Principal, conversation_id: str, change: Change) -> Happened:
        """Return a change with its items, but for those that were hidden or erased meanwhile."""
        body: dict[str, Any] = change.json()
        items: list[Item] = []
        runs: dict[str, Run] = {}
        with contextlib.suppress(NotFound):
            if change.kind == "items.added":
                for item_id in body.get("item_ids", ()):
                    with contextlib.suppress(NotFound):
                        items.append(await self.conversations.item(who, conversation_id, item_id))
            elif change.kind == "turn.began":
                page = await self.answers.input_items(
                    who, body["run_id"], after=None, limit=MAX_INPUT, descending=False
                )
                items = page.data
            elif change.kind == "turn.ended":
                ended, items = await self.answers.gave(who, body["run_id"])
                runs = {ended.id: ended}
            if items:
                runs |= await self.answers.of_items(who, conversation_id, items)
        return Happened(change, body, items, runs)

    async def typing(self, who: Principal, conversation_id: str, *, is_typing: bool) -> None:
        """Tell the others that the caller writes, or has stopped. Raises NotFound; takes an editor."""
        within, found = await self._access.enter(who, conversation_id, EDITOR)
        self.presence.typing(within, found.id, is_typing=is_typing)

    def forget(self, feed: Feed) -> None:
        """Let go of a feed that was closed."""
        self._open.discard(feed)

    def end_all(self) -> None:
        """End every feed, because the server stops."""
        for feed in list(self._open):
            feed.end()


class Feed:
    """One reader's way through a conversation; close it when its reader has gone.

    `running` are the answers that ran when it was opened; `revision` the last change that was told.
    """

    def __init__(
        self, feeds: Feeds, who: Principal, conversation: Conversation, revision: int, *, deltas: bool
    ) -> None:
        self.conversation_id = ids.CONVERSATION + conversation.id
        self.revision = revision
        self.running: list[str] = []
        self._id = conversation.id
        self._feeds = feeds
        self._who = who
        self._deltas_wanted = deltas
        self._followed: dict[str, _Followed] = {}
        self._around: Around | None = None
        self._ended = False
        self._news = asyncio.Event()
        self._release = feeds.changes.listen(conversation.id, self._news.set)
        self._leave: Callable[[], None] = feeds.presence.enter(who, conversation.id)

    async def heard(self) -> AsyncIterator[Heard]:
        """Yield what happens message by message; raises NotFound once the reader may not read any more."""
        async for step in self.steps():
            if isinstance(step, Happened):
                for one in _spelled(step):
                    yield one
            elif isinstance(step, Delta):
                yield step

    async def steps(self) -> AsyncIterator[Step]:
        """Yield what happens, change by change, until the server stops.

        Raises NotFound once the reader may not read any more.
        """
        while not self._ended:
            self._news.clear()
            for run_id in list(self._followed):
                for delta in self._deltas(run_id):
                    yield delta
            async for step in self._changed():
                yield step
            if (around := self._feeds.presence.around(self._id)) != self._around:
                self._around = around
                yield around
            try:
                async with asyncio.timeout(self._feeds.look_seconds):
                    await self._news.wait()
            except TimeoutError:
                yield Silence()

    async def _changed(self) -> AsyncIterator[Step]:
        while True:
            conversation = await self._feeds.conversations.get(self._who, self.conversation_id)
            if conversation.revision == self.revision:
                return
            changes: list[Change] = []
            if conversation.revision > self.revision:
                find = self._feeds.conversations.changes
                changes = await find(self._who, self.conversation_id, after=self.revision, limit=PAGE)
            # Each has the number after the one before, so a hole is what was erased with its time.
            reached = changes[0].revision - 1 if changes else conversation.revision
            if reached != self.revision:
                self.revision = reached
                yield Gap(reached)
            for change in changes:
                self.revision = change.revision
                async for step in self._told(change):
                    yield step

    async def _told(self, change: Change) -> AsyncIterator[Step]:
        happened = await self._feeds.happened(self._who, self.conversation_id, change)
        run_id = happened.body.get("run_id", "")
        if change.kind == "turn.ended":
            await self._caught_up(run_id)
            for delta in self._deltas(run_id):
                yield delta
            self._forget(run_id)
        yield happened
        if change.kind == "turn.began" and self._deltas_wanted:
            await self.follow(run_id)
            for delta in self._deltas(run_id):
                yield delta

    async def follow(self, run_id: str) -> None:
        """Hear an answer's text as it is made, here or elsewhere; nothing is done once it has ended."""
        if run_id in self._followed:
            return
        with contextlib.suppress(NotFound):
            follower = await self._feeds.answers.follow(self._who, run_id)
            if follower.run.is_terminal:
                follower.release()  # it is told whole with its end
                return
            follower.listen(self._news.set)
            self._followed[run_id] = _Followed(follower)

    async def _caught_up(self, run_id: str) -> None:
        """Wait until an ended answer's text is here: what another server commits is heard in two ways."""
        followed = self._followed.get(run_id)
        if followed is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while not (followed.follower.whole or followed.follower.lost or self._ended):
                    self._news.clear()
                    await self._news.wait()
        self._news.set()  # whatever else there was is looked for again

    def _deltas(self, run_id: str) -> list[Delta]:
        """Return what of an answer's text was committed since the last time, as one piece."""
        followed = self._followed.get(run_id)
        if followed is None:
            return []
        follower = followed.follower
        end = follower.committed
        text, followed.kind = text_in(follower.log.ops[follower.cursor : end], followed.kind)
        follower.cursor = end
        follower.progress()
        offset = followed.told
        followed.told += len(text)
        return [Delta(run_id, text, offset)] if text else []

    def _forget(self, run_id: str) -> None:
        followed = self._followed.pop(run_id, None)
        if followed is not None:
            followed.follower.release()

    def end(self) -> None:
        """Tell nothing more: whoever reads it comes to its end."""
        self._ended = True
        self._news.set()

    def close(self) -> None:
        """Listen no more."""
        self._feeds.forget(self)
        self._release()
        self._leave()
        for run_id in list(self._followed):
            self._forget(run_id)


class _Followed:
    """An answer whose text is told: the kind of the channel it is on, and the code points told so far."""

    __slots__ = ("follower", "kind", "told")

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.kind = ""
        self.told = 0


def _spelled(happened: Happened) -> Iterator[Heard]:
    """Yield a change message by message."""
    body, kind = happened.body, happened.change.kind
    run_id = body.get("run_id") if kind != "items.added" else None
    messages = [Said(item, run_id) for item in happened.items if item.type == "message"]
    if kind == "items.added":
        yield from (Said(item) for item in happened.items)
    elif kind == "turn.began":
        yield from messages
        yield Began(body["run_id"], body["model"])
    elif kind == "turn.ended":
        yield from messages
        ended = happened.runs.get(body["run_id"].removeprefix(ids.RESPONSE))
        error = ended.error if ended is not None else None
        yield Ended(body["run_id"], body["state"], error.message if error is not None else None)
    else:
        yield Changed(kind, body)


def text_in(ops: list[Op], kind: str) -> tuple[str, str]:
    """Return the text that ops add and the kind of the channel they end on, having begun on `kind`."""
    pieces: list[str] = []
    for op in ops:
        if isinstance(op, str):
            piece = op
        elif op[0] in ("D", "L"):
            kind, piece = op[2], op[4]
        else:
            kind = op[2] if op[0] == "B" else kind
            continue
        if kind == TEXT:
            pieces.append(piece)
    return "".join(pieces), kind
