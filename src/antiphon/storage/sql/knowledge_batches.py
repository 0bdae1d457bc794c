"""Port of batches, counts and standing collections."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain import ids
from antiphon.domain.collections import Batch, Counts, Member
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_members import MEMBER, member_of
from antiphon.storage.sql.knowledge_store import KnowledgeStore


class SqlBatches:
    """Port `Batches`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def batch(self, account_id: str, collection_id: str, batch_id: str) -> Batch | None:
        """See the port."""
        return await self._store.read(_batch, account_id, collection_id, batch_id)

    async def cancel(self, account_id: str, collection_id: str, batch_id: str) -> None:
        """See the port."""
        await self._store.write((account_id,), _cancel, account_id, collection_id, batch_id)

    async def counts(self, collection_id: str, batch_id: str | None = None) -> Counts:
        """See the port."""
        return await self._store.read(_counts, collection_id, batch_id)

    async def of_file(self, file_id: str) -> Sequence[Member]:
        """See the port."""
        return await self._store.read(_of_file, file_id)

    async def standing(self, owner_id: str, target: str) -> tuple[str, ...]:
        """See the port."""
        return await self._store.read(_standing, owner_id, target)

    async def stand(self, owner_id: str, target: str, collection_ids: Sequence[str]) -> None:
        """See the port."""
        await self._store.write((owner_id,), _stand, owner_id, target, collection_ids)

    async def forget_owner(self, owner_id: str) -> None:
        """See the port."""
        await self._store.write((owner_id,), _forget_owner, owner_id)


def _batch(db: Db, account_id: str, collection_id: str, batch_id: str) -> Batch | None:
    row = db.execute(
        "SELECT slot,created,cancelled FROM batches WHERE id=? AND collection_id=? AND owner_id=?",
        (batch_id, collection_id, account_id),
    ).fetchone()
    if row is None:
        return None
    slot, created, cancelled = row
    return Batch(
        id=batch_id, collection_id=collection_id, owner_id=account_id, slot=slot, created_us=created,
        cancelled=bool(cancelled),
    )  # fmt: skip


def _cancel(db: Db, account_id: str, collection_id: str, batch_id: str) -> None:
    place = (batch_id, collection_id, account_id)
    db.execute("UPDATE batches SET cancelled=TRUE WHERE id=? AND collection_id=? AND owner_id=?", place)
    db.execute(
        "UPDATE members SET state='cancelled' WHERE batch_id=? AND collection_id=? AND owner_id=?"
        " AND state='in_progress'",
        place,
    )


def _counts(db: Db, collection_id: str, batch_id: str | None) -> Counts:
    column, value = ("batch_id", batch_id) if batch_id is not None else ("collection_id", collection_id)
    found = db.execute(
        "SELECT state,COUNT(*),CAST(SUM(usage_bytes) AS BIGINT) FROM members"
        f" WHERE {column}=? GROUP BY state",
        (value,),
    ).fetchall()
    numbers = {state: count for state, count, _ in found}
    return Counts(**numbers, usage_bytes=sum(usage for _, _, usage in found))


def _of_file(db: Db, file_id: str) -> list[Member]:
    found = db.execute(f"SELECT {MEMBER} FROM members WHERE file_id=? LIMIT 1000", (file_id,))
    return [member_of(row) for row in found]


def _standing(db: Db, owner_id: str, target: str) -> tuple[str, ...]:
    found = db.execute(
        "SELECT collection_id FROM standing WHERE owner_id=? AND target=? ORDER BY place", (owner_id, target)
    )
    return tuple(collection_id for (collection_id,) in found)


def _stand(db: Db, owner_id: str, target: str, collection_ids: Sequence[str]) -> None:
    db.execute("DELETE FROM standing WHERE owner_id=? AND target=?", (owner_id, target))
    db.executemany(
        "INSERT INTO standing (owner_id,target,place,slot,collection_id) VALUES (?,?,?,?,?)",
        [(owner_id, target, place, ids.slot_of(owner_id), one) for place, one in enumerate(collection_ids)],
    )


def _forget_owner(db: Db, owner_id: str) -> None:
    """Erase what else is left of an owner whose files, uploads and collections are gone."""
    for table in ("standing", "batches", "kept_answers"):
        db.execute(f"DELETE FROM {table} WHERE owner_id=?", (owner_id,))
