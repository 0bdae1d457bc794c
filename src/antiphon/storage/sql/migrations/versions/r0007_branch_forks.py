"""A branch that stands for a fork is found by the fork, so that a fork can tell where it belongs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEX = "branches_alias"


def upgrade() -> None:
    """Create everything."""
    where = sa.text("alias_of IS NOT NULL")
    op.create_index(INDEX, "branches", ["alias_of"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Drop everything."""
    op.drop_index(INDEX, "branches")
