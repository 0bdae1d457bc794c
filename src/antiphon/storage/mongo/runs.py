"""Port `Runs` on documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from antiphon.domain.conversations import PathRange
from antiphon.domain.items import Item, Position
from antiphon.domain.run_events import decode_ops
from antiphon.domain.runs import BAD, GOOD, Ratings, Run
from antiphon.ports.storage import KeyRecord
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.database import Database, Document, ids_of, keyset, ordered
from antiphon.storage.mongo.tree import between

NOTHING = b"\x90"


class MongoRuns:
    """Port `Runs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, account_id: str, run_id: str) -> Run | None:
        """See the port."""
        found = await self._database.get(db.RUNS, run_id)
        if found is None or found["owner_id"] != account_id or found["deleted"] is not None:
            return None
        return doc.run(found)

    async def outputs(self, run: Run) -> list[Item]:
        """See the port: choice 0 follows the input; further choices are named by the log."""
        end, start = run.output_end, run.input_end
        if end is None or start is None:
            return []
        found = await self._own_items(run, end, start.depth)
        raw, is_script = await self.log(run)
        added = [op for op in decode_ops(raw) if isinstance(op, list) and op[0] == "A"]
        if len(added) > len(found):
            known = {item.id for item in found}
            for name in [op[3] if is_script else op[3]["id"] for op in added]:
                one = None if name in known else await self._database.first(db.ITEMS, {"id": name})
                found += [doc.item(one)] if one else []
        return found

    async def inputs(self, run: Run) -> list[Item]:
        """See the port."""
        if run.input_end is None:
            return []
        return await self._own_items(run, run.input_end, run.parent.depth if run.parent else -1)

    async def _own_items(self, run: Run, last: Position, above: int) -> list[Item]:
        """Return a run's items on the segment of `last`, deeper than `above`."""
        found = await between(self._database, PathRange(last.segment_id, above + 1, last.depth))
        return [item for item in found if item.run_id == run.id]

    async def log(self, run: Run) -> tuple[bytes, bool]:
        """See the port."""
        found = await self._database.get(db.RUNS, run.id)
        if found is None or found.get("log") is None:
            return NOTHING, False
        return bytes(found["log"]), bool(found["is_script"])

    async def page(
        self,
        account_id: str,
        *,
        surface: str,
        after: str | None,
        limit: int,
        descending: bool,
        model: str | None,
        metadata: dict[str, str],
    ) -> list[Run]:
        """See the port."""
        wanted: Document = {
            "owner_id": account_id, "surface": surface, "deleted": None,
            "state": {"$in": ["completed", "incomplete"]},
        }  # fmt: skip
        wanted |= keyset("_id", after, descending=descending)
        if model is not None:
            wanted["model"] = model
        if metadata:
            wanted["tags"] = {"$all": [doc.tag(name, value) for name, value in metadata.items()]}
        found = await self._database.find(
            db.RUNS, wanted, sort=ordered("_id", descending=descending), limit=limit
        )
        return [doc.run(one) for one in found]

    async def running(self, conversation_id: str | None, *, after: str | None, limit: int) -> list[Run]:
        """See the port."""
        wanted: Document = {"alive": True, **keyset("_id", after)}
        if conversation_id is not None:
            wanted["conversation_id"] = conversation_id
        found = await self._database.find(db.RUNS, wanted, sort=ordered("_id"), limit=limit)
        return [doc.run(one) for one in found]

    async def ratings(self, since_us: int, until_us: int) -> list[Ratings]:
        """See the port."""
        time = {"$gte": since_us, "$lt": until_us}
        wanted = {"rating": {"$gte": BAD}, "created_us": time, "deleted": None}
        good, bad = Counter[str](), Counter[str]()
        async for one in self._database.each(db.RUNS, wanted, fields=["model", "rating"]):
            (good if one["rating"] == GOOD else bad)[one["model"]] += 1
        return [Ratings(model, good[model], bad[model]) for model in sorted(good.keys() | bad.keys())]

    async def on_input(self, run: Run, limit: int) -> list[str]:
        """See the port."""
        place = run.input_end
        if place is None:
            return [run.id]
        wanted = {
            "conversation_id": run.conversation_id, "owner_id": run.owner_id, "deleted": None,
            "_id": {"$gte": run.id}, "$or": [
                {"_id": run.id}, {"parent.segment_id": place.segment_id, "parent.depth": place.depth},
            ],
        }  # fmt: skip
        found = await self._database.find(db.RUNS, wanted, sort=ordered("_id"), limit=limit, fields=["id"])
        return ids_of(found)

    async def key(self, owner_id: str, key: str, now_us: int) -> KeyRecord | None:
        """See the port."""
        found = await self._database.get(db.KEYS, doc.pair_id(owner_id, key))
        if found is None or found["expires_us"] <= now_us:
            return None
        return KeyRecord(found["fingerprint"], found["run_id"], found["status"], found["body"])

    async def longest_prefix(self, owner_id: str, hashes: Sequence[bytes]) -> tuple[int, Item, str] | None:
        """See the port: tries the longest first, so a usual turn costs one look-up or two."""
        for index in range(len(hashes) - 1, -1, -1):
            wanted = {"owner_id": owner_id, "path_hash": hashes[index]}
            for one in await self._database.find(db.ITEMS, wanted, sort=ordered("id", descending=True)):
                segment = await self._database.get(db.SEGMENTS, one["segment_id"])
                if segment is None:
                    continue
                home = await self._database.get(db.CONVERSATIONS, segment["conversation_id"])
                if home is None or home["deleted"] is not None:
                    continue
                if await self._database.first(db.HIDDEN, {"conversation_id": home["_id"]}) is None:
                    return index, doc.item(one), home["_id"]
        return None
