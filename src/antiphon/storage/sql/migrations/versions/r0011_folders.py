"""Folders: names under which owners keep conversations.

The index holds the conversations that are in one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INDEX = "conversations_folder"


def upgrade() -> None:
    """Create everything."""
    op.add_column("conversations", sa.Column("folder", sa.Text, nullable=True))
    where = sa.text("folder IS NOT NULL")
    op.create_index(
        INDEX, "conversations", ["owner_id", "folder"], sqlite_where=where, postgresql_where=where
    )


def downgrade() -> None:
    """Drop everything."""
    op.drop_index(INDEX, "conversations")
    op.drop_column("conversations", "folder")
