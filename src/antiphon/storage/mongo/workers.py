"""Port `Workers` on documents, for servers that share both stores. Leases go by MongoDB's clock."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from antiphon.domain.run_events import decode_ops
from antiphon.ports.workers import Renewal, RunningLog, Tick, Workers
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database, Document, ordered
from antiphon.storage.mongo.journal import add_record, sealed_ops, ticks
from antiphon.storage.mongo.leases import living
from antiphon.storage.mongo.log import Log, fence

log = logging.getLogger(__name__)

KEPT_US: Final = 24 * 3600 * 1_000_000
"""How long a fence stands: whoever was stopped for longer must not wake."""


class MongoWorkers:
    """Port `Workers`; bells are those of the store in SQL."""

    is_shared = True

    def __init__(self, database: Database, log_: Log, bells: Workers) -> None:
        self._database = database
        self._log = log_
        self.listen = bells.listen
        self.ring = bells.ring

    async def renew(self, worker_id: str, lease_seconds: float) -> Renewal:
        """See the port."""
        expires = await self._database.now_us() + int(lease_seconds * 1_000_000)
        lease = {"$set": {"expires": expires}}
        if not await self._database.update(db.WORKERS, worker_id, lease, fenced=None):
            new = {"_id": worker_id, "expires": expires, "fenced": None}
            if not await self._database.insert(db.WORKERS, new):
                return Renewal(False)
        if await self._is_fenced(worker_id):
            return Renewal(False)
        wanted = {"alive": True, "worker_id": worker_id, "cancel_requested": True}
        cancelled = await self._database.find(db.RUNS, wanted, fields=["_id"])
        return Renewal(True, [one["_id"] for one in cancelled], len(await living(self._database)))

    async def _is_fenced(self, worker_id: str) -> bool:
        """Whether somebody took this worker's next number, whatever its lease says."""
        wanted = {"worker_id": worker_id, "token": "fence"}
        return await self._database.first(db.TICKS, wanted, fields=["_id"]) is not None

    async def leave(self, worker_id: str) -> None:
        """See the port: an expired lease is what it leaves, in case it has runs after all."""
        await self._database.update(db.WORKERS, worker_id, {"$set": {"expires": 0}})

    async def fence_dead(self) -> int:
        """See the port."""
        alive = await self._database.find(db.RUNS, {"alive": True}, fields=["worker_id"])
        owners = {one["worker_id"] for one in alive if one["worker_id"]}
        dead = sorted(owners - await living(self._database))
        for worker_id in dead:
            await self._fence(worker_id)
        return len(dead)

    async def _fence(self, worker_id: str) -> None:
        """Take the worker's next number, unless it renewed meanwhile or was fenced before."""
        now = await self._database.now_us()
        found = await self._database.get(db.WORKERS, worker_id)
        if found is None:
            new: Document = {"_id": worker_id, "expires": 0, "fenced": now}
            found = (
                None if await self._database.insert(db.WORKERS, new) else {"expires": now + 1, "fenced": None}
            )
        elif found["fenced"] is None and found["expires"] <= now:
            gone = {"$set": {"fenced": now}}
            await self._database.update(db.WORKERS, worker_id, gone, fenced=None, expires={"$lte": now})
            found = await self._database.get(db.WORKERS, worker_id)
        if found is not None and found["fenced"] is None:
            return
        while not await self._is_fenced(worker_id):
            last = await self._database.first(
                db.TICKS,
                {"worker_id": worker_id},
                sort=ordered("tick", descending=True),
                fields=["tick", "ops"],
            )
            if last is not None and last["ops"] is None:
                return  # somebody else's, since we looked
            if await self._database.insert(db.TICKS, fence(worker_id, (last["tick"] if last else 0) + 1)):
                log.warning("worker %s is dead and fenced", worker_id)

    async def forget(self) -> None:
        """See the port. A fence stands for a day."""
        before = await self._database.now_us() - KEPT_US
        for worker in await self._database.find(db.WORKERS, {"fenced": {"$gt": 0}}):
            wanted: Document = {"worker_id": worker["_id"]}
            if await self._database.first(db.RUNS, {"alive": True, **wanted}, fields=["_id"]):
                continue
            await self._log.catch_up_all(everything=True)  # what counts only with a record needs it
            if worker["fenced"] >= before:
                wanted["token"] = {"$ne": "fence"}
            await self._database.delete(db.TICKS, wanted)
            if worker["fenced"] < before:
                await self._database.delete(db.WORKERS, {"_id": worker["_id"]})

    async def running_log(self, run_id: str) -> RunningLog | None:
        """See the port."""
        run = await self._database.get(db.RUNS, run_id)
        if run is None or not run["alive"] or run["worker_id"] is None:
            return None
        # Records before chunks: what is sealed in between is then in both, never in neither.
        records = await ticks(self._database, run["worker_id"])
        ops: list[Any] = await sealed_ops(self._database, run_id)
        for record in records:
            add_record(record, {run_id: ops})
        if _ends(ops):
            await self._end(run_id)
            return None
        return RunningLog(run["worker_id"], ops, records[-1]["tick"] if records else 0)

    async def ticks(self, worker_id: str, after: int, limit: int) -> Sequence[Tick]:
        """See the port."""
        wanted = {"worker_id": worker_id, "tick": {"$gt": after}}
        found = await self._database.find(db.TICKS, wanted, sort=ordered("tick"), limit=limit)
        read = [Tick(one["tick"], None if one["ops"] is None else decode_ops(one["ops"])) for one in found]
        for run_id, _, ops in (entry for tick in read for entry in tick.entries or ()):
            if _ends(ops):
                await self._end(run_id)
        return read

    async def _end(self, run_id: str) -> None:
        """Have a run's end done that a record has decided: who reads the record looks for it in the run."""
        run = await self._database.get(db.RUNS, run_id)
        if run is not None and run["alive"]:
            await self._log.catch_up(run["p"])


def _ends(ops: Sequence[Any]) -> bool:
    """Whether the last of some ops is a run's terminal one."""
    return bool(ops) and not isinstance(ops[-1], str) and ops[-1][0] == "Z"
