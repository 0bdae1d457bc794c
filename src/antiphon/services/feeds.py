"""The live feed of a conversation: what its members put in and what models answer, as it is committed.

A feed is a cursor over the conversation's changes and over the logs of the answers that run in it, not a
queue: a slow reader reads on from where it stands. It looks again at every change, so who may no longer
read is told so at the next one; besides it looks from time to time, as another process may have written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import NotFound
from antiphon.domain.items import Item
from antiphon.domain.run_events import TEXT, Op
from antiphon.ports.storage import Change
from antiphon.services.answers import Answers
from antiphon.services.changes import Changes
from antiphon.services.conversations import Conversations
from antiphon.services.runs.follow import Follower
from antiphon.services.runs.live import LiveRuns

LOOK_SECONDS: Final = 5.0
"""Between two looks without news: nobody but this process writes, and a bell may be lost."""

SHARED_LOOK_SECONDS: Final = 0.5
"""The same where other processes write, too, whose bells are not heard here."""

PAGE: Final = 100
MAX_INPUT: Final = 100
"""Messages that one turn is shown to have brought."""


class Said(msgspec.Struct, frozen=True):
    """A message is in the conversation; `run_id` is the answer it belongs to or asks for."""

    item: Item
    run_id: str | None = None


class Began(msgspec.Struct, frozen=True):
    """An answer has begun; its texts follow."""

    run_id: str
    model: str


class Delta(msgspec.Struct, frozen=True):
    """A piece of an answer's text."""

    run_id: str
    text: str


class Ended(msgspec.Struct, frozen=True):
    """An answer has ended; its messages came before."""

    run_id: str
    state: str


class Changed(msgspec.Struct, frozen=True):
    """Something else happened: a branch, a member, a title."""

    kind: str
    body: Any


Heard = Said | Began | Delta | Ended | Changed


class Feeds:
    """Opens feeds; whoever may read a conversation may follow it."""

    def __init__(
        self,
        conversations: Conversations,
        answers: Answers,
        runs: LiveRuns,
        changes: Changes,
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.look_seconds = look_seconds
        self.conversations = conversations
        self.answers = answers
        self.runs = runs
        self.changes = changes

    async def open(self, who: Principal, conversation_id: str, *, after: int | None = None) -> Feed:
        """Return the feed of a conversation after a revision (what comes from now on); raises NotFound.

        Answers that run now are heard from their beginning.
        """
        found = await self.conversations.get(who, conversation_id)
        feed = Feed(self, who, found, found.revision if after is None else after)
        for live in self.runs:
            if live.run.conversation_id == found.id and live.run.stored:
                await feed.follow(ids.RESPONSE + live.run.id)
        return feed


class Feed:
    """One reader's way through a conversation; close it when its reader has gone."""

    def __init__(self, feeds: Feeds, who: Principal, conversation: Conversation, revision: int) -> None:
        self.conversation_id = ids.CONVERSATION + conversation.id
        self.revision = revision
        self._feeds = feeds
        self._who = who
        self._followed: dict[str, Follower] = {}
        self._kinds: dict[str, str] = {}
        self._news = asyncio.Event()
        self._release = feeds.changes.listen(conversation.id, self._news.set)

    async def heard(self) -> AsyncIterator[Heard]:
        """Yield what happens, for ever; raises NotFound once the reader may not read any more."""
        while True:
            self._news.clear()
            for run_id in list(self._followed):
                for delta in self._deltas(run_id):
                    yield delta
            while changes := await self._changes():
                for change in changes:
                    self.revision = change.revision
                    async for one in self._told(change):
                        yield one
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._feeds.look_seconds):
                    await self._news.wait()

    async def _changes(self) -> list[Change]:
        found = self._feeds.conversations.changes
        return await found(self._who, self.conversation_id, after=self.revision, limit=PAGE)

    async def _told(self, change: Change) -> AsyncIterator[Heard]:
        body = change.json()
        if change.kind == "items.added":
            for item_id in body.get("item_ids", ()):
                with contextlib.suppress(NotFound):  # hidden or erased meanwhile
                    yield Said(await self._feeds.conversations.item(self._who, self.conversation_id, item_id))
        elif change.kind == "turn.began":
            for item in await self._asked(body["run_id"]):
                yield Said(item, body["run_id"])
            yield Began(body["run_id"], body["model"])
            await self.follow(body["run_id"])
            for delta in self._deltas(body["run_id"]):
                yield delta
        elif change.kind == "turn.ended":
            async for one in self._ended(body["run_id"], body["state"]):
                yield one
        else:
            yield Changed(change.kind, body)

    async def _asked(self, run_id: str) -> list[Item]:
        with contextlib.suppress(NotFound):
            page = await self._feeds.answers.input_items(
                self._who, run_id, after=None, limit=MAX_INPUT, descending=False
            )
            return [item for item in page.data if item.type == "message"]
        return []

    async def _ended(self, run_id: str, state: str) -> AsyncIterator[Heard]:
        for delta in self._deltas(run_id):
            yield delta
        self._forget(run_id)
        with contextlib.suppress(NotFound):
            for item in await self._feeds.answers.said(self._who, run_id):
                yield Said(item, run_id)
        yield Ended(run_id, state)

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
            self._followed[run_id] = follower

    def _deltas(self, run_id: str) -> list[Delta]:
        """Return what of an answer's text was committed since the last time, as one piece."""
        follower = self._followed.get(run_id)
        if follower is None:
            return []
        end = follower.committed
        text, kind = text_in(follower.log.ops[follower.cursor : end], self._kinds.get(run_id, ""))
        self._kinds[run_id] = kind
        follower.cursor = end
        follower.progress()
        return [Delta(run_id, text)] if text else []

    def _forget(self, run_id: str) -> None:
        follower = self._followed.pop(run_id, None)
        self._kinds.pop(run_id, None)
        if follower is not None:
            follower.release()

    def close(self) -> None:
        """Listen no more."""
        self._release()
        for run_id in list(self._followed):
            self._forget(run_id)


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
