"""Port `Workers` on PostgreSQL. Leases go by the database's clock, so no server's clock matters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from antiphon.domain.run_events import decode_ops, encode_ops
from antiphon.ports.workers import Bell, Renewal, RunningLog, Tick
from antiphon.storage.sql import reads_runs
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.postgres_pool import LOST, Pool, Session, connect, undo
from antiphon.storage.sql.postgres_reading import PostgresReads

log = logging.getLogger(__name__)

CHANNEL: Final = "antiphon"
RECONNECT_SECONDS: Final = 1.0
KEPT_US: Final = 24 * 3600 * 1_000_000
"""How long a fence stands: whoever was stopped for longer must not wake."""

NOW_US: Final = "CAST(extract(epoch FROM clock_timestamp())*1000000 AS BIGINT)"
FENCE: Final = encode_ops([("", 0, ["fence"])])
"""A record that no run has a part in."""

RENEW: Final = (
    f"INSERT INTO workers (id,expires) VALUES ($1,{NOW_US}+$2) ON CONFLICT (id)"
    " DO UPDATE SET expires=excluded.expires WHERE workers.fenced IS NULL"
)
CANCELLED: Final = (
    "SELECT id FROM runs WHERE worker_id=$1 AND state IN ('queued','in_progress') AND cancel_requested=1"
)
LIVING: Final = f"SELECT COUNT(*) FROM workers WHERE fenced IS NULL AND expires>{NOW_US}"
LIVES: Final = (
    f"EXISTS (SELECT 1 FROM workers w WHERE w.id={{worker}} AND w.fenced IS NULL AND w.expires>{NOW_US})"
)
DEAD: Final = (
    "SELECT DISTINCT r.worker_id FROM runs r WHERE r.state IN ('queued','in_progress')"
    f" AND r.worker_id IS NOT NULL AND NOT {LIVES.format(worker='r.worker_id')}"
)
DECLARE_DEAD: Final = (
    f"INSERT INTO workers (id,expires,fenced) VALUES ($1,0,{NOW_US}) ON CONFLICT (id)"
    f" DO UPDATE SET fenced={NOW_US} WHERE workers.fenced IS NULL AND workers.expires<={NOW_US}"
)
PUT_FENCE: Final = (
    "INSERT INTO journal (worker_id,tick,ops)"
    " SELECT CAST($1 AS VARCHAR),COALESCE(MAX(tick),0)+1,$2 FROM journal WHERE worker_id=$1"
    " ON CONFLICT (worker_id,tick) DO NOTHING"
)
# A fence stands for a day after the last of its worker's runs has ended.
FORGET: Final = (
    "DELETE FROM journal j USING workers w WHERE w.id=j.worker_id AND j.ops<>$1 AND w.fenced IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.worker_id=w.id AND r.state IN ('queued','in_progress'))",
    f"DELETE FROM journal j USING workers w WHERE w.id=j.worker_id AND w.fenced<{NOW_US}-$1",
    f"DELETE FROM workers WHERE fenced<{NOW_US}-$1",
    "DELETE FROM journal j WHERE NOT EXISTS (SELECT 1 FROM workers w WHERE w.id=j.worker_id)",
    "DELETE FROM run_chunks c WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.id=c.run_id)",
)
TICKS: Final = "SELECT tick,ops FROM journal WHERE worker_id=$1 AND tick>$2 ORDER BY tick LIMIT $3"


class PostgresWorkers:
    """Port `Workers`."""

    is_shared = True

    def __init__(self, url: str, pool: Pool, reads: PostgresReads) -> None:
        self._url = url
        self._pool = pool
        self._read = reads
        self._listening: asyncio.Task[None] | None = None
        self._bells: list[Bell] = []

    async def renew(self, worker_id: str, lease_seconds: float) -> Renewal:
        """See the port."""
        async with self._pool.connection() as connection:
            status = await connection.execute(RENEW, worker_id, int(lease_seconds * 1_000_000))
            if status.endswith(" 0"):
                return Renewal(False)
            cancelled = await connection.fetch(CANCELLED, worker_id)
            living: int = await connection.fetchval(LIVING)
        return Renewal(True, [row[0] for row in cancelled], living)

    async def leave(self, worker_id: str) -> None:
        """See the port: an expired lease is what it leaves, in case it has runs after all."""
        async with self._pool.connection() as connection:
            await connection.execute("UPDATE workers SET expires=0 WHERE id=$1", worker_id)

    async def fence_dead(self) -> int:
        """See the port."""
        async with self._pool.connection() as connection:
            dead = [row[0] for row in await connection.fetch(DEAD)]
            for worker_id in dead:
                await self._fence(connection, worker_id)
        return len(dead)

    @staticmethod
    async def _fence(connection: Session, worker_id: str) -> None:
        """Take the worker's next number, unless it renewed meanwhile or was fenced before."""
        await connection.execute("BEGIN")
        try:
            status = await connection.execute(DECLARE_DEAD, worker_id)
            while status.endswith(" 1"):
                if (await connection.execute(PUT_FENCE, worker_id, FENCE)).endswith(" 1"):
                    log.warning("worker %s is dead and fenced", worker_id)
                    break
            await connection.execute("COMMIT")
        except BaseException as error:
            await undo(connection, error)
            raise

    async def forget(self) -> None:
        """See the port."""
        async with self._pool.connection() as connection:
            for statement, value in zip(FORGET, (FENCE, KEPT_US, KEPT_US, None, None), strict=True):
                await connection.execute(statement, *(() if value is None else (value,)))

    async def running_log(self, run_id: str) -> RunningLog | None:
        """See the port."""
        return await self._read(_running_log, run_id)

    async def ticks(self, worker_id: str, after: int, limit: int) -> Sequence[Tick]:
        """See the port."""
        async with self._pool.connection() as connection:
            found = await connection.fetch(TICKS, worker_id, after, limit)
        return [Tick(number, None if ops == FENCE else decode_ops(ops)) for number, ops in found]

    async def listen(self, bell: Bell) -> None:
        """See the port; a lost connection is made again."""
        self._bells.append(bell)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="bells")

    async def ring(self, what: str, text: str) -> None:
        """See the port."""
        async with self._pool.connection() as connection:
            await connection.execute("SELECT pg_notify($1,$2)", CHANNEL, f"{what} {text}")

    async def _listen(self) -> None:
        def rung(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
            what, _, text = payload.partition(" ")
            for bell in self._bells:
                bell(what, text)

        while True:
            try:
                connection = await connect(self._url, "bells")
                try:
                    gone = asyncio.Event()
                    connection.add_termination_listener(lambda _connection, gone=gone: gone.set())
                    await connection.add_listener(CHANNEL, rung)
                    await gone.wait()
                finally:
                    await connection.close()
            except (*LOST, asyncpg.PostgresError) as error:
                log.warning("bells are not heard for now: %s", error)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)


def _running_log(db: Db, run_id: str) -> RunningLog | None:
    row = db.execute(
        "SELECT worker_id FROM runs WHERE id=? AND state IN ('queued','in_progress')", (run_id,)
    ).fetchone()
    if row is None or row[0] is None:
        return None
    # Records before chunks: what is sealed in between is then in both, never in neither.
    records = db.execute("SELECT tick,ops FROM journal WHERE worker_id=? ORDER BY tick", (row[0],)).fetchall()
    ops = reads_runs.sealed_ops(db, run_id)
    for _, record in records:
        reads_runs.add_record(record, {run_id: ops})
    return RunningLog(row[0], ops, records[-1][0] if records else 0)
