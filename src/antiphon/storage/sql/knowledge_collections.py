"""Port of collections: rows of `collections`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.collections import Collection, Member
from antiphon.ports.kept_answers import KeptAnswer
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_kept_answers import put_key
from antiphon.storage.sql.knowledge_members import put_members, remove_all
from antiphon.storage.sql.knowledge_store import KnowledgeStore
from antiphon.storage.sql.reads import keyset

COLLECTION: Final = "id,owner_id,slot,name,description,metadata,created,active,expires_after_days,expires"
DAY_US: Final = 24 * 3600 * 1_000_000


def collection_of(row: Any) -> Collection:
    """Return the collection in a row of the columns `COLLECTION`."""
    identifier, owner, slot, name, description, metadata, created, active, days, expires = row
    return Collection(
        id=identifier, owner_id=owner, slot=slot, name=name, description=description, metadata=metadata,
        created_us=created, active_us=active, expires_after_days=days, expires_us=expires,
    )  # fmt: skip


class SqlCollections:
    """Port `Collections`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def put(
        self, collection: Collection, members: Sequence[Member] = (), *, key: KeptAnswer | None = None
    ) -> None:
        """See the port."""
        await self._store.write((collection.owner_id,), _put, collection, members, key)

    async def change(self, collection: Collection) -> bool:
        """See the port."""
        return await self._store.write((collection.owner_id,), _change, collection)

    async def get(self, account_id: str, collection_id: str) -> Collection | None:
        """See the port."""
        return await self._store.read(_get, account_id, collection_id)

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool, before: str | None = None
    ) -> list[Collection]:
        """See the port."""
        return await self._store.read(_page, account_id, after, before, limit, descending)

    async def touch(self, account_id: str, collection_ids: Sequence[str], now_us: int) -> None:
        """See the port."""
        await self._store.write((account_id,), _touch, account_id, collection_ids, now_us)

    async def delete(self, account_id: str, collection_id: str) -> bool:
        """See the port."""
        return await self._store.write((account_id,), _delete, account_id, collection_id)

    async def empty(self, account_id: str, collection_id: str) -> None:
        """See the port."""
        await self._store.write((account_id,), _empty, account_id, collection_id)

    async def expired(self, now_us: int, limit: int) -> list[Collection]:
        """See the port."""
        return await self._store.read(_expired, now_us, limit)


def _put(db: Db, collection: Collection, members: Sequence[Member], key: KeptAnswer | None) -> None:
    put_key(db, key)
    db.execute(
        f"INSERT INTO collections ({COLLECTION}) VALUES (?,?,?,?,?,?,?,?,?,?)",
        msgspec.structs.astuple(collection),
    )
    put_members(db, members)


def _change(db: Db, one: Collection) -> bool:
    changed = db.execute(
        "UPDATE collections SET name=?,description=?,metadata=?,active=?,expires_after_days=?,expires=?"
        " WHERE id=? AND owner_id=?",
        (one.name, one.description, one.metadata, one.active_us, one.expires_after_days, one.expires_us,
         one.id, one.owner_id),
    )  # fmt: skip
    return changed.rowcount > 0


def _get(db: Db, account_id: str, collection_id: str) -> Collection | None:
    row = db.execute(
        f"SELECT {COLLECTION} FROM collections WHERE id=? AND owner_id=?", (collection_id, account_id)
    ).fetchone()
    return collection_of(row) if row else None


def _page(
    db: Db, account_id: str, after: str | None, before: str | None, limit: int, descending: bool
) -> list[Collection]:
    beyond, values = keyset("id", after, descending)
    ahead, more = keyset("id", before, not descending)
    turned = before is not None and after is None  # the last before a cursor are the first from it back
    found = db.execute(
        f"SELECT {COLLECTION} FROM collections WHERE owner_id=?{beyond}{ahead}"
        f" ORDER BY id {'DESC' if descending != turned else 'ASC'} LIMIT ?",
        (account_id, *values, *more, limit),
    )
    collections = [collection_of(row) for row in found]
    return collections[::-1] if turned else collections


def _touch(db: Db, account_id: str, collection_ids: Sequence[str], now_us: int) -> None:
    db.executemany(
        f"UPDATE collections SET active=?,expires=?+expires_after_days*{DAY_US}"
        " WHERE id=? AND owner_id=? AND (expires IS NULL OR expires>?)",
        [(now_us, now_us, one, account_id, now_us) for one in collection_ids],
    )


def _delete(db: Db, account_id: str, collection_id: str) -> bool:
    gone = db.execute("DELETE FROM collections WHERE id=? AND owner_id=?", (collection_id, account_id))
    if gone.rowcount < 1:
        return False
    remove_all(db, collection_id)
    db.execute("DELETE FROM standing WHERE collection_id=?", (collection_id,))
    return True


def _empty(db: Db, account_id: str, collection_id: str) -> None:
    if _get(db, account_id, collection_id) is not None:
        remove_all(db, collection_id)


def _expired(db: Db, now_us: int, limit: int) -> list[Collection]:
    found = db.execute(
        f"SELECT {COLLECTION} FROM collections c WHERE expires<=?"
        " AND EXISTS (SELECT 1 FROM members m WHERE m.collection_id=c.id) ORDER BY expires LIMIT ?",
        (now_us, limit),
    )
    return [collection_of(row) for row in found]
