"""The cache of answers: each person's own, by exact match, and never half an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import msgspec
import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain.errors import ProviderError
from antiphon.domain.usage import Price
from antiphon.ports.model_provider import (
    Finish,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from antiphon.services.model_routes import ModelRoute, OpenTerms
from antiphon.services.models import Models, Retrying
from antiphon.services.response_cache import Entry
from antiphon.storage.memory.cache import InProcessCache
from tests.services.hand import ECHO, HAND, Hand
from tests.services.world import World, another_person, open_world

ROUTE = ModelRoute(id=HAND, provider="hand", model="held", context_tokens=8192)
MB = 1 << 20


class Shelf(InProcessCache):
    """The real cache, into which a test looks and puts what it likes."""

    def __init__(self) -> None:
        super().__init__(MB, SystemClock())
        self.broken = False
        self.puts = 0

    async def get(self, key: bytes) -> bytes | None:
        if self.broken:
            raise ConnectionError("CANARY of a connection string")
        return await super().get(key)

    async def put(self, key: bytes, value: bytes, *, seconds: float, of: Collection[str] = ()) -> None:
        if self.broken:
            raise ConnectionError("CANARY of a connection string")
        self.puts += 1
        await super().put(key, value, seconds=seconds, of=of)

    async def forget(self, whom: str) -> None:
        if self.broken:
            raise ConnectionError("CANARY of a connection string")
        await super().forget(whom)

    @property
    def keys(self) -> list[bytes]:
        return list(self._entries)


def models_with(hand: Hand) -> Models:
    return Models(
        {hand.name: hand},
        clock=SystemClock(),
        terms={hand.name: OpenTerms(prices={"*": Price(1_000_000, 1_000_000)})},
        retrying=Retrying(retries=0),
        default_model=ECHO,
    )


class Cached:
    """A core with a cache, and the model behind it."""

    def __init__(self, world: World, hand: Hand, shelf: Shelf) -> None:
        self.world, self.hand, self.shelf = world, hand, shelf

    def ledger(self) -> list[tuple[int, int, int, int]]:
        """(cached, cost, tokens in, tokens out), oldest first."""
        rows: Any = self.world.rows("SELECT cached,cost,tokens_in,tokens_out FROM ledger ORDER BY created")
        return list(rows)

    async def says(self, *events: Any, **fields: Any) -> Any:
        """A turn with the held model, which says these events and ends; its answer."""
        begun = await self.world.begin(fields.pop("text", "hello"), model=HAND, **fields)
        call = await self.hand.next()
        for event in events:
            call.put(event)
        call._queue.put_nowait(None)
        return await self.world.ended(begun)


async def opened(directory: Path, kind: str) -> Cached:
    hand, shelf = Hand(), Shelf()
    world = await open_world(directory, models=models_with(hand), response_cache=kind, response_cache_mb=1)
    put_before(world, shelf)
    return Cached(world, hand, shelf)


def put_before(world: World, shelf: Shelf) -> None:
    cache = world.application.turns.cache_in_use
    assert cache is not None
    cache._cache = shelf


@pytest.fixture
async def cached(tmp_path: Path) -> AsyncIterator[Cached]:
    found = await opened(tmp_path / "data", "user")
    yield found
    await found.world.close()


def text_of(answer: Any) -> str:
    return "".join(part.get("text", "") for out in answer.outputs for part in out.payload.get("content", []))


# --- whose


async def test_the_same_question_is_put_to_the_model_once_for_each_person(cached: Cached) -> None:
    world, hand = cached.world, cached.hand
    other = await another_person(world)
    for who in (world.who, other, world.who, other, world.who):
        await world.wait(await world.begin("what?", who=who))
    assert len(hand.calls) == 2
    assert [line[0] for line in cached.ledger()] == [0, 0, 1, 1, 1]


async def test_shared_on_purpose_it_is_put_once_for_all(tmp_path: Path) -> None:
    cached = await opened(tmp_path / "data", "shared")
    other = await another_person(cached.world)
    for who in (cached.world.who, other):
        await cached.world.wait(await cached.world.begin("what?", who=who))
    assert len(cached.hand.calls) == 1
    await cached.world.close()


# --- what


async def test_a_longer_history_is_another_question(cached: Cached) -> None:
    conversation = await cached.world.conversation()
    for _ in range(3):
        await cached.world.turn("again", conversation_id=conversation)
    assert len(cached.hand.calls) == 3


# --- hits


FULL: list[Any] = [
    (ReasoningDelta(0, "hm "), ReasoningDelta(0, "\n\n\u2028")),
    (TextDelta(0, "one "), TextDelta(0, "𝔘\0\x1b", [{"token": "x", "logprob": -0.5}])),
    (TextDelta(1, "the other"),),
    (ToolCallDelta(0, 0, "call_1", "f", '{"a"'), ToolCallDelta(0, 0, None, None, ":1}")),
    (RefusalDelta(1, "no"), Finish(1, "stop"), Finish(0, "tool_calls")),
    (UsageReport(11, 22, 3, 4),),
]


async def test_a_hit_is_a_run_like_any_other_and_costs_nothing(cached: Cached) -> None:
    world, hand = cached.world, cached.hand
    begun = await world.begin("hello", model=HAND)
    assert begun.live is not None and begun.live.memo is not None and not begun.live.memo.hit
    call = await hand.next()
    for batch in FULL:
        call.put(*batch)
    call._queue.put_nowait(None)
    first = await world.ended(begun)

    begun = await world.begin("hello", model=HAND)
    assert begun.live is not None and begun.live.memo is not None and begun.live.memo.hit
    second = await world.ended(begun)
    assert len(hand.calls) == 1
    assert second.run.id != first.run.id and second.run.state == "completed"
    assert second.run.usage == first.run.usage and second.run.provider == first.run.provider
    assert [(o.type, o.status, o.payload) for o in second.outputs] == [
        (o.type, o.status, o.payload) for o in first.outputs
    ]
    assert {o.id for o in second.outputs}.isdisjoint({o.id for o in first.outputs})
    assert cached.ledger() == [(0, 33, 11, 22), (1, 0, 11, 22)]


async def test_answers_that_are_not_stored_are_kept_too_and_their_lines_say_so(cached: Cached) -> None:
    for _ in range(2):
        begun = await cached.world.begin("hello", store=False)
        await cached.world.wait(begun)
    await cached.world.close()
    assert len(cached.hand.calls) == 1
    assert [line[:2] for line in cached.ledger()][1] == (1, 0)


async def test_another_answer_to_the_same_question_is_another(cached: Cached) -> None:
    conversation = await cached.world.conversation()
    first = await cached.world.turn("hello", conversation_id=conversation)
    item = f"msg_{first.outputs[0].id}"
    await cached.world.ended(await cached.world.regenerate(item, conversation_id=conversation))
    assert len(cached.hand.calls) == 2


async def test_a_caller_may_refuse(cached: Cached) -> None:
    await cached.says(TextDelta(0, "old"), Finish(0, "stop"))
    assert text_of(await cached.says(TextDelta(0, "new"), Finish(0, "stop"), cache="off")) == "new"
    assert text_of(await cached.world.turn("hello", model=HAND)) == "old"
    assert text_of(await cached.says(TextDelta(0, "newer"), Finish(0, "stop"), cache="refresh")) == "newer"
    assert text_of(await cached.world.turn("hello", model=HAND)) == "newer"
    assert cached.shelf.puts == 2


# --- what is never kept


BAD: dict[str, list[Any]] = {
    "the token limit": [TextDelta(0, "half"), Finish(0, "length")],
    "a filter": [TextDelta(0, "half"), Finish(0, "content_filter")],
    "one choice of two": [TextDelta(0, "a"), TextDelta(1, "b"), Finish(0, "stop"), Finish(1, "length")],
    "no end": [TextDelta(0, "half")],
    "no word": [Finish(0, "stop")],
    "an unknown end": [TextDelta(0, "half"), Finish(0, "error")],
}


@pytest.mark.parametrize("why", BAD)
async def test_what_ended_otherwise_is_not_kept(cached: Cached, why: str) -> None:
    await cached.says(*BAD[why])
    assert cached.shelf.puts == 0


async def test_errors_cancelled_and_abandoned_answers_are_not_kept(cached: Cached) -> None:
    world, hand = cached.world, cached.hand
    for store in (True, False):
        begun = await world.begin("hello", model=HAND, store=store)
        call = await hand.next()
        call.say("half")
        call.fail()
        await world.wait(begun)
        begun = await world.begin("hello", model=HAND, store=store)
        call = await hand.next()
        call.say("half")
        assert begun.live is not None
        world.engine.cancel(begun.live)
        call.say(" and the rest")
        call.end()
        await world.wait(begun)
        assert call.closed.is_set(), "the call upstream is closed through the listening"
    assert cached.shelf.keys == []


async def test_a_fallbacks_answer_is_not_kept(tmp_path: Path) -> None:
    down, hand, shelf = Hand(), Hand(), Shelf()
    down.name = "down"
    down.stream = lambda request: _failing()  # type: ignore[assignment, method-assign]
    models = Models(
        {"down": down, "hand": hand}, clock=SystemClock(), retrying=Retrying(retries=0),
        fallbacks={"down/echo": [ECHO]},
    )  # fmt: skip
    world = await open_world(tmp_path / "data", models=models, response_cache="user", response_cache_mb=1)
    put_before(world, shelf)
    answer = await world.turn("hello", model="down/echo")
    assert answer.run.provider == "hand" and answer.run.state == "completed"
    assert shelf.puts == 0
    await world.close()


async def _failing() -> AsyncIterator[Any]:
    raise ProviderError("down", retryable=True, status=503)
    yield


async def test_an_answer_larger_than_its_share_is_not_kept_nor_held(cached: Cached) -> None:
    begun = await cached.world.begin("hello", model=HAND)
    call = await cached.hand.next()
    for _ in range(20):
        call.say("x" * (MB // 80))
    call.end()
    await cached.world.wait(begun)
    assert begun.live is not None and begun.live.memo is not None
    assert begun.live.memo._said == [] and cached.shelf.puts == 0


# --- values that are not what was put there


async def test_truncated_and_wrong_values_are_a_miss(cached: Cached) -> None:
    good = (await cached.says(TextDelta(0, "good"), Finish(0, "stop"), UsageReport(1, 2))).outputs
    (key,) = cached.shelf.keys
    value = await cached.shelf.get(key)
    assert value is not None and good
    entry = msgspec.msgpack.decode(value, type=Entry)
    events = msgspec.msgpack.decode(value)[1]
    wrong: list[Any] = [
        None, 1, "text", [], {}, [key], [key, []], [key, [[]]], [b"x" * 32, events], ["x", events],
        [key, [["text", "0", "x"]]], [key, [[["text", 0, "x", None]]]], [key, [[["finish", 0, "stop"]]]],
        [key, [[["text", 0, 7, None], ["finish", 0, "stop"]]]],
        [key, [[["text", 10**12, "x", None], ["finish", 10**12, "stop"]]]],
        [key, [[["text", -1, "x", None], ["finish", -1, "stop"]]]],
        [key, [[["text", 0, "x", None], ["finish", 0, "length"]]]],
        [key, [[["text", 0, "x", None], ["text", 1, "y", None], ["finish", 0, "stop"]]]],
        [key, [[["started", "p", "m"], ["text", 0, "x", None], ["finish", 0, "stop"]]]],
        [key, [[["text", 0, "x", None], ["finish", 0, "stop"], ["usage", -1, 1, 0, 0]]]],
        [key, [[["text", 0, "x", None], ["finish", 0, "stop"], ["usage", 2**60, 1, 0, 0]]]],
    ]  # fmt: skip
    poisons = [value[:cut] for cut in range(len(value))] + [value + b"\0", b"\x80\x04\x95cposix\nsystem\n."]
    poisons += [msgspec.msgpack.encode(one) for one in wrong]
    for poison in poisons:
        await cached.shelf.put(key, poison, seconds=60)
        memo = await cached.world.application.turns._cache.look(  # type: ignore[union-attr]
            cached.world.who,
            "use",
            ROUTE,
            ModelRequest(model="held", messages=cached.hand.calls[0].request.messages),
            owner_id=cached.world.who.account_id,
        )
        assert memo._key == key and not memo.hit, poison
    await cached.shelf.put(key, msgspec.msgpack.encode(entry), seconds=60)
    assert text_of(await cached.world.turn("hello", model=HAND)) == "good", "and the right one is none"


async def test_a_poisoned_value_is_replaced_by_the_next_answer(cached: Cached) -> None:
    await cached.says(TextDelta(0, "old"), Finish(0, "stop"))
    (key,) = cached.shelf.keys
    await cached.shelf.put(key, b"\xc1 poison", seconds=60)
    assert text_of(await cached.says(TextDelta(0, "new"), Finish(0, "stop"))) == "new"
    assert text_of(await cached.world.turn("hello", model=HAND)) == "new"


async def test_one_persons_value_under_anothers_key_is_a_miss(cached: Cached) -> None:
    """What a store does that answers one connection with another's reply."""
    world = cached.world
    other = await another_person(world)
    await world.wait(await world.begin("mine", who=world.who))
    await world.wait(await world.begin("theirs", who=other))
    first, second = cached.shelf.keys
    values = [await cached.shelf.get(first), await cached.shelf.get(second)]
    assert values[0] is not None and values[1] is not None
    await cached.shelf.put(first, values[1], seconds=60)
    await cached.shelf.put(second, values[0], seconds=60)
    assert text_of(await world.turn("mine")) == "re: mine"
    await world.wait(await world.begin("theirs", who=other))
    assert len(cached.hand.calls) == 4


async def test_a_cache_that_is_down_costs_speed_only(
    cached: Cached, caplog: pytest.LogCaptureFixture
) -> None:
    cached.shelf.broken = True
    for _ in range(2):
        assert text_of(await cached.world.turn("hello")) == "re: hello"
    assert len(cached.hand.calls) == 2
    assert "ConnectionError" in caplog.text and "CANARY" not in caplog.text


# --- many at once


async def test_many_at_once_each_get_their_own(cached: Cached) -> None:
    world = cached.world
    people = [world.who, await another_person(world)]

    async def one(number: int) -> None:
        who = people[number % 2]
        text = f"question {number % 7} of {who.name}"
        begun = await world.begin(text, who=who, store=number % 3 > 0)
        assert begun.live is not None
        await world.wait(begun)
        outputs = world.application.answers.of_live(begun.live).outputs
        assert outputs[0].payload["content"][0]["text"] == f"re: {text}"

    for _ in range(3):
        await asyncio.gather(*(one(number) for number in range(140)))
    assert 14 <= len(cached.hand.calls) <= 140, "after the first round everything is a hit"
    assert len(cached.shelf.keys) == 14
