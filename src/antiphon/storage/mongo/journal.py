"""Port `Journal`: records of what runs produce, and the commits that end runs in them.

A record is an insert under `<worker>:<number>`. What ends in it is proposed in the owners' logs first
and counts with it; so a number that somebody else has taken takes the ends along.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from antiphon.domain.errors import Unavailable
from antiphon.domain.run_events import OPENING_OPS, decode_ops
from antiphon.ports.storage import Fenced, Recovered, StorageBusy
from antiphon.ports.write_sets import Command, WriteSet
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.database import Database, Document, keyset, ordered
from antiphon.storage.mongo.leases import living
from antiphon.storage.mongo.log import Log, Lost, tick_id
from antiphon.storage.mongo.writer import MongoWriter, Split

TRIES: Final = 3
ROUNDS: Final = 100


class MongoJournal:
    """Port `Journal`."""

    def __init__(self, database: Database, log: Log, writer: MongoWriter, *, shared: bool) -> None:
        self._database = database
        self._log = log
        self._writer = writer
        self._shared = shared
        self._doubtful: tuple[str, int] | None = None
        self._worker_id = ""

    async def write_tick(self, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
        """See the port."""
        self._worker_id = worker_id
        record: Document = {
            "_id": tick_id(worker_id, tick), "worker_id": worker_id, "tick": tick, "ops": ops,
            "token": secrets.token_hex(16),
        }  # fmt: skip
        doubtful, self._doubtful = self._doubtful == (worker_id, tick), None
        try:
            if doubtful and await self._stands(record):
                return
            if not sets:
                await self._put(record)
                return
            parts = [Split(one) for one in sets]
            owners = await self._writer.owners.of([command for part in parts for command in part.here])
            async with self._writer.turns.take(owners, first=True):
                await self._end(record, parts, owners)
        except Unavailable as error:
            self._doubtful = (worker_id, tick)
            raise StorageBusy(error.message) from error

    async def _stands(self, record: Document) -> bool:
        """Whether a record whose insert was not heard of was written; what ends in it is then done."""
        there = await self._database.get(db.TICKS, record["_id"])
        if there is None or there["ops"] != record["ops"]:
            return False
        await self._log.catch_up_all(everything=True)
        return True

    async def _end(self, record: Document, parts: Sequence[Split], owners: set[str]) -> None:
        tail: list[Command] = [command for part in parts for command in part.after]
        for _ in range(ROUNDS):
            heads, operations = await self._writer.drafted(
                [part.here for part in parts], owners, numbered=True
            )
            token = record["token"] = secrets.token_hex(16)
            self._log.flying.add(token)
            try:
                records = await self._log.propose(operations, tail, heads, token, f"tick {record['_id']}")
                await self._put(record)
                await self._log.finish(records)
            except Lost:
                continue
            finally:
                self._log.flying.discard(token)
            if not operations and tail:
                await self._writer.note(tail)
            return
        raise StorageBusy("Others write the same conversations at the same time.")

    async def _put(self, record: Document) -> None:
        """Insert a record; raises Fenced if its number is taken."""
        for attempt in range(TRIES):
            try:
                if await self._database.insert(db.TICKS, record):
                    return
            except Unavailable:
                if attempt == TRIES - 1:
                    raise
                continue
            there = await self._database.get(db.TICKS, record["_id"])
            if there is None or there["token"] != record["token"]:
                raise Fenced(record["worker_id"])
            return

    async def seal(
        self, worker_id: str, upto_tick: int, chunks: Sequence[tuple[str, int, int, bytes]]
    ) -> None:
        """See the port. Where others are, the newest number stays: a fence goes after it."""
        sealed = [
            {"_id": f"{run_id}:{first:016x}", "run_id": run_id, "first_seq": first, "last_seq": last,
             "ops": ops, "v": 0}
            for run_id, first, last, ops in chunks
        ]  # fmt: skip
        await self._database.insert_new(db.CHUNKS, sealed)
        if upto_tick:
            await self._log.close_done()  # what counts only with a record needs it until then
        if not self._shared and upto_tick:
            await self._database.delete(db.TICKS, {"worker_id": worker_id, "tick": {"$lte": upto_tick}})
        elif upto_tick:
            await self._database.delete(db.TICKS, {"worker_id": worker_id, "tick": {"$lt": upto_tick}})
            empty = {"$set": {"ops": b"\x90"}}
            await self._database.update(
                db.TICKS, tick_id(worker_id, upto_tick), empty, token={"$ne": "fence"}
            )

    async def unfinished(self, limit: int, *, after: str = "") -> Sequence[Recovered]:
        """See the port."""
        await self._log.catch_up_all()
        wanted: Document = {"alive": True, **keyset("_id", after)}
        if self._shared:
            wanted["worker_id"] = {"$nin": sorted(await living(self._database) - {self._worker_id})}
        found = await self._database.find(db.RUNS, wanted, sort=ordered("_id"), limit=limit)
        return await recovered(self._database, found)

    async def forget_others(self, worker_id: str) -> None:
        """See the port."""
        await self._log.catch_up_all()
        await self._database.delete(db.TICKS, {"worker_id": {"$ne": worker_id}})


async def recovered(database: Database, found: Sequence[Document]) -> list[Recovered]:
    """Return runs with what is committed of them."""
    known = {one["_id"]: await sealed_ops(database, one["_id"]) for one in found}
    for worker_id in sorted({one["worker_id"] for one in found if one["worker_id"]}):
        for tick in await ticks(database, worker_id):
            add_record(tick, known)
    return [Recovered(doc.run(one), known[one["_id"]]) for one in found]


async def ticks(database: Database, worker_id: str) -> list[Document]:
    """Return a worker's records in order."""
    return await database.find(db.TICKS, {"worker_id": worker_id}, sort=ordered("tick"))


async def sealed_ops(database: Database, run_id: str) -> list[Any]:
    """Return the ops of a run's chunks."""
    known: list[Any] = []
    for chunk in await database.find(db.CHUNKS, {"run_id": run_id}, sort=ordered("first_seq")):
        _append(known, chunk["first_seq"], decode_ops(chunk["ops"]))
    return known


def add_record(tick: Document, known: Mapping[str, list[Any]]) -> None:
    """Append what a record holds of the runs in `known` to their ops."""
    for run_id, first, ops in decode_ops(tick["ops"]) if tick["ops"] is not None else ():
        if run_id in known:
            _append(known[run_id], first, ops)


def _append(known: list[Any], first: int, ops: list[Any]) -> None:
    # A run's opening events stand in its document; what a chunk holds comes again in records that were
    # not trimmed yet; behind a hole nothing can be trusted.
    missing = first - OPENING_OPS - len(known)
    if missing <= 0:
        known.extend(ops[-missing:] if missing < 0 else ops)
