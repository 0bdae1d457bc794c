"""Port `History` on documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.domain.chat_exports.chats import imported_model
from antiphon.domain.conversations import Conversation
from antiphon.domain.items import Position
from antiphon.ports.history import Said, SaidPage, Shown
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.conversations import MongoConversations
from antiphon.storage.mongo.database import Database, Document, ordered
from antiphon.storage.mongo.sharing import MongoMembers

MAX_BELOW: Final = 1_000
"""Segments looked at below an item for branches and forks that show it."""

Below = list[tuple[str, int]]
"""The segments on whose paths an item lies, each with the depth from which on it does."""


class MongoHistory:
    """Port `History`."""

    def __init__(self, database: Database, conversations: MongoConversations, members: MongoMembers) -> None:
        self._database = database
        self._conversations = conversations
        self._members = members

    async def messages(self, item_ids: Sequence[str]) -> list[Said]:
        """See the port."""
        found = await self._database.find(db.ITEMS, {"id": {"$in": list(item_ids)}, "type": "message"})
        return [said for one in found if (said := await self._said(one)) is not None]

    async def _said(self, item: Document) -> Said | None:
        segment = await self._database.get(db.SEGMENTS, item["segment_id"])
        if segment is None or item["type"] != "message":
            return None
        model = None
        if item["author_id"] is None and item["run_id"] is not None:
            run = await self._database.get(db.RUNS, item["run_id"])
            model = run["model"] if run else None
        if model is None and item["author_id"] is None:
            model = imported_model(item["payload"])
        return Said(
            item_id=item["id"], owner_id=item["owner_id"], conversation_id=segment["conversation_id"],
            role=item["role"], model=model, author_id=item["author_id"], created_us=item["created_us"],
            payload=item["payload"],
        )  # fmt: skip

    async def between(self, first: str, before: str, limit: int, max_bytes: int) -> SaidPage:
        """See the port."""
        page = await self._database.find(
            db.ITEMS, {"id": {"$gte": first, "$lt": before}}, sort=ordered("id", descending=True), limit=limit
        )
        found: list[Said] = []
        total = 0
        for item in page:
            if (said := await self._said(item)) is not None:
                found.append(said)
                total += len(said.payload)
            if total >= max_bytes:
                return SaidPage(found, item["id"])
        return SaidPage(found, page[-1]["id"] if len(page) == limit else None)

    async def shown(
        self, account_id: str, item_ids: Sequence[str], *, within: str | None = None
    ) -> list[Shown]:
        """See the port."""
        known: dict[str, Conversation | None] = {}
        found = [await self._shown(account_id, item_id, within, known) for item_id in item_ids]
        return [one for one in found if one is not None]

    async def _shown(
        self, account_id: str, item_id: str, within: str | None, known: dict[str, Conversation | None]
    ) -> Shown | None:
        item = await self._database.first(db.ITEMS, {"id": item_id})
        segment = await self._database.get(db.SEGMENTS, item["segment_id"]) if item else None
        if item is None or segment is None:
            return None
        position, home = doc.item(item).position, segment["conversation_id"]
        below = await self._below(position)
        seen = None
        if within is None or within == home:
            seen = await self._seen(account_id, home, known)
            seen = None if seen is not None and await self._is_hidden(seen.id, item_id) else seen
        if seen is None and within != home:
            seen = await self._fork(account_id, item_id, below, within, known)
        if seen is None or seen.owner_id != item["owner_id"]:
            return None
        branch_id = await self._branch(seen, below)
        return Shown(
            item_id=item_id, type=item["type"], position=position, conversation=seen, branch_id=branch_id
        )

    async def _is_hidden(self, conversation_id: str, item_id: str) -> bool:
        return await self._database.get(db.HIDDEN, doc.pair_id(conversation_id, item_id)) is not None

    async def _seen(
        self, account_id: str, conversation_id: str, known: dict[str, Conversation | None]
    ) -> Conversation | None:
        """Return a conversation as the account sees it, or None; each is read once."""
        if conversation_id not in known:
            own = await self._conversations.get(account_id, conversation_id)
            known[conversation_id] = own or await self._members.role(account_id, conversation_id)
        return known[conversation_id]

    async def _below(self, position: Position) -> Below:
        found: Below = [(position.segment_id, position.depth)]
        for segment_id, first in found:
            leaving = {"parent_id": segment_id, "fork_depth": {"$gte": first}}
            for one in await self._database.find(db.SEGMENTS, leaving, limit=MAX_BELOW, fields=["_id"]):
                if len(found) >= MAX_BELOW:
                    return found
                found.append((one["_id"], -1))
        return found

    async def _fork(
        self, account_id: str, item_id: str, below: Below, within: str | None,
        known: dict[str, Conversation | None],
    ) -> Conversation | None:  # fmt: skip
        """Return a living fork that shows an item and that the account sees, `within` if it is given."""
        for segment_id, first in below:
            wanted: Document = {
                "base.segment_id": segment_id, "base.depth": {"$gte": first}, "deleted": None
            }  # fmt: skip
            if within is not None:
                wanted["_id"] = within
            for one in await self._database.find(db.CONVERSATIONS, wanted, sort=ordered("_id")):
                if await self._is_hidden(one["_id"], item_id):
                    continue
                if (seen := await self._seen(account_id, one["_id"], known)) is not None:
                    return seen
        return None

    async def _branch(self, conversation: Conversation, below: Below) -> str | None:
        """Return a branch of a conversation on whose path an item lies, the active one if it does."""
        named: list[str] = []
        for segment_id, first in below:
            wanted = {
                "conversation_id": conversation.id, "head.segment_id": segment_id,
                "head.depth": {"$gte": first},
            }  # fmt: skip
            named += [one["id"] for one in await self._database.find(db.BRANCHES, wanted, fields=["id"])]
        if conversation.active_branch_id in named:
            return conversation.active_branch_id
        return min(named, default=None)

    async def origins(self, conversation_ids: Sequence[str], limit: int) -> list[str]:
        """See the port."""
        found: dict[str, None] = {}
        for conversation_id in conversation_ids:
            if len(found) >= limit:
                break
            conversation = await self._database.get(db.CONVERSATIONS, conversation_id)
            base = conversation["base"] if conversation else None
            segment_id = base["segment_id"] if base else None
            while segment_id is not None:
                segment = await self._database.get(db.SEGMENTS, segment_id)
                if segment is None:
                    break
                found[segment["conversation_id"]] = None
                segment_id = segment["parent_id"]
        return [one for one in found if one not in set(conversation_ids)][:limit]

    async def used(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int
    ) -> list[tuple[Conversation, Position]]:
        """See the port; looks at the owner's conversations, whose times of use have no index."""
        found = []
        for conversation in await self._conversations.latest(account_id, after=after, limit=limit):
            branch = await self._conversations.branch(conversation.id, conversation.active_branch_id)
            if branch is not None:
                found.append((conversation, branch.head))
        return found

    async def oldest_open_run_us(self) -> int | None:
        """See the port."""
        found = await self._database.first(
            db.RUNS, {"alive": True}, sort=ordered("created_us"), fields=["created_us"]
        )
        return found["created_us"] if found else None

    async def has_items(self, conversation_id: str) -> bool:
        """See the port."""
        wanted = {"conversation_id": conversation_id}
        return await self._database.first(db.SEGMENTS, wanted, fields=["_id"]) is not None
