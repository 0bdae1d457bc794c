"""Ports `Conversations`, `ChatSessions`, `BranchForks` and `Aliases` on documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from antiphon.domain.conversations import ALL, EPHEMERAL, Branch, BranchFork, Chosen, Conversation, Folder
from antiphon.domain.items import Item
from antiphon.ports.retention import Passed
from antiphon.ports.storage import Change
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.database import Database, Document, ids_of, keyset, ordered

END: Final = "\U0010ffff"
LATEST_FIRST: Final = (("updated_us", -1), ("_id", -1))


def used_before(after: tuple[int, str] | None) -> Document:
    """Return the condition that begins a page of what was used last after a time and an id."""
    if after is None:
        return {}
    at, last = after
    return {"$or": [{"updated_us": {"$lt": at}}, {"updated_us": at, "_id": {"$lt": last}}]}


def _own(account_id: str, chosen: Chosen) -> Document:
    """Return the condition on an owner's conversations that are chosen."""
    wanted: Document = {"owner_id": account_id, "deleted": None}
    for field, is_so in (("pinned_us", chosen.pinned), ("archived_us", chosen.archived)):
        if is_so is not None:
            wanted[field] = {"$gt": -1} if is_so else None
    if chosen.folder is not None:
        wanted["folder"] = chosen.folder or None
    return wanted


class MongoConversations:
    """Port `Conversations`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, account_id: str, conversation_id: str) -> Conversation | None:
        """See the port."""
        found = await self._database.get(db.CONVERSATIONS, conversation_id)
        if found is None or found["owner_id"] != account_id or found["deleted"] is not None:
            return None
        return doc.conversation(found)

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool, chosen: Chosen = ALL
    ) -> list[Conversation]:
        """See the port."""
        wanted = {**_own(account_id, chosen), **keyset("_id", after, descending=descending)}
        found = await self._database.find(
            db.CONVERSATIONS, wanted, sort=ordered("_id", descending=descending), limit=limit
        )
        return [doc.conversation(one) for one in found]

    async def latest(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int, chosen: Chosen = ALL
    ) -> list[Conversation]:
        """See the port; looks at the owner's conversations, whose times of use have no index."""
        wanted = {**_own(account_id, chosen), **used_before(after)}
        found = await self._database.find(db.CONVERSATIONS, wanted, sort=LATEST_FIRST, limit=limit)
        return [doc.conversation(one) for one in found]

    async def folders(self, account_id: str) -> list[Folder]:
        """See the port."""
        wanted: Document = {"owner_id": account_id, "folder": {"$gt": ""}, "deleted": None}
        found = await self._database.find(db.CONVERSATIONS, wanted, fields=["folder"])
        counts = Counter(str(one["folder"]) for one in found)
        return [Folder(name, counts[name]) for name in sorted(counts)]

    async def branch(self, conversation_id: str, branch_id: str) -> Branch | None:
        """See the port."""
        found = await self._database.get(db.BRANCHES, doc.pair_id(conversation_id, branch_id))
        return doc.branch(found) if found else None

    async def branch_at(self, conversation_id: str, item_id: str) -> Branch | None:
        """See the port."""
        wanted = {"conversation_id": conversation_id, "head.item_id": item_id, "alias_of": None}
        found = await self._database.first(db.BRANCHES, wanted, sort=ordered("id"))
        return doc.branch(found) if found else None

    async def branches(self, conversation_id: str, *, after: str | None, limit: int) -> list[Branch]:
        """See the port."""
        wanted = {"conversation_id": conversation_id, **keyset("id", after)}
        found = await self._database.find(db.BRANCHES, wanted, sort=ordered("id"), limit=limit)
        return [doc.branch(one) for one in found]

    async def branch_names(self, conversation_id: str, prefix: str) -> set[str]:
        """See the port."""
        wanted = {"conversation_id": conversation_id, "name": {"$gte": prefix, "$lt": prefix + END}}
        return set(ids_of(await self._database.find(db.BRANCHES, wanted, fields=["name"]), "name"))

    async def slice(self, after: str, limit: int) -> tuple[str, str] | None:
        """See the port."""
        found = await self._database.find(
            db.CONVERSATIONS, {"_id": {"$gt": after}}, sort=ordered("_id"), limit=limit, fields=["_id"]
        )
        return (found[0]["_id"], found[-1]["_id"]) if found else None

    async def changes(self, conversation_id: str, *, after: int, limit: int) -> list[Change]:
        """See the port."""
        wanted = {"conversation_id": conversation_id, "revision": {"$gt": after}}
        found = await self._database.find(db.CHANGES, wanted, sort=ordered("revision"), limit=limit)
        return [Change(one["revision"], one["kind"], one["body"], one["created_us"]) for one in found]

    async def revisions(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        """See the port."""
        wanted = {"_id": {"$in": list(conversation_ids)}}
        found = (
            await self._database.find(db.CONVERSATIONS, wanted, fields=["revision"])
            if conversation_ids
            else ()
        )
        return {one["_id"]: one["revision"] for one in found}


class MongoChatSessions:
    """Port `ChatSessions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_key(self, account_id: str, key: str) -> Conversation | None:
        """See the port."""
        wanted = {"owner_id": account_id, "external_key": key, "deleted": None}
        found = await self._database.first(db.CONVERSATIONS, wanted)
        return doc.conversation(found) if found else None

    async def is_taken(self, conversation_id: str) -> bool:
        """See the port."""
        found = await self._database.get(db.CONVERSATIONS, conversation_id)
        return found is not None and found["deleted"] is None

    async def held(self, now_us: int) -> tuple[int, int]:
        """See the port."""
        wanted = {"kind": EPHEMERAL, "expires_us": {"$gt": now_us}, "deleted": None}
        found = await self._database.find(db.CONVERSATIONS, wanted, fields=["active_branch_id"])
        count = items = 0
        for one in found:
            branch = await self._database.get(db.BRANCHES, doc.pair_id(one["_id"], one["active_branch_id"]))
            if branch is not None:
                count += 1
                items += branch["head"]["depth"] + 1
        return count, items

    async def longest_unused(self, limit: int) -> list[Passed]:
        """See the port."""
        wanted = {"kind": EPHEMERAL, "expires_us": {"$gt": 0}, "deleted": None}
        found = await self._database.find(db.CONVERSATIONS, wanted, sort=ordered("expires_us"), limit=limit)
        return [doc.passed(one) for one in found]


class MongoBranchForks:
    """Port `BranchForks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def _fork(self, branch: Document) -> BranchFork | None:
        fork = await self._database.get(db.CONVERSATIONS, branch["alias_of"])
        if fork is None or fork["deleted"] is not None or fork["owner_id"] != branch["owner_id"]:
            return None
        return BranchFork(doc.branch(branch), doc.conversation(fork))

    async def of(self, conversation_id: str, *, after: str | None, limit: int) -> list[BranchFork]:
        """See the port."""
        found: list[BranchFork] = []
        while len(found) < limit:
            wanted = {"conversation_id": conversation_id, "alias_of": {"$gt": ""}, **keyset("id", after)}
            page = await self._database.find(db.BRANCHES, wanted, sort=ordered("id"), limit=limit)
            found += [fork for one in page if (fork := await self._fork(one)) is not None]
            if len(page) < limit:
                break
            after = page[-1]["id"]
        return found[:limit]

    async def named(self, conversation_id: str, fork_id: str) -> BranchFork | None:
        """See the port."""
        found = await self._database.first(
            db.BRANCHES, {"conversation_id": conversation_id, "alias_of": fork_id}
        )
        return await self._fork(found) if found else None

    async def origin(self, account_id: str, fork_id: str) -> str | None:
        """See the port."""
        for branch in await self._database.find(db.BRANCHES, {"alias_of": fork_id}):
            found = await self._database.get(db.CONVERSATIONS, branch["conversation_id"])
            if found is not None and found["owner_id"] == account_id and found["deleted"] is None:
                return str(found["_id"])
        return None

    async def after_items(self, account_id: str, items: Sequence[Item]) -> dict[str, list[str]]:
        """See the port."""
        wanted = {
            "base.segment_id": {"$in": sorted({item.segment_id for item in items})},
            "owner_id": account_id, "deleted": None,
        }  # fmt: skip
        among = {item.id for item in items}
        forks: dict[str, list[str]] = {}
        for one in await self._database.find(db.CONVERSATIONS, wanted, sort=ordered("_id")):
            item_id = one["base"]["item_id"]
            if item_id in among and await self._database.first(db.BRANCHES, {"alias_of": one["_id"]}):
                forks.setdefault(item_id, []).append(one["_id"])
        return forks

    async def trunk(self, conversation_id: str) -> Branch | None:
        """See the port."""
        wanted = {"conversation_id": conversation_id, "alias_of": None}
        found = await self._database.first(db.BRANCHES, wanted, sort=ordered("id"))
        return doc.branch(found) if found else None


class MongoAliases:
    """Port `Aliases`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def target(self, owner_id: str, alias: str) -> str | None:
        """See the port."""
        found = await self._database.get(db.ALIASES, doc.pair_id(owner_id, alias))
        return found["target_id"] if found else None

    async def of(self, owner_id: str, prefix: str, target_ids: Sequence[str]) -> dict[str, str]:
        """See the port."""
        wanted = {
            "target_id": {"$in": list(target_ids)}, "owner_id": owner_id,
            "alias": {"$gte": prefix, "$lt": prefix + END},
        }  # fmt: skip
        return {one["target_id"]: one["alias"] for one in await self._database.find(db.ALIASES, wanted)}

    async def last(self, owner_id: str, prefix: str) -> str | None:
        """See the port."""
        wanted = {"owner_id": owner_id, "alias": {"$gte": prefix, "$lt": prefix + END}}
        found = await self._database.first(
            db.ALIASES, wanted, sort=ordered("alias", descending=True), fields=["alias"]
        )
        return found["alias"] if found else None
