"""Aliases: further names that an account's clients have for its conversations, and the numbers they count by.

An alias leads to one object of its owner's view; it says nothing that the object does not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLE = "aliases"


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        TABLE,
        sa.Column("owner_id", sa.String(32), primary_key=True),
        sa.Column("alias", sa.Text, primary_key=True),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("target_id", sa.String(32), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("aliases_target", TABLE, ["target_id"])


def downgrade() -> None:
    """Drop everything."""
    op.drop_table(TABLE)
