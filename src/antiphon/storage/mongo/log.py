"""The log of commits: for each owner a line of records, numbered without gaps.

A record `<owner>:<number>` says which documents are new, change and go. Whoever inserts it has decided:
of two that looked at the same state one finds its number taken, applies what the other wrote, and looks
again. What a record says is then done to the documents, in order, by whoever wrote it or by whoever comes
next; each document knows the number that wrote it last, so doing it twice changes nothing.

A commit of several owners has a record in each log, which counts only once its `decider` stands: the tick
of a journal for what ends with it, else a decision of its own. Those two are again inserts.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from pymongo import DeleteOne, InsertOne, ReplaceOne

from antiphon.domain.errors import AntiphonError, Unavailable
from antiphon.ports.write_sets import Command
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database, Document, Write
from antiphon.storage.mongo.draft import GONE, NEW, Operation
from antiphon.storage.mongo.tails import decode_tail, encode_tail
from antiphon.storage.mongo.texts import kept, stored

log = logging.getLogger(__name__)

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode

MAX_RECORD_BYTES: Final = 12 * 1024 * 1024
"""MongoDB takes documents of 16 MB; what is larger is stored in parts."""

PATIENCE_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.005
ABORT_SECONDS: Final = 2.0
SLOW_SECONDS: Final = 5.0
DOING_SECONDS: Final = 1.0
FRESH_SECONDS: Final = 60.0
KEPT_US: Final = 3600 * 1_000_000
TRIM_EVERY: Final = 256
MAX_DONE: Final = 64
MAX_HEADS: Final = 50_000

_AWAY: Final = {"open": 1, "content": 1, "parts": 1, "decider": 1}

_STAGES: Final = (
    (db.ITEMS, db.SEGMENTS, db.BLOBS, db.BLOB_REFS, db.HIDDEN, db.MEMBERS, db.SHARES, db.SWEEPS),
    (db.RUNS, db.CHUNKS, db.CHANGES, db.KEYS, db.ALIASES, db.CONVERSATIONS, db.BRANCHES),
)
"""What is reached through something else is written before it."""

Tail = Callable[[Sequence[Command]], Awaitable[None]]
"""Does in SQL what belongs to a commit; may be called again for the same one."""


def _now_us() -> int:
    return time.time_ns() // 1000


class Lost(Exception):
    """Somebody else's commit came first: look again."""


def record_id(owner_id: str, number: int) -> str:
    """Return the `_id` of a record; they sort by number."""
    return f"{owner_id}:{number:016x}"


class Log:
    """Writes records and does what they say."""

    def __init__(self, database: Database, tail: Tail, *, shared: bool) -> None:
        self._database = database
        self._tail = tail
        self._shared = shared
        self._heads: dict[str, tuple[int, float]] = {}
        self._done: list[Document] = []
        self.flying: set[str] = set()

    # --- the newest number

    async def head(self, owner_id: str) -> int:
        """Return the number of an owner's last record that is done."""
        known = self._heads.get(owner_id)
        if known is not None:
            return known[0]
        return await self.catch_up(owner_id)

    def _remember(self, owner_id: str, number: int) -> None:
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[owner_id] = (number, asyncio.get_running_loop().time())

    async def catch_up(self, owner_id: str) -> int:
        """Do what was written and not done yet; returns the newest number."""
        known = self._heads.get(owner_id)
        number = known[0] if known else await self._first_open(owner_id)
        while (record := await self._database.get(db.LOG, record_id(owner_id, number + 1))) is not None:
            await self._settle(record)
            number += 1
        self._remember(owner_id, number)
        return number

    async def _first_open(self, owner_id: str) -> int:
        """Return the number before the first record that is not done, else the newest one.

        The newest is looked for first: what is written later, and is not done, must not be taken for done.
        """
        newest = await self._database.first(db.LOG, {"p": owner_id}, sort=[("n", -1)], fields=["n"])
        wanted = {"p": owner_id, "open": True}
        first = await self._database.first(db.LOG, wanted, sort=[("n", 1)], fields=["n"])
        if first is not None:
            return int(first["n"]) - 1
        return int(newest["n"]) if newest else 0

    async def catch_up_all(self, *, everything: bool = False) -> None:
        """Do what servers that died have written and not done; with `everything` also what is new."""
        await self.close_done()
        wanted: Document = {"open": True}
        if self._shared and not everything:
            wanted["at"] = {"$lt": _now_us() - int(SLOW_SECONDS * 1_000_000)}
        found = await self._database.find(db.LOG, wanted, fields=["p", "token"])
        for owner_id in sorted({one["p"] for one in found if one["token"] not in self.flying}):
            self._heads.pop(owner_id, None)
            await self.catch_up(owner_id)

    # --- writing

    async def commit(
        self, operations: Mapping[str, list[Operation]], tail: Sequence[Command], heads: Mapping[str, int]
    ) -> None:
        """Write and do one commit of one or more owners; raises Lost if another one came first."""
        owners = sorted(operations)
        token = secrets.token_hex(16)
        decider = f"decision {token}" if len(owners) > 1 else None
        self.flying.add(token)
        try:
            records = await self.propose(operations, tail, heads, token, decider)
            if decider is not None and not await self._stand(records[0]):
                raise Lost
            await self.finish(records)
        finally:
            self.flying.discard(token)

    async def propose(
        self, operations: Mapping[str, list[Operation]], tail: Sequence[Command], heads: Mapping[str, int],
        token: str, decider: str | None,
    ) -> list[Document]:  # fmt: skip
        """Insert the records of a commit; raises Lost, having taken the commit back, if a number is taken."""
        records = []
        for index, owner_id in enumerate(sorted(operations)):
            done = operations[owner_id]
            record = await self._record(
                owner_id, heads[owner_id] + 1, done, tail if index == 0 else (), token, decider
            )
            if not await self._insert(record):
                if decider is not None and decider.startswith("decision"):
                    await self._decide(token, commits=False)
                await self.catch_up(owner_id)
                raise Lost
            records.append(record)
        return records

    async def _record(
        self, owner_id: str, number: int, operations: list[Operation], tail: Sequence[Command], token: str,
        decider: str | None,
    ) -> Document:  # fmt: skip
        content = _pack([operations, encode_tail(tail)])
        record: Document = {
            "_id": record_id(owner_id, number), "p": owner_id, "n": number, "token": token,
            "decider": decider, "open": True, "at": _now_us(),
        }  # fmt: skip
        if drops := sorted({where for word, where, _ in operations if word == GONE}):
            record["drops"] = drops
        if len(content) <= MAX_RECORD_BYTES:
            return record | {"content": content}
        parts = [content[at : at + MAX_RECORD_BYTES] for at in range(0, len(content), MAX_RECORD_BYTES)]
        names = [f"{token}:{owner_id}:{index}" for index in range(len(parts))]
        for name, part in zip(names, parts, strict=True):
            await self._database.insert(db.PARTS, {"_id": name, "content": part})
        return record | {"parts": names}

    async def _insert(self, record: Document) -> bool:
        """Insert a record; True too if an insert whose answer was lost had done it."""
        for attempt in range(3):
            try:
                done = await self._database.insert(db.LOG, record)
            except Unavailable:
                if attempt == 2:
                    raise
                continue
            if not done:
                there = await self._database.get(db.LOG, record["_id"])
                done = there is not None and there["token"] == record["token"]
            return done and await self._is_newest(record)
        return False

    async def _is_newest(self, record: Document) -> bool:
        """Whether a record's number was the next one, if that was not looked at for long.

        Numbers that everybody has passed are erased after an hour, so a server that slept may find one
        of them free.
        """
        known = self._heads.get(record["p"])
        if known is not None and asyncio.get_running_loop().time() - known[1] < FRESH_SECONDS:
            return True
        wanted = {"p": record["p"], "n": {"$gt": record["n"]}}
        if await self._database.first(db.LOG, wanted, fields=["n"]) is None:
            return True
        await self._database.delete(db.LOG, {"_id": record["_id"], "token": record["token"]})
        self._heads.pop(record["p"], None)
        return False

    # --- doing

    async def finish(self, records: Sequence[Document]) -> None:
        """Do what records of a commit that counts say."""
        for record in records:
            await self._apply(record)
            self._remember(record["p"], record["n"])
            if record["n"] % TRIM_EVERY == 0:
                await self._trim(record["p"], record["n"])

    async def _apply(self, record: Document) -> None:
        began = asyncio.get_running_loop().time()
        operations, tail = await self.content(record)
        number = record["n"]
        grouped: dict[str, list[Write]] = {}
        for word, collection, what in operations:
            grouped.setdefault(collection, []).append(_write(word, collection, what, number))
        for stage in _STAGES:
            if asyncio.get_running_loop().time() - began > SLOW_SECONDS:
                # Who slept in the middle must not bring back what went meanwhile.
                now = await self._database.get(db.LOG, record["_id"])
                if now is None or not now.get("open"):
                    return
            await self._database.write_all({name: grouped[name] for name in stage if name in grouped})
        if tail:
            await self._tail(decode_tail(tail))
        self._done.append(record)
        if self._shared or len(self._done) >= MAX_DONE or any(word == GONE for word, _, _ in operations):
            await self.close_done()

    async def content(self, record: Document) -> tuple[list[Operation], list[Any]]:
        """Return what an open record does to documents, and what is to be noted in SQL."""
        if "parts" not in record:
            packed = bytes(record["content"])
        else:
            parts = [await self._database.get(db.PARTS, name) for name in record["parts"]]
            packed = b"".join(one["content"] for one in parts if one is not None)
        operations, tail = _unpack(packed)
        return operations, tail

    async def close_done(self) -> None:
        """Say of records that they are done; what they said is erased with that.

        Until then they would be done again after a crash, which changes nothing, so it can wait for company;
        but not longer than what decided them stands, nor than what was erased may come to light.
        """
        done, self._done = self._done, []
        if not done:
            return
        try:
            await self._database.update_all(
                db.LOG, {"_id": {"$in": [record["_id"] for record in done]}}, {"$unset": _AWAY}
            )
        except AntiphonError:
            self._done += done
            raise
        parts = [name for record in done for name in record.get("parts", ())]
        if parts:
            await self._database.delete(db.PARTS, {"_id": {"$in": parts}})

    async def _settle(self, record: Document) -> None:
        """Do what a record says, if it counts and is not done."""
        if not record.get("open") or await self._is_being_done(record):
            return
        if await self._counts(record):
            await self._apply(record)
        else:
            self._done.append(record)

    async def _is_being_done(self, record: Document) -> bool:
        """Wait for whoever wrote a record a moment ago to do it; returns whether it is done.

        Two that do the same at the same time are right where an update is atomic, and slow everywhere.
        """
        if not self._shared:
            return False
        patience = record["at"] + int(DOING_SECONDS * 1_000_000)
        while _now_us() < patience:
            there = await self._database.get(db.LOG, record["_id"])
            if there is None or not there.get("open"):
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _counts(self, record: Document) -> bool:
        """Whether a record counts, waiting until that is decided."""
        kind, _, name = (record["decider"] or "").partition(" ")
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (decided := await self.decided(record)) is None:
            waited = loop.time() - began
            if kind == "decision" and waited > ABORT_SECONDS:
                await self._decide(name, commits=False)
            elif kind == "tick" and not self._shared and record["token"] not in self.flying:
                await self._fence(name)
            elif waited > PATIENCE_SECONDS:
                raise Unavailable("A commit of another server is not decided yet.")
            await asyncio.sleep(POLL_SECONDS)
        return decided

    async def decided(self, record: Document) -> bool | None:
        """Return whether a record counts, None if that is open."""
        kind, _, name = (record["decider"] or "").partition(" ")
        if not kind:
            return True
        found = await self._database.get(db.TICKS if kind == "tick" else db.DECISIONS, name)
        if found is None:
            return None
        return bool(found.get("token") == record["token"] and found.get("commits", True))

    async def hold(self, owner_id: str, number: int) -> Document | None:
        """Take the number after an owner's newest, so that nobody commits there until it is let go.

        Others wait for `ABORT_SECONDS`. Returns what to let go, None if the number is taken.
        """
        token = secrets.token_hex(16)
        record = await self._record(owner_id, number + 1, [], (), token, f"decision {token}")
        return record if await self._insert(record) else None

    async def let_go(self, held: Document) -> bool:
        """Give up a hold; returns whether it lasted until now."""
        lasted = await self._stand(held)
        self._done.append(held)
        await self.close_done()
        return lasted

    async def _stand(self, record: Document) -> bool:
        """Decide that a commit of one's own counts, unless one slept: others may have decided it away since,
        and erased what they decided. Returns whether it counts.
        """
        commits = _now_us() - record["at"] < FRESH_SECONDS * 1_000_000
        return await self._decide(record["token"], commits=commits) and commits

    async def _decide(self, token: str, *, commits: bool) -> bool:
        """Decide a commit of several owners; returns whether it is decided like this."""
        decision = {"_id": token, "token": token, "commits": commits, "at": _now_us()}
        if await self._database.insert(db.DECISIONS, decision):
            return True
        there = await self._database.get(db.DECISIONS, token)
        return there is not None and there["commits"] is commits

    async def _fence(self, tick_id: str) -> None:
        """Take a tick that nobody will write any more."""
        worker_id, _, number = tick_id.partition(":")
        await self._database.insert(db.TICKS, fence(worker_id, int(number, 16)))

    async def _trim(self, owner_id: str, number: int) -> None:
        """Erase records that were done long ago; the newest always stays."""
        wanted = {
            "p": owner_id, "n": {"$lt": number - TRIM_EVERY}, "open": None,
            "at": {"$lt": _now_us() - KEPT_US},
        }  # fmt: skip
        await self._database.delete(db.LOG, wanted)


def tick_id(worker_id: str, tick: int) -> str:
    """Return the `_id` of a worker's record."""
    return f"{worker_id}:{tick:016x}"


def fence(worker_id: str, tick: int) -> Document:
    """Return the record by which a worker's next number is taken."""
    return {
        "_id": tick_id(worker_id, tick), "worker_id": worker_id, "tick": tick, "ops": None, "token": "fence",
    }  # fmt: skip


def _write(word: str, collection: str, what: Any, number: int) -> Write:
    if word == GONE:
        return DeleteOne({"_id": kept(what), "v": {"$lt": number}})
    document = stored({**what, "v": number})
    if word == NEW:
        return InsertOne(document)
    # A key that has expired may be forgotten at this moment.
    return ReplaceOne({"_id": document["_id"], "v": {"$lt": number}}, document, upsert=collection == db.KEYS)
