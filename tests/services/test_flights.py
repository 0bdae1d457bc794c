"""Equal questions at once are put to the model once, and nobody is left without an answer for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.ports.model_provider import Finish, TextDelta, UsageReport
from antiphon.services.flights import FAILURES
from antiphon.services.turns import Begun
from tests.services.hand import HAND, Call, until
from tests.services.test_response_cache import Cached, opened, text_of
from tests.services.world import another_person

MANY = 50


@pytest.fixture
async def cached(tmp_path: Path) -> AsyncIterator[Cached]:
    found = await opened(tmp_path / "data", "user")
    yield found
    await found.world.close()


async def many(cached: Cached, count: int = MANY, **fields: Any) -> list[Begun]:
    """So many turns with one question, begun at once."""
    wanted = {"model": HAND, **fields}
    return await asyncio.gather(*(cached.world.begin("the same", **wanted) for _ in range(count)))


async def waiting(cached: Cached, begun: list[Begun]) -> Call:
    """The one call, when everybody else waits for it."""
    call = await cached.hand.next()
    await until(lambda: all(one.live is not None and one.live.generating for one in begun))
    await settle()
    return call


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def answers(cached: Cached, begun: list[Begun]) -> list[Any]:
    for one in begun:
        await cached.world.wait(one)
    return [cached.world.application.answers.of_live(one.live) for one in begun if one.live is not None]


def flights(cached: Cached) -> int:
    cache = cached.world.application.turns.cache_in_use
    assert cache is not None
    return len(cache.flights)


@pytest.mark.parametrize("store", [True, False])
async def test_fifty_at_once_are_one_call_and_fifty_answers(cached: Cached, store: bool) -> None:
    begun = await many(cached, store=store)
    call = await waiting(cached, begun)
    assert len(cached.hand.calls) == 1 == flights(cached)
    call.put(TextDelta(0, "one "), TextDelta(0, "answer"), Finish(0, "stop"), UsageReport(3, 4))
    call._queue.put_nowait(None)
    found = await answers(cached, begun)
    assert [text_of(one) for one in found] == ["one answer"] * MANY
    assert {one.run.state for one in found} == {"completed"} and len({one.run.id for one in found}) == MANY
    assert len(cached.hand.calls) == 1 and cached.shelf.puts == 1 and flights(cached) == 0
    await cached.world.close()
    assert sorted(line[0] for line in cached.ledger()) == [0] + [1] * (MANY - 1), "one is paid for"


async def test_each_person_has_a_flight_of_their_own(cached: Cached) -> None:
    other = await another_person(cached.world)
    begun = await many(cached, 3)
    begun += await many(cached, 3, who=other)
    calls = [await cached.hand.next() for _ in range(2)]
    await settle()
    assert len(cached.hand.calls) == 2 == flights(cached)
    for call in calls:
        call.answer("yes")
    assert len(await answers(cached, begun)) == 6


async def test_shared_on_purpose_all_share_one(tmp_path: Path) -> None:
    cached = await opened(tmp_path / "data", "shared")
    other = await another_person(cached.world)
    begun = [*await many(cached, 3), *await many(cached, 3, who=other)]
    (await waiting(cached, begun)).answer("yes")
    assert [text_of(one) for one in await answers(cached, begun)] == ["yes"] * 6
    assert len(cached.hand.calls) == 1
    await cached.world.close()


async def test_if_the_first_is_cancelled_the_next_takes_over(cached: Cached) -> None:
    begun = await many(cached, 5)
    call = await waiting(cached, begun)
    call.say("half")
    await until(lambda: call.read)
    leader = next(one.live for one in begun if one.live is not None and one.live.memo._flight is not None)
    cached.world.engine.cancel(leader)
    second = await cached.hand.next()
    await settle()
    assert len(cached.hand.calls) == 2
    second.answer("whole")
    found = await answers(cached, begun)
    assert sorted((one.run.state, text_of(one)) for one in found) == [
        ("cancelled", "half"), *[("completed", "whole")] * 4,
    ]  # fmt: skip


async def test_who_waits_can_be_cancelled_and_the_first_goes_on(cached: Cached) -> None:
    begun = await many(cached, 5)
    call = await waiting(cached, begun)
    for one in begun:
        if one.live is not None and one.live.memo is not None and one.live.memo._flight is None:
            cached.world.engine.cancel(one.live)
            await cached.world.wait(one)
    call.answer("yes")
    found = await answers(cached, begun)
    assert sorted(one.run.state for one in found) == ["cancelled"] * 4 + ["completed"]
    assert len(cached.hand.calls) == 1


async def test_failures_are_not_met_one_by_one_for_ever(cached: Cached) -> None:
    begun = await many(cached, 10)
    (await waiting(cached, begun)).fail()
    for _ in range(FAILURES - 1):
        call = await cached.hand.next()
        await settle()
        call.fail()
    left = [await cached.hand.next() for _ in range(10 - FAILURES)]
    assert len(cached.hand.calls) == 10, "now everybody asks"
    for call in left:
        call.answer("up again")
    found = await answers(cached, begun)
    assert sorted(one.run.state for one in found) == ["completed"] * 7 + ["failed"] * FAILURES
    assert flights(cached) == 0


@pytest.mark.parametrize("why", ["too long", "cut off", "nothing said"])
async def test_where_nothing_will_be_kept_all_others_ask_at_once(cached: Cached, why: str) -> None:
    begun = await many(cached, 6)
    call = await waiting(cached, begun)
    if why == "too long":
        cache = cached.world.application.turns.cache_in_use
        assert cache is not None
        for _ in range(20):
            call.say("x" * (cache.entry_bytes // 10))
    else:
        if why == "cut off":
            call.say("half")
        call.end("length" if why == "cut off" else "stop")
    others = [await cached.hand.next() for _ in range(5)]
    call.end()
    for other in others:
        other.answer("short")
    await answers(cached, begun)
    assert len(cached.hand.calls) == 6 and flights(cached) == 0


async def test_who_wants_a_new_answer_waits_for_nobody(cached: Cached) -> None:
    begun = await many(cached, 1)
    call = await waiting(cached, begun)
    for use in ("refresh", "off"):
        begun += await many(cached, 1, cache=use)
        (await cached.hand.next()).answer("new")
    call.answer("old")
    assert [text_of(one) for one in await answers(cached, begun)] == ["old", "new", "new"]


async def test_a_purge_sends_nobody_what_it_erased(tmp_path: Path) -> None:
    """Shared: the leader asks in the purged conversation, a stranger asks the same and waits for it."""
    cached = await opened(tmp_path / "data", "shared")
    other = await another_person(cached.world)
    first = await cached.world.begin("the same", model=HAND, store=False)
    call = await cached.hand.next()
    second = await cached.world.begin("the same", model=HAND, who=other)
    await settle()
    call.say("CANARY")
    await cached.world.application.purges.purge_account(cached.world.who.account_id)
    (await cached.hand.next()).answer("asked anew")
    call.end()
    found = await answers(cached, [first, second])
    assert [text_of(one) for one in found] == ["CANARY", "asked anew"]
    await cached.world.close()


async def test_a_leader_that_loses_its_place_leaves_nobody_waiting(cached: Cached) -> None:
    begun = await many(cached, 4)
    await waiting(cached, begun)
    leader = next(one.live for one in begun if one.live is not None and one.live.memo._flight is not None)
    leader.lose()
    (await cached.hand.next()).answer("yes")
    others = [one for one in begun if one.live is not leader]
    assert [text_of(one) for one in await answers(cached, others)] == ["yes"] * 3


async def test_a_broken_cache_still_hands_the_answer_to_who_waits(cached: Cached) -> None:
    cached.shelf.broken = True
    begun = await many(cached, 5)
    (await waiting(cached, begun)).answer("yes")
    assert [text_of(one) for one in await answers(cached, begun)] == ["yes"] * 5
    assert len(cached.hand.calls) == 1
