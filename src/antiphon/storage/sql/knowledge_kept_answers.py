"""Port of idempotency keys of knowledge: rows of `kept_answers`."""

from __future__ import annotations

from antiphon.domain.errors import Conflict
from antiphon.ports.kept_answers import KeptAnswer
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_store import KnowledgeStore


def put_key(db: Db, key: KeptAnswer | None) -> None:
    """Take a key, or raise Conflict `PutKey` if it is taken and has not expired."""
    if key is None:
        return
    put = db.execute(
        "INSERT INTO kept_answers (owner_id,name,slot,fingerprint,body,expires) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT (owner_id,name) DO UPDATE SET fingerprint=excluded.fingerprint,body=excluded.body,"
        "expires=excluded.expires WHERE kept_answers.expires<=?",
        (key.owner_id, key.name, key.slot, key.fingerprint, key.body, key.expires_us, key.created_us),
    )
    if put.rowcount < 1:
        raise Conflict("PutKey")


class SqlKeptAnswers:
    """Port `KeptAnswers`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def get(self, owner_id: str, name: str, now_us: int) -> KeptAnswer | None:
        """See the port."""
        return await self._store.read(_get, owner_id, name, now_us)

    async def forget(self, now_us: int, limit: int) -> int:
        """See the port."""
        return await self._store.write(("kept answers",), _forget, now_us, limit)


def _get(db: Db, owner_id: str, name: str, now_us: int) -> KeptAnswer | None:
    row = db.execute(
        "SELECT slot,fingerprint,body,expires FROM kept_answers WHERE owner_id=? AND name=? AND expires>?",
        (owner_id, name, now_us),
    ).fetchone()
    if row is None:
        return None
    slot, fingerprint, body, expires = row
    return KeptAnswer(
        owner_id=owner_id, slot=slot, name=name, fingerprint=fingerprint, body=body, created_us=now_us,
        expires_us=expires,
    )  # fmt: skip


def _forget(db: Db, now_us: int, limit: int) -> int:
    return db.execute(
        "DELETE FROM kept_answers WHERE (owner_id,name) IN"
        " (SELECT owner_id,name FROM kept_answers WHERE expires<=? LIMIT ?)",
        (now_us, limit),
    ).rowcount
