"""Answers kept for idempotency keys are found by the conversation they tell of, whosever keys they are.

A turn's key names its run and no conversation, so it pays nothing for this.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEX = "idempotency_conversation"


def upgrade() -> None:
    """Create everything."""
    where = sa.text("conversation_id IS NOT NULL")
    op.create_index(INDEX, "idempotency", ["conversation_id"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Drop everything."""
    op.drop_index(INDEX, "idempotency")
