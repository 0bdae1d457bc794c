"""Blobs and purging: which items hold which blob, which conversations are being erased or swept.

`blobs.state` is `held` (an item holds it), `loose` (none does: it is being uploaded, or its last
item went) or `doomed` (its content is being erased). `conversations.state` is null, `purging`, or
`purged` for what stays of a conversation only because forks stand on it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Column = sa.Column[object]


def _id(name: str, *, key: bool = False) -> Column:
    return sa.Column(name, sa.String(32), nullable=False, primary_key=key)


def _int(name: str) -> Column:
    return sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False)


def _digest(name: str, *, key: bool = False) -> Column:
    return sa.Column(name, sa.String(64), nullable=False, primary_key=key)


def _slot() -> Column:
    return sa.Column("slot", sa.SmallInteger, nullable=False)


PARTIAL_INDEXES = {
    "conversations_base": (["base_segment_id"], "base_segment_id IS NOT NULL"),
    "conversations_expires": (["expires"], "expires IS NOT NULL"),
    "conversations_deleted": (["deleted"], "deleted IS NOT NULL AND state IS NULL"),
    "conversations_purging": (["id"], "state='purging'"),
}
"""Of conversations; none of them holds a plain one, so a turn pays for none."""


# fmt: off
def upgrade() -> None:
    """Create everything."""
    op.add_column("conversations", sa.Column("state", sa.Text, nullable=True))
    op.add_column("idempotency", sa.Column("conversation_id", sa.String(32), nullable=True))
    for name, (columns, condition) in PARTIAL_INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "conversations", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "blobs", _id("owner_id", key=True), _digest("digest", key=True), _slot(), _int("size"),
        sa.Column("state", sa.Text, nullable=False), _int("changed"), sqlite_with_rowid=False,
    )
    held = sa.text("state<>'held'")
    op.create_index(
        "blobs_unheld", "blobs", ["state", "changed"], sqlite_where=held, postgresql_where=held
    )
    op.create_table(
        "blob_refs", _id("segment_id", key=True), sa.Column(
            "depth", sa.BigInteger, nullable=False, primary_key=True, autoincrement=False
        ), _digest("digest", key=True), _id("owner_id"), _slot(), _id("item_id"), sqlite_with_rowid=False,
    )
    op.create_index("blob_refs_digest", "blob_refs", ["owner_id", "digest"])
    op.create_table(
        "sweeps", _id("conversation_id", key=True), _id("owner_id"), _slot(), _int("due"),
        sqlite_with_rowid=False,
    )
    op.create_index("sweeps_due", "sweeps", ["due"])


# fmt: on
def downgrade() -> None:
    """Drop everything; items whose data URLs were moved into blobs cannot be read any more."""
    for table in ("sweeps", "blob_refs", "blobs"):
        op.drop_table(table)
    for name in PARTIAL_INDEXES:
        op.drop_index(name, "conversations")
    op.drop_column("idempotency", "conversation_id")
    op.drop_column("conversations", "state")
