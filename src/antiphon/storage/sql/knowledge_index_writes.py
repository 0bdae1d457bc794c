"""What the index writes: each function is one transaction's work, short enough for the writer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from antiphon.domain.errors import Conflict
from antiphon.domain.ids import slot_of
from antiphon.domain.passages import Source
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_engine import IndexEngine

SLICE: Final = 32
"""Passages written or erased in one transaction."""

SLICE_CHARACTERS: Final = 32 * 1024
"""What they may have together: with the merging of words that falls to them, 5 ms at most."""

_TOUCH: Final = (
    "UPDATE sequence SET value=value+1",
    "UPDATE sources SET passages=passages+?,words=words+?,changed=(SELECT value FROM sequence) WHERE no=?",
    "UPDATE scopes SET seq=(SELECT value FROM sequence),total=total+?,words=words+? WHERE no=?",
)


class Known(msgspec.Struct, frozen=True):
    """A source as it is stored."""

    no: int
    kind: str
    scope_no: int
    ref_id: str
    version: int
    state: str


def text_hash(heading: str, text: str) -> bytes:
    """Return what a vector is kept under: the SHA-256 of heading and text."""
    return hashlib.sha256(f"{heading}\0{text}".encode("utf-8", "surrogatepass")).digest()


def count(db: Db, source: Known, more: int, words: int = 0) -> None:
    """Note that a source has more passages, or fewer, and words where the engine does not count them."""
    raise_sequence, of_source, of_scope = _TOUCH
    if source.state != "live":
        db.execute(
            "UPDATE sources SET passages=passages+?,words=words+? WHERE no=?", (more, words, source.no)
        )
        return
    db.execute(raise_sequence)
    db.execute(of_source, (more, words, source.no))
    db.execute(of_scope, (more, words, source.scope_no))


def known_source(db: Db, source_id: str) -> Known | None:
    """Return a source, None if there is none."""
    row = db.execute(
        "SELECT no,kind,scope_no,ref_id,version,state FROM sources WHERE id=?", (source_id,)
    ).fetchone()
    return Known(*row) if row else None


def new_source(db: Db, source: Source) -> Known:
    """Keep a new source; raises Conflict if its scope is another owner's."""
    db.execute(
        "INSERT INTO scopes(scope,owner_id) VALUES(?,?) ON CONFLICT DO NOTHING",
        (source.scope, source.owner_id),
    )
    scope_no, owner_id = db.execute(
        "SELECT no,owner_id FROM scopes WHERE scope=?", (source.scope,)
    ).fetchone()
    if owner_id != source.owner_id:
        raise Conflict("The scope is another owner's.")
    state = "staged" if source.kind == "file" else "live"
    row = db.execute(
        "INSERT INTO sources(id,kind,owner_id,slot,scope_no,ref_id,version,title,language,state)"
        " VALUES(?,?,?,?,?,?,?,?,?,?) RETURNING no",
        (
            source.id, source.kind, source.owner_id, slot_of(source.id), scope_no, source.ref_id,
            source.version, source.title, source.language, state,
        ),
    ).fetchone()  # fmt: skip
    return Known(row[0], source.kind, scope_no, source.ref_id, source.version, state)


def publish(db: Db, source_id: str, replaces: str | None) -> bool:
    """See port `PassageIndex.publish`."""
    source = known_source(db, source_id)
    if source is None or source.state == "doomed":
        return False
    if source.state == "live":
        return True
    later = db.execute(
        "SELECT 1 FROM sources WHERE ref_id=? AND scope_no=? AND state='live' AND version>?",
        (source.ref_id, source.scope_no, source.version),
    ).fetchone()
    wanted = (
        later is None
        and db.execute(
            "UPDATE members SET source_id=? WHERE file_id=?"
            " AND collection_id=(SELECT scope FROM scopes WHERE no=?)",
            (source_id, source.ref_id, source.scope_no),
        ).rowcount
    )
    if not wanted:
        _doom(db, [source_id])
        return False
    db.execute(
        "UPDATE sources SET state='doomed' WHERE scope_no=? AND no<>? AND state='live'"
        " AND (ref_id=? OR id=?)",
        (source.scope_no, source.no, source.ref_id, replaces),
    )
    db.execute("UPDATE sources SET state='live' WHERE no=?", (source.no,))
    return True


def withdraw(db: Db, source_ids: Sequence[str]) -> None:
    """See port `PassageIndex.withdraw`."""
    _doom(db, source_ids)
    db.executemany(
        "UPDATE members SET source_id=NULL"
        " WHERE source_id=? AND file_id=(SELECT ref_id FROM sources WHERE id=?)",
        [(one, one) for one in source_ids],
    )


def _doom(db: Db, source_ids: Iterable[str]) -> None:
    db.executemany(
        "UPDATE sources SET state='doomed' WHERE id=? AND state<>'doomed'", [(one,) for one in source_ids]
    )


def doom_owner(db: Db, owner_id: str) -> None:
    """Make everything of an owner invisible."""
    db.execute("UPDATE sources SET state='doomed' WHERE owner_id=? AND state<>'doomed'", (owner_id,))


def sweep(db: Db, engine: IndexEngine, limit: int, owner_id: str) -> tuple[int, bool]:
    """Erase up to `limit` passages of one withdrawn source of an owner.

    Returns how many went and whether more may be left.
    """
    no = doomed(db, owner_id)
    if no is None:
        return 0, False
    rows = db.execute(
        "SELECT no,text_hash,last-first FROM passages WHERE source_no=? LIMIT ?", (no, limit)
    ).fetchall()
    found = _at_once(rows)
    _erase(db, engine, owner_id, found)
    if len(found) == len(rows) < limit:
        forget_source(db, no)
    return len(found), True


def doomed(db: Db, owner_id: str) -> int | None:
    """Return a withdrawn source of an owner, None if there is none."""
    row = db.execute(
        "SELECT no FROM sources WHERE state='doomed' AND owner_id=? ORDER BY no LIMIT 1", (owner_id,)
    ).fetchone()
    return row[0] if row else None


def forget_source(db: Db, no: int) -> None:
    """Erase a withdrawn source without passages, and its scope if there is nothing else in it."""
    row = db.execute("DELETE FROM sources WHERE no=? AND state='doomed' RETURNING scope_no", (no,)).fetchone()
    if row is not None:
        db.execute(
            "DELETE FROM scopes WHERE no=? AND NOT EXISTS (SELECT 1 FROM sources WHERE scope_no=?)",
            (row[0], row[0]),
        )


def forget_items(db: Db, engine: IndexEngine, source_id: str, item_ids: Sequence[str]) -> tuple[int, bool]:
    """Erase some passages of messages; returns how many went and whether more may be left."""
    source = known_source(db, source_id)
    if source is None:
        return 0, False
    owner = db.execute("SELECT owner_id FROM sources WHERE no=?", (source.no,)).fetchone()[0]
    rows = db.execute(
        "SELECT no,text_hash,last-first FROM passages WHERE source_no=? AND item_id IN"
        f" ({','.join('?' * len(item_ids))}) LIMIT ?",
        (source.no, *item_ids, SLICE),
    ).fetchall()
    found = _at_once(rows)
    if found:
        _erase(db, engine, owner, found)
        count(db, source, -len(found))
    return len(found), len(found) < len(rows) or len(rows) == SLICE


def _at_once(rows: Sequence[tuple[int, bytes, int]]) -> list[tuple[int, bytes]]:
    """Return those of some passages, given with their lengths, that one transaction erases."""
    found: list[tuple[int, bytes]] = []
    characters = 0
    for no, digest, length in rows:
        characters += length
        if found and characters > SLICE_CHARACTERS:
            break
        found.append((no, digest))
    return found


def _erase(db: Db, engine: IndexEngine, owner_id: str, found: Sequence[tuple[int, bytes]]) -> None:
    engine.erase(db, [no for no, _ in found])
    db.executemany(
        "DELETE FROM vectors WHERE owner_id=? AND text_hash=? AND NOT EXISTS (SELECT 1 FROM passages p"
        " JOIN sources s ON s.no=p.source_no WHERE p.text_hash=? AND s.owner_id=?)",
        [(owner_id, one, one, owner_id) for one in {one for _, one in found}],
    )


def mark(db: Db, name: str, value: bytes) -> None:
    """See port `IndexScopes.mark`."""
    db.execute(
        "INSERT INTO marks(name,value) VALUES(?,?) ON CONFLICT (name) DO UPDATE SET value=excluded.value",
        (name, value),
    )


def take_mark(db: Db, name: str, value: bytes, into: str, mine: bytes) -> bool:
    """See port `IndexScopes.take_mark`."""
    if db.execute("DELETE FROM marks WHERE name=? AND value=?", (name, value)).rowcount < 1:
        return False
    mark(db, into, mine)
    return True
