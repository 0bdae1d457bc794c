"""Counts of words on SQLite too, for an index whose passages lie elsewhere; PostgreSQL has them.

FTS5 knows how long its passages are. Those in MongoDB it does not have, and their score needs the average
length of a passage in its scope.
"""

from __future__ import annotations

from alembic import op

revision = "k0005"
down_revision = "k0004"
branch_labels = None
depends_on = None

_HEAD = """CREATE TRIGGER sources_state AFTER UPDATE OF state ON sources WHEN old.state<>new.state BEGIN
    UPDATE sequence SET value=value+1;
    UPDATE sources SET changed=(SELECT value FROM sequence) WHERE no=new.no;
    UPDATE scopes SET seq=(SELECT value FROM sequence),
        total=total+new.passages*((new.state='live')-(old.state='live'))"""
_WORDS = ",\n        words=words+new.words*((new.state='live')-(old.state='live'))"
_TAIL = " WHERE no=new.scope_no;\n    END"


def upgrade() -> None:
    """Add the columns, and count words with passages."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for table in ("sources", "scopes"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN words BIGINT NOT NULL DEFAULT 0")
    op.execute("DROP TRIGGER sources_state")
    op.execute(_HEAD + _WORDS + _TAIL)


def downgrade() -> None:
    """Drop the columns."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("DROP TRIGGER sources_state")
    for table in ("sources", "scopes"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN words")
    op.execute(_HEAD + _TAIL)
