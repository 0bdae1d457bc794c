"""Conversations that nobody has named get a title after their first answer, and nobody's own is touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.limits import parse_limits
from antiphon.services.titles import Titles
from tests.services.hand import ECHO, HAND
from tests.services.world import World, running_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(tmp_path / "data") as opened:
        yield opened


async def title(world: World, conversation: str) -> str | None:
    return (await world.application.conversations.get(world.who, conversation)).title


async def made(world: World) -> None:
    """Have the titles made that are due."""
    await world.application.titles.step()


@asynccontextmanager
async def with_model(directory: Path, **settings: Any) -> AsyncIterator[World]:
    async with running_world(directory, title_model=HAND, **settings) as opened:
        yield opened


async def test_the_first_question_gives_the_title_and_the_feed_tells_it(world: World) -> None:
    conversation = await world.conversation()
    before = await world.application.conversations.get(world.who, conversation)
    await world.turn("how is the filter changed? It is stuck.", conversation_id=conversation)
    used = await world.application.conversations.get(world.who, conversation)
    assert await title(world, conversation) is None
    await made(world)
    found = await world.application.conversations.get(world.who, conversation)
    assert found.title == "How is the filter changed?"
    assert found.updated_us == used.updated_us > before.updated_us, "a title is no use of a conversation"
    changes = await world.application.conversations.changes(
        world.who, conversation, after=used.revision, limit=9
    )
    assert [(one.kind, one.json()) for one in changes] == [
        ("conversation.updated", {"title": found.title, "automatic": True})
    ]
    await world.turn("and another thing", conversation_id=conversation)
    await made(world)
    assert await title(world, conversation) == "How is the filter changed?"


async def test_a_persons_title_stands_even_if_it_comes_at_the_same_moment(world: World) -> None:
    named = await world.conversation()
    await world.application.conversations.update(world.who, named, title="mine", metadata=None)
    raced = await world.conversation()
    for one in (named, raced):
        await world.turn("what is it?", conversation_id=one)

    async def name_it(commands: Any) -> None:
        if any(type(one).__name__ == "TitleConversation" for one in commands):
            world.storage.unit_of_work.before = None
            await world.application.conversations.update(world.who, raced, title="mine too", metadata=None)

    world.storage.unit_of_work.before = name_it
    await made(world)
    assert (await title(world, named), await title(world, raced)) == ("mine", "mine too")


@pytest.mark.parametrize("what", ["chain", "failed", "deleted", "nothing said"])
async def test_what_gets_none(world: World, what: str) -> None:
    conversation = await world.conversation()
    if what == "chain":  # of responses, which nobody has made a conversation of
        answer = await world.turn("what is it?")
        conversation = f"conv_{answer.run.conversation_id}"
    elif what == "failed":
        begun = await world.begin("what is it?", conversation_id=conversation, model=HAND)
        (await world.hand.next()).fail()
        await world.wait(begun)
    elif what == "nothing said":
        await world.turn("?!", conversation_id=conversation)
    else:
        await world.turn("what is it?", conversation_id=conversation)
        await world.application.conversations.delete(world.who, conversation)
    await made(world)
    rows = world.rows("SELECT title FROM conversations WHERE id=?", conversation.removeprefix("conv_"))
    assert rows == [(None,)]


async def test_what_failed_first_gets_its_title_after_the_next_answer(world: World) -> None:
    conversation = await world.conversation()
    begun = await world.begin("first?", conversation_id=conversation, model=HAND)
    (await world.hand.next()).fail()
    await world.wait(begun)
    await world.turn("second?", conversation_id=conversation)
    await made(world)
    assert await title(world, conversation) == "Second?"


async def test_a_conversation_whose_title_was_taken_away_gets_another(world: World) -> None:
    conversation = await world.conversation()
    await world.turn("first?", conversation_id=conversation)
    await made(world)
    await world.application.conversations.update(world.who, conversation, title=None, metadata=None)
    assert await title(world, conversation) is None
    await world.turn("second?", conversation_id=conversation)
    await made(world)
    assert await title(world, conversation) == "First?"


async def test_turned_off_nothing_is_named(tmp_path: Path) -> None:
    async with running_world(tmp_path / "off", titles="off") as world:
        conversation = await world.conversation()
        await world.turn("what is it?", conversation_id=conversation)
        await made(world)
        assert await title(world, conversation) is None


async def test_a_model_makes_the_title_and_who_asked_pays(tmp_path: Path) -> None:
    async with with_model(tmp_path / "data") as world:
        conversation = await world.conversation()
        await world.turn("why is the sky blue?", conversation_id=conversation, model=ECHO)
        making = asyncio.create_task(made(world))
        call = await world.hand.next()
        assert call.prompts[-1] == "user:why is the sky blue?" and "title" in call.prompts[0]
        call.answer('"Colour of the sky".')
        await making
        assert await title(world, conversation) == "Colour of the sky"
        models = world.rows("SELECT model,author_id FROM ledger ORDER BY created")
        assert [one[1] for one in models] == [world.who.account_id] * 2 and "hand" in str(models[1][0])
        assert len(world.rows("SELECT 1 FROM runs")) == 1, "it leaves nothing but its line"


@pytest.mark.parametrize("what", ["fails", "is not known", "has no allowance"])
async def test_without_the_models_answer_the_question_gives_the_title(tmp_path: Path, what: str) -> None:
    settings = {"default_limits": "requests/day=1"} if what == "has no allowance" else {}
    async with with_model(tmp_path / "data", **settings) as world:
        if what == "is not known":
            a = world.application
            world.application.titles.__init__(  # type: ignore[misc]
                world.storage, a.turns, a.answers, a.quotas, a.titles._clock, model="nobody/nothing"
            )
            world.engine.on_ended = a.titles.ended
        who = await world.application.quotas.limited(world.who)
        assert bool(who.limits) == bool(settings) == bool(parse_limits(settings.get("default_limits", "")))
        conversation = await world.conversation()
        begun = await world.begin("why is the sky blue?", conversation_id=conversation, who=who)
        await world.wait(begun)
        making = asyncio.create_task(made(world))
        if what == "fails":
            (await world.hand.next()).fail()
        await making
        assert await title(world, conversation) == "Why is the sky blue?"


async def test_so_many_wait_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.services.titles.MOST", 2)
    talks = [await world.conversation() for _ in range(3)]
    for one in talks:
        await world.turn("what is it?", conversation_id=one)
    titles: Titles = world.application.titles
    assert len(titles._waiting) == 2
    await made(world)
    assert [await title(world, one) is not None for one in talks] == [True, True, False]
    await world.turn("and?", conversation_id=talks[2])
    await made(world)
    assert await title(world, talks[2]) == "What is it?"
