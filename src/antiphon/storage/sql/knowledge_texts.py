"""Port of the canonical texts: pieces of at most `PIECE` code points in `text_slices`."""

from __future__ import annotations

from typing import Final

from antiphon.domain.errors import Conflict
from antiphon.domain.files import Version
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_files import VERSION, encode_starts, version_of
from antiphon.storage.sql.knowledge_store import KnowledgeStore

PIECE: Final = 16_384
"""Code points a row holds: reading a quotation costs one or two rows, whatever slices came."""

_VERSION_OF: Final = "SELECT text_state FROM versions WHERE file_id=? AND number=? AND owner_id=?"


class SqlTexts:
    """Port `Texts`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def put_slice(self, owner_id: str, file_id: str, number: int, start: int, text: str) -> None:
        """See the port."""
        await self._store.write((owner_id,), _put_slice, owner_id, file_id, number, start, text)

    async def complete(self, version: Version) -> None:
        """See the port."""
        await self._store.write((version.owner_id,), _complete, version)

    async def read(self, account_id: str, file_id: str, number: int, start: int, end: int) -> str | None:
        """See the port."""
        return await self._store.read(_read, account_id, file_id, number, start, end)

    async def same_content(self, owner_id: str, digest: str, parser: str) -> Version | None:
        """See the port."""
        return await self._store.read(_same_content, owner_id, digest, parser)

    async def copy(self, owner_id: str, source: Version, version: Version) -> None:
        """See the port."""
        await self._store.write((owner_id,), _copy, owner_id, source, version)


def _put_slice(db: Db, owner_id: str, file_id: str, number: int, start: int, text: str) -> None:
    row = db.execute(_VERSION_OF, (file_id, number, owner_id)).fetchone()
    if row is None:
        raise Conflict("Version")
    if row[0] == "ready":
        return
    if start == 0:
        db.execute("DELETE FROM text_slices WHERE file_id=? AND number=?", (file_id, number))
    pieces = ((at, text[at : at + PIECE]) for at in range(0, len(text), PIECE))
    db.executemany(
        "INSERT INTO text_slices (file_id,number,start,length,text) VALUES (?,?,?,?,?)"
        " ON CONFLICT (file_id,number,start) DO UPDATE SET length=excluded.length,text=excluded.text",
        ((file_id, number, start + at, len(piece), piece.encode()) for at, piece in pieces),
    )


def _complete(db: Db, version: Version) -> None:
    _note(db, version, version)


def _note(db: Db, version: Version, known: Version) -> None:
    """Write what was learnt, unless the text is ready already; raises Conflict if the version is gone."""
    starts = encode_starts(known.page_starts)
    written = db.execute(
        "UPDATE versions SET text_state=?,error=?,parser=?,media_type=?,language=?,title=?,characters=?,"
        "page_starts=? WHERE file_id=? AND number=? AND owner_id=? AND text_state<>'ready'",
        (known.text_state, known.error, known.parser, known.media_type, known.language, known.title,
         known.characters, starts, version.file_id, version.number, version.owner_id),
    )  # fmt: skip
    if written.rowcount < 1:
        row = db.execute(_VERSION_OF, (version.file_id, version.number, version.owner_id)).fetchone()
        if row is None:
            raise Conflict("Version")


def _read(db: Db, account_id: str, file_id: str, number: int, start: int, end: int) -> str | None:
    if db.execute(_VERSION_OF, (file_id, number, account_id)).fetchone() is None:
        return None
    first = db.execute(
        "SELECT MAX(start) FROM text_slices WHERE file_id=? AND number=? AND start<=?",
        (file_id, number, start),
    ).fetchone()[0]
    if first is None or start >= end:
        return ""
    found = db.execute(
        "SELECT text FROM text_slices WHERE file_id=? AND number=? AND start>=? AND start<? ORDER BY start",
        (file_id, number, first, end),
    )
    text = "".join(row[0].decode() for row in found)
    return text[start - first : end - first]


def _same_content(db: Db, owner_id: str, digest: str, parser: str) -> Version | None:
    row = db.execute(
        f"SELECT {VERSION} FROM versions WHERE owner_id=? AND digest=? AND text_state='ready' AND parser=?"
        " LIMIT 1",
        (owner_id, digest, parser),
    ).fetchone()
    return version_of(row) if row else None


def _copy(db: Db, owner_id: str, source: Version, version: Version) -> None:
    row = db.execute(_VERSION_OF, (version.file_id, version.number, owner_id)).fetchone()
    if row is None:
        raise Conflict("Version")
    if row[0] == "ready":
        return
    target = (version.file_id, version.number)
    db.execute("DELETE FROM text_slices WHERE file_id=? AND number=?", target)
    db.execute(
        "INSERT INTO text_slices (file_id,number,start,length,text)"
        " SELECT ?,?,start,length,text FROM text_slices WHERE file_id=? AND number=?",
        (*target, source.file_id, source.number),
    )
    _note(db, version, source)
