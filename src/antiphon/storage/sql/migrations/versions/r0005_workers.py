"""Workers: who holds a lease on its runs, and who was fenced.

Only stores that several servers share have rows here.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "workers",
        sa.Column("id", sa.String(32), nullable=False, primary_key=True),
        sa.Column("expires", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("fenced", sa.BigInteger, nullable=True, autoincrement=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop everything."""
    op.drop_table("workers")
