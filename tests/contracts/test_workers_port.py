"""Port `Workers`: leases, fences and what other processes read of a worker's journal.

Only stores that several processes share have other workers; the embedded one has none, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from antiphon.domain.run_events import encode_ops
from antiphon.domain.runs import Run
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Fenced, Storage
from tests.contracts.builders import finish, new_run

ONE, TWO = "a" * 32, "b" * 32
OVER, LONG = 0.0, 60.0

Opening = Callable[[], AbstractAsyncContextManager[Storage]]


@pytest.fixture
async def shared(storage: Storage) -> Storage:
    """A store that several processes can have open."""
    if not storage.workers.is_shared:
        pytest.skip("one process has this store for itself")
    return storage


@pytest.fixture
async def other(shared: Storage, opening: Opening) -> AsyncIterator[Storage]:
    """The same store in another process."""
    async with opening() as opened:
        yield opened


async def begun(storage: Storage, worker: str, **fields: object) -> Run:
    """A run that a worker has begun."""
    run = new_run(**fields)
    await storage.unit_of_work.commit(ws.OpenRun(run=run, worker_id=worker))
    return run


def record(run: Run, first: int, *ops: object) -> bytes:
    """A journal record with ops of one run."""
    return encode_ops([(run.id, first, list(ops))])


async def unfinished(storage: Storage) -> set[str]:
    return {one.run.id for one in await storage.journal.unfinished(100)}


async def test_a_store_of_its_own_knows_no_others(storage: Storage) -> None:
    if storage.workers.is_shared:
        pytest.skip("others may be there")
    assert (await storage.workers.renew(ONE, LONG)).holds
    await begun(storage, TWO)
    assert await storage.workers.fence_dead() == 0
    assert list(await storage.workers.ticks(TWO, 0, 10)) == []


async def test_the_runs_of_a_living_worker_are_nobody_elses(shared: Storage, other: Storage) -> None:
    await shared.workers.renew(ONE, LONG)
    mine = await begun(shared, ONE)
    ownerless = await begun(shared, TWO)
    assert await unfinished(other) == {ownerless.id}
    assert await other.workers.fence_dead() == 1
    await shared.journal.write_tick(ONE, 1, record(mine, 2, ["A"]), [])


async def test_a_dead_workers_next_number_is_taken(shared: Storage, other: Storage) -> None:
    """Also if all its records were trimmed: the newest stays, so that the number is known."""
    await shared.workers.renew(ONE, OVER)
    run = await begun(shared, ONE)
    for tick in (1, 2, 3):
        await shared.journal.write_tick(ONE, tick, record(run, 1 + tick, "x"), [])
    await shared.journal.seal(ONE, 0, [(run.id, 2, 4, encode_ops(["x", "x", "x"]))])
    await shared.journal.seal(ONE, 3, [])
    assert await other.workers.fence_dead() == 1
    with pytest.raises(Fenced):
        await shared.journal.write_tick(ONE, 4, record(run, 5, "y"), [])
    assert [tick.entries for tick in await other.workers.ticks(ONE, 0, 10)] == [[], None]  # and says nothing
    (found,) = await other.journal.unfinished(10)
    assert found.run.id == run.id and found.ops == ["x", "x", "x"]
    assert not (await shared.workers.renew(ONE, LONG)).holds


async def test_who_renews_in_time_is_not_fenced_and_a_fence_is_set_once(
    shared: Storage, other: Storage
) -> None:
    await shared.workers.renew(ONE, OVER)
    await begun(shared, ONE)
    assert (await shared.workers.renew(ONE, LONG)).holds
    assert await other.workers.fence_dead() == 0
    await shared.workers.leave(ONE)
    both = await asyncio.gather(*(one.workers.fence_dead() for one in (shared, other, other)))
    assert max(both) == 1
    assert [tick.entries for tick in await other.workers.ticks(ONE, 0, 10)] == [None]


async def test_a_fence_and_a_tick_of_the_same_moment_exclude_each_other(
    shared: Storage, other: Storage
) -> None:
    for number in range(20):
        worker = f"{number:032x}"
        await shared.workers.renew(worker, OVER)
        run = await begun(shared, worker)
        tick = shared.journal.write_tick(worker, 1, record(run, 2, "x"), [])
        wrote, fenced = await asyncio.gather(tick, other.workers.fence_dead(), return_exceptions=True)
        assert fenced == 1
        ticks = await other.workers.ticks(worker, 0, 10)
        kept = [one for one in ticks if one.entries is not None]
        assert ticks[-1].entries is None and len(kept) == (wrote is None)
        assert wrote is None or isinstance(wrote, Fenced)
        await shared.unit_of_work.commit(finish(run))


async def test_a_queued_run_is_started_once_more_by_one_worker_only(shared: Storage, other: Storage) -> None:
    run = await begun(shared, ONE, background=True, state="queued")
    starts = [ws.StartRun(run_id=run.id, worker_id=worker, attempt=2) for worker in (ONE, TWO)]
    done = await asyncio.gather(
        *(one.unit_of_work.commit(start) for one, start in zip((shared, other), starts, strict=True)),
        return_exceptions=True,
    )
    assert sum(one is None for one in done) == 1


async def test_a_log_that_grows_elsewhere_is_read_from_its_records(shared: Storage, other: Storage) -> None:
    run = await begun(shared, ONE)
    write = shared.journal.write_tick
    await write(ONE, 1, record(run, 2, "a", "b"), [])
    await shared.journal.seal(ONE, 1, [(run.id, 2, 3, encode_ops(["a", "b"]))])
    await write(ONE, 2, record(run, 4, "c"), [])
    found = await other.workers.running_log(run.id)
    assert found is not None and (found.worker_id, found.ops, found.tick) == (ONE, ["a", "b", "c"], 2)
    await write(ONE, 3, record(run, 5, "d"), [])
    (tick,) = await other.workers.ticks(ONE, found.tick, 10)
    assert tick.number == 3 and [list(one) for one in tick.entries or ()] == [[run.id, 5, ["d"]]]
    await write(ONE, 4, record(run, 6, ["Z", []]), [[finish(run)]])
    assert await other.workers.running_log(run.id) is None


async def test_a_cancel_rings_and_is_read_with_the_renewal(shared: Storage, other: Storage) -> None:
    rung: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
    await shared.workers.listen(lambda *what: rung.done() or rung.set_result(what))
    await shared.workers.renew(ONE, LONG)
    run = await begun(shared, ONE)

    async def ask() -> None:
        while not rung.done():  # who does not listen yet misses a bell
            await other.unit_of_work.commit(ws.RequestCancel(run_id=run.id))
            await asyncio.wait([rung], timeout=0.1)

    async with asyncio.timeout(10):
        await ask()
    assert rung.result() == ("cancel", run.id)
    assert list((await shared.workers.renew(ONE, LONG)).cancelled) == [run.id]


async def test_what_the_dead_left_is_forgotten_but_their_fences(shared: Storage, other: Storage) -> None:
    await shared.workers.renew(ONE, LONG)
    living = await begun(shared, ONE)
    await shared.journal.write_tick(ONE, 1, record(living, 2, "x"), [])
    await shared.workers.renew(TWO, OVER)
    dead = await begun(shared, TWO)
    await shared.journal.write_tick(TWO, 1, record(dead, 2, "x"), [])
    await other.workers.fence_dead()
    await other.workers.forget()
    assert len(await other.workers.ticks(TWO, 0, 10)) == 2  # its run has not ended yet
    await other.unit_of_work.commit(finish(dead))
    await other.workers.forget()
    assert [tick.entries for tick in await other.workers.ticks(TWO, 0, 10)] == [None]
    assert len(await other.workers.ticks(ONE, 0, 10)) == 1


async def test_a_bell_is_heard_by_all_who_listen_here_and_elsewhere(shared: Storage, other: Storage) -> None:
    heard: list[tuple[str, str, str]] = []
    for name, store in (("here", shared), ("also here", shared), ("there", other)):
        await store.workers.listen(lambda what, text, name=name: heard.append((name, what, text)))  # type: ignore[misc]
    async with asyncio.timeout(20):
        while len({name for name, _, _ in heard}) < 3:
            await shared.workers.ring("presence", '{"a b": 1}')
            await asyncio.sleep(0.05)
    assert {(what, text) for _, what, text in heard} == {("presence", '{"a b": 1}')}


async def test_with_a_store_of_its_own_a_bell_calls_nobody(storage: Storage) -> None:
    if storage.workers.is_shared:
        pytest.skip("others may be there")
    await storage.workers.ring("presence", "{}")
