"""Port of uploads in parts: rows of `uploads` and `upload_parts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.errors import Conflict
from antiphon.domain.files import File, Upload, UploadPart, Version
from antiphon.ports.kept_answers import KeptAnswer
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_files import put_file, require_room, unneeded
from antiphon.storage.sql.knowledge_kept_answers import put_key
from antiphon.storage.sql.knowledge_store import KnowledgeStore

UPLOAD: Final = (
    "id,owner_id,slot,filename,purpose,bytes,media_type,created,expires,file_expires_seconds,state,file_id"
)

Row = Any


class SqlUploads:
    """Port `Uploads`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def put(self, upload: Upload, *, key: KeptAnswer | None = None) -> None:
        """See the port."""
        await self._store.write((upload.owner_id,), _put_upload, upload, key)

    async def get(self, account_id: str, upload_id: str) -> Upload | None:
        """See the port."""
        return await self._store.read(_upload, account_id, upload_id)

    async def add_part(
        self, account_id: str, part: UploadPart, now_us: int, *, key: KeptAnswer | None = None,
        most_bytes: int = 0, most_parts: int = 4096,
    ) -> None:  # fmt: skip
        """See the port."""
        await self._store.write(
            (account_id,), _add_part, account_id, part, now_us, key, most_bytes, most_parts
        )

    async def parts(self, account_id: str, upload_id: str) -> Sequence[UploadPart]:
        """See the port."""
        return await self._store.read(_parts, account_id, upload_id)

    async def complete(
        self, account_id: str, upload_id: str, file: File, version: Version, *, key: KeptAnswer | None = None
    ) -> list[str]:
        """See the port."""
        return await self._store.write((account_id,), _complete, account_id, upload_id, file, version, key)

    async def cancel(self, account_id: str, upload_id: str) -> list[str]:
        """See the port."""
        return await self._store.write((account_id,), _end, account_id, upload_id, "cancelled", None)

    async def of_owner(self, owner_id: str, limit: int) -> list[Upload]:
        """See the port."""
        return await self._store.read(_of_owner, owner_id, limit)

    async def stale(self, now_us: int, limit: int) -> list[Upload]:
        """See the port."""
        return await self._store.read(_stale, now_us, limit)

    async def forget(self, upload_id: str) -> list[str]:
        """See the port."""
        owner_id = await self._store.read(_owner, upload_id)
        return await self._store.write((owner_id,), _forget, upload_id) if owner_id is not None else []


def _put_upload(db: Db, upload: Upload, key: KeptAnswer | None) -> None:
    put_key(db, key)
    db.execute(
        f"INSERT INTO uploads ({UPLOAD}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", msgspec.structs.astuple(upload)
    )


def _upload(db: Db, account_id: str, upload_id: str) -> Upload | None:
    row = db.execute(
        f"SELECT {UPLOAD} FROM uploads WHERE id=? AND owner_id=?", (upload_id, account_id)
    ).fetchone()
    return _upload_of(row) if row else None


def _upload_of(row: Row) -> Upload:
    (identifier, owner, slot, filename, purpose, size, media_type, created, expires, seconds, state,
     file_id) = row  # fmt: skip
    return Upload(
        id=identifier, owner_id=owner, slot=slot, filename=filename, purpose=purpose, bytes=size,
        media_type=media_type, created_us=created, expires_us=expires, file_expires_seconds=seconds,
        state=state, file_id=file_id,
    )  # fmt: skip


def _add_part(
    db: Db, account_id: str, part: UploadPart, now_us: int, key: KeptAnswer | None, most_bytes: int,
    most_parts: int,
) -> None:  # fmt: skip
    put_key(db, key)
    upload = _upload(db, account_id, part.upload_id)
    if upload is None or upload.state != "pending" or upload.expires_us <= now_us:
        raise Conflict("Upload")
    db.execute(
        "INSERT INTO upload_parts (upload_id,id,owner_id,slot,digest,bytes,created) VALUES (?,?,?,?,?,?,?)",
        (part.upload_id, part.id, account_id, upload.slot, part.digest, part.bytes, part.created_us),
    )
    count, total = db.execute(
        "SELECT COUNT(*),CAST(SUM(bytes) AS BIGINT) FROM upload_parts WHERE upload_id=?", (upload.id,)
    ).fetchone()
    if total > upload.bytes or count > most_parts:
        raise Conflict("Parts")
    require_room(db, account_id, most_bytes)


def _parts(db: Db, account_id: str, upload_id: str) -> list[UploadPart]:
    found = db.execute(
        "SELECT id,upload_id,digest,bytes,created FROM upload_parts WHERE upload_id=? AND owner_id=?"
        " ORDER BY id",
        (upload_id, account_id),
    )
    return [
        UploadPart(id=identifier, upload_id=upload, digest=digest, bytes=size, created_us=created)
        for identifier, upload, digest, size, created in found
    ]


def _complete(
    db: Db, account_id: str, upload_id: str, file: File, version: Version, key: KeptAnswer | None
) -> list[str]:
    put_key(db, key)
    put_file(db, file, version)
    return _end(db, account_id, upload_id, "completed", file.id)


def _end(db: Db, account_id: str, upload_id: str, state: str, file_id: str | None) -> list[str]:
    ended = db.execute(
        "UPDATE uploads SET state=?,file_id=? WHERE id=? AND owner_id=? AND state='pending'",
        (state, file_id, upload_id, account_id),
    )
    if ended.rowcount < 1:
        raise Conflict("Upload")
    return _drop_parts(db, account_id, upload_id)


def _drop_parts(db: Db, account_id: str, upload_id: str) -> list[str]:
    parts = db.execute("DELETE FROM upload_parts WHERE upload_id=? RETURNING digest", (upload_id,)).fetchall()
    return unneeded(db, account_id, {row[0] for row in parts})


def _of_owner(db: Db, owner_id: str, limit: int) -> list[Upload]:
    found = db.execute(f"SELECT {UPLOAD} FROM uploads WHERE owner_id=? LIMIT ?", (owner_id, limit))
    return [_upload_of(row) for row in found]


def _stale(db: Db, now_us: int, limit: int) -> list[Upload]:
    found = db.execute(
        f"SELECT {UPLOAD} FROM uploads WHERE expires<=? ORDER BY expires LIMIT ?", (now_us, limit)
    )
    return [_upload_of(row) for row in found]


def _owner(db: Db, upload_id: str) -> str | None:
    row = db.execute("SELECT owner_id FROM uploads WHERE id=?", (upload_id,)).fetchone()
    return row[0] if row else None


def _forget(db: Db, upload_id: str) -> list[str]:
    row = db.execute("DELETE FROM uploads WHERE id=? RETURNING owner_id", (upload_id,)).fetchone()
    return _drop_parts(db, row[0], upload_id) if row else []
