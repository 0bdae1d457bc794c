"""Holding callers to their limits: what is reserved, what is settled, and who pays nothing."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import RateLimited
from antiphon.domain.inputs import parse_input
from antiphon.domain.limits import DAY_US, EVERYONE, new_limit
from antiphon.domain.usage import estimate_file_tokens
from antiphon.ports import quota_writes as qw
from antiphon.ports.model_provider import TextDelta, UsageReport
from antiphon.services.idempotency import Key
from antiphon.services.runs.context import chat_messages
from antiphon.services.turns import Begun
from tests.services.hand import BROKEN, ECHO, HAND, SILENT, until
from tests.services.quota_looks import WINDOW, counted, day, ledger, limited, refused, settled
from tests.services.world import World, open_world

# --- reserve and settle


async def test_a_turn_reserves_its_input_and_a_quarter_of_the_window_and_settles_what_was_used(
    world: World,
) -> None:
    who = limited(world.who, day("tokens", 100_000), day("requests", 5))
    begun = await world.begin("a question", model=HAND, who=who)
    call = await world.hand.next()
    assert call.request.params["max_completion_tokens"] == WINDOW // 4
    used, reserved = counted(world)["|tokens|day"]
    assert used == 0 and WINDOW // 4 < reserved < WINDOW // 4 + 20
    assert counted(world)["|requests|day"] == (0, 1)
    call.put(TextDelta(0, "yes"), UsageReport(7, 5))
    call.end()
    await world.wait(begun)
    assert counted(world) == {"|tokens|day": (12, 0), "|requests|day": (1, 0)}
    assert ledger(world)[:2] == (1, 12)


@pytest.mark.parametrize("store", [True, False])
async def test_a_small_rest_is_used_and_not_overshot(world: World, store: bool) -> None:
    who = limited(world.who, day("tokens", 100))
    begun = await world.begin("hello", model=HAND, who=who, store=store)
    call = await world.hand.next()
    most = call.request.params["max_completion_tokens"]
    assert 64 <= most < 100 and counted(world)["|tokens|day"] == (0, 100)
    assert begun.standings[0].remaining == 0
    call.put(TextDelta(0, "x"), UsageReport(100 - most, 3))
    call.end()
    await world.wait(begun)
    await settled(world)
    assert counted(world)["|tokens|day"] == (100 - most + 3, 0)


async def test_less_than_a_short_answer_is_refused_and_nothing_is_written(world: World) -> None:
    error = await refused(world, limited(world.who, day("tokens", 60)))
    assert error.code == "insufficient_quota" and "needs at least" in error.message
    assert counted(world) == {} and world.rows("SELECT COUNT(*) FROM runs") == [(0,)]
    fits = {"params": {"max_completion_tokens": 40}}
    assert (
        await world.turn("hello", who=limited(world.who, day("tokens", 60)), **fits)
    ).run.state == "completed"


@pytest.mark.parametrize(
    ("params", "name", "sent"),
    [
        ({"max_completion_tokens": 10**9}, "max_completion_tokens", WINDOW // 2),
        ({"max_tokens": 10**9}, "max_tokens", WINDOW // 2),
        ({"max_tokens": 9}, "max_tokens", 9),
        ({"n": 4, "max_tokens": 10}, "max_tokens", 10),
    ],
)
async def test_what_is_asked_for_is_clamped_and_every_choice_is_reserved(
    world: World, params: dict[str, int], name: str, sent: int
) -> None:
    who = limited(world.who, day("tokens", 1_000_000))
    begun = await world.begin("hello", model=HAND, who=who, params=params)
    call = await world.hand.next()
    assert call.request.params[name] == sent and call.request.params.keys() == params.keys()
    _, reserved = counted(world)["|tokens|day"]
    assert 0 < reserved - sent * params.get("n", 1) < 20
    call.end()
    await world.wait(begun)


@pytest.mark.parametrize("shape", ["responses", "chat"])
async def test_what_a_file_will_cost_is_reserved_on_either_surface(world: World, shape: str) -> None:
    data = base64.b64encode(b"%PDF-1.7" + bytes(80_000)).decode()
    part = {"type": "input_file", "file_data": data}
    asked: dict[str, Any] = {"items": tuple(parse_input([{"role": "user", "content": [part]}]))}
    if shape == "chat":
        asked = {"messages": chat_messages(asked["items"]), "store": False}
    needed = estimate_file_tokens(data)
    assert 16_000 < needed < 17_000
    with pytest.raises(RateLimited):
        await world.begin(None, model=HAND, who=limited(world.who, day("tokens", needed)), **asked)
    who = limited(world.who, day("tokens", needed + 100_000))
    begun = await world.begin(None, model=HAND, who=who, **asked)
    call = await world.hand.next()
    _, reserved = counted(world)["|tokens|day"]
    assert 0 <= reserved - needed - WINDOW // 4 < 20
    call.put(TextDelta(0, "x"), UsageReport(needed * 3, 5))
    call.end()
    await world.wait(begun)
    await settled(world)
    assert counted(world)["|tokens|day"] == (needed * 3 + 5, 0), "the provider's count is what was used"


async def test_a_caller_without_limits_has_no_command_no_read_and_no_cap(world: World) -> None:
    seen: list[Any] = []
    world.storage.unit_of_work.before = seen.extend
    world.storage.quotas = None  # type: ignore[assignment] # whoever looked would fail
    begun = await world.begin("hello", model=HAND)
    call = await world.hand.next()
    assert call.request.params == {} and begun.standings == ()
    call.end()
    await world.wait(begun)
    assert not any(type(one).__module__ == qw.__name__ for one in seen)


async def test_an_ephemeral_answer_is_one_commit_before_and_one_after(world: World) -> None:
    sets: list[list[str]] = []
    world.storage.unit_of_work.before = lambda commands: sets.append([type(one).__name__ for one in commands])
    who = limited(world.who, day("requests", 5))
    await world.wait(await world.begin("hello", who=who, store=False))
    await settled(world)
    assert [one for one in sets if one] == [["Reserve"], ["PutLedger", "Settle"]]
    await world.wait(await world.begin("hello", store=False))
    await until(lambda: ledger(world)[0] == 2)
    assert [one for one in sets if one][2:] == [["PutLedger"]]


async def test_a_stored_answer_reserves_in_its_own_begin(world: World) -> None:
    sets: list[list[str]] = []
    world.storage.unit_of_work.before = lambda commands: sets.append([type(one).__name__ for one in commands])
    await world.turn("hello", who=limited(world.who, day("requests", 5), day("tokens", 100_000)))
    assert len(sets) == 1 and sets[0][:2] == ["Reserve", "Reserve"] and "OpenRun" in sets[0]


async def test_ten_of_two_hundred_pass_where_ten_are_left(world: World) -> None:
    who = limited(world.who, day("requests", 10))
    turns = (world.begin("hello", who=who, store=number % 2 == 0) for number in range(200))
    results = await asyncio.gather(*turns, return_exceptions=True)
    begun = [one for one in results if isinstance(one, Begun)]
    assert len(begun) == 10 and all(isinstance(one, (Begun, RateLimited)) for one in results)
    for one in begun:
        await world.wait(one)
    await settled(world)
    assert counted(world)["|requests|day"] == (10, 0) and ledger(world)[0] == 10


async def test_a_reservation_lost_to_somebody_else_is_decided_again(world: World) -> None:
    who = limited(world.who, day("tokens", 7_000))
    rival = ids.new_id(1)
    window = world.application.usage.days(None, None).last * DAY_US

    async def take(commands: Any) -> None:
        world.storage.unit_of_work.before = None
        await world.storage.inner.unit_of_work.commit(
            qw.Reserve(
                run_id=rival, counter=who.limits[0].counter(who.account_id), window_start=window,
                metric="tokens", model="", amount=6_000, limit=7_000, now_us=1, forget_before=0,
            )
        )  # fmt: skip

    world.storage.unit_of_work.before = take
    begun = await world.begin("hello", model=HAND, who=who)
    call = await world.hand.next()
    assert 900 < call.request.params["max_completion_tokens"] < 1_000
    call.end()
    await world.wait(begun)


async def test_answers_in_progress_hold_the_rest_only_for_a_while(world: World) -> None:
    who = limited(world.who, day("tokens", 2_000))
    begun = await world.begin("hello", model=HAND, who=who)
    error = await refused(world, who)
    assert error.retry_after_seconds == 5 and "being made" in error.message
    (await world.hand.next()).answer("short")
    await world.wait(begun)
    assert (await world.turn("hello", who=who)).run.state == "completed"


# --- how runs end


@pytest.mark.parametrize("store", [True, False])
async def test_a_cancelled_answer_settles_what_was_produced(world: World, store: bool) -> None:
    who = limited(world.who, day("tokens", 100_000), day("requests", 9))
    begun = await world.begin("hello", model=HAND, who=who, store=store)
    call = await world.hand.next()
    for word in ("one ", "two ", "three "):
        call.say(word)
    await until(lambda: call.read == 3)
    assert begun.live
    world.engine.cancel(begun.live)
    await world.wait(begun)
    await settled(world)
    asked = world.rows("SELECT tokens_in,tokens_out,estimated FROM ledger")
    assert asked[0][1:] == (3, 1) and 4 < asked[0][0] < 20
    assert counted(world) == {"|tokens|day": (ledger(world)[1], 0), "|requests|day": (1, 0)}


@pytest.mark.parametrize("model", [BROKEN, SILENT, ECHO])
@pytest.mark.parametrize("store", [True, False])
async def test_however_a_run_ends_its_counters_are_the_ledgers_sums(
    world: World, model: str, store: bool
) -> None:
    who = limited(world.who, day("tokens", 100_000), day("requests", 9))
    await world.wait(await world.begin("hello", model=model, who=who, store=store))
    await settled(world)
    requests, tokens, _ = ledger(world)
    assert counted(world) == {"|tokens|day": (tokens, 0), "|requests|day": (requests, 0)} and requests == 1


@pytest.mark.parametrize(
    ("report", "counts"),
    [(UsageReport(3, 4), (3, 4, 0)), (None, None)],
)
async def test_without_a_count_by_the_provider_our_own_is_taken(
    world: World, report: UsageReport | None, counts: tuple[int, int, int] | None
) -> None:
    begun = await world.begin("hello", model=HAND, who=limited(world.who, day("tokens", 100_000)))
    call = await world.hand.next()
    call.say("word " * 100)
    if report is not None:
        call.put(report)
    call.end()
    await world.wait(begun)
    (found,) = world.rows("SELECT tokens_in,tokens_out,estimated FROM ledger")
    assert found == counts if counts else found[1:] == (125, 1)


async def test_after_a_kill_stored_answers_settle_and_ephemeral_ones_are_released(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    who = limited(world.who, day("tokens", 100_000), day("requests", 9))
    stored = await world.begin("hello", model=HAND, who=who)
    call = await world.hand.next()
    await world.begin("hello", model=HAND, who=who, store=False)
    for word in ("one ", "two "):
        call.say(word)
    await until(lambda: call.read == 2)
    live = stored.live
    assert live
    await until(lambda: live.committed >= len(live.log.ops))
    await world.kill()
    for _ in range(2):
        world = await open_world(tmp_path / "data")
        await world.close()
    assert counted(world) == {"|tokens|day": (ledger(world)[1], 0), "|requests|day": (1, 0)}
    ((tokens_in, tokens_out, model),) = world.rows("SELECT tokens_in,tokens_out,model FROM ledger")
    assert tokens_in > 4 and tokens_out == 2 and model == HAND
    assert world.rows("SELECT COUNT(*) FROM quota_reservations") == [(0,)]


async def test_a_background_answer_that_begins_again_keeps_its_reservation_and_its_cap(
    tmp_path: Path,
) -> None:
    world = await open_world(tmp_path / "data")
    who = limited(world.who, day("tokens", 1_000))
    begun = await world.begin("hello", model=HAND, who=who, background=True)
    await world.hand.next()
    await world.kill()
    world = await open_world(tmp_path / "data")
    try:
        call = await world.hand.next()
        assert call.request.params["max_completion_tokens"] < 1_000
        assert counted(world)["|tokens|day"] == (0, 1_000)
        call.put(TextDelta(0, "x"), UsageReport(4, 1))
        call.end()
        await world.wait(Begun(begun.run_id, None))
        assert counted(world)["|tokens|day"] == (5, 0)
    finally:
        await world.close()


async def test_the_sweep_releases_what_is_old_and_of_nobody(world: World) -> None:
    who = limited(world.who, day("requests", 9))
    begun = await world.begin("hello", model=HAND, who=who, store=False)
    await world.storage.unit_of_work.commit(
        qw.Reserve(
            run_id=ids.new_id(1), counter="x||cost|day", window_start=0, metric="cost", model="", amount=1,
            limit=1, now_us=1, forget_before=0,
        )
    )  # fmt: skip
    assert await world.application.quotas.sweep() == 1
    assert await world.application.quotas.sweep(older_than_us=0) == 0, "a live run's reservation was taken"
    (await world.hand.next()).answer("x")
    await world.wait(begun)
    await settled(world)
    assert counted(world) == {"|requests|day": (1, 0), "|cost|day": (0, 0)}


async def test_a_refused_begin_gives_nothing_away(world: World) -> None:
    """Whatever else loses the set: the reservation goes with it."""
    who = limited(world.who, day("requests", 9))

    def refuse(commands: Any) -> None:
        raise OSError("the disk is on fire")

    world.storage.unit_of_work.before = refuse
    for store in (True, False):
        with pytest.raises(OSError, match="fire"):
            await world.begin("hello", who=who, store=store)
    world.storage.unit_of_work.before = None
    assert counted(world) == {} and len(world.application.runs) == 0


# --- idempotency keys


@pytest.mark.parametrize("count", [1, 50])
async def test_equal_requests_under_one_key_reserve_once_and_join(world: World, count: int) -> None:
    who = limited(world.who, day("requests", 1), new_limit(EVERYONE, "requests", "minute", count))
    key = Key("k", b"f")
    first = [] if count > 1 else [await world.begin("hello", who=who, key=key)]
    others = await asyncio.gather(*(world.begin("hello", who=who, key=key) for _ in range(count)))
    assert len({one.run_id for one in [*first, *others]}) == 1
    await world.wait(others[0])
    assert counted(world)["|requests|day"][0] == 1
    again = await world.begin("hello", who=who, key=key)
    assert again.run_id == others[0].run_id
    await refused(world, who)
