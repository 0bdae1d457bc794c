"""Marks of port `IndexScopes`: how far something has been indexed, kept under a name and taken by one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contracts.index_world import INDEXES, NAMES, IndexWorld


@pytest.fixture(params=NAMES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IndexWorld]:
    async with INDEXES[request.param](tmp_path / "data") as opened:
        yield opened


async def test_marks_are_kept(world: IndexWorld) -> None:
    assert await world.scopes.marked("history") is None
    await world.scopes.mark("history", b"1")
    await world.scopes.mark("history", b"2")
    assert await world.scopes.marked("history") == b"2"


async def test_a_mark_is_taken_once_and_as_it_was_read(world: IndexWorld) -> None:
    for name in ("history one", "history two", "other"):
        await world.scopes.mark(name, name.encode())
    assert await world.scopes.marks("history") == {
        "history one": b"history one", "history two": b"history two",
    }  # fmt: skip
    assert not await world.scopes.take_mark("history one", b"older", "history two", b"x")
    taken = [
        await world.scopes.take_mark("history one", b"history one", "history two", b"both") for _ in "12"
    ]
    assert taken == [True, False]
    assert await world.scopes.marks("history") == {"history two": b"both"}
