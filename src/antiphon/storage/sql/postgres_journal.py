"""The journal on PostgreSQL: a connection of its own, so that no token waits for a pool."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, cast

import asyncpg

from antiphon.domain.errors import Conflict
from antiphon.domain.run_events import encode_ops
from antiphon.ports.storage import Fenced, Recovered, StorageBusy
from antiphon.ports.write_sets import WriteSet
from antiphon.storage.sql import commands, postgres_locks, reads_runs
from antiphon.storage.sql.postgres_pool import LOST, Pool, Session, connect, named
from antiphon.storage.sql.postgres_reading import PostgresReads
from antiphon.storage.sql.postgres_workers import LIVES
from antiphon.storage.sql.postgres_writer import (
    InDoubt,
    lanes_of,
    run,
    run_commands,
    steps_of,
    together_or_not,
    transaction,
)
from antiphon.storage.sql.steps import Step

# The newest record's number stays: the one after it is where a fence belongs. What it said goes.
TRIM_TICKS: Final = "DELETE FROM journal WHERE worker_id=? AND tick<?"
EMPTY_TICK: Final = "UPDATE journal SET ops=? WHERE worker_id=? AND tick=?"
NOTHING: Final = encode_ops([])
TICK: Final = "SELECT ops FROM journal WHERE worker_id=$1 AND tick=$2"


class PostgresJournal:
    """Port `Journal`.

    A record whose commit was not heard of is looked for when it is tried again: if it stands in the
    journal as we wrote it, all that went with it stands too.
    """

    def __init__(self, url: str, pool: Pool, reads: PostgresReads) -> None:
        self._url = url
        self._pool = pool
        self._read = reads
        self._own: Session | None = None
        self._turn = asyncio.Lock()
        self._doubtful: tuple[str, int] | None = None
        self._worker_id = ""

    async def write_tick(self, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
        """See the port."""
        self._worker_id = worker_id
        async with self._turn:
            doubtful, self._doubtful = self._doubtful == (worker_id, tick), None
            try:
                connection = await self._connection()
                if doubtful and await connection.fetchval(TICK, worker_id, tick) == ops:
                    return
                if sets:
                    await _end(connection, worker_id, tick, ops, sets)
                else:
                    await _put(connection, worker_id, tick, ops)
            except (*LOST, InDoubt) as error:
                self._doubtful = (worker_id, tick)
                raise StorageBusy("The database did not take a record of the journal.") from error
            except asyncpg.PostgresError as error:
                meant = named(error)
                raise StorageBusy(str(meant)) from meant

    async def _connection(self) -> Session:
        if self._own is None or self._own.is_closed():
            self._own = await connect(self._url, "journal")
        return self._own

    async def seal(
        self, worker_id: str, upto_tick: int, chunks: Sequence[tuple[str, int, int, bytes]]
    ) -> None:
        """See the port."""
        async with self._pool.connection() as connection:

            async def work() -> None:
                for chunk in chunks:
                    await run(connection, commands.PUT_CHUNK, chunk)
                if upto_tick:
                    await run(connection, TRIM_TICKS, (worker_id, upto_tick))
                    await run(connection, EMPTY_TICK, (NOTHING, worker_id, upto_tick))

            await transaction(connection, (), work)

    async def unfinished(self, limit: int, *, after: str = "") -> Sequence[Recovered]:
        """See the port."""
        condition = f" AND (r.worker_id=? OR NOT {LIVES.format(worker='r.worker_id')})"
        return await self._read(reads_runs.unfinished, limit, after, condition, self._worker_id)

    async def forget_others(self, worker_id: str) -> None:
        """See the port."""
        async with self._pool.connection() as connection:
            await run(connection, commands.FORGET_OTHERS, (worker_id,))

    async def close(self) -> None:
        """Close the connection."""
        if self._own is not None:
            with contextlib.suppress(*LOST):
                await self._own.close()


async def _put(connection: Session, worker_id: str, tick: int, ops: bytes) -> None:
    if not await run(connection, commands.PUT_TICK, (worker_id, tick, ops)):
        raise Fenced(worker_id)


async def _end(connection: Session, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
    """Write a record with the ends of its runs."""
    keys = [postgres_locks.keys_of(one) for one in sets]
    steps = [steps_of(one) for one in sets]
    lanes = None
    if None not in steps:
        first: list[Step] = [(commands.PUT_TICK, (worker_id, tick, ops), 1)]
        lanes = [first, *lanes_of(zip(keys, cast("list[list[Step]]", steps), strict=True))]
    await together_or_not(
        connection, set().union(*keys), lanes, lambda: _tick(connection, worker_id, tick, ops, sets)
    )


async def _tick(connection: Session, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
    await _put(connection, worker_id, tick, ops)
    for index, one in enumerate(sets):
        try:
            await run_commands(connection, one)
        except Conflict as lost:
            raise Conflict(lost.message, param=str(index)) from None
