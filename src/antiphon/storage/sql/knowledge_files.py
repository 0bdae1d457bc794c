"""Port of files: rows of `files` and `versions`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from antiphon.domain.errors import Conflict
from antiphon.domain.files import File, Version
from antiphon.ports.kept_answers import KeptAnswer
from antiphon.storage.sql import knowledge_members
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_kept_answers import put_key
from antiphon.storage.sql.knowledge_store import KnowledgeStore
from antiphon.storage.sql.reads import keyset

FILE: Final = "id,owner_id,slot,filename,purpose,bytes,digest,version,created,expires,origin"
VERSION: Final = (
    "file_id,number,owner_id,digest,bytes,created,text_state,error,parser,media_type,language,title,"
    "characters,page_starts"
)
_STORED: Final = (
    "SELECT CAST(COALESCE(SUM(bytes),0) AS BIGINT) FROM (SELECT digest,bytes FROM versions WHERE owner_id=?"
    " UNION SELECT digest,bytes FROM upload_parts WHERE owner_id=?) AS kept"
)

Row = Any


def file_of(row: Row) -> File:
    """Return the file in a row of the columns `FILE`."""
    (identifier, owner, slot, filename, purpose, size, digest, version, created, expires, origin) = row
    return File(
        id=identifier, owner_id=owner, slot=slot, filename=filename, purpose=purpose, bytes=size,
        digest=digest, version=version, created_us=created, expires_us=expires, origin=origin,
    )  # fmt: skip


def version_of(row: Row) -> Version:
    """Return the version in a row of the columns `VERSION`."""
    (file_id, number, owner, digest, size, created, state, error, parser, media_type, language, title,
     characters, page_starts) = row  # fmt: skip
    return Version(
        file_id=file_id, number=number, owner_id=owner, digest=digest, bytes=size, created_us=created,
        text_state=state, error=error, parser=parser, media_type=media_type, language=language, title=title,
        characters=characters,
        page_starts=msgspec.msgpack.decode(page_starts, type=tuple[int, ...]) if page_starts else (),
    )  # fmt: skip


class SqlFiles:
    """Port `Files`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def put(
        self, file: File, version: Version, *, key: KeptAnswer | None = None, most_bytes: int = 0
    ) -> None:
        """See the port."""
        await self._store.write((file.owner_id,), _put, file, version, key, most_bytes)

    async def get(self, account_id: str, file_id: str) -> File | None:
        """See the port."""
        return await self._store.read(_get, account_id, file_id)

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool, purpose: str | None = None
    ) -> list[File]:
        """See the port."""
        return await self._store.read(_page, account_id, after, limit, descending, purpose)

    async def version(self, account_id: str, file_id: str, number: int) -> Version | None:
        """See the port."""
        return await self._store.read(version_in, account_id, file_id, number)

    async def delete(self, account_id: str, file_id: str) -> list[str] | None:
        """See the port."""
        return await self._store.write((account_id,), _delete, account_id, file_id)

    async def of_owner(self, owner_id: str, limit: int) -> list[File]:
        """See the port."""
        return await self._store.read(_of_owner, owner_id, limit)

    async def expired(self, now_us: int, limit: int) -> list[File]:
        """See the port."""
        return await self._store.read(_expired, now_us, limit)

    async def needs(self, account_id: str, digest: str) -> bool:
        """See the port."""
        return await self._store.read(_needs, account_id, digest)

    async def stored_bytes(self, account_id: str) -> int:
        """See the port."""
        return await self._store.read(_stored, account_id)


def _put(db: Db, file: File, version: Version, key: KeptAnswer | None, most_bytes: int) -> None:
    put_key(db, key)
    put_file(db, file, version)
    require_room(db, file.owner_id, most_bytes)


def put_file(db: Db, file: File, version: Version) -> None:
    """Write a new file, or a known one's next version; raises Conflict `PutFile`."""
    if version.number == 1:
        db.execute(
            f"INSERT INTO files ({FILE}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", msgspec.structs.astuple(file)
        )
    else:
        changed = db.execute(
            "UPDATE files SET filename=?,bytes=?,digest=?,version=?,origin=?"
            " WHERE id=? AND owner_id=? AND version=?",
            (file.filename, file.bytes, file.digest, file.version, file.origin, file.id, file.owner_id,
             version.number - 1),
        )  # fmt: skip
        if changed.rowcount < 1:
            raise Conflict("PutFile")
        knowledge_members.index_again(db, file.id, file.version)
    db.execute(
        f"INSERT INTO versions (slot,{VERSION}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (file.slot, *_version_values(version)),
    )


def encode_starts(page_starts: tuple[int, ...]) -> bytes | None:
    """Return the column `page_starts`."""
    return msgspec.msgpack.encode(page_starts) if page_starts else None


def _version_values(version: Version) -> tuple[Any, ...]:
    starts = encode_starts(version.page_starts)
    values = msgspec.structs.astuple(msgspec.structs.replace(version, page_starts=()))
    return (*values[:-1], starts)


def require_room(db: Db, owner_id: str, most_bytes: int) -> None:
    """Raise Conflict `Storage` if an owner has more than `most_bytes` stored (0: no limit)."""
    if most_bytes and _stored(db, owner_id) > most_bytes:
        raise Conflict("Storage")


def _stored(db: Db, owner_id: str) -> int:
    total: int = db.execute(_STORED, (owner_id, owner_id)).fetchone()[0]
    return total


def _now_us() -> int:
    """Return the time by which reads leave out what has expired."""
    return time.time_ns() // 1000


def _get(db: Db, account_id: str, file_id: str) -> File | None:
    row = db.execute(
        f"SELECT {FILE} FROM files WHERE id=? AND owner_id=? AND (expires IS NULL OR expires>?)",
        (file_id, account_id, _now_us()),
    ).fetchone()
    return file_of(row) if row else None


def _page(
    db: Db, account_id: str, after: str | None, limit: int, descending: bool, purpose: str | None
) -> list[File]:
    where, extra = keyset("id", after, descending)
    if purpose is not None:
        where, extra = f"{where} AND purpose=?", [*extra, purpose]
    found = db.execute(
        f"SELECT {FILE} FROM files WHERE owner_id=?{where} AND (expires IS NULL OR expires>?)"
        f" ORDER BY id {'DESC' if descending else 'ASC'} LIMIT ?",
        (account_id, *extra, _now_us(), limit),
    )
    return [file_of(row) for row in found]


def version_in(db: Db, account_id: str, file_id: str, number: int) -> Version | None:
    """See port `Files.version`."""
    row = db.execute(
        f"SELECT {VERSION} FROM versions WHERE file_id=? AND number=? AND owner_id=?",
        (file_id, number, account_id),
    ).fetchone()
    return version_of(row) if row else None


def _delete(db: Db, account_id: str, file_id: str) -> list[str] | None:
    if db.execute("DELETE FROM files WHERE id=? AND owner_id=?", (file_id, account_id)).rowcount < 1:
        return None
    digests = {row[0] for row in db.execute("SELECT digest FROM versions WHERE file_id=?", (file_id,))}
    db.execute("DELETE FROM versions WHERE file_id=?", (file_id,))
    db.execute("DELETE FROM text_slices WHERE file_id=?", (file_id,))
    knowledge_members.remove_file(db, file_id)
    return unneeded(db, account_id, digests)


def unneeded(db: Db, account_id: str, digests: Iterable[str]) -> list[str]:
    """Return those digests that no version and no part of an upload has."""
    return [digest for digest in sorted(digests) if not _needs(db, account_id, digest)]


def _needs(db: Db, account_id: str, digest: str) -> bool:
    row = db.execute(
        "SELECT EXISTS (SELECT 1 FROM versions WHERE owner_id=? AND digest=?)"
        " OR EXISTS (SELECT 1 FROM upload_parts WHERE owner_id=? AND digest=?)",
        (account_id, digest) * 2,
    ).fetchone()
    return bool(row[0])


def _of_owner(db: Db, owner_id: str, limit: int) -> list[File]:
    found = db.execute(f"SELECT {FILE} FROM files WHERE owner_id=? LIMIT ?", (owner_id, limit))
    return [file_of(row) for row in found]


def _expired(db: Db, now_us: int, limit: int) -> list[File]:
    found = db.execute(f"SELECT {FILE} FROM files WHERE expires<=? ORDER BY expires LIMIT ?", (now_us, limit))
    return [file_of(row) for row in found]
