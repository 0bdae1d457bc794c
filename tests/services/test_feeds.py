"""The feed of a conversation tells what is committed in it, once and in order, to who may read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.errors import NotFound
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from antiphon.domain.run_events import RunLog
from antiphon.services.feeds import Began, Changed, Delta, Ended, Feed, Heard, Said, text_in
from antiphon.services.runs.live import LiveRun
from tests.services.hand import BROKEN, HAND, PATIENCE_SECONDS, until
from tests.services.world import World, another_person, running_world, say


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(tmp_path / "data") as opened:
        yield opened


class Ear:
    """A feed that is read one by one."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._heard = feed.heard()

    async def next(self) -> Heard:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await anext(self._heard)

    async def text(self) -> str:
        heard = await self.next()
        assert isinstance(heard, Said)
        return text_of(heard.item.body())


async def listening(world: World, conversation: str, **fields: Any) -> Ear:
    return Ear(await world.application.feeds.open(world.who, conversation, **fields))


async def test_messages_turns_and_changes_are_heard_in_order(world: World) -> None:
    conversation = await world.conversation("before")
    ear = await listening(world, conversation)
    await world.application.conversations.add_items(
        world.who, conversation, parse_input([say("one"), say("two")])
    )
    await world.application.conversations.update(world.who, conversation, title="t", metadata=None)
    assert [await ear.text(), await ear.text()] == ["one", "two"], "nothing of before"
    changed = await ear.next()
    assert isinstance(changed, Changed) and changed.kind == "conversation.updated"
    begun = await world.begin("ask", conversation_id=conversation, model=HAND)
    call = await world.hand.next()
    assert await ear.text() == "ask"
    began = await ear.next()
    assert isinstance(began, Began) and began.run_id == "resp_" + begun.run_id
    call.say("an ")
    assert await ear.next() == Delta(began.run_id, "an ")
    call.answer("answer")
    assert await ear.next() == Delta(began.run_id, "answer", 3)
    assert await ear.text() == "an answer"
    assert await ear.next() == Ended(began.run_id, "completed")
    ear.feed.close()


async def test_who_opens_it_in_mid_answer_hears_all_of_the_answer(world: World) -> None:
    conversation = await world.conversation()
    begun = await world.begin("ask", conversation_id=conversation, model=HAND)
    call = await world.hand.next()
    call.say("half ")
    live = begun.live
    assert live is not None
    await until(lambda: "half " in str(live.log.ops[: live.committed]))
    ear = await listening(world, conversation)
    assert await ear.next() == Delta("resp_" + begun.run_id, "half ")
    call.answer("and half")
    assert await ear.next() == Delta("resp_" + begun.run_id, "and half", 5)
    ear.feed.close()
    await world.wait(begun)


@pytest.mark.parametrize("arrives", ["late", "never"])
async def test_an_end_that_is_heard_before_the_last_of_its_text_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch, arrives: str
) -> None:
    """As at a server that follows what another one generates, and hears of its end by a bell."""
    conversation = await world.conversation()
    begun = await world.begin("ask", conversation_id=conversation, model=HAND)
    call, live = await world.hand.next(), begun.live
    assert live is not None
    call.say("half ")
    await until(lambda: "half " in str(live.log.ops[: live.committed]))
    ear = await listening(world, conversation)
    assert await ear.next() == Delta("resp_" + begun.run_id, "half ")
    mirror = LiveRun(live.run, RunLog(live.log.ops[: live.committed]))
    followed = ear.feed._followed["resp_" + begun.run_id]
    followed.follower.release()
    followed.follower = world.application.followers.follow_live(mirror, mirror.committed - 1)
    followed.follower.listen(ear.feed._news.set)
    call.answer("and half")
    await world.wait(begun)
    if arrives == "late":
        feeds, looked = world.application.feeds, []
        happened = feeds.happened

        async def noted(*given: Any) -> Any:
            looked.append(await happened(*given))
            return looked[-1]

        monkeypatch.setattr(feeds, "happened", noted)
        hearing = asyncio.create_task(ear.next())
        await until(lambda: looked)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not hearing.done()
        for op in live.log.ops[mirror.committed :]:
            mirror.log.append(op)
        mirror.close()
        mirror.deliver(len(mirror.log.ops))
        assert await hearing == Delta("resp_" + begun.run_id, "and half", 5)
    else:
        monkeypatch.setattr("antiphon.services.feeds.CATCH_UP_SECONDS", 0.01)
    assert await ear.text() == "half and half"
    assert await ear.next() == Ended("resp_" + begun.run_id, "completed")
    ear.feed.close()


async def test_one_goes_on_from_a_revision(world: World) -> None:
    conversation = await world.conversation()
    ear = await listening(world, conversation)
    seen = ear.feed.revision
    ear.feed.close()
    await world.turn("ask", conversation_id=conversation)
    again = await listening(world, conversation, after=seen)
    assert await again.text() == "ask"
    assert isinstance(await again.next(), Began)
    assert await again.text() == "re: ask", "what ended is told whole"
    assert isinstance(await again.next(), Ended)
    again.feed.close()


async def test_an_answer_that_failed_is_told_with_the_reason_also_afterwards(world: World) -> None:
    conversation = await world.conversation()
    ear = await listening(world, conversation)
    seen = ear.feed.revision
    begun = await world.begin("ask", conversation_id=conversation, model=BROKEN)
    again = await listening(world, conversation, after=seen)
    for one in (ear, again):
        assert await one.text() == "ask"
        assert isinstance(await one.next(), Began)
        assert await one.next() == Ended("resp_" + begun.run_id, "failed", "broken")
        one.feed.close()


async def test_a_stranger_hears_nothing_and_a_deleted_one_ends(world: World) -> None:
    conversation = await world.conversation()
    with pytest.raises(NotFound):
        await world.application.feeds.open(await another_person(world), conversation)
    ear = await listening(world, conversation)
    await world.application.conversations.delete(world.who, conversation)
    with pytest.raises(NotFound):
        await ear.next()
    ear.feed.close()


async def test_a_closed_feed_leaves_nothing_behind(world: World) -> None:
    conversation = await world.conversation()
    begun = await world.begin("ask", conversation_id=conversation, model=HAND)
    call = await world.hand.next()
    ear = await listening(world, conversation)
    assert begun.live is not None and len(begun.live.listeners) == 1
    ear.feed.close()
    assert begun.live.listeners == [] and world.application.feeds.changes._listeners == {}
    call.answer("x")
    await world.wait(begun)


@pytest.mark.parametrize(
    ("ops", "kind", "text", "end"),
    [
        (["a", "b"], "t", "ab", "t"),
        (["a"], "", "", ""),
        ([("B", 0, "t", 0), "a", ("B", 1, "a", 0), "{}"], "", "a", "a"),
        ([("D", 0, "t", 0, "a"), ("L", 0, "t", 0, "b", []), ("E", 0, "t", 0)], "n", "ab", "t"),
    ],
)
def test_only_what_the_model_says_is_text(ops: list[Any], kind: str, text: str, end: str) -> None:
    assert text_in(ops, kind) == (text, end)
