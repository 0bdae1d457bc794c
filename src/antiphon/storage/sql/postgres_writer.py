"""Write sets on PostgreSQL: one transaction each, guards by row counts.

A set that is lost to a deadlock, or whose connection goes before the commit was sent, is written
again: nothing of it was kept. Whoever waits for a set may leave; the set goes on, as on SQLite.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import asyncpg

from antiphon.domain.errors import Conflict, Unavailable
from antiphon.ports import write_sets as ws
from antiphon.ports.workers import CANCEL
from antiphon.ports.write_sets import Command
from antiphon.storage.sql import commands, postgres_locks
from antiphon.storage.sql.postgres_groups import Refused, grouped, run_group
from antiphon.storage.sql.postgres_pool import AGAIN, GONE, LOST, Pool, Session
from antiphon.storage.sql.postgres_text import bound, translated
from antiphon.storage.sql.postgres_workers import CHANNEL
from antiphon.storage.sql.steps import Step

ATTEMPTS: Final = 5
PAUSE_SECONDS: Final = 0.01
UNSURE: Final = (
    "The database went away while it was writing; look whether it has happened before you try again."
)


class InDoubt(Exception):
    """The connection was lost after the commit was sent: it may have happened."""


async def run(connection: Session, statement: str, parameters: Sequence[Any]) -> int:
    """Run a statement written for both engines; returns the rows it touched."""
    form = translated(statement)
    status = await connection.execute(form.text, *bound(form, parameters))
    return int(status.rsplit(" ", 1)[1])


async def run_commands(connection: Session, sets: Sequence[Command]) -> None:
    """Execute a write set; raises Conflict at the first guard that does not hold."""
    for command in sets:
        rows = 0
        for statement, parameters, expect in commands.steps(command):
            try:
                rows = await run(connection, statement, parameters)
            except asyncpg.UniqueViolationError:
                if not command.GUARD:
                    raise
                raise Conflict(type(command).__name__) from None
            if expect is not None and rows < expect:
                raise Conflict(type(command).__name__)
        if rows and type(command) is ws.RequestCancel:
            await connection.execute("SELECT pg_notify($1,$2)", CHANNEL, f"{CANCEL} {command.run_id}")


async def run_together(connection: Session, steps: Iterable[Step]) -> None:
    """Execute the statements of write sets in as few round trips as can be; raises Refused."""
    for group in grouped(steps):
        if len(group) > 1:
            await run_group(connection, group)
        else:
            statement, parameters, expect = group[0]
            rows = await run(connection, statement, parameters)
            if expect is not None and rows < expect:
                raise Refused


def steps_of(sets: Iterable[Command]) -> list[Step] | None:
    """Return all statements of a write set, None if there is more to it than statements."""
    if any(type(command) is ws.RequestCancel for command in sets):
        return None
    return [step for command in sets for step in commands.steps(command)]


async def transaction(
    connection: Session, sets: Sequence[Sequence[Command]], work: Callable[[], Awaitable[None]]
) -> None:
    """Do `work` in a transaction that holds what `sets` need; raises InDoubt besides what `work` raises."""
    await connection.execute(postgres_locks.begin(sets))
    try:
        await work()
    except BaseException:
        with contextlib.suppress(*LOST):
            await connection.execute("ROLLBACK")
        raise
    try:
        await connection.execute("COMMIT")
    except LOST as lost:
        raise InDoubt from lost


async def together_or_not(
    connection: Session,
    sets: Sequence[Sequence[Command]],
    steps: Sequence[Step] | None,
    one_by_one: Callable[[], Awaitable[None]],
) -> None:
    """Run `steps` together in a transaction; if they are refused, or only one, do `one_by_one` in it.

    One by one it is seen who was refused. Raises what `transaction` and `one_by_one` raise.
    """
    if steps is not None and len(steps) > 1:
        try:
            await transaction(connection, sets, lambda: run_together(connection, steps))
            return
        except (Refused, asyncpg.IntegrityConstraintViolationError):
            pass
    await transaction(connection, sets, one_by_one)


class PostgresWriter:
    """Port `UnitOfWork`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._going: set[asyncio.Task[None]] = set()

    async def commit(self, *sets: Command) -> None:
        """See the port. An empty set waits for those before it, as it would in one writer's queue."""
        if not sets:
            await self.close()
            return
        task = asyncio.create_task(self._write(sets), name="write set")
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._going:
            await asyncio.wait(self._going)

    async def _write(self, sets: Sequence[Command]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            async with self._pool.connection() as connection:
                try:
                    await together_or_not(
                        connection, [sets], steps_of(sets), lambda: run_commands(connection, sets)
                    )
                    return
                except InDoubt:
                    raise Unavailable(UNSURE) from None
                except AGAIN:
                    if attempt == ATTEMPTS:
                        raise
                except GONE:
                    if attempt == ATTEMPTS:
                        raise
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS * attempt))  # noqa: S311
