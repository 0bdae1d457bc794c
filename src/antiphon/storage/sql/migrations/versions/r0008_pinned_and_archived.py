"""Conversations that are pinned or archived, and since when.

The indexes hold these few only. None holds the time of the last use: it changes twice in every turn, and
would cost each change 15 to 40 % more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = ("pinned", "archived")


def upgrade() -> None:
    """Create everything."""
    for name in COLUMNS:
        op.add_column("conversations", sa.Column(name, sa.BigInteger, nullable=True, autoincrement=False))
        where = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"conversations_{name}", "conversations", ["owner_id"], sqlite_where=where, postgresql_where=where
        )


def downgrade() -> None:
    """Drop everything."""
    for name in COLUMNS:
        op.drop_index(f"conversations_{name}", "conversations")
        op.drop_column("conversations", name)
