"""Labels lead where they were last put; numbers are counted from 1, each kind for itself, and stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.world import World, another_person, running_world

IDS = [f"{number:032x}" for number in range(1, 40)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(tmp_path / "data") as opened:
        yield opened


async def test_a_label_leads_to_the_latest(world: World) -> None:
    aliases = world.application.aliases
    assert await aliases.target(world.who, "user", "7") is None
    for target in (IDS[0], IDS[1], IDS[1]):
        await aliases.lead(world.who, "user", "7", target)
        assert await aliases.target(world.who, "user", "7") == target
    assert await aliases.target(world.who, "other", "7") is None
    assert await aliases.target(await another_person(world), "user", "7") is None


async def test_numbers_are_given_once_and_stay(world: World) -> None:
    aliases = world.application.aliases
    assert await aliases.numbers(world.who, "a", IDS[:3]) == {IDS[0]: 1, IDS[1]: 2, IDS[2]: 3}
    assert await aliases.numbers(world.who, "a", [IDS[5], IDS[1]]) == {IDS[1]: 2, IDS[5]: 4}
    assert await aliases.numbers(world.who, "b", [IDS[1]]) == {IDS[1]: 1}, "each kind for itself"
    assert await aliases.numbers(await another_person(world), "a", [IDS[1]]) == {IDS[1]: 1}
    assert await aliases.numbers(world.who, "a", []) == {}


async def test_who_counts_at_the_same_time_counts_the_same(world: World) -> None:
    aliases = world.application.aliases
    parts = [IDS[start : start + 10] for start in range(0, 30, 3)]
    await asyncio.gather(*(aliases.numbers(world.who, "a", part) for part in parts))
    found = await aliases.numbers(world.who, "a", IDS)
    assert sorted(found.values()) == list(range(1, len(IDS) + 1)), "no number twice, none left out"
