"""The index's words on SQLite: FTS5 over the analysed terms, and what is written along with them.

The word leg reads only the postings of the scopes (or of the few sources) that are asked: their token is
part of the match and has no weight in the score.

Each transaction that changes words leaves a segment of them, and segments are merged, level by level. FTS5
does that by itself after 64 pages at a time, which holds the writer for 20 ms; so it is told not to (k0004),
and every transaction merges for what it writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from antiphon.domain.passages import Cut, IndexQuery, LegHit, NewPassage, Source
from antiphon.storage.sql import knowledge_index_messages as messages
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_search import TITLE_WEIGHT, history_conditions
from antiphon.storage.sql.knowledge_index_writes import (
    SLICE,
    SLICE_CHARACTERS,
    count,
    known_source,
    mark,
    new_source,
    text_hash,
)

FEW_SOURCES: Final = 64
"""So many are named in the match itself; more are looked up for each passage found."""
TRACES: Final = "erased words"
DUE, GOING = b"due", b"going"
MERGED_PAGES: Final = 64
"""Pages of the word index that one write merges to erase traces: about 5 ms."""

PAGE_CHARACTERS: Final = 4096
"""Characters of terms that make about one page."""

LEVEL_SEGMENTS: Final = 4
"""So many segments of one level are merged into one of the next (`usermerge`)."""

MOST_MERGED_PAGES: Final = 128
"""Pages that one write merges at most: about 8 ms."""

_SEGMENTS: Final = (
    "WITH RECURSIVE s(no) AS (SELECT MIN(segid) FROM words_idx UNION ALL"
    " SELECT (SELECT MIN(segid) FROM words_idx WHERE segid>no) FROM s WHERE no IS NOT NULL)"
    " SELECT COUNT(no) FROM s"
)

_WORDS: Final = (
    "SELECT w.rowid,-w.rank FROM words w CROSS JOIN passages p ON p.no=w.rowid"
    " CROSS JOIN sources s ON s.no=p.source_no"
    f" WHERE w.words MATCH ? AND w.rank MATCH 'bm25(0.0,{TITLE_WEIGHT},1.0)' AND s.state='live'"
)


_ERASED: Final = (
    "SELECT coalesce(sum(length(title)+length(body)),0) FROM passage_texts"
    " WHERE no IN (SELECT value FROM json_each(?))"
)


class FtsIndex:
    """`IndexEngine` on SQLite."""

    slice = SLICE
    slice_characters = SLICE_CHARACTERS

    def add(self, db: Db, source: Source, passages: Sequence[NewPassage]) -> None:
        """See the protocol."""
        _add(db, source, passages)

    def add_messages(self, db: Db, cuts: Sequence[Cut]) -> None:
        """See the protocol."""
        messages.add_messages(db, cuts)
        _merge(db, sum(_terms(one) for _, passages in cuts for one in passages))

    def erase(self, db: Db, numbers: Sequence[int]) -> None:
        """See the protocol."""
        _erase(db, numbers)

    def erase_all(self, db: Db) -> None:
        """See the protocol."""
        db.execute("INSERT INTO words(words) VALUES('delete-all')")
        for table in ("passage_texts", "passages"):
            db.execute(f"DELETE FROM {table}")

    def erase_traces(self, db: Db) -> bool:
        """See the protocol."""
        return _erase_traces(db)

    def put_vectors(
        self, db: Db, owner_id: str, model_no: int, vectors: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """See the protocol."""
        db.executemany(
            "INSERT INTO vectors(owner_id,model_no,text_hash,data) SELECT ?1,?2,?3,?4 WHERE EXISTS (SELECT 1"
            " FROM passages p JOIN sources s ON s.no=p.source_no WHERE p.text_hash=?3 AND s.owner_id=?1)"
            " ON CONFLICT DO NOTHING",
            [(owner_id, model_no, digest, data) for digest, data in vectors],
        )

    def words(
        self, db: Db, scopes: Sequence[int], sources: frozenset[int] | None, query: IndexQuery
    ) -> list[LegHit]:
        """See the protocol."""
        return _words(db, scopes, sources, query)


def _add(db: Db, source: Source, passages: Sequence[NewPassage]) -> None:
    known = known_source(db, source.id) or new_source(db, source)
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
        count(db, known, len(added))
        _merge(db, sum(map(_terms, passages)))


def _terms(one: NewPassage) -> int:
    return len(one.title_terms) + len(one.body_terms)


def _merge(db: Db, characters: int) -> None:
    """Merge what falls to a transaction that wrote so many characters of terms.

    With as many segments as there should be that is each page once for every level; with more it is more,
    so that they never become so many that FTS5 merges all of a level in one commit (`crisismerge`).
    """
    segments = db.execute(_SEGMENTS).fetchone()[0]
    pages = (1 + characters // PAGE_CHARACTERS) * segments // LEVEL_SEGMENTS
    if pages:
        db.execute("INSERT INTO words(words,rank) VALUES('merge',?)", (min(pages, MOST_MERGED_PAGES),))


def _add_place(db: Any, source_no: int, place: str, one: NewPassage) -> tuple[Any, ...] | None:
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


def _erase(db: Db, erased: Sequence[int]) -> None:
    numbers = [(no,) for no in sorted(erased)]  # FTS5 writes a segment wherever the next one is lower
    db.executemany(
        "INSERT INTO words(words,rowid,place,title,body)"
        " SELECT 'delete',no,place,title,body FROM passage_texts WHERE no=?",
        numbers,
    )
    if numbers:
        mark(db, TRACES, DUE)
        _merge(db, db.execute(_ERASED, (json.dumps(list(erased)),)).fetchone()[0])
    db.executemany("DELETE FROM passage_texts WHERE no=?", numbers)
    db.executemany("DELETE FROM passages WHERE no=?", numbers)


def _erase_traces(db: Any) -> bool:
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
    more: bool = db.total_changes - before > 1
    if more:
        mark(db, TRACES, GOING)
    else:
        db.execute("DELETE FROM marks WHERE name=?", (TRACES,))
    return more


def _words(db: Db, scopes: Sequence[int], sources: frozenset[int] | None, query: IndexQuery) -> list[LegHit]:
    """Return the best passages by Okapi BM25 (FTS5's: k1 1.2, b .75) over title and text."""
    terms = dict.fromkeys(term for alternative in query.terms for term in alternative.split())
    if not (terms or query.prefix) or not scopes or (sources is not None and not sources):
        return []
    few = sources is not None and len(sources) <= FEW_SOURCES
    places = [f"d{no}" for no in sorted(sources or ())] if few else [f"s{no}" for no in scopes]
    match = f"place : ({_any(places)}) AND {_wanted(terms, query)}"
    conditions, values = history_conditions(query.history)
    if sources is not None and not few:
        conditions += " AND s.no IN (SELECT value FROM json_each(?))"
        values.append(json.dumps(list(sources)))
    rows = db.execute(f"{_WORDS}{conditions} ORDER BY w.rank LIMIT ?", (match, *values, query.limit))
    return sorted((LegHit(*row) for row in rows), key=lambda hit: (-hit.score, hit.passage_id))


def _wanted(terms: Any, query: IndexQuery) -> str:
    """Return what the text must match."""
    found = [_quoted(term) for term in terms] + ([_quoted(query.prefix) + " *"] if query.prefix else [])
    parts = [" OR ".join(found), *(_any(phrase) for phrase in query.phrases)]
    match = " AND ".join(f"{{title body}} : ({part})" for part in parts)
    return f"({match}) NOT {{title body}} : ({_any(query.excluded)})" if query.excluded else match


def _any(terms: Any) -> str:
    return " OR ".join(map(_quoted, terms))


def _quoted(term: str) -> str:
    return '"' + term.replace('"', "") + '"'
