"""Which limits hold for whom: money, models, groups, fan-outs, minutes, and where they are looked up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from antiphon.domain.accounts import USER
from antiphon.domain.errors import Conflict, ProviderError, RateLimited
from antiphon.domain.limits import EVERYONE, MONEY, new_limit
from antiphon.domain.usage import Price
from antiphon.ports import quota_writes as qw
from antiphon.ports import write_sets as ws
from antiphon.ports.model_provider import Finish, TextDelta, UsageReport
from antiphon.providers.scripted import Scripted
from antiphon.services.model_routes import OpenTerms
from antiphon.services.models import Models, Retrying
from tests.services.fake_provider import OK, Fake, Time
from tests.services.hand import ECHO, HAND, SILENT, Hand
from tests.services.quota_looks import counted, day, limited, refused, settled
from tests.services.world import World, another_person, open_world

# --- money


PRICES = {"m": Price(1_000_000, 10_000_000), "other": Price(0, 20_000_000), "free": Price()}


async def priced(directory: Path, fake: Fake, fallbacks: dict[str, list[str]] | None = None) -> World:
    """A core whose provider asks for money."""
    models = Models(
        {"p": fake, Hand.name: Hand(), Scripted.name: Scripted()}, clock=Time(), retrying=Retrying(retries=0),
        terms={"p": OpenTerms(models=tuple(PRICES), prices=PRICES, context_tokens=4_000)},
        fallbacks=fallbacks or {},
    )  # fmt: skip
    return await open_world(directory, models=models)


async def test_money_is_reserved_at_the_highest_price_and_settled_at_the_one_that_was_paid(
    tmp_path: Path,
) -> None:
    said = [TextDelta(0, "ok"), Finish(0, "stop"), UsageReport(100, 10)]
    fake = Fake("p", [ProviderError("no", code="server_error")], [said])
    world = await priced(tmp_path / "data", fake, {"p/m": ["p/other"]})
    try:
        reserved: list[qw.Reserve] = []
        world.storage.unit_of_work.before = lambda commands: reserved.extend(
            one for one in commands if isinstance(one, qw.Reserve)
        )
        who = limited(world.who, day("cost", MONEY))
        answer = await world.turn("hello", model="p/m", who=who, params={"max_tokens": 1000})
        assert answer.run.state == "completed" and fake.calls == ["m", "other"]
        (one,) = reserved
        assert 20_000 < one.amount < 20_020, "1000 tokens out at 20 a million, a few in at 1"
        assert counted(world) == {"|cost|day": (200, 0)}
        assert world.rows("SELECT model,provider,cost FROM ledger") == [("p/other", "p", 200)]
    finally:
        await world.close()


async def test_a_rest_of_money_buys_a_shorter_answer_and_none_of_it_a_free_one(tmp_path: Path) -> None:
    fake = Fake("p", [[TextDelta(0, "ok"), Finish(0, "stop"), UsageReport(10, 100)]])
    world = await priced(tmp_path / "data", fake)
    try:
        who = limited(world.who, day("cost", 1010))
        begun = await world.begin("hello", model="p/m", who=who)
        await world.wait(begun)
        assert counted(world) == {"|cost|day": (1010, 0)}
        error = await refused(world, who, model="p/m")
        assert error.code == "insufficient_quota" and "a cost of 0.00101 per day" in error.message
        assert (await world.turn("hello", model="p/free", who=who)).run.state == "completed"
    finally:
        await world.close()


async def test_a_limit_on_a_fallback_leaves_that_out_and_does_not_refuse_the_model_itself(
    tmp_path: Path,
) -> None:
    fake = Fake("p", [ProviderError("no", code="server_error")], OK and [OK])
    world = await priced(tmp_path / "data", fake, {"p/m": ["p/other", "p/free"]})
    try:
        who = limited(world.who, day("requests", 0, model="p/other"), day("requests", 1, model="p/free"))
        answer = await world.turn("hello", model="p/m", who=who)
        assert answer.run.state == "completed" and fake.calls == ["m", "free"]
        assert counted(world) == {"p/free|requests|day": (1, 0)}
        again = await world.turn("hello", model="p/m", who=who)
        assert again.run.state == "completed" and counted(world) == {"p/free|requests|day": (1, 0)}
        await refused(world, who, model="p/free")
    finally:
        await world.close()


# --- whose


async def test_a_limit_on_one_model_counts_that_model_alone(world: World) -> None:
    who = limited(world.who, day("requests", 1, model=ECHO))
    for model in (ECHO, SILENT, SILENT):
        await world.turn("hello", who=who, model=model)
    await refused(world, who)
    await world.turn("hello", who=who, model=SILENT)
    assert counted(world) == {f"{ECHO}|requests|day": (1, 0)}


async def test_a_group_shares_what_everyone_has_alone(world: World) -> None:
    group, everyone = day("requests", 3, scope="group:g"), day("requests", 2)
    one = limited(world.who, group, everyone)
    two = limited(await another_person(world), group, everyone)
    for who in (one, one):
        await world.wait(await world.begin("hello", who=who))
    assert "2 requests" in (await refused(world, one)).message
    await world.begin("hello", who=two)
    assert "3 requests" in (await refused(world, two)).message


async def test_in_somebody_elses_partition_the_one_who_acts_pays(world: World) -> None:
    other = await another_person(world)
    who = limited(world.who, day("requests", 1)).within(other.account_id, other.slot)
    begun = await world.begin("hello", who=who)
    assert begun.live
    async with asyncio.timeout(10):
        while not begun.live.closed:
            await begun.live.wait()
    assert world.rows("SELECT owner_id,author_id FROM ledger") == [(other.account_id, world.who.account_id)]
    assert world.rows("SELECT counter FROM quota_counters") == [
        (f"user:{world.who.account_id}||requests|day",)
    ]
    usage = world.application.usage
    assert [one.requests for one in await usage.total(world.who, usage.days(None, None))] == [1]


async def test_a_fan_out_counts_every_run_and_shares_a_rest_evenly(world: World) -> None:
    who = limited(world.who, day("requests", 5), day("tokens", 3_000))
    world.who = who
    talk = {"conversation_id": await world.conversation()}
    begun = await world.fan_out("hello", [HAND, HAND, HAND], **talk)
    calls = [await world.hand.next() for _ in range(3)]
    caps = [call.request.params["max_completion_tokens"] for call in calls]
    assert max(caps) - min(caps) <= 2 and 900 < min(caps) < 1_000
    assert counted(world)["|requests|day"] == (0, 3)
    for call in calls:
        call.answer("x")
    for one in begun:
        await world.wait(one)
    with pytest.raises(RateLimited, match="5 requests"):
        await world.fan_out("hello", [ECHO, ECHO, ECHO], **talk)
    assert counted(world)["|requests|day"] == (3, 0)


# --- requests a minute


async def test_requests_a_minute_are_refused_before_anything_is_read(world: World) -> None:
    who = limited(world.who, new_limit(EVERYONE, "requests", "minute", 2), day("requests", 9))
    for left in (1, 0):
        begun = await world.begin("hello", who=who)
        assert begun.standings[0].remaining == left
        await world.wait(begun)
    error = await refused(world, who)
    assert error.code == "rate_limit_exceeded" and 55 < error.retry_after_seconds <= 60
    assert counted(world)["|requests|day"] == (2, 0)


async def test_tokens_a_minute_are_counted_by_the_clocks_minute(world: World) -> None:
    who = limited(world.who, new_limit(EVERYONE, "tokens", "minute", 60))
    error = await refused(world, who)
    assert error.code == "rate_limit_exceeded" and error.retry_after_seconds <= 60


# --- which limits


async def test_limits_are_looked_up_once_in_two_seconds_and_at_once_after_a_change(world: World) -> None:
    quotas, limits, who = world.application.quotas, world.application.limits, world.who
    assert await quotas.limits_of(who.account_id) == ()
    wire = USER + who.account_id
    await limits.set(who, wire, "requests", "day", 3)
    (one,) = await quotas.limits_of(who.account_id, "g", "k")
    assert (one.scope, one.amount) == (f"user:{who.account_id}", 3)
    assert world.application.local.principal.limits == (one,)
    stored = msgspec.structs.replace(one, amount=4)
    await world.storage.unit_of_work.commit(qw.SetLimit(limit=stored, created_us=1))
    assert await quotas.limits_of(who.account_id, "g", "k") == (one,)
    quotas.forget()
    assert await quotas.limits_of(who.account_id, "g", "k") == (stored,)


async def test_configured_limits_hold_for_everyone(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data", default_limits="requests/day=1")
    try:
        who = world.application.local.principal
        await world.turn("hello", who=who)
        await refused(world, who)
        other = await world.application.quotas.limited(await another_person(world))
        await world.wait(await world.begin("hello", who=other))
    finally:
        await world.close()


async def test_no_more_than_a_bounded_number_of_callers_is_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.services.quotas.CACHE_ENTRIES", 3)
    for number in range(10):
        await world.application.quotas.limits_of(f"{number:032x}")
    assert len(world.application.quotas._known) == 3


def test_a_conflict_is_not_what_callers_see() -> None:
    assert not issubclass(RateLimited, Conflict) and ws.PutKey.GUARD and qw.Reserve.GUARD


@pytest.mark.parametrize("store", [True, False])
async def test_an_answer_from_the_cache_is_a_request_without_tokens(tmp_path: Path, store: bool) -> None:
    world = await open_world(tmp_path / "data", response_cache="user")
    try:
        who = limited(world.who, day("requests", 9), day("tokens", 100_000))
        fields = {"who": who, "store": store, "model": "scripted/text", "params": {"temperature": 0}}
        for _ in range(2):
            await world.wait(await world.begin("hello", **fields))
            await settled(world)
        (one,) = await world.application.usage.total(who, world.application.usage.days(None, None))
        assert world.rows("SELECT SUM(cached),COUNT(*) FROM ledger") == [(1, 2)]
        tokens = one.input_tokens + one.output_tokens
        assert tokens > 0 and counted(world) == {"|requests|day": (2, 0), "|tokens|day": (tokens, 0)}
    finally:
        await world.close()
