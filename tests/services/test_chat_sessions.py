"""Chat sessions: named by their owners, forgotten when unused for long, the longest unused first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_sessions import ChatSession, is_session_name, session_name, uuid_of
from antiphon.domain.errors import NotFound, Unprocessable
from tests.api.people_fixtures import FastClock
from tests.services.world import World, another_person, open_world

TTL = 100


class Sessions:
    """A world with a clock that is set forward, and what is done in it."""

    def __init__(self, world: World, clock: FastClock) -> None:
        self.world = world
        self.clock = clock
        self.service = world.application.chat_sessions

    async def open(self, name: str | None = None, who: Principal | None = None) -> ChatSession:
        return await self.service.open(who or self.world.who, name, ephemeral=True)

    async def say(self, name: str, text: str) -> str:
        """A whole turn in a session; returns its conversation."""
        wire_id = ids.CONVERSATION + (await self.open(name)).conversation.id
        await self.world.turn(text, conversation_id=wire_id)
        return wire_id

    async def sweep(self) -> None:
        await self.world.application.administration.retention.expire()


@pytest.fixture
async def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sessions]:
    clock = FastClock()
    monkeypatch.setattr("tests.services.world.SystemClock", lambda: clock)
    world = await open_world(tmp_path / "data", memory_ttl_seconds=TTL, max_cache_size=3)
    try:
        yield Sessions(world, clock)
    finally:
        await world.close()


def test_a_name_is_trimmed_and_some_cannot_be_one() -> None:
    assert session_name(" YOUR_SESSION_ID ") == "YOUR_SESSION_ID"
    assert session_name(None) is session_name("") is session_name("  ") is None
    assert is_session_name("1234567890") and is_session_name("søknad 7") and is_session_name("x" * 256)
    for bad in ("memory", "Sessions", "history", "search", "response", "llm", "x" * 257, "a\nb", "a\0b"):
        assert not is_session_name(bad), bad


async def test_the_first_use_makes_a_session_and_the_second_finds_it(sessions: Sessions) -> None:
    conversation_id = await sessions.say("chat123", "my name is Ada")
    assert await sessions.say(" chat123 ", "and yours?") == conversation_id
    assert len(await sessions.world.said(conversation_id)) == 4


async def test_without_a_name_a_session_is_called_by_its_uuid(sessions: Sessions) -> None:
    one, other = await sessions.open(), await sessions.open("  ")
    assert one.name == uuid_of(one.conversation.id) and one.name != other.name
    for name in (one.name, one.name.upper(), ids.CONVERSATION + one.conversation.id):
        assert (await sessions.open(name)).conversation.id == one.conversation.id


async def test_a_uuid_of_the_clients_own_is_a_name_like_any_other(sessions: Sessions) -> None:
    name = "6f1c1f5e-6c53-4d7e-9a55-0f6f3f0c7d11"
    made = await sessions.open(name)
    assert made.name == name and made.conversation.external_key == name
    assert (await sessions.open(name)).conversation.id == made.conversation.id


async def test_one_name_of_two_people_is_two_sessions(sessions: Sessions) -> None:
    other = await another_person(sessions.world)
    mine, theirs = await sessions.open("chat123"), await sessions.open("chat123", other)
    assert mine.conversation.id != theirs.conversation.id
    stolen = await sessions.open(ids.CONVERSATION + mine.conversation.id, other)
    assert stolen.conversation.id != mine.conversation.id, "an id of somebody else's is a name like any other"
    with pytest.raises(NotFound):
        await sessions.service.forget(other, uuid_of(mine.conversation.id))


async def test_a_name_that_paths_use_is_refused(sessions: Sessions) -> None:
    for bad in ("memory", "sessions", "x" * 257):
        with pytest.raises(Unprocessable):
            await sessions.open(bad)


async def test_many_who_open_one_name_at_once_have_one_session(sessions: Sessions) -> None:
    opened = await asyncio.gather(*(sessions.open("wanted") for _ in range(20)))
    assert len({one.conversation.id for one in opened}) == 1


async def test_use_puts_the_end_off(sessions: Sessions) -> None:
    first = await sessions.say("chat123", "hello")
    for _ in range(3):
        sessions.clock.forward(TTL - 20)
        await sessions.sweep()
        assert await sessions.say("chat123", "still here") == first
    sessions.clock.forward(TTL + 1)
    assert await sessions.say("chat123", "hello?") != first, "forgotten before any sweep came by"
    assert (await sessions.service.memory()).expired == 1


async def test_what_is_not_used_is_forgotten_for_good(sessions: Sessions) -> None:
    conversation_id = await sessions.say("chat123", "a secret word")
    sessions.clock.forward(TTL + 1)
    await sessions.sweep()
    memory = await sessions.service.memory()
    assert (memory.sessions, memory.messages, memory.expired) == (0, 0, 1)
    with pytest.raises(NotFound):
        await sessions.world.application.conversations.get(sessions.world.who, conversation_id)
    await sessions.world.application.purges.purge_expired(sessions.clock.now_us())
    assert sessions.world.rows("SELECT * FROM items WHERE payload LIKE '%a secret word%'") == []


async def test_a_session_is_over_from_its_creation_on(sessions: Sessions) -> None:
    made = await sessions.open("never used")
    assert made.conversation.expires_us is not None
    sessions.clock.forward(TTL + 1)
    with pytest.raises(NotFound):
        await sessions.service.get(sessions.world.who, "never used")


async def test_the_longest_unused_goes_when_there_are_too_many(sessions: Sessions) -> None:
    for name in ("a", "b", "c"):
        await sessions.say(name, "hello")
        sessions.clock.forward(1)
    await sessions.open("a")
    sessions.clock.forward(1)
    await sessions.open("d")
    memory = await sessions.service.memory()
    assert (memory.sessions, memory.evicted, memory.most_sessions) == (3, 1, 3)
    for name in ("a", "c", "d"):
        await sessions.service.get(sessions.world.who, name)
    with pytest.raises(NotFound):
        await sessions.service.get(sessions.world.who, "b")


async def test_the_memory_is_counted(sessions: Sessions) -> None:
    await sessions.say("a", "hello")
    await sessions.say("a", "again")
    await sessions.say("b", "hello")
    memory = await sessions.service.memory()
    assert (memory.sessions, memory.messages, memory.ttl_seconds) == (2, 6, TTL)
    assert (memory.evicted, memory.expired) == (0, 0)


async def test_a_kept_session_stays_and_does_not_count(sessions: Sessions) -> None:
    kept = await sessions.service.open(sessions.world.who, "diary", ephemeral=False)
    assert not kept.is_ephemeral and kept.conversation.expires_us is None
    sessions.clock.forward(10 * TTL)
    await sessions.sweep()
    again = await sessions.open("diary")
    assert again.conversation.id == kept.conversation.id and not again.is_ephemeral, "it keeps its kind"
    assert (await sessions.service.memory()).sessions == 0


async def test_what_its_owner_gave_no_end_is_not_given_one_by_use(sessions: Sessions) -> None:
    conversation_id = await sessions.say("chat123", "hello")
    await sessions.world.application.conversations.update(
        sessions.world.who, conversation_id, title=None, metadata=None, expires_after_seconds=None
    )
    assert await sessions.say("chat123", "again") == conversation_id
    sessions.clock.forward(10 * TTL)
    await sessions.sweep()
    assert await sessions.say("chat123", "and again") == conversation_id


async def test_a_session_that_is_forgotten_begins_anew(sessions: Sessions) -> None:
    first = await sessions.say("chat123", "a secret word")
    assert await sessions.service.forget(sessions.world.who, " chat123") == "chat123"
    with pytest.raises(NotFound):
        await sessions.service.forget(sessions.world.who, "chat123")
    second = await sessions.say("chat123", "hello")
    assert second != first and len(await sessions.world.said(second)) == 2
    assert sessions.world.rows("SELECT * FROM items WHERE payload LIKE '%a secret word%'") == []


async def test_of_a_long_session_a_model_sees_as_many_messages_as_it_may(sessions: Sessions) -> None:
    for number in range(4):
        conversation_id = await sessions.say("chat123", f"message {number}")
    for most, seen in ((2, ["message 3", "re: message 3", "last"]), (0, None)):
        await sessions.world.turn("last", conversation_id=conversation_id, most_before=most)
        messages = [one["content"] for one in sessions.world.hand.calls[-1].request.messages]
        assert messages == seen if seen else len(messages) == 11
