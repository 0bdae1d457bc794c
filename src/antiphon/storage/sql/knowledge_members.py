"""Ports of the files in collections: rows of `members` and `batches`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.collections import Attributes, Batch, Chunking, Member, MemberState
from antiphon.domain.errors import Conflict
from antiphon.ports.kept_answers import KeptAnswer
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_kept_answers import put_key
from antiphon.storage.sql.knowledge_store import KnowledgeStore

MEMBER: Final = (
    "collection_id,file_id,id,owner_id,slot,attributes,max_tokens,overlap_tokens,automatic,state,error_code,"
    "error,usage_bytes,batch_id,version,source_id,duplicate_of,created,done,total,attempts,not_before"
)
_PLACES: Final = ",".join("?" * (MEMBER.count(",") + 1))
_AGAIN: Final = (
    "state='in_progress',error_code=NULL,error=NULL,done=0,total=0,attempts=0,not_before=0,duplicate_of=NULL"
)
"""Has a member indexed anew; what is searched now stays until then."""

_BEGINNABLE: Final = "state='in_progress' AND not_before<=?"
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def member_of(row: Any) -> Member:
    """Return the member in a row of the columns `MEMBER`."""
    (collection_id, file_id, identifier, owner_id, slot, attributes, max_tokens, overlap, automatic, state,
     error_code, error, usage, batch_id, version, source_id, duplicate_of, created, done, total, attempts,
     not_before) = row  # fmt: skip
    return Member(
        id=identifier, collection_id=collection_id, file_id=file_id, owner_id=owner_id, slot=slot,
        attributes=msgspec.json.decode(attributes), chunking=Chunking(max_tokens, overlap, bool(automatic)),
        state=state, error_code=error_code, error=error, usage_bytes=usage, batch_id=batch_id,
        version=version, source_id=source_id, duplicate_of=duplicate_of, created_us=created, done=done,
        total=total, attempts=attempts, not_before_us=not_before,
    )  # fmt: skip


def _attributes(attributes: Attributes) -> str:
    """Return attributes as they are stored: equal ones are equal texts."""
    return _encode(attributes).decode()


def _values(member: Member) -> tuple[Any, ...]:
    cut = member.chunking
    return (
        member.collection_id, member.file_id, member.id, member.owner_id, member.slot,
        _attributes(member.attributes), cut.max_tokens, cut.overlap_tokens, cut.automatic, member.state,
        member.error_code, member.error, member.usage_bytes, member.batch_id, member.version,
        member.source_id, member.duplicate_of, member.created_us, member.done, member.total, member.attempts,
        member.not_before_us,
    )  # fmt: skip


# --- what other verbs of knowledge do to members, within their transactions


def put_members(db: Db, members: Iterable[Member]) -> None:
    """Add files to their collections; raises Conflict `PutMembers` if one of them is gone."""
    for member in members:
        row = db.execute(
            "SELECT f.version FROM files f, collections c"
            " WHERE f.id=? AND f.owner_id=? AND c.id=? AND c.owner_id=f.owner_id",
            (member.file_id, member.owner_id, member.collection_id),
        ).fetchone()
        if row is None:
            raise Conflict("PutMembers")
        member = msgspec.structs.replace(member, version=row[0])
        known = _get(db, member.owner_id, member.collection_id, member.file_id)
        if known is None:
            db.execute(f"INSERT INTO members ({MEMBER}) VALUES ({_PLACES})", _values(member))
        else:
            _put_again(db, known, member)


def _put_again(db: Db, known: Member, new: Member) -> None:
    place = (known.collection_id, known.file_id)
    _divide(db, known, new.attributes)
    cut = new.chunking
    again = f",{_AGAIN}" if known.state != "completed" or (known.version, known.chunking) != (
        new.version, cut) else ""  # fmt: skip
    db.execute(
        "UPDATE members SET attributes=?,batch_id=?,version=?,max_tokens=?,overlap_tokens=?,automatic=?"
        f"{again} WHERE collection_id=? AND file_id=?",
        (_attributes(new.attributes), new.batch_id, new.version, cut.max_tokens, cut.overlap_tokens,
         cut.automatic, *place),
    )  # fmt: skip


def _divide(db: Db, member: Member, attributes: Attributes) -> None:
    """Have duplicates looked at again that will no longer have equal attributes."""
    if _attributes(attributes) == _attributes(member.attributes):
        return
    if member.duplicate_of is not None:
        db.execute(
            f"UPDATE members SET {_AGAIN} WHERE collection_id=? AND file_id=?",
            (member.collection_id, member.file_id),
        )
    _free_duplicates(db, member.collection_id, member.file_id)


def _free_duplicates(db: Db, collection_id: str, file_id: str) -> None:
    """Have the duplicates of a file indexed by themselves: its passages stand for them no longer."""
    db.execute(
        f"UPDATE members SET {_AGAIN} WHERE collection_id=? AND duplicate_of=?", (collection_id, file_id)
    )


def index_again(db: Db, file_id: str, version: int) -> None:
    """Have a file's new version indexed wherever it is a member; cancelled ones stay cancelled."""
    for (collection_id,) in db.execute("SELECT collection_id FROM members WHERE file_id=?", (file_id,)):
        _free_duplicates(db, collection_id, file_id)
    db.execute(f"UPDATE members SET {_AGAIN} WHERE file_id=? AND state<>'cancelled'", (file_id,))
    db.execute("UPDATE members SET version=? WHERE file_id=?", (version, file_id))


def remove_file(db: Db, file_id: str) -> None:
    """Take a file out of all collections; the index dooms the passages of members that go."""
    rows = db.execute("DELETE FROM members WHERE file_id=? RETURNING collection_id", (file_id,)).fetchall()
    for (collection_id,) in rows:
        _free_duplicates(db, collection_id, file_id)


def remove_all(db: Db, collection_id: str) -> None:
    """Take all files out of a collection."""
    db.execute("DELETE FROM members WHERE collection_id=?", (collection_id,))
    db.execute("DELETE FROM batches WHERE collection_id=?", (collection_id,))


# --- members


class SqlCollectionMembers:
    """Port `Members`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def put(
        self, members: Sequence[Member], batch: Batch | None = None, *, key: KeptAnswer | None = None
    ) -> None:
        """See the port."""
        await self._store.write(_owners(members, batch), _put, members, batch, key)

    async def get(self, account_id: str, collection_id: str, file_id: str) -> Member | None:
        """See the port."""
        return await self._store.read(_get, account_id, collection_id, file_id)

    async def page(
        self,
        account_id: str,
        collection_id: str,
        *,
        after: str | None,
        limit: int,
        descending: bool,
        before: str | None = None,
        state: MemberState | None = None,
        batch_id: str | None = None,
    ) -> list[Member]:
        """See the port."""
        wanted = {"state": state, "batch_id": batch_id}
        return await self._store.read(
            _page, account_id, collection_id, after, before, limit, descending, wanted
        )

    async def describe(
        self, account_id: str, collection_id: str, file_id: str, attributes: Attributes
    ) -> Member | None:
        """See the port."""
        return await self._store.write(
            (account_id,), _describe, account_id, collection_id, file_id, attributes
        )

    async def settle(self, member: Member) -> bool:
        """See the port."""
        return await self._store.write((member.owner_id,), _settle, member)

    async def remove(self, account_id: str, collection_id: str, file_id: str) -> bool:
        """See the port."""
        return await self._store.write((account_id,), _remove, account_id, collection_id, file_id)


def _owners(members: Sequence[Member], batch: Batch | None) -> tuple[str, ...]:
    return tuple({one.owner_id for one in (*members, *((batch,) if batch is not None else ()))})


def _put(db: Db, members: Sequence[Member], batch: Batch | None, key: KeptAnswer | None) -> None:
    put_key(db, key)
    if batch is not None:
        db.execute(
            "INSERT INTO batches (id,collection_id,owner_id,slot,created,cancelled) VALUES (?,?,?,?,?,?)",
            (batch.id, batch.collection_id, batch.owner_id, batch.slot, batch.created_us, batch.cancelled),
        )
    put_members(db, members)


def _get(db: Db, account_id: str, collection_id: str, file_id: str) -> Member | None:
    row = db.execute(
        f"SELECT {MEMBER} FROM members WHERE collection_id=? AND file_id=? AND owner_id=?",
        (collection_id, file_id, account_id),
    ).fetchone()
    return member_of(row) if row else None


def _page(
    db: Db, account_id: str, collection_id: str, after: str | None, before: str | None, limit: int,
    descending: bool, wanted: dict[str, str | None],
) -> list[Member]:  # fmt: skip
    where, values = "", list[Any]()
    for cursor, sign in ((after, "<" if descending else ">"), (before, ">" if descending else "<")):
        if cursor is not None:
            where += f" AND id{sign}(SELECT id FROM members WHERE collection_id=? AND file_id=?)"
            values += [collection_id, cursor]
    for column, value in wanted.items():
        if value is not None:
            where += f" AND {column}=?"
            values.append(value)
    turned = before is not None and after is None  # the last before a cursor are the first from it back
    by = "members_batch" if wanted["batch_id"] else "members_order"
    found = db.execute(
        f"SELECT {MEMBER} FROM members INDEXED BY {by} WHERE collection_id=? AND owner_id=?{where}"
        f" ORDER BY id {'DESC' if descending != turned else 'ASC'} LIMIT ?",
        (collection_id, account_id, *values, limit),
    )
    members = [member_of(row) for row in found]
    return members[::-1] if turned else members


def _describe(
    db: Db, account_id: str, collection_id: str, file_id: str, attributes: Attributes
) -> Member | None:
    known = _get(db, account_id, collection_id, file_id)
    if known is None:
        return None
    _divide(db, known, attributes)
    db.execute(
        "UPDATE members SET attributes=? WHERE collection_id=? AND file_id=?",
        (_attributes(attributes), collection_id, file_id),
    )
    return _get(db, account_id, collection_id, file_id)


def _settle(db: Db, member: Member) -> bool:
    cut = member.chunking
    if member.duplicate_of is not None and not _stands_for(db, member):
        return False
    written = db.execute(
        "UPDATE members SET state=?,error_code=?,error=?,usage_bytes=?,done=?,total=?,attempts=?,"
        "not_before=?,duplicate_of=? WHERE collection_id=? AND file_id=? AND id=? AND state='in_progress'"
        " AND version=? AND max_tokens=? AND overlap_tokens=? AND automatic=?",
        (member.state, member.error_code, member.error, member.usage_bytes, member.done, member.total,
         member.attempts, member.not_before_us, member.duplicate_of, member.collection_id, member.file_id,
         member.id, member.version, cut.max_tokens, cut.overlap_tokens, cut.automatic),
    )  # fmt: skip
    return written.rowcount > 0


def _stands_for(db: Db, member: Member) -> bool:
    """Whether the other file is still indexed, by itself, with the attributes that the member has now."""
    row = db.execute(
        "SELECT 1 FROM members o, members m WHERE o.collection_id=? AND o.file_id=? AND o.state='completed'"
        " AND o.duplicate_of IS NULL AND m.collection_id=? AND m.file_id=? AND m.attributes=o.attributes",
        (member.collection_id, member.duplicate_of, member.collection_id, member.file_id),
    ).fetchone()
    return row is not None


def _remove(db: Db, account_id: str, collection_id: str, file_id: str) -> bool:
    gone = db.execute(
        "DELETE FROM members WHERE collection_id=? AND file_id=? AND owner_id=?",
        (collection_id, file_id, account_id),
    )
    if gone.rowcount < 1:
        return False
    _free_duplicates(db, collection_id, file_id)
    return True


class SqlWaiting:
    """Port `Waiting`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def owner(self, after: str, now_us: int) -> str | None:
        """See the port."""
        return await self._store.read(_owner, after, now_us)

    async def next(self, owner_id: str, now_us: int, *, until_us: int = 0) -> Member | None:
        """See the port."""
        return await self._store.write((owner_id,), _next, owner_id, now_us, until_us)

    async def hold(self, member: Member, until_us: int) -> bool:
        """See the port."""
        return await self._store.write((member.owner_id,), _hold, member, until_us)

    async def twin(self, member: Member, digest: str) -> Member | None:
        """See the port."""
        return await self._store.read(_twin, member, digest)


def _owner(db: Db, after: str, now_us: int) -> str | None:
    row = db.execute(
        f"SELECT owner_id FROM members INDEXED BY members_waiting WHERE {_BEGINNABLE} AND owner_id>?"
        " ORDER BY owner_id LIMIT 1",
        (now_us, after),
    ).fetchone()
    return row[0] if row else None


def _next(db: Db, owner_id: str, now_us: int, until_us: int) -> Member | None:
    row = db.execute(
        f"SELECT {MEMBER} FROM members INDEXED BY members_waiting WHERE {_BEGINNABLE} AND owner_id=?"
        " ORDER BY id LIMIT 1",
        (now_us, owner_id),
    ).fetchone()
    if row is None:
        return None
    member = member_of(row)
    begun = msgspec.structs.replace(
        member, attempts=member.attempts + 1, not_before_us=until_us or member.not_before_us
    )
    db.execute(
        "UPDATE members SET attempts=?,not_before=? WHERE collection_id=? AND file_id=?",
        (begun.attempts, begun.not_before_us, member.collection_id, member.file_id),
    )
    return begun


def _hold(db: Db, member: Member, until_us: int) -> bool:
    cut = member.chunking
    held = db.execute(
        "UPDATE members SET not_before=? WHERE collection_id=? AND file_id=? AND id=? AND attempts=?"
        " AND state='in_progress' AND version=? AND max_tokens=? AND overlap_tokens=? AND automatic=?",
        (until_us, member.collection_id, member.file_id, member.id, member.attempts, member.version,
         cut.max_tokens, cut.overlap_tokens, cut.automatic),
    )  # fmt: skip
    return held.rowcount > 0


def _twin(db: Db, member: Member, digest: str) -> Member | None:
    cut = member.chunking
    named = ",".join(f"m.{column}" for column in MEMBER.split(","))
    row = db.execute(
        f"SELECT {named} FROM versions v JOIN members m ON m.file_id=v.file_id AND m.version=v.number"
        " WHERE v.owner_id=? AND v.digest=? AND m.collection_id=? AND m.file_id<>? AND m.state='completed'"
        " AND m.duplicate_of IS NULL AND m.attributes=? AND m.max_tokens=? AND m.overlap_tokens=?"
        " AND m.automatic=? LIMIT 1",
        (member.owner_id, digest, member.collection_id, member.file_id, _attributes(member.attributes),
         cut.max_tokens, cut.overlap_tokens, cut.automatic),
    ).fetchone()  # fmt: skip
    return member_of(row) if row else None
