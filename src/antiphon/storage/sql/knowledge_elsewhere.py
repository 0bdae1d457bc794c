"""The catalogue of an index whose passages lie elsewhere: sources, counts, and numbers of passages.

A source is a row in SQL, and so is whether it is seen: passages of one that is not published, or withdrawn,
are found by nobody. So a row is written before the first passage, and goes after the last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.passages import Cut, Source
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_engine import IndexEngine
from antiphon.storage.sql.knowledge_index_reads import NUMBERS, attributes, marked
from antiphon.storage.sql.knowledge_index_writes import (
    count,
    known_source,
    mark,
    new_source,
)

GIVEN: Final = "passage numbers"
"""The mark that holds the last number given to a passage, and whose turn it is to give more."""

PAIR: Final = "passages pair"
KEPT: Final = "passages kept"
"""Marks: the name that both stores know each other by, and where passages are."""
HERE, MONGODB = "sql", "mongodb"

_AGAIN: Final = (
    "UPDATE members SET source_id=NULL,duplicate_of=NULL,state='in_progress',error_code=NULL,error=NULL,"
    "done=0,total=0,attempts=0,not_before=0 WHERE state='completed' OR source_id IS NOT NULL"
)

Counted = Mapping[int, tuple[int, int]]
"""Passages and words by source."""


class Place(msgspec.Struct, frozen=True):
    """Where passages go: a source in the catalogue, its scope and its owner."""

    source_no: int
    scope_no: int
    owner_id: str


class Reserved(msgspec.Struct, frozen=True):
    """Where passages go, the first of their numbers, and the models there are vectors of."""

    places: dict[str, Place]
    first: int
    models: tuple[int, ...]


def reserve(db: Db, source: Source, size: int) -> Reserved | None:
    """Make a source if it is new and give numbers to its next passages; None if it was withdrawn."""
    known = known_source(db, source.id) or new_source(db, source)
    if known.state == "doomed":
        return None
    if source.language is not None:  # which is known only when a document has been read to its end
        db.execute(
            "UPDATE sources SET title=?,language=? WHERE no=?", (source.title, source.language, known.no)
        )
    place = Place(known.no, known.scope_no, source.owner_id)
    return Reserved({source.id: place}, _give(db, size), _models(db))


def reserve_messages(db: Db, cuts: Sequence[Cut]) -> Reserved:
    """Make the sources of conversations that are new; those that were withdrawn are left out."""
    rows = db.execute(
        "SELECT id,no,scope_no,state,language FROM sources WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps([source.id for source, _ in cuts]),),
    )
    known = {row[0]: tuple(row[1:]) for row in rows}
    places: dict[str, Place] = {}
    for source, _ in cuts:
        if source.id not in known:
            made = new_source(db, source)
            known[source.id] = (made.no, made.scope_no, made.state, source.language)
        no, scope_no, state, language = known[source.id]
        if state != "live":
            continue
        places[source.id] = Place(no, scope_no, source.owner_id)
        if source.language not in (None, language):
            db.execute("UPDATE sources SET language=? WHERE no=?", (source.language, no))
    size = sum(len(passages) for source, passages in cuts if source.id in places)
    return Reserved(places, _give(db, size), _models(db))


def _give(db: Db, size: int) -> int:
    """Give numbers to passages and return the first; numbers are never given twice."""
    if not size:
        return 0
    last = int(marked(db, GIVEN) or 0)
    mark(db, GIVEN, str(last + size).encode())
    return last + 1


def _models(db: Db) -> tuple[int, ...]:
    return tuple(row[0] for row in db.execute("SELECT no FROM vector_models WHERE model IS NOT NULL"))


def add_counts(db: Db, source_id: str, passages: int, words: int) -> bool:
    """Note that a document's source has more passages; False if it is gone."""
    known = known_source(db, source_id)
    if known is not None:
        count(db, known, passages, words)
    return known is not None


def set_counts(db: Db, counted: Counted) -> set[int]:
    """Note how many passages conversations' sources have, and that they changed; returns those there are."""
    rows = db.execute(
        f"SELECT no,id,passages,words FROM sources WHERE no IN ({NUMBERS})", (json.dumps(list(counted)),)
    ).fetchall()
    for no, source_id, passages, words in rows:
        known = known_source(db, source_id)
        if known is not None:
            count(db, known, counted[no][0] - passages, counted[no][1] - words)
    return {row[0] for row in rows}


def touch(db: Db, sources: Sequence[int]) -> None:
    """Note that passages of sources got vectors, so that every server reads them."""
    rows = db.execute(f"SELECT id FROM sources WHERE no IN ({NUMBERS})", (json.dumps(list(sources)),))
    for (source_id,) in rows.fetchall():
        known = known_source(db, source_id)
        if known is not None:
            count(db, known, 0)


def there(db: Db, sources: Sequence[int]) -> set[int]:
    """Return those of some sources that have a row."""
    rows = db.execute(f"SELECT no FROM sources WHERE no IN ({NUMBERS})", (json.dumps(list(sources)),))
    return {row[0] for row in rows}


def live(db: Db, sources: Sequence[int]) -> set[int]:
    """Return those of some sources that are seen."""
    rows = db.execute(
        f"SELECT no FROM sources WHERE state='live' AND no IN ({NUMBERS})", (json.dumps(list(sources)),)
    )
    return {row[0] for row in rows}


def numbers(db: Db, source_ids: Sequence[str]) -> dict[str, int]:
    """Return the numbers of sources that are not withdrawn."""
    rows = db.execute(
        "SELECT id,no FROM sources WHERE state<>'doomed' AND id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(source_ids)),),
    )
    return {row[0]: row[1] for row in rows}


def catalogued(
    db: Db, scopes: Sequence[str], sources: Sequence[int]
) -> dict[int, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return what the catalogue has of sources that are seen in some scopes, each with its attributes."""
    rows = db.execute(
        "SELECT s.no,s.id,s.kind,c.scope,s.ref_id,s.version,m.attributes FROM sources s"
        " JOIN scopes c ON c.no=s.scope_no LEFT JOIN members m ON m.collection_id=c.scope"
        " AND m.file_id=s.ref_id AND s.kind='file'"
        f" WHERE s.state='live' AND s.no IN ({NUMBERS}) AND c.scope IN (SELECT value FROM json_each(?))",
        (json.dumps(list(sources)), json.dumps(list(scopes))),
    )
    return {row[0]: (tuple(row[1:6]), attributes(row[6])) for row in rows}


def changes(db: Db, scopes: Sequence[int]) -> dict[int, int]:
    """Return the numbers of the last changes of scopes that there are."""
    rows = db.execute(f"SELECT no,seq FROM scopes WHERE no IN ({NUMBERS})", (json.dumps(list(scopes)),))
    return {row[0]: row[1] for row in rows}


def model_number(db: Db, model: str) -> int | None:
    """Return a model's number, None if there is no vector of it."""
    row = db.execute("SELECT no FROM vector_models WHERE model=?", (model,)).fetchone()
    return row[0] if row else None


def models(db: Db) -> dict[str, int]:
    """Return the numbers of models."""
    return {row[0]: row[1] for row in db.execute(
        "SELECT model,no FROM vector_models WHERE model IS NOT NULL ORDER BY model"
    )}  # fmt: skip


def retired(db: Db) -> list[int]:
    """Return the numbers of models whose vectors are to be erased."""
    return [row[0] for row in db.execute("SELECT no FROM vector_models WHERE model IS NULL ORDER BY no")]


def forget_model(db: Db, model_no: int) -> None:
    """Erase a retired model without vectors."""
    db.execute("DELETE FROM vector_models WHERE no=? AND model IS NULL", (model_no,))


def kept_in(db: Db) -> str:
    """Return where passages are: `HERE` or `MONGODB`."""
    return MONGODB if _marked(db, KEPT) == MONGODB else HERE


def is_empty(db: Db) -> bool:
    """Whether nothing was indexed yet."""
    return db.execute("SELECT 1 FROM sources LIMIT 1").fetchone() is None


def pair(db: Db) -> str | None:
    """Return the name by which this store and the one of its passages know each other."""
    return _marked(db, PAIR)


def make_pair(db: Db, name: str) -> str:
    """Give the store a name unless it has one; returns the one it has."""
    known = _marked(db, PAIR)
    if known is None:
        mark(db, PAIR, name.encode())
    return known or name


def _marked(db: Db, name: str) -> str | None:
    value = marked(db, name)
    return None if value is None else value.decode()


def move(db: Db, engine: IndexEngine, place: str, *, lost: bool = False) -> bool:
    """Have passages in another place, where everything is indexed again; False if they are there.

    With `lost` also if they are: the place has lost them. Files, collections and texts stay as they are;
    numbers go on, so that what is left in the old place is never taken for something new.
    """
    if kept_in(db) == place and not lost:
        return False
    engine.erase_all(db)
    for table in ("vectors", "vector_models", "sources", "scopes"):
        db.execute(f"DELETE FROM {table}")
    db.execute("DELETE FROM marks WHERE name NOT IN (?,?)", (GIVEN, PAIR))
    db.execute(_AGAIN)
    mark(db, KEPT, place.encode())
    return True
