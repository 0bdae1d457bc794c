"""A purge leaves nothing in the cache of answers: not what is kept, not what is being kept at that moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.services import response_cache
from antiphon.services.purges import DAY_US, GRACE_US
from tests.services.hand import HAND, until
from tests.services.sharing import join
from tests.services.test_response_cache import Cached, opened
from tests.services.world import another_person

SECRET = "the CANARY of the owner"


@pytest.fixture(params=["user", "shared"])
async def cached(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cached]:
    found = await opened(tmp_path / "data", request.param)
    yield found
    await found.world.close()


def holds(cached: Cached, text: str = SECRET) -> bool:
    return any(text.encode() in entry.value for entry in cached.shelf._entries.values())


async def kept(cached: Cached, text: str = SECRET) -> None:
    """Answers are kept beside the run, a moment after its end."""
    await until(lambda: holds(cached, text))


async def shared_with(cached: Cached, conversation: str, name: str = "member") -> Principal:
    person = await another_person(cached.world, name)
    await join(cached.world, conversation, person, "editor")
    return person


async def purge(cached: Cached, conversation: str) -> None:
    await cached.world.application.conversations.delete(cached.world.who, conversation, purge=True)


async def test_a_purged_conversation_is_out_of_the_cache_and_others_stay(cached: Cached) -> None:
    world = cached.world
    stranger = await another_person(world, "stranger")
    await world.wait(await world.begin("something else", who=stranger))
    conversation = await world.conversation()
    await world.turn(SECRET, conversation_id=conversation)
    await kept(cached)
    await purge(cached, conversation)
    assert not holds(cached)
    assert holds(cached, "something else")


async def test_what_members_asked_in_it_goes_too_stored_or_not(cached: Cached) -> None:
    world = cached.world
    conversation = await world.conversation("before")
    member = await shared_with(cached, conversation)
    for store in (True, False):
        text = f"{SECRET}, stored: {store}"
        await world.wait(await world.begin(text, who=member, conversation_id=conversation, store=store))
        await kept(cached, text)
    await purge(cached, conversation)
    assert not holds(cached)


async def test_an_answer_purged_alone_leaves_the_cache_too(cached: Cached) -> None:
    world = cached.world
    conversation = await world.conversation()
    for found in (None, conversation):
        answer = await world.turn(SECRET, conversation_id=found)
        await kept(cached)
        await world.application.answers.delete(world.who, ids.RESPONSE + answer.run.id, purge=True)
        assert not holds(cached)


async def test_what_time_erases_leaves_it(cached: Cached) -> None:
    world = cached.world
    conversation = await world.conversation()
    answer = await world.turn(SECRET, conversation_id=conversation)
    await world.application.answers.delete(world.who, ids.RESPONSE + answer.run.id)
    await world.application.purges.purge_expired(answer.run.created_us + 2 * GRACE_US)
    assert not holds(cached), "an answer that was deleted an hour ago"
    await world.turn(SECRET, conversation_id=conversation)
    await kept(cached)
    await world.application.conversations.delete(world.who, conversation)
    await world.application.purges.purge_expired(answer.run.created_us + 32 * DAY_US)
    assert not holds(cached), "a conversation that was deleted a month ago"


async def test_an_account_goes_with_what_it_asked_without_storing(cached: Cached) -> None:
    world = cached.world
    leaving = await another_person(world, "leaving")
    await world.wait(await world.begin(SECRET, who=leaving, store=False))
    await kept(cached)
    await world.application.purges.purge_account(leaving.account_id)
    assert not holds(cached)


async def test_an_answer_under_way_is_not_kept_after_the_purge(cached: Cached) -> None:
    """It is told to whoever asked, and to nobody else."""
    world = cached.world
    conversation = await world.conversation(SECRET)
    member = await shared_with(cached, conversation)
    begun = await world.begin("go on", who=member, conversation_id=conversation, store=False, model=HAND)
    call = await cached.hand.next()
    call.say(SECRET)
    await purge(cached, conversation)
    call.end()
    await world.wait(begun)
    assert begun.live is not None and begun.live.run.state == "completed"
    assert begun.live.memo is not None and begun.live.memo._said == []
    assert cached.shelf.puts == 0


async def test_a_purge_between_an_answers_end_and_its_keeping_wins(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, encoding, go_on = cached.world, threading.Event(), threading.Event()
    encode = response_cache._encode

    def slow(entry: Any) -> bytes:
        encoding.set()
        assert go_on.wait(10)
        return encode(entry)

    monkeypatch.setattr(response_cache, "_encode", slow)
    conversation = await world.conversation()
    begun = await world.begin("long", conversation_id=conversation, model=HAND)
    call = await cached.hand.next()
    call.answer(SECRET + "x" * response_cache.INLINE_CHARACTERS)
    await until(encoding.is_set)
    await world.wait(begun)
    await purge(cached, conversation)
    go_on.set()
    await asyncio.gather(*world.engine._side_writes)
    assert cached.shelf.puts == 0


async def test_a_cache_that_is_down_does_not_stop_a_purge(
    cached: Cached, caplog: pytest.LogCaptureFixture
) -> None:
    conversation = await cached.world.conversation()
    cached.shelf.broken = True
    await purge(cached, conversation)
    assert "cannot be purged: ConnectionError" in caplog.text and "CANARY" not in caplog.text
