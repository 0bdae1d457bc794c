"""Port `Locks`: one holder among all processes, and none that outlives who held it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.domain.errors import Unavailable
from antiphon.ports.locks import Locks
from antiphon.storage.sql import postgres_advisory
from antiphon.storage.sql.postgres_advisory import PostgresLocks
from tests import postgres
from tests.contracts.adapters import LOCKS


@pytest.fixture(params=LOCKS)
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Locks, Locks]]:
    async with LOCKS[request.param](tmp_path / "data") as opened:
        yield opened


async def test_of_many_one_at_a_time_holds_a_lock(both: tuple[Locks, Locks]) -> None:
    inside = most = 0

    async def hold(locks: Locks) -> None:
        nonlocal inside, most
        async with locks.exclusive("one"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.002)
            inside -= 1

    await asyncio.gather(*(hold(both[number % 2]) for number in range(30)))
    assert (inside, most) == (0, 1)


async def test_locks_of_other_names_are_free(both: tuple[Locks, Locks]) -> None:
    one, two = both
    async with one.exclusive("one"), two.exclusive("two"), one.exclusive("three"):
        pass


async def test_what_is_taken_is_told_at_once(both: tuple[Locks, Locks]) -> None:
    one, two = both
    async with one.exclusive("one"), two.if_free("one") as held:
        assert not held
    async with two.if_free("one") as held, one.if_free("one") as other:
        assert held and not other
    async with one.if_free("one") as held:
        assert held


async def test_who_shares_a_lock_keeps_out_who_wants_it_alone(both: tuple[Locks, Locks]) -> None:
    one, two = both
    alone = asyncio.Event()

    async def take() -> None:
        async with two.exclusive("one"):
            alone.set()

    async with one.shared("one"):
        taking = asyncio.create_task(take())
        await asyncio.sleep(0.05)
        assert not alone.is_set()
    await taking
    assert alone.is_set()


async def test_who_is_cancelled_holds_nothing(both: tuple[Locks, Locks]) -> None:
    one, two = both

    async def hold() -> None:
        async with one.exclusive("one"):
            await asyncio.sleep(60)

    for pause in (0, 0.0005, 0.002, 0.02):
        holding = asyncio.create_task(hold())
        await asyncio.sleep(pause)
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        async with asyncio.timeout(5), two.exclusive("one"):
            pass


# --- PostgreSQL


async def test_two_servers_share_a_lock_and_a_dead_one_has_none(tmp_path: Path) -> None:
    address = postgres.prepared(tmp_path)
    one, two = PostgresLocks(address), PostgresLocks(address)
    async with one.shared("one"), two.shared("one"):
        pass
    async with one.exclusive("one"):
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name='antiphon locks'"
        cut += " AND datname=current_database()"
        postgres.look(tmp_path, lambda db: db.execute(cut).fetchall())
        async with asyncio.timeout(5), two.exclusive("one"):
            pass
    async with one.exclusive("one"):
        pass
    await one.close()
    await two.close()


async def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_advisory, "PATIENCE_SECONDS", 0.05)
    address = postgres.prepared(tmp_path)
    one, two = PostgresLocks(address), PostgresLocks(address)
    async with one.exclusive("one"):
        with pytest.raises(Unavailable):
            async with two.exclusive("one"):
                raise AssertionError("it is taken")
    await one.close()
    await two.close()
