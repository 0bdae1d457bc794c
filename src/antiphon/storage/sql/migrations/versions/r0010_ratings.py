"""What people thought of an answer: good, bad, or nothing said, as of nearly all.

The index holds the few that were rated, by the time at which they were begun.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEX = "runs_rated"


def upgrade() -> None:
    """Create everything."""
    op.add_column("runs", sa.Column("rating", sa.SmallInteger, nullable=True, autoincrement=False))
    where = sa.text("rating IS NOT NULL")
    op.create_index(INDEX, "runs", ["created"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Drop everything."""
    op.drop_index(INDEX, "runs")
    op.drop_column("runs", "rating")
