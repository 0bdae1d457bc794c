"""Ports `Garbage` and `Remains` on documents."""

from __future__ import annotations

from typing import Final

from antiphon.ports.purging import Owned, Trim, TrimPage
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.commands_purge import PURGED, PURGING, VIEWS
from antiphon.storage.mongo.commands_sharing import DOOMED, HELD
from antiphon.storage.mongo.database import Database, Document, ids_of, keyset, ordered
from antiphon.storage.mongo.tree import last_item

NOWHERE: Final = -2
"""Below every depth: nothing stands on the segment."""

Keys = list[tuple[str, str]]


class MongoGarbage:
    """Port `Garbage`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def _owned(self, wanted: Document, limit: int) -> list[Owned]:
        found = await self._database.find(db.CONVERSATIONS, wanted, sort=ordered("_id"), limit=limit)
        return [doc.owned(one) for one in found]

    async def purging(self, limit: int, *, after: str = "") -> list[Owned]:
        """See the port."""
        return await self._owned({"state": PURGING, **keyset("_id", after)}, limit)

    async def expired(self, now_us: int, deleted_before_us: int, limit: int) -> list[Owned]:
        """See the port."""
        found = await self._owned({"expires_us": {"$gt": 0, "$lte": now_us}, "state": None}, limit)
        found += await self._owned({"deleted": {"$gt": -1, "$lt": deleted_before_us}, "state": None}, limit)
        return list(dict.fromkeys(found))[:limit]

    async def sweeps(self, now_us: int, limit: int) -> list[Owned]:
        """See the port."""
        found = await self._database.find(
            db.SWEEPS, {"due": {"$lte": now_us}}, sort=ordered("due"), limit=limit
        )
        return [doc.owned(one) for one in found]

    async def leftovers(self, owner_id: str, now_us: int, limit: int) -> list[Owned]:
        """See the port."""
        found: list[Owned] = []
        for sweep in await self._database.find(db.SWEEPS, {"owner_id": owner_id, "due": {"$lte": now_us}}):
            conversation = await self._database.get(db.CONVERSATIONS, sweep["_id"])
            if conversation is not None and conversation["state"] == PURGED:
                found.append(doc.owned(conversation))
        return found[:limit]

    async def conversations(self, account_id: str, limit: int) -> list[Owned]:
        """See the port."""
        return await self._owned({"owner_id": account_id, "state": {"$ne": PURGED}}, limit)

    async def unheld_blobs(
        self, loose_before_us: int, limit: int, *, owner_id: str | None = None
    ) -> list[tuple[str, str]]:
        """See the port."""
        found = []
        whose: Document = {} if owner_id is None else {"owner_id": owner_id}
        for wanted in (
            {"state": DOOMED},
            {"state": {"$nin": [HELD, DOOMED]}, "changed": {"$lte": loose_before_us}},
        ):
            found += await self._database.find(db.BLOBS, {**wanted, **whose}, limit=limit)
        return [(one["owner_id"], one["digest"]) for one in found][:limit]


class MongoRemains:
    """Port `Remains`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def runs(
        self, conversation_id: str, limit: int, *, deleted_before_us: int | None = None
    ) -> list[str]:
        """See the port."""
        wanted: Document = {"conversation_id": conversation_id}
        if deleted_before_us is not None:
            wanted["deleted"] = {"$gt": -1, "$lt": deleted_before_us}
        return ids_of(await self._database.find(db.RUNS, wanted, limit=limit, fields=["id"]))

    async def keys(self, conversation_id: str, limit: int) -> Keys:
        """See the port: those that name the conversation, and those that name one of its runs."""
        found = await self._named({"conversation_id": conversation_id}, limit)
        run_ids = await self.runs(conversation_id, 0)
        for at in range(0, len(run_ids), 1000):
            if len(found) >= limit:
                break
            found |= await self._named({"run_id": {"$in": run_ids[at : at + 1000]}}, limit)
        return list(found)[:limit]

    async def _named(self, wanted: Document, limit: int) -> dict[tuple[str, str], None]:
        found = await self._database.find(db.KEYS, wanted, limit=limit, fields=["owner_id", "key"])
        return {(one["owner_id"], one["key"]): None for one in found}

    async def run_keys(self, run_id: str, limit: int) -> Keys:
        """See the port."""
        return list(await self._named({"run_id": run_id}, limit))

    async def account_keys(self, account_id: str, limit: int) -> list[str]:
        """See the port."""
        return [key for _, key in await self._named({"owner_id": account_id}, limit)]

    async def has_views(self, conversation_id: str) -> bool:
        """See the port."""
        for collection in VIEWS:
            if await self._database.first(collection, {"conversation_id": conversation_id}, fields=["_id"]):
                return True
        return False

    async def items(self, segment_id: str, first: int, last: int) -> list[str]:
        """See the port."""
        wanted = {"segment_id": segment_id, "depth": {"$gte": first, "$lte": last}}
        return ids_of(await self._database.find(db.ITEMS, wanted, fields=["id"]))

    async def is_purged(self, conversation_id: str) -> bool:
        """See the port."""
        found = await self._database.get(db.CONVERSATIONS, conversation_id)
        return found is not None and found["state"] == PURGED

    async def is_abandoned(self, conversation_id: str) -> bool:
        """See the port."""
        found = await self._database.get(db.CONVERSATIONS, conversation_id)
        if found is None or found["deleted"] is None or found["state"] is not None:
            return False
        answers = {"conversation_id": conversation_id, "deleted": None}
        return await self._database.first(db.RUNS, answers, fields=["_id"]) is None

    async def abandoned_forks(self, conversation_id: str, limit: int) -> list[Owned]:
        """See the port."""
        own = await self._database.find(db.SEGMENTS, {"conversation_id": conversation_id}, fields=["_id"])
        found: list[Owned] = []
        for at in range(0, len(own), 1000):
            parents = {"parent_id": {"$in": [one["_id"] for one in own[at : at + 1000]]}}
            leaving = await self._database.find(db.SEGMENTS, parents, fields=["conversation_id"])
            for fork_id in sorted({one["conversation_id"] for one in leaving} - {conversation_id}):
                fork = await self._database.get(db.CONVERSATIONS, fork_id)
                if fork is not None and await self.is_abandoned(fork_id):
                    found.append(doc.owned(fork))
                if len(found) >= limit:
                    return found
        return found

    async def trims(self, conversation_id: str, *, before: str | None, limit: int) -> TrimPage:
        """See the port.

        Segments are made after the segments they leave, so newest first is children first; where clocks
        disagreed, the guards refuse and another round finds the rest.
        """
        wanted = {"conversation_id": conversation_id, **keyset("_id", before, descending=True)}
        page = await self._database.find(
            db.SEGMENTS, wanted, sort=ordered("_id", descending=True), limit=limit
        )
        if not page:
            return TrimPage([], None)
        reached = await self._reached(conversation_id, page[-1]["_id"], page[0]["_id"])
        found: list[Trim] = []
        going: list[str] = []
        for segment in page:
            trim = await self._trim(segment, reached.get(segment["_id"], NOWHERE), going)
            found += [trim] if trim is not None else []
        return TrimPage(found, page[-1]["_id"] if len(page) == limit else None)

    async def _trim(self, segment: Document, reached: int, going: list[str]) -> Trim | None:
        """Return what nothing stands on in a segment, if there is anything; `going` is added to."""
        segment_id, fork_depth = segment["_id"], segment["fork_depth"]
        end = await last_item(self._database, segment_id)
        last = end["depth"] if end else fork_depth
        keep = max(reached, await self._stood_on(segment_id, going))
        if keep < last:
            keep = max(keep, await self._answered(segment_id, keep))
        whole = keep == NOWHERE
        if whole:
            going.append(segment_id)
        if whole or keep < last:
            return Trim(segment_id, max(keep, fork_depth) + 1, last, whole)
        return None

    async def _reached(self, conversation_id: str, first: str, last: str) -> dict[str, int]:
        """Return the deepest place of branches and answers in segments from `first` to `last`."""
        found: dict[str, int] = {}
        for collection, place in ((db.BRANCHES, "head"), (db.RUNS, "input_end"), (db.RUNS, "output_end")):
            wanted: Document = {
                "conversation_id": conversation_id, f"{place}.segment_id": {"$gte": first, "$lte": last}
            }  # fmt: skip
            if collection == db.RUNS:
                wanted["deleted"] = None
            for one in await self._database.find(collection, wanted, fields=[place]):
                segment_id, depth = one[place]["segment_id"], one[place]["depth"]
                found[segment_id] = max(depth, found.get(segment_id, NOWHERE))
        return found

    async def _stood_on(self, segment_id: str, going: list[str]) -> int:
        """Return the depth of a segment that other segments, those `going` aside, or living forks need."""
        leaving = await self._database.find(db.SEGMENTS, {"parent_id": segment_id}, fields=["fork_depth"])
        depths = [one["fork_depth"] for one in leaving if one["_id"] not in set(going)]
        forks = {"base.segment_id": segment_id, "deleted": None}
        found = await self._database.find(db.CONVERSATIONS, forks, fields=["base"])
        depths += [one["base"]["depth"] for one in found]
        return int(max([NOWHERE, *depths]))

    async def _answered(self, segment_id: str, keep: int) -> int:
        """Return the deepest item below `keep` that belongs to an answer: some have no other place."""
        wanted = {"segment_id": segment_id, "depth": {"$gt": keep}, "run_id": {"$gt": ""}}
        order = ordered("depth", descending=True)
        for one in await self._database.find(db.ITEMS, wanted, sort=order, fields=["depth", "run_id"]):
            run = await self._database.get(db.RUNS, one["run_id"])
            if run is not None and run["deleted"] is None:
                return int(one["depth"])
        return NOWHERE
