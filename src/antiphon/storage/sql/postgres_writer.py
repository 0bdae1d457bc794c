"""Write sets on PostgreSQL: guards by row counts, a transaction each; turns that begin at once share one.

A set that is lost to a deadlock, or whose connection goes before the commit was sent, is written
again: nothing of it was kept. Whoever waits for a set may leave; the set goes on, as on SQLite.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

import asyncpg

from antiphon.domain.errors import Conflict, StorageFull, Unavailable
from antiphon.ports import write_sets as ws
from antiphon.ports.workers import CANCEL
from antiphon.ports.write_sets import Command
from antiphon.storage.sql import commands, postgres_locks
from antiphon.storage.sql.postgres_groups import OWN, Refused, look, run_group, side_by_side
from antiphon.storage.sql.postgres_pool import AGAIN, GONE, LOST, Pool, Session, is_silence, undo
from antiphon.storage.sql.postgres_text import bound, translated
from antiphon.storage.sql.postgres_workers import CHANNEL
from antiphon.storage.sql.steps import Step

ATTEMPTS: Final = 5
PAUSE_SECONDS: Final = 0.01
SHARING: Final = 2
"""Transactions of begins that are under way while more gather."""
MOST_BEGINS: Final = 16
PATIENCE_MS: Final = 50
"""So long begins wait together for what somebody else has locked; then each waits for its own."""
STUCK_SECONDS: Final = 0.05
"""After this time a begin waits no longer for others' transactions to end."""
UNSURE: Final = (
    "The database went away while it was writing; look whether it has happened before you try again."
)

log = logging.getLogger(__name__)


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


async def run_together(connection: Session, lanes: Iterable[Iterable[Step]]) -> None:
    """Execute the statements of lanes in as few round trips as can be; raises Refused."""
    for group in side_by_side(lanes):
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


def lanes_of(sets: Iterable[tuple[Iterable[str], list[Step]]]) -> list[list[Step]]:
    """Return the statements of write sets by keys: those of sets that share a key follow each other."""
    lanes: list[list[Step]] = []
    at: dict[str, int] = {}
    for keys, steps in sets:
        met = sorted({at[key] for key in keys if key in at})
        lane = met[0] if met else len(lanes)
        if not met:
            lanes.append([])
        for other in met[1:]:
            lanes[lane] += lanes[other]
            lanes[other] = []
            at |= dict.fromkeys((key for key, place in at.items() if place == other), lane)
        lanes[lane] += steps
        at |= dict.fromkeys(keys, lane)
    return [lane for lane in lanes if lane]


async def transaction(
    connection: Session,
    keys: Iterable[str],
    work: Callable[[], Awaitable[None]],
    patience_ms: int | None = None,
) -> None:
    """Do `work` in a transaction that holds `keys`; raises InDoubt besides what `work` raises.

    With `patience_ms` it is Refused that comes of a longer wait for a lock.
    """
    try:
        await connection.execute(postgres_locks.begin(keys, patience_ms))
        await work()
    except BaseException as error:
        await undo(connection, error)
        if patience_ms is not None and isinstance(error, asyncpg.LockNotAvailableError):
            raise Refused from error
        raise
    try:
        await connection.execute("COMMIT")
    except LOST as lost:
        raise InDoubt from lost


async def together_or_not(
    connection: Session,
    keys: Iterable[str],
    lanes: Sequence[list[Step]] | None,
    one_by_one: Callable[[], Awaitable[None]],
) -> None:
    """Run `lanes` together in a transaction; if they are refused, or one statement, do `one_by_one` in it.

    One by one it is seen who was refused. Raises what `transaction` and `one_by_one` raise.
    """
    if lanes is not None and sum(map(len, lanes)) > 1:
        try:
            await transaction(connection, keys, lambda: run_together(connection, lanes))
            return
        except (Refused, asyncpg.IntegrityConstraintViolationError):
            pass
    await transaction(connection, keys, one_by_one)


class _Waiting:
    """A write set whose commit is awaited."""

    __slots__ = ("done", "keys", "sets", "steps")

    def __init__(self, sets: Sequence[Command]) -> None:
        self.sets = sets
        self.keys = postgres_locks.keys_of(sets)
        self.steps = steps_of(sets)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_shareable(self) -> bool:
        """Whether it may share a transaction: a turn's begin that touches nothing others wait for."""
        return (
            self.steps is not None
            and bool(self.keys)
            and any(type(command) is ws.OpenRun for command in self.sets)
            and all(look(translated(step[0]).text).writes in OWN for step in self.steps)
        )

    def end(self, error: Exception | None = None) -> None:
        """Tell who waits."""
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class PostgresWriter:
    """Port `UnitOfWork`.

    A turn's begin costs three round trips, by itself or with others: while `SHARING` transactions of begins
    are under way, more of them gather for the next.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._going: set[asyncio.Future[None]] = set()
        self._begins: list[_Waiting] = []
        self._sharing = 0
        self._relief: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def commit(self, *sets: Command) -> None:
        """See the port. An empty set waits for those before it, as it would in one writer's queue."""
        if not sets:
            await self.close()
            return
        one = _Waiting(sets)
        self._going.add(one.done)
        one.done.add_done_callback(self._going.discard)
        if one.is_shareable:
            self._begins.append(one)
            self._share()
        else:
            self._start(self._alone(one))
        await asyncio.shield(one.done)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._going:
            await asyncio.wait(self._going)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="write sets")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _share(self) -> None:
        if self._sharing < SHARING:
            self._share_one_more()
        elif self._relief is None:
            self._relief = asyncio.get_running_loop().call_later(STUCK_SECONDS, self._relieve)

    def _relieve(self) -> None:
        """Begin one more transaction if those that are under way wait for something themselves."""
        self._relief = None
        if self._begins:
            self._share_one_more()

    def _share_one_more(self) -> None:
        self._sharing += 1
        self._start(self._write_begins())

    async def _write_begins(self) -> None:
        while self._begins:
            batch, self._begins = self._begins[:MOST_BEGINS], self._begins[MOST_BEGINS:]
            await self._together(batch)
        self._sharing -= 1

    async def _together(self, batch: list[_Waiting]) -> None:
        """Write sets in one transaction; if one of them is refused or has to wait, each in its own."""
        if len(batch) == 1:
            await self._alone(batch[0])
            return
        keys = set().union(*(one.keys for one in batch))
        lanes = lanes_of((one.keys, one.steps or []) for one in batch)
        try:
            await self._attempt(lambda c: transaction(c, keys, lambda: run_together(c, lanes), PATIENCE_MS))
        except (Unavailable, StorageFull) as error:
            for one in batch:
                one.end(error)
        except Exception as refused:  # each hears its own, and only those that are to blame
            log.debug("begins are written one by one", exc_info=refused)
            await asyncio.gather(*(self._alone(one) for one in batch))
        else:
            for one in batch:
                one.end()

    async def _alone(self, one: _Waiting) -> None:
        lanes = None if one.steps is None else [one.steps]
        try:
            await self._attempt(
                lambda c: together_or_not(c, one.keys, lanes, lambda: run_commands(c, one.sets))
            )
        except Exception as error:
            one.end(error)
        else:
            one.end()

    async def _attempt(self, work: Callable[[Session], Awaitable[None]]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            async with self._pool.connection() as connection:
                try:
                    await work(connection)
                    return
                except InDoubt:
                    raise Unavailable(UNSURE) from None
                except (*AGAIN, *GONE) as error:
                    if attempt == ATTEMPTS or is_silence(error):
                        raise
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS * attempt))  # noqa: S311
