"""Preferences: what an account's clients remember of their user, one JSON object each.

The server reads nothing in it. It lies beside the account, since every request reads that.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE = "preferences"


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        TABLE,
        sa.Column("account_id", sa.String(32), primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop everything."""
    op.drop_table(TABLE)
