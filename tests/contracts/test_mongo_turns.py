"""Turns at an owner's log: everybody has his own in the end, whoever leaves, and whenever."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.storage.mongo.turns import Turn, Turns


async def test_who_leaves_at_the_moment_of_his_turn_keeps_it_from_nobody() -> None:
    """The one who has it ends, and the next one is cancelled, before either of them goes on."""
    turn, ending, had = Turn(), asyncio.Event(), list[str]()

    async def have(name: str) -> None:
        async with turn.take(first=False):
            had.append(name)
            await ending.wait()

    tasks = {name: asyncio.create_task(have(name)) for name in "abcd"}
    await asyncio.sleep(0)
    ending.set()
    await asyncio.sleep(0)
    for name in "bc":
        tasks[name].cancel()
    fates = await asyncio.wait_for(asyncio.gather(*tasks.values(), return_exceptions=True), 5)
    assert fates[0] is None and fates[3] is None and had[0] == "a" and had[-1] == "d"
    assert turn.is_idle


@pytest.mark.parametrize("order", ["cancel first", "release first"])
async def test_a_turn_passes_over_who_is_gone(order: str) -> None:
    turn = Turn()
    holding = turn.take(first=False)
    await holding.__aenter__()

    async def have() -> str:
        async with turn.take(first=False):
            return "had it"

    gone, next_one = asyncio.create_task(have()), asyncio.create_task(have())
    await asyncio.sleep(0)
    if order == "cancel first":
        gone.cancel()
        await holding.__aexit__(None, None, None)
    else:
        await holding.__aexit__(None, None, None)
        gone.cancel()
    assert await asyncio.wait_for(next_one, 5) == "had it"
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert turn.is_idle


async def test_what_streams_goes_first() -> None:
    turns, had = Turns(), list[str]()

    async def have(name: str, *, first: bool) -> None:
        async with turns.take({"owner"}, first=first):
            had.append(name)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(have(name, first=name == "tick")) for name in ("a", "b", "c", "tick")]
    await asyncio.gather(*tasks)
    assert had == ["a", "tick", "b", "c"]
