"""Chat sessions: found by their owner's name for them, made at first use, forgotten when unused for long.

An ephemeral session ends so many seconds after its last use, or when more of them are held than the
server keeps: the longest unused goes first. A session keeps the kind it was made with.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_sessions import ChatSession, SessionMemory, is_session_name, session_name, uuid_of
from antiphon.domain.conversations import EPHEMERAL, Conversation
from antiphon.domain.errors import Conflict, NotFound, Unprocessable
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.retention import Passed
from antiphon.ports.storage import Storage
from antiphon.services.conversations import Conversations
from antiphon.services.placing import new_conversation
from antiphon.services.retention import Retention
from antiphon.services.turn_plans import MAX_CONFLICTS

ENDED_AT_ONCE = 200
SECOND_US = 1_000_000


class ChatSessions:
    """Opens and forgets sessions of one owner; counts those of all.

    `ttl_seconds` after its last use an ephemeral session ends; `most_sessions` of them are held.
    `most_messages` of a session's history are shown to a model, 0: as many as it has room for.
    """

    def __init__(
        self,
        storage: Storage,
        conversations: Conversations,
        retention: Retention,
        clock: Clock,
        *,
        ttl_seconds: int,
        most_sessions: int,
        most_messages: int,
    ) -> None:
        self._storage = storage
        self._conversations = conversations
        self._retention = retention
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._most_sessions = most_sessions
        self.most_messages = most_messages
        self._evicting = asyncio.Lock()
        self._in_use: Counter[str] = Counter()
        self._too_many = False
        self._evicted = 0
        self._expired = 0

    async def open(self, who: Principal, name: str | None, *, ephemeral: bool) -> ChatSession:
        """Return the caller's session of a name, made if there is none; its time begins anew.

        Without a name a new one is made, called by its UUID. A conversation's id is a name, too.
        Raises Unprocessable for what cannot be a name.
        """
        wanted = _proper(name)
        for _ in range(MAX_CONFLICTS):
            found = await self._find(who, wanted) if wanted is not None else None
            if found is None:
                try:
                    return await self._make(who, wanted, ephemeral=ephemeral)
                except Conflict:
                    continue  # somebody made it meanwhile
            if await self._renewed(found):
                return ChatSession(wanted or uuid_of(found.id), found)
        raise Conflict("The session changes too fast; try again.")

    @asynccontextmanager
    async def using(self, who: Principal, name: str | None) -> AsyncIterator[ChatSession]:
        """Open an ephemeral session that makes no room for others as long as it is used here."""
        session = await self.open(who, name, ephemeral=True)
        try:
            with self._held(session.conversation.id):
                yield session
        finally:
            if self._too_many:
                await self._evict()

    @contextmanager
    def _held(self, conversation_id: str) -> Iterator[None]:
        """Let a session make no room for others meanwhile."""
        self._in_use[conversation_id] += 1
        try:
            yield
        finally:
            self._in_use -= Counter({conversation_id: 1})

    async def get(self, who: Principal, name: str) -> ChatSession:
        """Return the caller's session of a name, whose time goes on; raises NotFound."""
        wanted = session_name(name)
        found = await self._find(who, wanted) if wanted is not None else None
        if wanted is None or found is None:
            raise NotFound(f"Session '{name}' not found.", code="session_not_found")
        return ChatSession(wanted, found)

    async def is_somebodys(self, name: str) -> bool:
        """Whether a name is the id of a conversation, whosever it is.

        That an id is taken is all that this tells; ids are too long to be tried out, and open nothing.
        """
        identifier = ids.parse(session_name(name), ids.CONVERSATION)
        return identifier is not None and await self._storage.chat_sessions.is_taken(identifier)

    async def renew(self, session: ChatSession) -> None:
        """Let a session's time begin anew; does nothing to one that has ended."""
        await self._renewed(session.conversation)

    async def forget(self, who: Principal, name: str) -> str:
        """Erase a session with what was said in it; returns its name. Raises NotFound."""
        found = await self.get(who, name)
        await self._conversations.delete(who, ids.CONVERSATION + found.conversation.id, purge=True)
        return found.name

    async def end_all(self) -> None:
        """End the ephemeral sessions of everybody, whenever they were used last; nothing else is touched."""
        while found := await self._storage.chat_sessions.longest_unused(ENDED_AT_ONCE):
            ended = sum([await self._retention.end(one) for one in found])
            self._expired += ended
            if not ended:
                return  # somebody writes to each of them just now

    async def memory(self) -> SessionMemory:
        """Count what is held for everybody."""
        sessions, messages = await self._storage.chat_sessions.held(self._clock.now_us())
        return SessionMemory(
            sessions=sessions,
            messages=messages,
            most_sessions=self._most_sessions,
            ttl_seconds=self._ttl_seconds,
            evicted=self._evicted,
            expired=self._expired + self._retention.expired_sessions,
        )

    async def _find(self, who: Principal, name: str) -> Conversation | None:
        found = await self._storage.chat_sessions.by_key(who.account_id, name)
        if found is None and (identifier := ids.parse(name, ids.CONVERSATION)) is not None:
            found = await self._storage.conversations.get(who.account_id, identifier)
        if found is None or not self._has_passed(found):
            return found
        # The sweep has not come by yet; the name is free all the same.
        ended = await self._end(found)  # before the count is read: others count meanwhile
        self._expired += ended
        return None

    def _has_passed(self, one: Conversation) -> bool:
        return one.expires_us is not None and one.expires_us <= self._clock.now_us()

    async def _end(self, one: Conversation) -> bool:
        return await self._retention.end(Passed(one.id, one.owner_id, one.slot, one.updated_us, one.kind))

    async def _make(self, who: Principal, name: str | None, *, ephemeral: bool) -> ChatSession:
        now = self._clock.now_us()
        made, commands = new_conversation(
            who, ids.new_id(who.slot), (), now, kind=EPHEMERAL if ephemeral else "explicit",
            expires_us=now + self._ttl_seconds * SECOND_US if ephemeral else None, external_key=name,
        )  # fmt: skip
        await self._storage.unit_of_work.commit(*commands)
        if ephemeral:
            with self._held(made.id):
                await self._evict()
        return ChatSession(name or uuid_of(made.id), made)

    async def _renewed(self, found: Conversation) -> bool:
        """Put a session's end off; False if it has ended meanwhile."""
        if found.kind != EPHEMERAL or found.expires_us is None:
            return True
        now = self._clock.now_us()
        expires_us = now + self._ttl_seconds * SECOND_US
        try:
            await self._storage.unit_of_work.commit(
                ws.RenewConversation(conversation_id=found.id, now_us=now, expires_us=expires_us)
            )
        except Conflict:
            return False
        return True

    async def _evict(self) -> None:
        """End the longest unused sessions of those that are too many, but none that is in use.

        One at a time counts and ends them.
        """
        async with self._evicting:
            held, _ = await self._storage.chat_sessions.held(self._clock.now_us())
            excess = held - self._most_sessions
            self._too_many = excess > 0
            if excess <= 0:
                return
            for one in await self._storage.chat_sessions.longest_unused(excess + len(self._in_use)):
                if excess and one.conversation_id not in self._in_use:
                    ended = await self._retention.end(one)
                    self._evicted += ended
                    excess -= ended
            self._too_many = excess > 0


def _proper(text: str | None) -> str | None:
    name = session_name(text)
    if name is not None and not is_session_name(name):
        raise Unprocessable(
            "A session's name has up to 256 printable characters and is none of those that paths use.",
            code="invalid_value", param="session_id",
        )  # fmt: skip
    return name
