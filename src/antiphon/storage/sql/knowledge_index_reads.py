"""Reads of the index other than the search itself; each runs in a reader thread."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.passages import Passage
from antiphon.ports.passage_index import Unembedded
from antiphon.storage.sql.database import Db

_ATTRIBUTES: Final = msgspec.json.Decoder(dict[str, str | int | float | bool])

_PASSAGE: Final = (
    "SELECT p.no,s.id,s.kind,c.scope,s.ref_id,s.version,p.ordinal,p.first,p.last,t.text,t.heading,p.page,"
    "nullif(p.item_id,''),p.role,p.model,p.author_id,p.created,m.attributes"
    " FROM passages p JOIN sources s ON s.no=p.source_no AND s.state='live' JOIN scopes c ON c.no=s.scope_no"
    " JOIN passage_texts t ON t.no=p.no"
    " LEFT JOIN members m ON m.collection_id=c.scope AND m.file_id=s.ref_id AND s.kind='file'"
)

NUMBERS: Final = "SELECT CAST(value AS INTEGER) FROM json_each(?)"
"""Numbers that are given as a JSON array."""

_HELD: Final = (
    "SELECT 1 FROM scopes c JOIN members m ON m.collection_id=c.scope AND m.file_id=s.ref_id"
    " WHERE c.no=s.scope_no AND m.state='in_progress' AND m.not_before>?"
)

_MISSING: Final = (
    "NOT EXISTS (SELECT 1 FROM vectors v WHERE v.owner_id=s.owner_id AND v.text_hash=p.text_hash"
    " AND v.model_no=(SELECT no FROM vector_models WHERE model=?))"
)


def embedded_text(heading: str, text: str) -> str:
    """Return what a vector is of: the text under its heading."""
    return f"{heading}\n{text}" if heading else text


def attributes(text: str | None) -> dict[str, str | float | bool]:
    """Return a member's attributes from their column."""
    return _ATTRIBUTES.decode(text) if text else {}


def _passage(row: tuple[Any, ...]) -> Passage:
    *fields, stored = row
    return Passage(**dict(zip(Passage.__struct_fields__, (*fields, attributes(stored)), strict=True)))


def passages(db: Db, scopes: Sequence[str], ids: Sequence[int]) -> list[Passage]:
    """See port `PassageIndex.passages`."""
    rows = db.execute(
        f"{_PASSAGE} WHERE p.no IN ({NUMBERS}) AND c.scope IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)), json.dumps(list(scopes))),
    )
    found = {row[0]: row for row in rows}
    return [_passage(found[one]) for one in ids if one in found]


def neighbours(db: Db, passage: Passage, before: int, after: int) -> list[Passage]:
    """See port `PassageIndex.neighbours`."""
    rows = db.execute(
        f"{_PASSAGE} WHERE s.id=? AND c.scope=? AND p.item_id=? AND p.ordinal BETWEEN ? AND ?"
        " ORDER BY p.ordinal",
        (
            passage.source_id, passage.scope, passage.item_id or "", passage.ordinal - before,
            passage.ordinal + after,
        ),
    )  # fmt: skip
    return [_passage(row) for row in rows]


def languages(db: Db, scopes: Sequence[str]) -> tuple[str, ...]:
    """See port `IndexScopes.languages`."""
    rows = db.execute(
        "SELECT DISTINCT coalesce(s.language,'') FROM scopes c"
        " JOIN sources s ON s.scope_no=c.no AND s.state='live'"
        " WHERE c.scope IN (SELECT value FROM json_each(?)) ORDER BY 1",
        (json.dumps(list(scopes)),),
    )
    return tuple(row[0] for row in rows)


def staged(db: Db, limit: int, free_at_us: int | None) -> list[str]:
    """See port `IndexScopes.staged`."""
    held, values = "", list[int]()
    if free_at_us is not None:
        held, values = f" AND NOT EXISTS ({_HELD})", [free_at_us]
    rows = db.execute(
        f"SELECT s.id FROM sources s WHERE s.state='staged'{held} ORDER BY s.no LIMIT ?", (*values, limit)
    )
    return [row[0] for row in rows]


def owners(db: Db, source_ids: Sequence[str]) -> dict[str, str]:
    """Return whose the sources are that there are."""
    rows = db.execute(
        "SELECT id,owner_id FROM sources WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(source_ids)),),
    )
    return {row[0]: row[1] for row in rows}


def doomed_owner(db: Db) -> str | None:
    """Return an owner of something that is to be erased."""
    row = db.execute("SELECT owner_id FROM sources WHERE state='doomed' ORDER BY no LIMIT 1").fetchone()
    return row[0] if row else None


def holding(db: Db, messages: Sequence[tuple[str, str]]) -> set[str]:
    """See port `IndexScopes.holding`."""
    find = (
        "SELECT 1 FROM sources s CROSS JOIN passages p ON p.source_no=s.no AND p.item_id=? AND p.ordinal=0"
        " WHERE s.id=?"
    )
    return {item for source, item in messages if db.execute(find, (item, source)).fetchone() is not None}


def marked(db: Db, name: str) -> bytes | None:
    """See port `IndexScopes.marked`."""
    row = db.execute("SELECT value FROM marks WHERE name=?", (name,)).fetchone()
    return row[0] if row else None


def marks(db: Db, beginning: str) -> dict[str, bytes]:
    """See port `IndexScopes.marks`."""
    rows = db.execute("SELECT name,value FROM marks WHERE name>=? AND name<?", (beginning, beginning + "~"))
    return {row[0]: row[1] for row in rows}


def missing(db: Db, model: str, source_id: str, limit: int) -> list[Unembedded]:
    """See port `Vectors.missing`."""
    rows = db.execute(
        "SELECT p.text_hash,min(t.heading),min(t.text) FROM sources s JOIN passages p ON p.source_no=s.no"
        f" JOIN passage_texts t ON t.no=p.no WHERE s.id=? AND s.state<>'doomed' AND {_MISSING}"
        " GROUP BY p.text_hash ORDER BY min(p.no) LIMIT ?",
        (source_id, model, limit),
    )
    return [Unembedded(digest, embedded_text(heading, text)) for digest, heading, text in rows]


def missing_after(db: Db, model: str, after: int, limit: int) -> list[tuple[int, str, Unembedded]]:
    """Return passages of live sources beyond the number `after` without a vector, with number and owner."""
    rows = db.execute(
        "SELECT p.no,s.owner_id,p.text_hash,t.heading,t.text FROM passages p"
        " CROSS JOIN sources s ON s.no=p.source_no AND s.state='live' CROSS JOIN passage_texts t ON t.no=p.no"
        f" WHERE p.no>? AND {_MISSING} ORDER BY p.no LIMIT ?",
        (after, model, limit),
    )
    return [
        (no, owner, Unembedded(digest, embedded_text(heading, text)))
        for no, owner, digest, heading, text in rows
    ]


def models(db: Db) -> dict[str, int]:
    """See port `Vectors.models`."""
    rows = db.execute(
        "SELECT m.model,count(*) FROM vector_models m JOIN vectors v ON v.model_no=m.no"
        " WHERE m.model IS NOT NULL GROUP BY m.no ORDER BY m.model"
    )
    return {row[0]: row[1] for row in rows}
