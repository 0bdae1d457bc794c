"""What the index writes: each function is one transaction's work, short enough for the writer."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.errors import Conflict
from antiphon.domain.ids import slot_of
from antiphon.domain.passages import NewPassage, Source
from antiphon.storage.sql import knowledge_index_vectors as vectors

Db = sqlite3.Connection

SLICE: Final = 32
"""Passages written or erased in one transaction, about 5 ms."""

TRACES: Final = "erased words"
DUE, GOING = b"due", b"going"
MERGED_PAGES: Final = 64
"""Pages of the word index that one write merges: about 10 ms."""

_TOUCH: Final = (
    "UPDATE sequence SET value=value+1",
    "UPDATE sources SET passages=passages+?,changed=(SELECT value FROM sequence) WHERE no=?",
    "UPDATE scopes SET seq=(SELECT value FROM sequence),total=total+? WHERE no=?",
)


class _Known(msgspec.Struct, frozen=True):
    no: int
    kind: str
    scope_no: int
    ref_id: str
    version: int
    state: str


def text_hash(heading: str, text: str) -> bytes:
    """Return what a vector is kept under: the SHA-256 of heading and text."""
    return hashlib.sha256(f"{heading}\0{text}".encode("utf-8", "surrogatepass")).digest()


def add(db: Db, source: Source, passages: Sequence[NewPassage]) -> None:
    """See port `PassageIndex.add`; at most SLICE passages."""
    known = _known(db, source.id) or _new_source(db, source)
    if known.state == "doomed":
        return
    if source.language is not None:  # which is known only when a document has been read to its end
        db.execute(
            "UPDATE sources SET title=?,language=? WHERE no=?", (source.title, source.language, known.no)
        )
    place = f"s{known.scope_no} d{known.no}"
    added = [row for one in passages if (row := _add_place(db, known.no, place, one))]
    db.executemany("INSERT INTO passage_texts(no,heading,text,place,title,body) VALUES(?,?,?,?,?,?)", added)
    db.executemany(
        "INSERT INTO words(rowid,place,title,body) VALUES(?,?,?,?)",
        [(row[0], *row[3:]) for row in added],
    )
    if added:
        _count(db, known, len(added))


def _count(db: Db, source: _Known, more: int) -> None:
    raise_sequence, of_source, of_scope = _TOUCH
    if source.state != "live":
        db.execute("UPDATE sources SET passages=passages+? WHERE no=?", (more, source.no))
        return
    db.execute(raise_sequence)
    db.execute(of_source, (more, source.no))
    db.execute(of_scope, (more, source.scope_no))


def _known(db: Db, source_id: str) -> _Known | None:
    row = db.execute(
        "SELECT no,kind,scope_no,ref_id,version,state FROM sources WHERE id=?", (source_id,)
    ).fetchone()
    return _Known(*row) if row else None


def _new_source(db: Db, source: Source) -> _Known:
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
    return _Known(row[0], source.kind, scope_no, source.ref_id, source.version, state)


def _add_place(db: Db, source_no: int, place: str, one: NewPassage) -> tuple[Any, ...] | None:
    cursor = db.execute(
        "INSERT INTO passages"
        "(source_no,ordinal,first,last,page,text_hash,item_id,role,model,author_id,created)"
        " VALUES(?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
        (
            source_no, one.ordinal, one.start, one.end, one.page, text_hash(one.heading, one.text),
            one.item_id or "", one.role, one.model, one.author_id, one.created_us,
        ),
    )  # fmt: skip
    if cursor.rowcount < 1:
        return None
    return (cursor.lastrowid, one.heading, one.text, place, one.title_terms, one.body_terms)


def publish(db: Db, source_id: str, replaces: str | None) -> bool:
    """See port `PassageIndex.publish`."""
    source = _known(db, source_id)
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


def sweep(db: Db, limit: int, owner_id: str | None = None) -> tuple[int, bool]:
    """Erase up to `limit` passages of one withdrawn source, of one owner if one is named.

    Where there are none, vectors of a retired model go that a dead process had begun to drop.
    Returns how many went and whether more may be left.
    """
    mine, values = ("", ()) if owner_id is None else (" AND owner_id=?", (owner_id,))
    row = db.execute(
        f"SELECT no,scope_no,owner_id FROM sources WHERE state='doomed'{mine} ORDER BY no LIMIT 1", values
    ).fetchone()
    if row is None:
        gone = 0 if owner_id is not None else vectors.drop(db, limit)
        return gone, gone == limit
    no, scope_no, owner = row
    found = db.execute("SELECT no,text_hash FROM passages WHERE source_no=? LIMIT ?", (no, limit)).fetchall()
    _erase(db, owner, found)
    if len(found) < limit:
        db.execute("DELETE FROM sources WHERE no=?", (no,))
        db.execute(
            "DELETE FROM scopes WHERE no=? AND NOT EXISTS (SELECT 1 FROM sources WHERE scope_no=?)",
            (scope_no, scope_no),
        )
    return len(found), True


def forget_items(db: Db, source_id: str, item_ids: Sequence[str], limit: int) -> int:
    """Erase up to `limit` passages of messages; returns how many went."""
    source = _known(db, source_id)
    if source is None:
        return 0
    owner = db.execute("SELECT owner_id FROM sources WHERE no=?", (source.no,)).fetchone()[0]
    found = db.execute(
        "SELECT no,text_hash FROM passages WHERE source_no=? AND item_id IN"
        f" ({','.join('?' * len(item_ids))}) LIMIT ?",
        (source.no, *item_ids, limit),
    ).fetchall()
    if found:
        _erase(db, owner, found)
        _count(db, source, -len(found))
    return len(found)


def _erase(db: Db, owner_id: str, found: Sequence[tuple[int, bytes]]) -> None:
    numbers = [(no,) for no, _ in found]
    db.executemany(
        "INSERT INTO words(words,rowid,place,title,body)"
        " SELECT 'delete',no,place,title,body FROM passage_texts WHERE no=?",
        numbers,
    )
    if numbers:
        mark(db, TRACES, DUE)
    db.executemany("DELETE FROM passage_texts WHERE no=?", numbers)
    db.executemany("DELETE FROM passages WHERE no=?", numbers)
    db.executemany(
        "DELETE FROM vectors WHERE owner_id=? AND text_hash=? AND NOT EXISTS (SELECT 1 FROM passages p"
        " JOIN sources s ON s.no=p.source_no WHERE p.text_hash=? AND s.owner_id=?)",
        [(owner_id, one, one, owner_id) for one in {one for _, one in found}],
    )


def erase_traces(db: Db) -> bool:
    """See port `IndexScopes.erase_traces`.

    FTS5 notes a deletion in a newer part and drops the words when parts are merged, which may be
    never; so all are merged into one, `MERGED_PAGES` at a time (fts5, "The 'merge' Command").
    """
    begun = db.execute("SELECT value FROM marks WHERE name=?", (TRACES,)).fetchone()
    if begun is None:
        return False
    before = db.total_changes
    pages = -MERGED_PAGES if begun[0] == DUE else MERGED_PAGES
    db.execute("INSERT INTO words(words,rank) VALUES('merge',?)", (pages,))
    more = db.total_changes - before > 1
    if more:
        mark(db, TRACES, GOING)
    else:
        db.execute("DELETE FROM marks WHERE name=?", (TRACES,))
    return more


def mark(db: Db, name: str, value: bytes) -> None:
    """See port `IndexScopes.mark`."""
    db.execute(
        "INSERT INTO marks(name,value) VALUES(?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
        (name, value),
    )
