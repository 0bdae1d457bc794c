"""Writes passages of messages: those of many conversations in few statements.

A statement costs more than a row of it, and every one hands Python's lock over twice. So numbers
are given here and not by the database, rows go in by the dozen, and what changes once for a scope
or a source changes once for all that comes together.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import msgspec

from antiphon.domain.errors import Conflict
from antiphon.domain.ids import slot_of
from antiphon.domain.passages import Cut, Source
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_writes import text_hash

Row = tuple[Any, ...]

ROWS: Final = (64, 8, 1)
"""Rows of one statement: as many as there are, then fewer."""

_SOURCES: Final = (
    "INSERT INTO sources"
    "(no,id,kind,owner_id,slot,scope_no,ref_id,version,title,language,state,passages,changed)"
)
_PASSAGES: Final = (
    "INSERT INTO passages"
    "(no,source_no,ordinal,first,last,page,text_hash,item_id,role,model,author_id,created)"
)
_TEXTS: Final = "INSERT INTO passage_texts(no,heading,text,place,title,body)"
_WORDS: Final = (
    "INSERT INTO words(rowid,place,title,body) SELECT no,place,title,body FROM passage_texts WHERE no>?"
)


class _Place(msgspec.Struct):
    """Where a conversation's passages go."""

    no: int
    scope_no: int
    is_new: bool


def add_messages(db: Db, cuts: Sequence[Cut]) -> None:
    """See port `PassageIndex.add_messages`; all of it in one transaction."""
    places = _places(db, cuts)
    last = no = _last(db, "passages")
    passages: list[Row] = []
    texts: list[Row] = []
    for source, found in cuts:
        place = places.get(source.id)
        if place is None:
            continue
        terms = f"s{place.scope_no} d{place.no}"
        for one in found:
            no += 1
            passages.append((
                no, place.no, one.ordinal, one.start, one.end, one.page, text_hash(one.heading, one.text),
                one.item_id or "", one.role, one.model, one.author_id, one.created_us,
            ))  # fmt: skip
            texts.append((no, one.heading, one.text, terms, one.title_terms, one.body_terms))
    if _insert(db, _PASSAGES, passages) < len(passages):
        added = {row[0] for row in db.execute("SELECT no FROM passages WHERE no>?", (last,))}
        passages, texts = ([row for row in rows if row[0] in added] for rows in (passages, texts))
    _insert(db, _TEXTS, texts)
    db.execute(_WORDS, (last,))
    _count(db, cuts, places, Counter(row[1] for row in passages))


def _places(db: Db, cuts: Sequence[Cut]) -> dict[str, _Place]:
    """Return where the sources lie, with numbers for those that are new; without those being erased."""
    rows = db.execute(
        "SELECT id,no,scope_no,state,language FROM sources WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps([source.id for source, _ in cuts]),),
    )
    known: dict[str, Row] = {row[0]: row for row in rows}
    found: dict[str, _Place] = {}
    scopes: dict[str, int] = {}
    no = _last(db, "sources")
    for source, _ in cuts:
        row = known.get(source.id)
        if row is None:
            if source.scope not in scopes:
                scopes[source.scope] = _scope(db, source)
            no += 1
            found[source.id] = _Place(no, scopes[source.scope], True)
        elif row[3] == "live":
            found[source.id] = _Place(row[1], row[2], False)
            if source.language not in (None, row[4]):
                db.execute("UPDATE sources SET language=? WHERE no=?", (source.language, row[1]))
    return found


def _scope(db: Db, source: Source) -> int:
    find = "SELECT no,owner_id FROM scopes WHERE scope=?"
    row = db.execute(find, (source.scope,)).fetchone()
    if row is None:
        db.execute("INSERT INTO scopes(scope,owner_id) VALUES(?,?)", (source.scope, source.owner_id))
        row = db.execute(find, (source.scope,)).fetchone()
    if row[1] != source.owner_id:
        raise Conflict("The scope is another owner's.")
    no: int = row[0]
    return no


def _last(db: Db, table: str) -> int:
    """Return the highest number that was ever given in a table; the next one is free."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name=?", (table,)).fetchone()
    return row[0] if row else 0


def _count(db: Db, cuts: Sequence[Cut], places: dict[str, _Place], added: Counter[int]) -> None:
    """Write new sources with their counts, and raise those of others and of the scopes."""
    (now,) = db.execute("UPDATE sequence SET value=value+1 RETURNING value").fetchone()
    new = [
        (
            place.no, source.id, source.kind, source.owner_id, slot_of(source.id), place.scope_no,
            source.ref_id, source.version, source.title, source.language, "live", added[place.no], now,
        )
        for source, _ in cuts
        if (place := places.get(source.id)) is not None and place.is_new
    ]  # fmt: skip
    _insert(db, _SOURCES, new)
    grown = [one for one in places.values() if not one.is_new and added[one.no]]
    db.executemany(
        "UPDATE sources SET passages=passages+?,changed=? WHERE no=?",
        [(added[one.no], now, one.no) for one in grown],
    )
    totals = Counter[int]()
    for one in places.values():
        totals[one.scope_no] += added[one.no]
    db.executemany(
        "UPDATE scopes SET seq=?,total=total+? WHERE no=?",
        [(now, more, no) for no, more in totals.items() if more],
    )


def _insert(db: Db, into: str, rows: Sequence[Row]) -> int:
    """Insert rows but for those whose place is taken; returns how many were inserted."""
    done = inserted = 0
    for size in ROWS:
        while len(rows) - done >= size:
            values = list(chain.from_iterable(rows[done : done + size]))
            inserted += db.execute(_statement(into, len(rows[0]), size), values).rowcount
            done += size
    return inserted


@lru_cache
def _statement(into: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"{into} VALUES {','.join([row] * rows)} ON CONFLICT DO NOTHING"
