"""Ports `Members` and `Shares`: who shares what stands here, who they are in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from antiphon.domain.conversations import Conversation
from antiphon.domain.members import Member
from antiphon.domain.shares import ShareLink
from antiphon.ports.accounts import Accounts
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.database import Database, Document, keyset, ordered

MOST: Final = 10_000
"""Memberships of one account that are looked at for the last used."""
STANDING: Final = ("active", "disabled")
"""States of an owner whose conversations their members still see."""


class MongoMembers:
    """Port `Members`."""

    def __init__(self, database: Database, accounts: Accounts) -> None:
        self._database = database
        self._accounts = accounts

    async def _seen(self, member: Document | None) -> Conversation | None:
        """Return a conversation as one of its members sees it."""
        found = await self._database.get(db.CONVERSATIONS, member["conversation_id"]) if member else None
        if member is None or found is None or found["deleted"] is not None:
            return None
        owner = await self._accounts.get(found["owner_id"])
        if owner is None or owner.state not in STANDING:
            return None
        return msgspec.structs.replace(doc.conversation(found), role=member["role"], owner_name=owner.name)

    async def role(self, account_id: str, conversation_id: str) -> Conversation | None:
        """See the port."""
        return await self._seen(
            await self._database.get(db.MEMBERS, doc.pair_id(conversation_id, account_id))
        )

    async def of_run(self, account_id: str, run_id: str) -> Conversation | None:
        """See the port."""
        run = await self._database.get(db.RUNS, run_id)
        if run is None or run["deleted"] is not None or run["conversation_id"] is None:
            return None
        return await self.role(account_id, run["conversation_id"])

    async def of_item(self, account_id: str, item_id: str) -> Conversation | None:
        """See the port."""
        item = await self._database.first(db.ITEMS, {"id": item_id}, fields=["segment_id"])
        segment = await self._database.get(db.SEGMENTS, item["segment_id"]) if item else None
        return await self.role(account_id, segment["conversation_id"]) if segment else None

    async def shared_with(
        self, account_id: str, *, after: str | None, limit: int, descending: bool
    ) -> list[Conversation]:
        """See the port."""
        field, found = "conversation_id", list[Conversation]()
        while len(found) < limit:
            wanted = {"account_id": account_id, **keyset(field, after, descending=descending)}
            page = await self._database.find(
                db.MEMBERS, wanted, sort=ordered(field, descending=descending), limit=limit
            )
            found += [seen for one in page if (seen := await self._seen(one)) is not None]
            if len(page) < limit:
                break
            after = page[-1][field]
        return found[:limit]

    async def latest(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int
    ) -> list[Conversation]:
        """See the port; looks at all that the account is a member of."""
        found = await self.shared_with(account_id, after=None, limit=MOST, descending=False)
        seen = sorted(found, key=lambda one: (one.updated_us, one.id), reverse=True)
        return [one for one in seen if after is None or (one.updated_us, one.id) < after][:limit]

    async def page(self, conversation_id: str, *, after: str | None, limit: int) -> list[Member]:
        """See the port."""
        conversation = await self._database.get(db.CONVERSATIONS, conversation_id)
        if conversation is None:
            return []
        owner = _owner(conversation)
        found: list[Member] = []
        start = after
        while True:
            wanted = {"conversation_id": conversation_id, **keyset("account_id", after)}
            page = await self._database.find(db.MEMBERS, wanted, sort=ordered("account_id"), limit=limit)
            found += [member for one in page if (member := await self._member(one)) is not None]
            if len(page) < limit or len(found) >= limit:
                break
            after = page[-1]["account_id"]
        if (start is None or owner["account_id"] > start) and (member := await self._member(owner)):
            found.append(member)
        return sorted(found, key=lambda one: one.account_id)[:limit]

    async def get(self, conversation_id: str, account_id: str) -> Member | None:
        """See the port."""
        conversation = await self._database.get(db.CONVERSATIONS, conversation_id)
        if conversation is None:
            return None
        if conversation["owner_id"] == account_id:
            return await self._member(_owner(conversation))
        found = await self._database.get(db.MEMBERS, doc.pair_id(conversation_id, account_id))
        return await self._member(found) if found else None

    async def _member(self, found: Document) -> Member | None:
        account = await self._accounts.get(found["account_id"])
        if account is None:
            return None
        return Member(
            account_id=account.id, name=account.name, role=found["role"], created_us=found["created_us"]
        )

    async def left(self, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """See the port."""
        return {pair for pair in pairs if await self.role(*pair) is None}


def _owner(conversation: Document) -> Document:
    return {
        "account_id": conversation["owner_id"], "role": "owner", "created_us": conversation["created_us"]
    }  # fmt: skip


class MongoShares:
    """Port `Shares`."""

    def __init__(self, database: Database, accounts: Accounts) -> None:
        self._database = database
        self._accounts = accounts

    async def by_digest(self, digest: bytes, now_us: int) -> tuple[ShareLink, Conversation] | None:
        """See the port."""
        link = await self._database.first(db.SHARES, {"digest": digest})
        if link is None or link["revoked_us"] is not None or link["expires_us"] <= now_us:
            return None
        found = await self._database.get(db.CONVERSATIONS, link["conversation_id"])
        if found is None or found["deleted"] is not None:
            return None
        owner = await self._accounts.get(found["owner_id"])
        if owner is None or owner.state != "active":
            return None
        return doc.share(link), doc.conversation(found)

    async def get(self, conversation_id: str, share_id: str) -> ShareLink | None:
        """See the port."""
        link = await self._database.get(db.SHARES, share_id)
        if link is None or link["conversation_id"] != conversation_id or link["revoked_us"] is not None:
            return None
        return doc.share(link)

    async def page(self, conversation_id: str, *, after: str | None, limit: int) -> list[ShareLink]:
        """See the port."""
        wanted = {"conversation_id": conversation_id, "revoked_us": None, **keyset("_id", after)}
        found = await self._database.find(db.SHARES, wanted, sort=ordered("_id"), limit=limit)
        return [doc.share(one) for one in found]
