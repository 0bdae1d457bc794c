"""`KnowledgeStore` on PostgreSQL: the verbs of knowledge, written once, beside those of other servers.

SQLite has one writer, and its verbs rely on it: they look, decide and write. Here the transactions of
one owner take turns by an advisory lock, whichever server they are on; those of several owners run side
by side, which is right because nothing of one owner depends on another's. What concerns all owners (a
model's vectors are given up) is alone. Locks are taken before the first statement, in one order, so a
statement sees all that went before and no two transactions wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from antiphon.domain.errors import Unavailable
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_store import Owners
from antiphon.storage.sql.postgres_pool import AGAIN, GONE, LOST, Pool, Session, is_silence, undo
from antiphon.storage.sql.postgres_reading import FetchedRows, PostgresReads, answer, answering, asking
from antiphon.storage.sql.postgres_text import bound, translated
from antiphon.storage.sql.postgres_writer import ATTEMPTS, PAUSE_SECONDS, UNSURE

P = ParamSpec("P")
T = TypeVar("T")

SEARCHES: Final = 3
"""Searches that compute at the same time, each in a thread."""
PORTION: Final = 1024
"""Rows that are unpacked on the event loop at once: some milliseconds of it."""

ALL: Final = "knowledge"


def lock_number(name: str) -> int:
    """Return a name as the 64 bits that PostgreSQL locks; two names that share them only wait."""
    digest = blake2b(f"knowledge {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _begin(owners: Owners) -> str:
    """Return the statements that open a transaction of these owners; without any it is alone."""
    if not owners:
        return f"BEGIN;SELECT pg_advisory_xact_lock({lock_number(ALL)})"
    turns = (f"SELECT pg_advisory_xact_lock({lock_number('owner ' + one)})" for one in sorted(owners))
    return ";".join(("BEGIN", f"SELECT pg_advisory_xact_lock_shared({lock_number(ALL)})", *turns))


class _Asking:
    """A `Db` inside a thread: the event loop asks its questions."""

    def __init__(self, connection: Session, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> FetchedRows:
        """See `Db`."""
        form = translated(statement)
        how = asking(form)
        return answer(form, self._wait(how(self._connection, form.text, bound(form, parameters))))

    def executemany(self, statement: str, parameters: Any, /) -> None:
        """See `Db`; snapshots only read."""
        raise NotImplementedError

    def portions(self, statement: str, values: Sequence[Any], size: int) -> Iterator[list[Any]]:
        """See `Streams`."""
        form = translated(statement)
        cursor = self._wait(self._begin(form.text, bound(form, values)))
        while found := self._wait(cursor.fetch(min(size, PORTION))):
            yield found

    async def _begin(self, text: str, values: list[Any]) -> Any:
        return await self._connection.cursor(text, *values)

    def _wait(self, question: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result()


class PostgresKnowledgeStore:
    """`KnowledgeStore` on a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.read = PostgresReads(pool)
        self._threads = ThreadPoolExecutor(SEARCHES, "postgres-search")
        self._going: set[asyncio.Task[Any]] = set()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def snapshot(self, work: Callable[Concatenate[Db, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See the protocol. Raises Unavailable if the database does not answer."""
        return await self._finish(lambda: self._snapshot(lambda db: work(db, *args, **kwargs)))

    async def _snapshot(self, work: Callable[[Db], T]) -> T:
        loop = asyncio.get_running_loop()
        for attempt in range(1, ATTEMPTS + 1):
            async with self._pool.connection() as connection:
                try:
                    async with connection.transaction(isolation="repeatable_read", readonly=True):
                        asked = _Asking(connection, loop)
                        return await loop.run_in_executor(self._threads, work, asked)
                except GONE as error:
                    if attempt == ATTEMPTS or is_silence(error):
                        raise
        raise AssertionError("unreachable")

    async def write(
        self, owners: Owners, work: Callable[Concatenate[Db, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See the protocol. Also raises Unavailable, and StorageFull."""
        return await self._finish(lambda: self._write(owners, lambda db: work(db, *args, **kwargs)))

    async def _finish(self, begin: Callable[[], Awaitable[T]]) -> T:
        """Do something to its end, whether or not somebody waits for it to the end."""

        async def run() -> T:
            return await begin()

        task = asyncio.create_task(run(), name="knowledge")
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        return await asyncio.shield(task)

    async def _write(self, owners: Owners, work: Callable[[Db], T]) -> T:
        """Write, waiting here for those of the same owners before a connection is held."""
        async with contextlib.AsyncExitStack() as turns:
            for owner_id in sorted(owners):
                await turns.enter_async_context(self._turn(owner_id))
            return await self._attempt(owners, work)

    def _turn(self, owner_id: str) -> asyncio.Lock:
        turn = self._turns.get(owner_id)
        if turn is None:
            turn = self._turns[owner_id] = asyncio.Lock()
        return turn

    async def _attempt(self, owners: Owners, work: Callable[[Db], T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            async with self._pool.connection() as connection:
                try:
                    return await self._transaction(connection, _begin(owners), work)
                except (*AGAIN, *GONE) as error:
                    if attempt == ATTEMPTS or is_silence(error):
                        raise
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS * attempt))  # noqa: S311
        raise AssertionError("unreachable")

    @staticmethod
    async def _transaction(connection: Session, begin: str, work: Callable[[Db], T]) -> T:
        await connection.execute(begin)
        try:
            result = await answering(connection, work)
        except BaseException as error:
            await undo(connection, error)
            raise
        try:
            await connection.execute("COMMIT")
        except LOST:
            raise Unavailable(UNSURE) from None
        return result

    async def close(self) -> None:
        """Wait for what is being done."""
        while self._going:
            await asyncio.wait(self._going)
        self._threads.shutdown(wait=False)
