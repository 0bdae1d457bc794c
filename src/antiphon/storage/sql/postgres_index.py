"""The index on PostgreSQL: what is written, by the hundred rows a statement.

Numbers of passages rise within an owner, whose transactions take turns; what caches of vectors know of
a scope rests on that (`knowledge_index_matrix`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.errors import Conflict
from antiphon.domain.ids import slot_of
from antiphon.domain.passages import Cut, IndexQuery, LegHit, NewPassage, Source
from antiphon.storage.sql import postgres_words
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_writes import count, known_source, new_source, text_hash

_INSERT: Final = (
    "INSERT INTO passages (source_no,ordinal,first,last,page,text_hash,item_id,role,model,author_id,created,"
    "length,terms) SELECT u.a,u.b,u.c,u.d,u.e,u.f,u.g,u.h,u.i,u.j,u.k,u.l,"
    "array_to_tsvector(string_to_array(u.m,' ')) FROM unnest(CAST(? AS BIGINT[]),CAST(? AS BIGINT[]),"
    "CAST(? AS BIGINT[]),CAST(? AS BIGINT[]),CAST(? AS BIGINT[]),CAST(? AS BYTEA[]),CAST(? AS TEXT[]),"
    "CAST(? AS TEXT[]),CAST(? AS TEXT[]),CAST(? AS TEXT[]),CAST(? AS BIGINT[]),CAST(? AS INT[]),"
    "CAST(? AS TEXT[])) AS u(a,b,c,d,e,f,g,h,i,j,k,l,m) ON CONFLICT DO NOTHING"
    " RETURNING no,source_no,item_id,ordinal"
)
_TEXTS: Final = (
    "INSERT INTO passage_texts (no,heading,text,place,title,body) SELECT u.a,u.b,u.c,'',u.d,u.e"
    " FROM unnest(CAST(? AS BIGINT[]),CAST(? AS TEXT[]),CAST(? AS TEXT[]),CAST(? AS TEXT[]),"
    "CAST(? AS TEXT[])) AS u(a,b,c,d,e)"
)
_VECTORS: Final = (
    "INSERT INTO vectors (owner_id,model_no,text_hash,data) SELECT CAST(:owner AS VARCHAR),"
    "CAST(:model AS BIGINT),u.h,u.d FROM unnest(CAST(:hashes AS BYTEA[]),CAST(:data AS BYTEA[])) AS u(h,d)"
    " WHERE EXISTS (SELECT 1 FROM passages p JOIN sources s ON s.no=p.source_no"
    " WHERE p.text_hash=u.h AND s.owner_id=:owner) ON CONFLICT DO NOTHING"
)
_SOURCES: Final = (
    "INSERT INTO sources (id,kind,owner_id,slot,scope_no,ref_id,version,title,language,state)"
    " SELECT u.a,u.b,u.c,u.d,u.e,u.f,u.g,u.h,u.i,'live' FROM unnest(CAST(? AS TEXT[]),CAST(? AS TEXT[]),"
    "CAST(? AS TEXT[]),CAST(? AS SMALLINT[]),CAST(? AS BIGINT[]),CAST(? AS TEXT[]),CAST(? AS BIGINT[]),"
    "CAST(? AS TEXT[]),CAST(? AS TEXT[])) AS u(a,b,c,d,e,f,g,h,i) RETURNING no,id,scope_no"
)
_SCOPES: Final = (
    "INSERT INTO scopes (scope,owner_id) SELECT u.a,u.b FROM unnest(CAST(? AS TEXT[]),CAST(? AS TEXT[]))"
    " AS u(a,b) ON CONFLICT DO NOTHING"
)
_GROWN: Final = (
    "UPDATE sources SET passages=passages+u.more,changed=CAST(? AS BIGINT)"
    " FROM unnest(CAST(? AS BIGINT[]),CAST(? AS BIGINT[])) AS u(one,more) WHERE no=u.one"
)
_SEEN: Final = (
    "UPDATE scopes SET total=total+u.more,seq=CAST(? AS BIGINT)"
    " FROM unnest(CAST(? AS BIGINT[]),CAST(? AS BIGINT[])) AS u(one,more) WHERE no=u.one"
)

SLICE: Final = 256
"""Passages of a document written in one transaction; only their owner waits for it."""

SLICE_CHARACTERS: Final = 1 << 20

Placed = tuple["_Place", Sequence[NewPassage]]


class _Place(msgspec.Struct, frozen=True):
    """Where passages go."""

    no: int
    scope_no: int


class PostgresIndex:
    """`IndexEngine` on PostgreSQL."""

    slice = SLICE
    slice_characters = SLICE_CHARACTERS

    def add(self, db: Db, source: Source, passages: Sequence[NewPassage]) -> None:
        """See the protocol."""
        known = known_source(db, source.id) or new_source(db, source)
        if known.state == "doomed":
            return
        if source.language is not None:  # which is known only when a document has been read to its end
            db.execute(
                "UPDATE sources SET title=?,language=? WHERE no=?", (source.title, source.language, known.no)
            )
        added = _insert(db, [(_Place(known.no, known.scope_no), passages)])
        if added:
            count(db, known, sum(added.values()))

    def add_messages(self, db: Db, cuts: Sequence[Cut]) -> None:
        """See the protocol."""
        places = _places(db, cuts)
        added = _insert(db, [(places[source.id], found) for source, found in cuts if source.id in places])
        if not added:
            return
        now = db.execute("SELECT nextval('changes')").fetchone()[0]
        db.execute(_GROWN, (now, list(added), list(added.values())))
        totals = Counter[int]()
        for place in set(places.values()):
            totals[place.scope_no] += added[place.no]
        db.execute(_SEEN, (now, list(totals), list(totals.values())))

    def erase(self, db: Db, numbers: Sequence[int]) -> None:
        """See the protocol."""
        for table in ("passage_texts", "passages"):
            db.execute(f"DELETE FROM {table} WHERE no=ANY(CAST(? AS BIGINT[]))", (list(numbers),))

    def erase_all(self, db: Db) -> None:
        """See the protocol."""
        for table in ("passage_texts", "passages"):
            db.execute(f"DELETE FROM {table}")

    def erase_traces(self, db: Db) -> bool:
        """See the protocol: what is erased goes when PostgreSQL vacuums."""
        return False

    def put_vectors(
        self, db: Db, owner_id: str, model_no: int, vectors: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """See the protocol."""
        hashes, data = [one for one, _ in vectors], [one for _, one in vectors]
        db.execute(_VECTORS, {"owner": owner_id, "model": model_no, "hashes": hashes, "data": data})

    def words(
        self, db: Db, scopes: Sequence[int], sources: frozenset[int] | None, query: IndexQuery
    ) -> list[LegHit]:
        """See the protocol."""
        return postgres_words.words(db, scopes, sources, query)


def _insert(db: Db, placed: Sequence[Placed]) -> Counter[int]:
    """Insert passages but for those whose place is taken; returns how many each source got."""
    rows: list[tuple[Any, ...]] = []
    texts: dict[tuple[int, str, int], NewPassage] = {}
    for place, passages in placed:
        for one in passages:
            item_id = one.item_id or ""
            length, terms = postgres_words.lexemes(place.scope_no, one)
            texts.setdefault((place.no, item_id, one.ordinal), one)
            rows.append((
                place.no, one.ordinal, one.start, one.end, one.page, text_hash(one.heading, one.text),
                item_id, one.role, one.model, one.author_id, one.created_us, length, terms,
            ))  # fmt: skip
    if not rows:
        return Counter()
    inserted = db.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)]).fetchall()
    found = [(no, texts[source_no, item_id, ordinal]) for no, source_no, item_id, ordinal in inserted]
    columns = (
        [no for no, _ in found], [one.heading for _, one in found], [one.text for _, one in found],
        [one.title_terms for _, one in found], [one.body_terms for _, one in found],
    )  # fmt: skip
    db.execute(_TEXTS, columns)
    return Counter(source_no for _, source_no, _, _ in inserted)


def _places(db: Db, cuts: Sequence[Cut]) -> dict[str, _Place]:
    """Return where the sources lie, those that are new made; without those that are being erased."""
    rows = db.execute(
        "SELECT id,no,scope_no,state,language FROM sources WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps([source.id for source, _ in cuts]),),
    )
    known = {row[0]: row for row in rows}
    found = {row[0]: _Place(row[1], row[2]) for row in known.values() if row[3] == "live"}
    languages = {
        source.id: (source.language, known[source.id][1])
        for source, _ in cuts
        if source.id in found and source.language not in (None, known[source.id][4])
    }
    db.executemany("UPDATE sources SET language=? WHERE no=?", languages.values())
    new = {source.id: source for source, _ in cuts if source.id not in known}
    return found | _new_places(db, list(new.values())) if new else found


def _new_places(db: Db, sources: Sequence[Source]) -> dict[str, _Place]:
    owners = {source.scope: source.owner_id for source in sources}
    db.execute(_SCOPES, (list(owners), list(owners.values())))
    rows = db.execute(
        "SELECT scope,no,owner_id FROM scopes WHERE scope IN (SELECT value FROM json_each(?))",
        (json.dumps(list(owners)),),
    )
    scopes = {}
    for scope, no, owner_id in rows:
        if owners[scope] != owner_id:
            raise Conflict("The scope is another owner's.")
        scopes[scope] = no
    values = [
        (one.id, one.kind, one.owner_id, slot_of(one.id), scopes[one.scope], one.ref_id, one.version,
         one.title, one.language)
        for one in sources
    ]  # fmt: skip
    made = db.execute(_SOURCES, [list(column) for column in zip(*values, strict=True)])
    return {identifier: _Place(no, scope_no) for no, identifier, scope_no in made}
