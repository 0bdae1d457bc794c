"""A worker's lease: nothing begins without one, and who was fenced starts over once."""

from __future__ import annotations

import asyncio
import math
from time import monotonic
from typing import Any

import pytest

from antiphon.domain.errors import Unavailable
from antiphon.ports.workers import Renewal
from antiphon.services.runs import lease as lease_module
from antiphon.services.runs.leases import LEASE_SECONDS, Leases
from tests.services.hand import HAND, until
from tests.services.test_journal import fence
from tests.services.world import World


class Register:
    """The renewals that were asked for, each answered by the test."""

    is_shared = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, asyncio.Future[Renewal]]] = []

    async def renew(self, worker_id: str, lease_seconds: float) -> Renewal:
        answer = asyncio.get_running_loop().create_future()
        self.asked.append((worker_id, answer))
        return await answer

    async def listen(self, bell: Any) -> None:
        """Nothing rings here."""

    async def leave(self, worker_id: str) -> None:
        """Nobody asks."""

    async def answered(self, number: int, holds: bool) -> str:
        """Answer one renewal; returns the worker's id it was asked with."""
        await until(lambda: len(self.asked) > number)
        worker_id, answer = self.asked[number]
        answer.set_result(Renewal(holds))
        return worker_id


async def leases_of(world: World, register: Register) -> Leases:
    """Leases on the world's journal, the first one taken."""
    made = Leases(register, world.application.journal, world.application.runs, world.engine)
    starting = asyncio.create_task(made.start())
    await register.answered(0, holds=True)
    await starting
    return made


async def test_after_a_fence_a_turn_begins_with_the_new_lease_and_not_before(world: World) -> None:
    """Who looks for the dead would take a run without a lease for one of theirs."""
    register = Register()
    leases = await leases_of(world, register)
    old = world.application.journal.worker_id
    await fence(world)
    await world.wait(await world.begin("lost"))
    later = asyncio.create_task(world.begin("later"))
    await until(lambda: len(register.asked) == 2)
    assert not later.done()
    assert world.rows("SELECT COUNT(*) FROM runs") == [(1,)]
    assert await register.answered(1, holds=True) == world.application.journal.worker_id != old
    assert (await world.ended(await later)).run.state == "completed"
    await leases.close()


async def test_an_old_workers_refused_renewal_does_not_end_what_the_new_one_began(world: World) -> None:
    """The journal and the renewal meet the same fence; the second to hear of it has nothing to do."""
    register = Register()
    leases = await leases_of(world, register)
    old = world.application.journal.worker_id
    renewing = asyncio.create_task(leases.renew())
    await until(lambda: len(register.asked) == 2)
    await fence(world)
    await world.wait(await world.begin("lost"))
    new = world.application.journal.worker_id
    assert await register.answered(1, holds=False) == old
    for number in range(2, 4):  # that of the loop, which the fence woke, and the one under the new id
        await register.answered(number, holds=True)
    await renewing
    assert world.application.journal.worker_id == new
    assert {worker_id for worker_id, _ in register.asked[2:]} == {new}
    assert (await world.turn("later")).run.state == "completed"
    await leases.close()


async def test_a_fenced_worker_finds_out_by_its_renewal(world: World) -> None:
    register = Register()
    leases = await leases_of(world, register)
    old = world.application.journal.worker_id
    renewing = asyncio.create_task(leases.renew())
    await register.answered(1, holds=False)
    await until(lambda: len(register.asked) >= 3)
    assert world.application.journal.lease.until == -math.inf
    for number in range(2, 4):
        await register.answered(number, holds=True)
    await renewing
    assert world.application.journal.worker_id != old
    assert world.application.journal.lease.until > monotonic() + LEASE_SECONDS / 2
    await leases.close()


async def test_without_a_lease_a_turn_is_refused_by_name_after_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "PATIENCE_SECONDS", 0.01)
    leases = await leases_of(world, Register())
    world.application.journal.lease.renew(0.0)
    with pytest.raises(Unavailable, match="lost its place"):
        await world.begin("early")
    assert world.rows("SELECT COUNT(*) FROM runs") == [(0,)]
    await leases.close()


async def test_a_turn_that_was_planned_before_a_fence_is_planned_again(world: World) -> None:
    """Between its plan and its commit the process may become another worker."""
    limits = world.application.turns._limits
    grant, fences = limits.grant, []

    async def fenced_meanwhile(*given: Any) -> Any:
        granted = await grant(*given)
        if not fences:
            fences.append(world.application.journal.worker_id)
            world.application.journal.start_over()
        return granted

    limits.grant = fenced_meanwhile  # type: ignore[method-assign]
    begun = await world.begin("u1", model=HAND)
    call = await world.hand.next()
    found = world.rows("SELECT worker_id FROM runs WHERE id=?", begun.run_id)
    assert found == [(world.application.journal.worker_id,)] != [(fences[0],)]
    call.answer("whole")
    assert (await world.ended(begun)).run.state == "completed"


async def test_a_store_that_is_away_is_not_asked_for_the_lease_by_everybody_who_wants_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "PATIENCE_SECONDS", 0.01)
    register = Register()
    leases = await leases_of(world, register)
    world.application.journal.lease.renew(0.0)
    for _ in range(5):
        with pytest.raises(Unavailable):
            await world.begin("early")
        if not (asked := register.asked[-1][1]).done():
            asked.set_exception(Unavailable("away"))
    assert len(register.asked) == 2, "the first one, and one that failed"
    await leases.close()
