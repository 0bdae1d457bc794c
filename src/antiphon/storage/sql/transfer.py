"""What of the SQL stores exports and imports move: tables, and the statements that both engines understand.

A table that a schema has is in `TABLES` or in `LEFT_OUT`; a test holds that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.domain.archives import BadArchive, Table
from antiphon.storage.sql.migrate import CONVERSATIONS, KNOWLEDGE, revisions

TABLES: Final = {
    CONVERSATIONS: (
        "accounts", "groups", "login_sessions", "api_keys", "external_identities", "invites", "limits",
        "preferences", "quota_counters", "quota_reservations", "audit", "secrets", "runtime_settings",
        "conversations", "branches", "segments", "items", "hidden_items", "conversation_changes",
        "conversation_members", "share_links", "aliases", "runs", "journal", "run_chunks",
        "idempotency", "ledger", "blobs", "blob_refs", "sweeps",
    ),
    KNOWLEDGE: (
        "files", "versions", "text_slices", "uploads", "upload_parts", "collections", "members", "batches",
        "standing", "kept_answers", "scopes", "sources", "passages", "passage_texts", "vector_models",
        "vectors", "marks",
    ),
}  # fmt: skip
LEFT_OUT: Final = {
    CONVERSATIONS: ("alembic_version", "workers"),
    KNOWLEDGE: ("alembic_version", "words", "sequence", "contents", "content_pieces"),
}
"""The schema's revision; processes, which are nowhere else; the word index, which is made of the texts; where
numbers of changes stand; contents, which come by themselves."""

DERIVED: Final = {
    "passage_texts": {"place"}, "passages": {"terms", "length"}, "sources": {"words"}, "scopes": {"words"},
}  # fmt: skip
"""Columns that are an engine's own, and are made anew."""

LAST_CHANGE: Final = (
    "SELECT coalesce(max(n),0) FROM"
    " (SELECT max(seq) AS n FROM scopes UNION ALL SELECT max(changed) FROM sources) given"
)
"""The last number of a change that was given; the next one must be higher."""


SET_WORDS: Final = "UPDATE sources SET words=? WHERE no=?"
SUM_WORDS: Final = (
    "UPDATE scopes SET words=(SELECT coalesce(sum(words),0) FROM sources s"
    " WHERE s.scope_no=scopes.no AND s.state='live')"
)
"""How many words there are of passages that lie elsewhere."""


def table_of(name: str, columns: Sequence[str]) -> Table:
    """Return a table with its columns in the archive's order."""
    return Table(name, tuple(sorted(set(columns) - DERIVED.get(name, set()))))


def select(table: Table) -> str:
    """Return the statement that reads a table."""
    return f'SELECT {_named(table.columns)} FROM "{table.name}"'


def insert(table: str, columns: Sequence[str]) -> str:
    """Return the statement that writes a row unless it is there."""
    places = ",".join("?" * len(columns))
    if table == "passage_texts":
        return (
            f"INSERT INTO passage_texts ({_named(columns)},place) VALUES ({places},'') ON CONFLICT DO NOTHING"
        )
    return f'INSERT INTO "{table}" ({_named(columns)}) VALUES ({places}) ON CONFLICT DO NOTHING'


def is_filled(table: str) -> str:
    """Return the statement that has a row if a table has one."""
    return f'SELECT 1 FROM "{table}" LIMIT 1'


def _named(columns: Sequence[str]) -> str:
    return ",".join(f'"{column}"' for column in columns)


def is_older(scripts: str, revision: str, than: str) -> bool:
    """Whether one revision comes before another; raises BadArchive if one of them is unknown."""
    names = [step.name for step in revisions(scripts)]
    for name in (revision, than):
        if name not in names:
            raise BadArchive(f"Schema {name} is of a newer release; this one knows none above {names[-1]}.")
    return names.index(revision) < names.index(than)
