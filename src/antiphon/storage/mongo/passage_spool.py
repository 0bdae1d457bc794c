"""Passages on their way between documents and the rows that stores in SQL have for them, on disk meanwhile.

A document holds what in SQL are a passage, its text and its vectors. A vector has a number in SQL: what came
from there keeps it, the others are numbered after those, in the order of what they are of.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.archives import Row, packed
from antiphon.domain.passages import NewPassage
from antiphon.storage.mongo.database import Document
from antiphon.storage.mongo.passage_documents import (
    document,
    floats,
    number_field,
    stored_vector,
    terms_of,
    vector_field,
)
from antiphon.storage.sql.knowledge_elsewhere import Place

PASSAGES, TEXTS, VECTORS = "passages", "passage_texts", "vectors"
KEPT: Final = (PASSAGES, TEXTS, VECTORS)
"""The tables whose rows are in documents."""

_SCHEMA: Final = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8192;
CREATE TABLE sources (no INTEGER PRIMARY KEY, owner TEXT, scope INTEGER, row BLOB);
CREATE TABLE passages (no INTEGER PRIMARY KEY, source INTEGER, hash BLOB, row BLOB);
CREATE INDEX passages_source ON passages (source);
CREATE INDEX passages_hash ON passages (hash);
CREATE TABLE texts (no INTEGER PRIMARY KEY, row BLOB);
CREATE TABLE vectors (owner TEXT, hash BLOB, model INTEGER, no INTEGER, data BLOB,
    PRIMARY KEY (owner, hash, model)) WITHOUT ROWID;
BEGIN;
"""
_ONE: Final = (
    "SELECT p.row,t.row,s.owner,s.scope,p.hash FROM passages p JOIN texts t ON t.no=p.no"
    " JOIN sources s ON s.no=p.source ORDER BY p.no"
)
_ROWS: Final = {
    PASSAGES: "SELECT p.row FROM passages p JOIN sources s ON s.no=p.source",
    TEXTS: "SELECT t.row FROM texts t JOIN passages p ON p.no=t.no JOIN sources s ON s.no=p.source",
}
_NEEDED: Final = (
    "SELECT v.no,v.owner,v.model,v.hash,v.data FROM vectors v WHERE EXISTS (SELECT 1 FROM passages p"
    " JOIN sources s ON s.no=p.source WHERE p.hash=v.hash AND s.owner=v.owner)"
)
_NUMBER: Final = (
    "UPDATE vectors SET no=given.no FROM (SELECT owner,hash,model,row_number() OVER"
    " (ORDER BY owner,hash,model)+(SELECT coalesce(max(no),0) FROM vectors) AS no FROM vectors"
    " WHERE no IS NULL) AS given"
    " WHERE (vectors.owner,vectors.hash,vectors.model)=(given.owner,given.hash,given.model)"
)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode

Fields = dict[str, Any]


class PassageSpool:
    """Rows and documents of passages, in a nameless file that ends with us."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Erase everything."""
        self._db.close()

    # --- sources, which are in SQL

    def changed(self, no: int, owner_id: str, scope_no: int, row: Row) -> bool:
        """Take a source; returns whether it is new here or another than before."""
        known = self._db.execute("SELECT row FROM sources WHERE no=?", (no,)).fetchone()
        now = packed(row)
        if known is not None and known[0] == now:
            return False
        self._db.execute("INSERT OR REPLACE INTO sources VALUES (?,?,?,?)", (no, owner_id, scope_no, now))
        return True

    def keep_sources(self, there: set[int]) -> None:
        """Forget the sources that are not there any more."""
        known = [no for (no,) in self._db.execute("SELECT no FROM sources")]
        self._db.executemany("DELETE FROM sources WHERE no=?", [(no,) for no in known if no not in there])

    def clear(self, source_no: int) -> None:
        """Forget the passages of a source."""
        self._db.execute("DELETE FROM passages WHERE source=?", (source_no,))

    # --- from documents to rows

    def take(self, found: Document) -> None:
        """Take a document."""
        title, body = terms_of(found)
        no, owner_id, digest = found["no"], found["owner"], bytes(found["hash"])
        row = {
            "no": no, "source_no": found["source"], "ordinal": found["ordinal"], "first": found["start"],
            "last": found["end"], "page": found["page"], "text_hash": digest, "item_id": found["item"],
            "role": found["role"], "model": found["model"], "author_id": found["author"],
            "created": found["created"],
        }  # fmt: skip
        text = {"no": no, "heading": found["heading"], "text": found["text"], "title": title, "body": body}
        self._put(PASSAGES, row)
        self._put(TEXTS, text)
        for model_no in found["embedded"]:
            number = found.get(number_field(model_no))
            self._put_vector(
                owner_id, digest, model_no, number, _halves(floats(found[vector_field(model_no)]))
            )

    def _put_vector(self, owner_id: str, digest: bytes, model_no: int, no: int | None, data: bytes) -> None:
        self._db.execute(
            "INSERT INTO vectors VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET no=coalesce(no,excluded.no)",
            (owner_id, digest, model_no, no, data),
        )

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        """Iterate over the rows of a table, of sources that there are."""
        if table == VECTORS:
            self._db.execute(_NUMBER)
            names = ("no", "owner_id", "model_no", "text_hash", "data")
            for found in self._db.execute(_NEEDED):
                fields = dict(zip(names, found, strict=True))
                yield [fields[name] for name in columns]
            return
        for (row,) in self._db.execute(_ROWS[table]):
            fields = _unpack(row)
            yield [fields[name] for name in columns]

    # --- from rows to documents

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Take rows of a table."""
        for row in rows:
            fields: Fields = dict(zip(columns, row, strict=True))
            if table == VECTORS:
                self._put_vector(
                    *(fields[one] for one in ("owner_id", "text_hash", "model_no", "no", "data"))
                )
            else:
                self._put(table, fields)

    def _put(self, table: str, fields: Fields) -> None:
        if table == TEXTS:
            self._db.execute("INSERT OR REPLACE INTO texts VALUES (?,?)", (fields["no"], _pack(fields)))
            return
        values = (fields["no"], fields["source_no"], fields["text_hash"], _pack(fields))
        self._db.execute("INSERT OR REPLACE INTO passages VALUES (?,?,?,?)", values)

    def documents(self) -> Iterator[Document]:
        """Iterate over passages as documents, with all that belongs to each."""
        for row, text, owner_id, scope_no, digest in self._db.execute(_ONE):
            made = _document(_unpack(row), _unpack(text), owner_id, scope_no)
            vectors = "SELECT model,no,data FROM vectors WHERE owner=? AND hash=? ORDER BY model"
            for model_no, no, data in self._db.execute(vectors, (owner_id, digest)):
                made[vector_field(model_no)] = stored_vector(data)
                made[number_field(model_no)] = no
                made["embedded"].append(model_no)
            yield made

    def last(self) -> int:
        """Return the highest number of a passage."""
        return int(self._db.execute("SELECT coalesce(max(no),0) FROM passages").fetchone()[0])


def _document(row: Fields, text: Fields, owner_id: str, scope_no: int) -> Document:
    one = NewPassage(
        ordinal=row["ordinal"], start=row["first"], end=row["last"], text=text["text"],
        heading=text["heading"], page=row["page"], title_terms=text["title"], body_terms=text["body"],
        item_id=row["item_id"] or None, role=row["role"], model=row["model"], author_id=row["author_id"],
        created_us=row["created"],
    )  # fmt: skip
    made = document(Place(row["source_no"], scope_no, owner_id), row["no"], one)
    made["hash"] = row["text_hash"]
    if terms_of(made) != (one.title_terms, one.body_terms):
        made |= {"title": one.title_terms, "body": one.body_terms}
    return made


def _halves(wide: bytes) -> bytes:
    """Return a vector's float32 as float16, which they were made of."""
    import numpy as np  # noqa: PLC0415 - heavy, and needed only where vectors are used

    return np.frombuffer(wide, "<f4").astype("<f2").tobytes()
